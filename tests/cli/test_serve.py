"""`dimts serve`: its help, and what it refuses before anything listens."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dimts.base.errors import ConfigError, DimtsError, ProjectError
from dimts.base.project import Project
from dimts.cli.serve import register, settings_of, sources_of

pytest.importorskip("fastapi")


@pytest.fixture
def app() -> typer.Typer:
    """The command, and another so that it keeps its name."""
    found = typer.Typer(rich_markup_mode=None)
    register(found)
    found.command("other")(lambda: None)
    return found


def test_the_help_names_every_option(app: typer.Typer) -> None:
    said = CliRunner().invoke(app, ["serve", "--help"]).output
    for option in (
        "--host",
        "--port",
        "--api-key-file",
        "--voices-folder",
        "--slots",
        "--queue",
        "--ray",
        "[MODEL]",
    ):
        assert option in said


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["nothing"], ConfigError),
        (["--host", "0.0.0.0"], ConfigError),
        (["--port", "99999"], ConfigError),
        (["--api-key-file", "nothing"], ConfigError),
        (["--slots", "0"], ConfigError),
        (["--set", "serve.slotz=3"], ConfigError),
        (["--lexicon", "nothing"], ConfigError),
        (["--project", "nothing"], ProjectError),
        (["--ray", "--port", "0"], ConfigError),
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
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert isinstance(result.exception, kind), result.exception
    assert list(tmp_path.iterdir()) == []


def test_a_project_has_settings_a_lexicon_and_voices(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "abebe", "[serve]\nslots = 3\n[speak]\nseed = 9\n")
    project.lexicon.write_text("ሰላም\tʃ ə lː a m\n", encoding="utf-8")
    (project.voices / "abebe").mkdir(parents=True)
    settings = settings_of(project.root, {"queue": 5, "api_key_file": None}, ["serve.ray.max_replicas=4"])
    assert (settings.slots, settings.queue, settings.ray.max_replicas) == (3, 5, 4)
    found = sources_of(["abebe"], project.root, None, None, [])
    assert [source.name for source in found] == ["abebe", "formant"]
    assert found[0].where == str(project.voices / "abebe")
    assert (found[0].settings.seed, found[0].lexicon) == (9, project.lexicon)
