"""`dimts phones` and `dimts lexicon`, as people type them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from dimts.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def feed(monkeypatch: pytest.MonkeyPatch, text: str | bytes) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))


def test_one_line_out_for_each_line_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, "ሰላም ለዓለም።\n\nቤት\n")
    code, out, _ = run(capsys, "phones", "-", "--backends", "rules")
    assert code == 0
    assert out == "s ə l a m # l ə ʔ a l ə m\n\nb e t\n"


def test_a_file_in_two_processes_keeps_its_order(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"ሰላም {number}\n" for number in range(1200)), encoding="utf-8")
    code, alone, _ = run(capsys, "phones", str(path), "--backends", "rules")
    assert code == 0
    code, shared_out, _ = run(capsys, "phones", str(path), "--backends", "rules", "--jobs", "2")
    assert code == 0
    assert shared_out == alone
    assert len(alone.splitlines()) == 1200


def test_json_tells_who_and_why(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "እናት\n")
    code, out, _ = run(capsys, "phones", "-", "--json", "--backends", "transphone,rules")
    assert code == 0
    word = json.loads(out)["phrases"][0]["words"][0]
    assert word["by"] == "rules"
    assert word["phones"] == ["ʔ", "ɨ", "nː", "a", "t"]
    assert word["refused"][0]["by"] == "transphone"
    assert word["refused"][0]["doubts"][0]["kind"] == "absent"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("phones", "nowhere.txt"), "no such text file"),
        (("phones", "-", "--backends", "rulez"), "rulez"),
        (("phones", "-", "--set", "text.g2p.max_second=3"), "max_seconds"),
        (("phones", "-", "--lexicon", "nowhere.tsv"), "no such lexicon"),
        (("lexicon", "show"), "no such lexicon"),
        (("lexicon", "add", "ሰላም", "s", "a", "l"), "the letters say"),
        (("lexicon", "add", "ሰላም", "θ"), "θ"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    feed(monkeypatch, "ሰላም\n")
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert problem in err
    assert "hint:" in err


def test_text_that_is_not_utf8(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b"\xff\xfe\n")
    code, _, err = run(capsys, "phones", "-", "--backends", "rules")
    assert code == 2
    assert "UTF-8" in err


def test_the_life_of_a_lexicon(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "mine.tsv")
    assert run(capsys, "lexicon", "add", "ሰላም", "s", "ə", "l", "a", "m", "--file", path)[0] == 0
    code, out, _ = run(capsys, "lexicon", "add", "ሰላም", "ሰላ፟ም", "--note", "a joke", "--file", path)
    assert code == 0
    assert "replaced ሰላም\ts ə l a m" in out
    _, out, _ = run(capsys, "lexicon", "show", "--file", path)
    assert out.split("\t")[:2] == ["ሰላም", "s ə lː a m"]
    _, out, _ = run(capsys, "lexicon", "show", "እናት", "--json", "--file", path)
    assert json.loads(out)["by"].startswith("rules: lexicon")
    code, out, _ = run(capsys, "lexicon", "check", "--file", path)
    assert code == 0
    assert out == "1 rows, 0 faults\n"
    feed(monkeypatch, "ሰላም\n")
    _, out, _ = run(capsys, "phones", "-", "--backends", "rules", "--lexicon", path)
    assert out == "s ə lː a m\n"


def test_check_finds_faults(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("ሰላም\ts a l a m\nቤት\tb e t\nቤት\tb e tː\n", encoding="utf-8")
    code, out, _ = run(capsys, "lexicon", "check", "--file", str(path))
    assert code == 2
    assert "row 1, ሰላም: the letters say" in out
    assert "row 3, ቤት: again" in out
    assert out.endswith("3 rows, 1 faults\n")


def test_a_projects_settings_and_lexicon(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = tmp_path / "voice"
    project.mkdir()
    (project / "dimts.toml").write_text('[text.g2p]\nbackends = ["rules"]\n', encoding="utf-8")
    assert run(capsys, "lexicon", "add", "ሰላም", "s", "ə", "lː", "a", "m", "--project", str(project))[0] == 0
    feed(monkeypatch, "ሰላም ቤት\n")
    _, out, _ = run(capsys, "phones", "-", "--project", str(project))
    assert out == "s ə lː a m # b e t\n"
