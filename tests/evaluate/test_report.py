"""The page and its drawings: names as they are written, intervals under their means, nothing unescaped."""

from __future__ import annotations

from pathlib import Path

from dimts.audio.wave import Wave
from dimts.evaluate import plots
from dimts.evaluate.code_likelihood import held_out_nll
from dimts.evaluate.report import Report


def test_names_stand_in_a_plot_as_they_are_written() -> None:
    drawn = plots.ranges([("ድምፅ ፪", 1.0, 0.5, 1.5), ("a<b", 2.0, 1.0, 3.0)], "worth of 100")
    assert ">ድምፅ ፪<" in drawn
    assert ">a&lt;b<" in drawn
    assert "name000" not in drawn
    assert "name001" not in drawn


def test_an_interval_stands_under_its_mean() -> None:
    page = Report(
        "<b>", notes=["first", "<second>"], summary={"table": [["voice"], ["0.5 [0.4, 0.6]"]]}
    ).html()
    assert '0.5<br><span class="quiet">[0.4, 0.6]</span>' in page
    assert "&lt;second&gt;" in page
    assert "<b>" not in page


def test_a_voice_without_codes_says_so(tmp_path: Path) -> None:
    silence = Wave.silence(1.0, 24_000)
    formant = held_out_nll("formant", [(silence, "ሰላም")])
    assert formant.reason is not None
    assert formant.reason.code == "evaluate.formant_has_no_codes"
    found = held_out_nll(tmp_path / "nothing", [(silence, "ሰላም")])
    assert found.codebook == ""
    assert found.reason
