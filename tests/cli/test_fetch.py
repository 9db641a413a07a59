"""`dimts fetch`: the licence first, then the files, then what it tells."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from dimts.cli.main import main
from dimts.xtts import download
from dimts.xtts.download import CPML, LOCK_FILE, XTTS_V2

NAMES = [*XTTS_V2.files, "LICENSE.txt"]


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A local folder with files of the right names, and other content."""
    folder = tmp_path / "stick"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(f"not the real {name}\n".encode())
    return folder


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub to be reached."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    from dimts.xtts import hub

    monkeypatch.setattr(hub, "WAIT_SECONDS", 0.0)


class Terminal:
    """Standard input of somebody who sits there and answers."""

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        return self._answer + "\n"


def test_without_a_terminal_the_licence_must_be_accepted_by_a_flag(
    stick: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["fetch", "--from", str(stick), "--unpinned"]) == 2
    shown = capsys.readouterr()
    assert CPML.name in shown.err
    assert "--accept-licence" in shown.err
    assert not download.folder_of().exists()


@pytest.mark.parametrize("answer", ["n", "", "what?"])
def test_the_licence_is_shown_and_no_means_no(
    answer: str, stick: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["fetch", "--from", str(stick), "--unpinned"]) == 2
    shown = capsys.readouterr().err
    assert CPML.name in shown
    assert CPML.url in shown
    assert "non-commercial" in shown
    assert "not the real LICENSE.txt" in shown  # the text itself, from the folder
    assert "nothing was fetched" in shown
    assert not download.accepted()
    assert not download.folder_of().exists()


def test_yes_is_remembered(
    stick: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y"))
    assert main(["fetch", "--from", str(stick), "--unpinned"]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(download.folder_of())
    assert "checksums as found, not pinned" in shown.err
    assert download.accepted()
    (stick / "vocab.json").write_bytes(b"changed\n")
    (download.folder_of() / "vocab.json").unlink()
    monkeypatch.setattr(sys, "stdin", Terminal("n"))  # not asked again, or this would stop it
    assert main(["fetch", "--from", str(stick), "--unpinned"]) == 0
    assert (download.folder_of() / "vocab.json").read_bytes() == b"changed\n"


def test_files_that_are_not_the_published_ones_are_refused(
    stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--from", str(stick), "--accept-licence"]) == 2
    shown = capsys.readouterr().err
    assert "is not the published file" in shown
    assert "--unpinned" in shown
    assert not (download.folder_of() / "config.json").exists()


def test_into_a_folder_of_ones_own_and_checked_later(
    stick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "base"
    assert main(["fetch", "--from", str(stick), "--to", str(target), "--unpinned", "--accept-licence"]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert {*NAMES, LOCK_FILE} <= {path.name for path in target.iterdir()}
    assert main(["fetch", "--check", "--to", str(target)]) == 0
    assert "all files are whole" in capsys.readouterr().out
    (target / "model.pth").write_bytes(b"x" * (target / "model.pth").stat().st_size)
    assert main(["fetch", "--check", "--to", str(target)]) == 2
    assert "model.pth: changed" in capsys.readouterr().err


def test_no_network_is_one_line_and_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "--accept-licence"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "cannot be reached" in lines[-2]
    assert "--from FOLDER" in lines[-1]


def test_the_licence_alone(capsys: pytest.CaptureFixture[str], stick: Path) -> None:
    assert main(["fetch", "--licence", "--from", str(stick)]) == 0
    assert "not the real LICENSE.txt" in capsys.readouterr().err
    assert main(["fetch", "--licence"]) == 0
    assert "cannot be reached now" in capsys.readouterr().err
    assert not download.folder_of().exists()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--check"], "holds no fetched files"),
        (["--unpinned", "--accept-licence"], "--unpinned goes with --from"),
        (["--from", "nowhere", "--accept-licence"], "no such folder: nowhere"),
    ],
)
def test_wrong_input(arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", *arguments]) == 2
    assert what in capsys.readouterr().err
