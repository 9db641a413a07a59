"""Pictures of the statistics: they are drawn, and what is drawn depends on what was counted."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.cli.main import main
from dimts.data.manifest import Manifest, Utterance
from dimts.data.plots import draw
from dimts.data.stats import Stats

pytest.importorskip("matplotlib")


def rows(count: int, phones: str = "d ə h n a # s ə lː a m") -> list[Utterance]:
    return [
        Utterance(
            id=str(at), path="clips/a.wav", text=f"ሰላም {at}", phones=phones, seconds=2 + at % 7,
            speaker=("አበበ", "b")[at % 2], split="train", kept=True,
            measures={"snr_db": 30 + at % 9, "phones_per_second": 11 + at % 4},
        )
        for at in range(count)
    ]  # fmt: skip


@pytest.mark.slow
def test_every_format_is_drawn_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, magic in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")):
            assert draw(Stats.of(rows(40)), tmp_path / name).read_bytes().startswith(magic)


def test_the_picture_is_of_the_figures(tmp_path: Path) -> None:
    one = draw(Stats.of(rows(40)), tmp_path / "one.svg").read_text(encoding="utf-8")
    again = draw(Stats.of(rows(40)), tmp_path / "again.svg").read_text(encoding="utf-8")
    other = draw(Stats.of(rows(41)), tmp_path / "other.svg").read_text(encoding="utf-8")
    assert len(one) == len(again)
    assert len(one) != len(other) or one != other
    assert "40 clips kept" in one


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.gif"):
        draw(Stats.of(rows(3)), tmp_path / "a.gif")
    with pytest.raises(DataError, match="nothing to draw"):
        draw(Stats(), tmp_path / "a.png")


def test_the_command_draws_beside_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = Project.create(tmp_path / "voice", "")
    Manifest.write(project.manifest, rows(12))
    assert main(["data", "stats", str(project.root), "--plot", str(tmp_path / "x.png")]) == 0
    out, err = capsys.readouterr()
    assert "12" in out
    assert "x.png" in err
