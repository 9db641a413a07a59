"""Consent where a recording becomes a voice: given, asked for once at a terminal, stored, withdrawn."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.base.files import fingerprint
from dimts.cli.main import main
from dimts.speak.consent import ConsentStore

TEXT = "አበበ ከበደ፣ በ2026-03-01 የተፈረመ ቅጽ"
OTHER = "Sara, signed form of 2026-03-02"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two recordings, and one that is a copy of the first; no terminal for this process."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    for seed, name in enumerate(("abebe", "sara")):
        Wave(np.random.default_rng(seed).standard_normal(48_000) * 0.1, 24_000).save(tmp_path / f"{name}.wav")
    (tmp_path / "copy.wav").write_bytes((tmp_path / "abebe.wav").read_bytes())
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "voice.json").write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, text: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
    """A process of the command, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "dimts", *arguments], input=text, capture_output=True, text=True, **more
    )


def at_terminal(*arguments: str, answer: str = "") -> tuple[int, str]:
    """A process of the command at a terminal, and what is typed there; its exit code and what it shows."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    with subprocess.Popen(
        [sys.executable, "-m", "dimts", *arguments], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 1 << 16):
                shown += data
        except OSError:  # Linux reports the end of a terminal so
            pass
        process.wait()
    os.close(ours)
    return process.returncode, shown.decode()


def say(*arguments: str) -> list[str]:
    """A command that stops where it would load its model, which is none."""
    return ["say", "ሰላም", "--model", "model", *arguments, "-o", "out.wav"]


def stored(name: str) -> str | None:
    found = ConsentStore().find(fingerprint(name))
    return found.consent if found else None


def test_without_a_terminal_a_recording_needs_a_statement(here: Path) -> None:
    done = run(*say("--voice", "abebe.wav=0.5", "--voice", "./sara.wav=0.5"))
    assert done.returncode == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first == "error: no consent is known of who speaks in abebe.wav, sara.wav"
    assert second.startswith("hint: ")
    assert "--consent" in second
    assert not ConsentStore().folder.exists()


def test_the_terminal_is_asked_once_and_a_copy_not_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = at_terminal(*say("--voice", "abebe.wav"), answer=TEXT)
    assert code == 2
    assert shown.count("who speaks here") == 1
    assert "abebe.wav: the consent is stored" in shown
    assert "voice.json" in shown
    assert stored("abebe.wav") == TEXT
    assert main(say("--voice", str(here / "copy.wav"))) == 2
    again = capsys.readouterr().err
    assert "voice.json" in again
    assert "consent" not in again
    _, shown = at_terminal(*say("--voice", "abebe.wav", "--voice", "sara.wav"), answer=OTHER)
    assert shown.count("who speaks here") == 1
    assert (stored("abebe.wav"), stored("sara.wav")) == (TEXT, OTHER)


def test_an_answer_that_says_nothing_is_refused_and_not_stored(here: Path) -> None:
    code, shown = at_terminal(*say("--voice", "abebe.wav"), answer="yes")
    assert code == 2
    assert "error: the consent must say in words" in shown
    assert stored("abebe.wav") is None


def test_a_statement_that_is_given_replaces_the_stored_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(say("--voice", "abebe.wav", "--voice", "copy.wav", "--consent", f" {TEXT} ")) == 2
    assert capsys.readouterr().err.count("the consent is stored") == 1
    assert main(say("--voice", "abebe.wav", "--voice", "sara.wav", "--consent", OTHER)) == 2
    assert (stored("abebe.wav"), stored("sara.wav")) == (OTHER, OTHER)
    assert main(say("--voice", "abebe.wav", "--consent", "no")) == 2
    assert "must say in words" in capsys.readouterr().err
    assert stored("abebe.wav") == OTHER


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--consent", TEXT], "cli.consent_without_recording"),
        (["--consent", TEXT, "--voice", "formant"], "cli.consent_without_recording"),
        (["--consent", TEXT, "--voice", "model"], "cli.consent_without_recording"),
        (["--consent", TEXT, "--model", "model", "--voice", "x.voice"], "cli.consent_without_recording"),
        (["--consent", TEXT, "--model", "model", "--voice", "abebe.wav", "--voices"], ""),
        (["--consent", TEXT, "--model", "nowhere", "--voice", "abebe.wav"], "xtts.no_such_model"),
        (["--consent", TEXT, "--voice", "abebe.wav", "--voice", "formant"], "cli.formant_not_blended"),
        (["--consent", TEXT, "--model", "model", "--voice", "no sound.txt"], "audio."),
    ],
)
def test_nothing_is_stored_where_nothing_would_be_cloned(
    here: Path, arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "x.voice").touch()
    (here / "no sound.txt").write_text("no sound", encoding="utf-8")
    assert main(["--log", "json", "say", *([] if "--voices" in arguments else ["ሰላም"]), *arguments]) == 2
    event = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert event["code"].startswith(code)
    assert not ConsentStore().folder.exists()


def test_statements_are_listed_and_withdrawn(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["consent"]) == 0
    assert "no consent is stored" in capsys.readouterr().out
    for name, text in (("abebe", TEXT), ("sara", f"{OTHER}\nin two lines")):
        main(say("--voice", f"{name}.wav", "--consent", text))
    broken = ConsentStore().folder / f"{'0' * 64}.json"
    broken.write_text("{", encoding="utf-8")
    capsys.readouterr()
    assert main(["consent", "list"]) == 0
    shown = capsys.readouterr()
    rows = {row.split("  ")[2]: row.split("  ") for row in shown.out.splitlines()}
    assert {name: row[3] for name, row in rows.items()} == {
        "abebe.wav": TEXT, "sara.wav": f"{OTHER} in two lines",
    }  # fmt: skip
    assert str(broken) in shown.err
    assert main(["consent", "withdraw", "copy.wav"]) == 0
    assert main(["consent", "withdraw", rows["sara.wav"][0].upper()]) == 0
    assert main(["consent", "withdraw", "0" * 12]) == 0
    assert list(ConsentStore().folder.iterdir()) == []
    for gone in ("abebe.wav", rows["sara.wav"][0], "nobody"):
        assert main(["consent", "withdraw", gone]) == 2
    assert "no consent is stored for nobody" in capsys.readouterr().err
    main(say("--voice", "abebe.wav"))
    assert "no consent is known" in capsys.readouterr().err


def test_a_damaged_statement_is_reported_and_asked_for_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(say("--voice", "abebe.wav", "--consent", TEXT))
    path = ConsentStore().folder / f"{fingerprint('abebe.wav')}.json"
    path.write_text('{"consent":', encoding="utf-8")
    capsys.readouterr()
    assert main(say("--voice", "abebe.wav")) == 2
    shown = capsys.readouterr().err
    assert f"warning: the stored consent {path} is damaged" in shown
    assert "error: no consent is known" in shown
    main(say("--voice", "abebe.wav", "--consent", TEXT))
    assert stored("abebe.wav") == TEXT


def test_a_name_of_the_models_own_voice_is_no_recording(
    bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "sara").write_bytes((here / "sara.wav").read_bytes())
    options = ["--set", "speak.retries=0", "-o", "out.wav"]
    assert main(["say", "ሰላም", "--model", str(bundle), "--voice", "sara", *options]) == 0
    assert not ConsentStore().folder.exists()


@pytest.mark.slow
def test_a_voice_is_cloned_after_the_question_and_then_without(bundle: Path, here: Path) -> None:
    options = ["say", "ሰላም", "--model", str(bundle), "--voice", "abebe.wav", "--set", "speak.retries=0", "-o"]
    code, shown = at_terminal(*options, "first.wav", answer=TEXT)
    assert code == 0, shown
    assert run(*options, "second.wav").returncode == 0
    assert (here / "first.wav").read_bytes() == (here / "second.wav").read_bytes()
    lines = run("say", "--stdin", *options[2:], "third.wav", text="ሰላም")
    assert lines.returncode == 0, lines.stderr
    assert run("consent", "withdraw", "abebe.wav").returncode == 0
    assert run(*options, "fourth.wav").returncode == 2
    assert not (here / "fourth.wav").exists()
