"""`dimts new FOLDER`: a project folder with a commented dimts.toml."""

from __future__ import annotations

from pathlib import Path

import typer

RECIPES = {path.stem: path for path in (Path(__file__).parent.parent / "recipes").glob("*.toml")}
"""Commented [train] tables by name of a kind of machine."""


def register(app: typer.Typer) -> None:
    """Add the command `new`."""
    app.command("new")(new)


def new(
    folder: Path = typer.Argument(..., help="Folder to make; its name becomes the voice's name."),
    name: str = typer.Option("", "--name", help="Name of the voice; empty: the folder's name."),
    licence: str = typer.Option("", "--licence", help="Licence of the recordings, e.g. CC-BY-4.0."),
    consent: str = typer.Option("", "--consent", help="How the speakers agreed to the use of their voice."),
    recipe: str = typer.Option(
        "", "--recipe", help=f"Settings of training for a kind of machine: {', '.join(sorted(RECIPES))}."
    ),
) -> None:
    """Make a project folder with a commented dimts.toml."""
    from dimts.base.messages import Message
    from dimts.base.project import Project, ProjectSettings
    from dimts.cli.output import show

    settings = ProjectSettings(name=name or folder.resolve().name, licence=licence, consent=consent)
    Project.create(folder, template(settings, recipe))
    show(Message("cli.project_made", folder=folder, recordings=folder / "recordings"))


def template(project: object, recipe: str = "") -> str:
    """Format the whole commented dimts.toml: `project` fills the first table, `recipe` that of training,
    defaults the others.

    Raises ConfigError for an unknown recipe (the nearest is named).
    """
    from dimts.base.config import from_table, read_toml, to_toml
    from dimts.base.plugins import resolve
    from dimts.data.context import PrepareSettings
    from dimts.server.settings import ServeSettings
    from dimts.speak import SpeakSettings
    from dimts.text.frontend import FrontendSettings
    from dimts.train.settings import TrainSettings

    train = TrainSettings()
    if recipe:
        train = from_table(
            TrainSettings, read_toml(resolve(recipe, RECIPES, "dimts.recipe"))["train"], "train"
        )
    head = "# Settings of this voice. Each key stands below what it does; a misspelt key is refused.\n\n"
    tables = {
        "project": project,
        "text": FrontendSettings(),
        "data": PrepareSettings(),
        "train": train,
        "speak": SpeakSettings(),
        "serve": ServeSettings(),
    }
    return head + "\n".join(to_toml(settings, table, comments=True) for table, settings in tables.items())
