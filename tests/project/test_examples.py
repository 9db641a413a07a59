"""Each program of examples/ runs as it is and makes what it promises."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

RUNS = {
    "read_news": ("news.mp3, news.srt: 2 phrases", ["news.mp3", "news.srt"]),
    "stream": ("", []),
    "phone_table": ("ዳቦ\tዳቦ\td a bː o", []),
    "normalise_only": ("በሁለት ሺህ አስራ ሰባት አመተ ምህረት", []),
    "own_backend": ("ሰላም s ə l a m mine\nልጁ l ɨ dʒ u rules\nአለ ʔ a lː ə mine", []),
}
"""Program → what it prints, and the files it leaves."""


def environment() -> dict[str, str]:
    """The environment for a program that imports this dimts."""
    import dimts

    source = str(Path(dimts.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": source, "PYTHONUTF8": "1"}


def run(repository: Path, name: str, folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What the program prints."""
    command = [sys.executable, str(repository / "examples" / f"{name}.py"), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_every_example_is_listed_and_run(repository: Path) -> None:
    programs = {path.stem for path in (repository / "examples").glob("*.py")}
    listed = set(re.findall(r"\]\((\w+)\.py\)", (repository / "examples" / "README.md").read_text("utf-8")))
    assert programs == listed == {*RUNS, "http_client", "speak_while_writing", "prepare_and_train"}


@pytest.mark.parametrize("name", RUNS)
def test_an_example_does_what_it_says(name: str, repository: Path, tmp_path: Path) -> None:
    expected, files = RUNS[name]
    given = "በ2017 ዓ.ም\n".encode() if name == "normalise_only" else b""
    out = run(repository, name, tmp_path, given=given)
    if name == "stream":
        assert len(out) > 24_000 * 2, "a second of samples at least"
    else:
        assert expected in out.decode()
    assert all((tmp_path / file).stat().st_size > 50 for file in files)


def test_the_client_hears_a_running_server(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dimts", "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr is not None
            address = next(
                found[0] for line in server.stderr if (found := re.search(r"http://127.0.0.1:\d+", line))
            )
            run(repository, "http_client", tmp_path, address)
            sound, rate = soundfile.read(tmp_path / "speech.wav")
            assert rate == 24_000
            assert len(sound) > 12_000
            out = run(repository, "speak_while_writing", tmp_path, address.replace("http", "ws"))
            assert len(out) > 24_000 * 2, "a second of samples at least"
        finally:
            server.send_signal(signal.SIGTERM)
            server.stderr.close() if server.stderr else None


@pytest.mark.slow
def test_a_model_is_trained_in_python(repository: Path, tmp_path: Path) -> None:
    out = run(repository, "prepare_and_train", tmp_path, "rehearsal", "20").decode()
    assert "last loss" in out
    assert (tmp_path / "rehearsal" / "selam.wav").stat().st_size > 1000
