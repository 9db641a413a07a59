"""`dimts text` and `dimts normalise` as people run them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import typer

from dimts.base.errors import DimtsError, TextError
from dimts.cli import text as part

READ = "--set", 'text.g2p.backends=["rules"]'


def run(*arguments: str) -> None:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    part.register(app)
    app(args=list(arguments), standalone_mode=False)


class Input:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    return lambda data: monkeypatch.setattr(sys, "stdin", Input(data))


def test_text_shows_the_spoken_form_and_the_phones(capsys: pytest.CaptureFixture[str]) -> None:
    run("text", "በ10 ሰዓት", *READ)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "በአስር ሰአት"
    assert any("በአስር\tb ə ʔ a s r\trules" in line or "በአስር\t" in line for line in lines)


def test_why_shows_what_each_span_was_taken_for(capsys: pytest.CaptureFixture[str]) -> None:
    run("text", "ዶ/ር ሊያ 2:30", "--why", *READ)
    out = capsys.readouterr().out
    assert "0-3\tabbreviation\tዶ/ር\t→ ዶክተር\t(the table: ዶ/ር)" in out
    assert "time\t2:30\t→ ሁለት ሰአት ተኩል" in out


def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    run("text", "ዋጋ 5 ብር [pause 1s] ነው", "--json", *READ)
    answer = json.loads(capsys.readouterr().out)
    assert answer["spoken"] == "ዋጋ አምስት ብር ነው"
    assert [span["kind"] for span in answer["spans"] if span["kind"] != "text"] == ["money", "pause"]
    assert answer["phrases"][0]["pause_seconds"] == 1.0
    assert answer["phrases"][0]["words"]


def test_compare_shows_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    run("text", "ሰላም", "--compare", *READ)
    out = capsys.readouterr().out
    assert "Every backend:" in out
    assert "    rules\ts ə l a m\tbelieved" in out


def test_steps_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    run("text", "--steps")
    out = capsys.readouterr().out
    assert "abbreviations" in out
    assert "ወ/ሮ → ወይዘሮ" in out


def test_settings_reach_the_reading(capsys: pytest.CaptureFixture[str]) -> None:
    run("text", "ሰላም 😊", "--set", "text.normalise.emoji=read", *READ)
    assert capsys.readouterr().out.splitlines()[0] == "ሰላም ፈገግታ"


@pytest.mark.parametrize("empty", ["", "   ", "\n"])
def test_an_empty_text_is_refused(empty: str) -> None:
    with pytest.raises(TextError, match="empty"):
        run("text", empty, *READ)


@pytest.mark.parametrize("unreadable", ["😊", "。。", "中国", "[pause 1s]"])
def test_a_text_without_anything_to_read_is_refused(unreadable: str) -> None:
    with pytest.raises(TextError, match="nothing in this text"):
        run("text", unreadable, *READ)


def test_text_from_standard_input(type_in, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    type_in("በ5".encode())
    run("text", "-", *READ)
    assert capsys.readouterr().out.startswith("በአምስት\n")


# ---------------------------------------------------------------- normalise
def test_normalise_writes_a_line_for_a_line(type_in, capfdbinary: pytest.CaptureFixture[bytes]) -> None:  # type: ignore[no-untyped-def]
    type_in("በ10\n\n😊\nዶ/ር\r\nሀ\u2028ለ\n".encode())
    run("normalise", "-")
    assert capfdbinary.readouterr().out.decode() == "በአስር\n\n\nዶክተር\nሀ ለ\n"


def test_normalise_files_in_their_order_with_jobs(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.txt").write_text(f"በ{number}\n" * 50, encoding="utf-8")
    out = tmp_path / "out.txt"
    run("normalise", str(tmp_path / "1.txt"), str(tmp_path / "2.txt"), "--jobs", "2", "--output", str(out))
    assert out.read_text(encoding="utf-8") == "በአንድ\n" * 50 + "በሁለት\n" * 50


def test_a_project_s_table_is_used(tmp_path: Path) -> None:
    (tmp_path / "dimts.toml").write_text('[text.normalise.replace]\n"ኢቲቪ" = "ኢ ቲ ቪ"\n', encoding="utf-8")
    (tmp_path / "a.txt").write_text("ኢቲቪ\n", encoding="utf-8")
    run("normalise", str(tmp_path / "a.txt"), "--project", str(tmp_path), "-o", str(tmp_path / "b.txt"))
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == "ኢ ቲ ቪ\n"


def test_bad_input_leaves_no_half_written_file(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes("ሰላም\n".encode() * 10 + b"\xff\n")
    with pytest.raises(TextError, match="UTF-8"):
        run("normalise", str(tmp_path / "bad.txt"), "-o", str(tmp_path / "out.txt"))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["bad.txt"]


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_files_that_cannot_be_read_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DimtsError, match=name.replace(".", r"\.")):
        run("normalise", str(tmp_path / name) if name != "." else name)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(DimtsError, match="emojis"):
        run("text", "ሰላም", "--set", "text.normalise.emojis=read")
