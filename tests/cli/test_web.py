"""`dimts web`: its help, what it refuses, and that the page answers before gradio is loaded."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dimts.base.errors import ConfigError, DimtsError, ProjectError
from dimts.cli.web import register


@pytest.fixture
def app() -> typer.Typer:
    """The command, and another so that it keeps its name."""
    found = typer.Typer(rich_markup_mode=None)
    register(found)
    found.command("other")(lambda: None)
    return found


def test_the_help_names_every_option(app: typer.Typer) -> None:
    said = CliRunner().invoke(app, ["web", "--help"]).output
    for option in ("--host", "--port", "--auth", "--share", "--max-upload-mb", "--open", "[FOLDER]"):
        assert option in said


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["nothing"], ProjectError),
        ([".", "--host", "0.0.0.0"], ConfigError),
        ([".", "--share"], ConfigError),
        ([".", "--port", "99999"], ConfigError),
        ([".", "--auth", "nothing"], ConfigError),
    ],
)
def test_what_it_refuses(
    app: typer.Typer,
    arguments: list[str],
    kind: type[DimtsError],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["web", *arguments])
    assert isinstance(result.exception, kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_page_is_there_at_once_and_leaves_at_ctrl_c(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    code = "import typer; from dimts.cli.web import register; a = typer.Typer(); register(a); a()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        request = urllib.request.Request(found[0] + "am/", headers={"Accept-Language": "am"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert "ድምፅ" in answer.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode is not None
