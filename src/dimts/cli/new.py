"""`dimts new FOLDER`: a project folder with a commented dimts.toml."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command `new`."""
    app.command("new")(new)


def new(
    folder: Path = typer.Argument(..., help="Folder to make; its name becomes the voice's name."),
    name: str = typer.Option("", "--name", help="Name of the voice; empty: the folder's name."),
    licence: str = typer.Option("", "--licence", help="Licence of the recordings, e.g. CC-BY-4.0."),
    consent: str = typer.Option("", "--consent", help="How the speakers agreed to the use of their voice."),
) -> None:
    """Make a project folder with a commented dimts.toml."""
    from dimts.base.project import Project, ProjectSettings

    settings = ProjectSettings(name=name or folder.resolve().name, licence=licence, consent=consent)
    Project.create(folder, template(settings))
    print(
        f"made {folder}: put recordings into {folder / 'recordings'}, then: dimts data prepare {folder}",
        file=sys.stderr,
    )


def template(project: object) -> str:
    """The whole commented dimts.toml, every table with its defaults; `project` fills the first."""
    from dimts.base.config import to_toml
    from dimts.data.prepare import PrepareSettings
    from dimts.server.settings import ServeSettings
    from dimts.speak import SpeakSettings
    from dimts.text.frontend import FrontendSettings
    from dimts.train.settings import TrainSettings

    head = "# Settings of this voice. Each key stands below what it does; a misspelt key is refused.\n\n"
    tables = {
        "project": project,
        "text": FrontendSettings(),
        "data": PrepareSettings(),
        "train": TrainSettings(),
        "speak": SpeakSettings(),
        "serve": ServeSettings(),
    }
    return head + "\n".join(to_toml(settings, table, comments=True) for table, settings in tables.items())
