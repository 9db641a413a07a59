"""The command's frame: exit codes, one line and a remedy, and nothing for strangers to trip over."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dimts.base.errors import DimtsError
from dimts.cli import main as frame


def run_with(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> int:
    """The exit code of a command whose body raises `error`."""
    app = typer.Typer()

    @app.callback()
    def root() -> None:
        pass

    @app.command("work")
    def work(count: int = typer.Option(1)) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(frame, "build", lambda: app)
    return frame.main(["work"])


def test_done_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with(monkeypatch, None) == 0


def test_an_error_for_people_is_one_line_a_remedy_and_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, DimtsError("cli.text_is_folder", path="a\nb")) == 2
    assert (
        capsys.readouterr().err
        == "error: a b is a folder\nhint: name a text file in it, or - for standard input\n"
    )


def test_a_full_disk_is_for_people_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "/x/y")) == 2
    assert "cannot write /x/y: the disk is full" in capsys.readouterr().err


def test_other_errors_are_bugs_and_stay_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="broken"):
        run_with(monkeypatch, OSError(errno.EIO, "broken"))
    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, ZeroDivisionError())


def test_an_interruption_says_that_work_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, KeyboardInterrupt()) == 130
    assert "run the same command again" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["nonsense"], ["doctor", "--nonsense"], ["train", "--steps", "many", "x"]])
def test_a_wrong_command_line_is_one_line_and_two(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert frame.main(line) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert "--help" in hint


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from dimts.base.version import __version__

    assert frame.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dimts {__version__}\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m dimts doctor --json | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert done.stderr == ""


def test_without_typer_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(name='typer')")
    done = subprocess.run(
        [sys.executable, "-c", "from dimts.cli import run; raise SystemExit(run())"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "pip install 'dimts[cli]'" in done.stderr
