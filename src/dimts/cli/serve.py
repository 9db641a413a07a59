"""`dimts serve`: speech over HTTP, by the interface of OpenAI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dimts.base.messages import Message
from dimts.cli.output import show

if TYPE_CHECKING:
    from dimts.server.models import ModelSource
    from dimts.server.settings import ServeSettings


def register(app: typer.Typer) -> None:
    """Add the command `serve`."""
    app.command("serve")(serve)


_WYOMING = typer.Option(
    None,
    "--wyoming",
    metavar="PORT",
    help=(
        "Also serve the Wyoming protocol (Home Assistant) on this port of this machine; needs dimts[wyoming]."
    ),
    show_default=False,
)


_HOST = typer.Option(
    None,
    "--host",
    help="Address to listen on, 127.0.0.1 by default; any other needs --api-key-file.",
    show_default=False,
)
_API_KEY_FILE = typer.Option(
    None,
    "--api-key-file",
    metavar="FILE",
    help="File of name:key lines, readable by you alone.",
    show_default=False,
)
_VOICES_FOLDER = typer.Option(
    None,
    "--voices-folder",
    metavar="FOLDER",
    help="Where uploaded voices are kept; without it none are taken.",
    show_default=False,
)


def serve(
    models: list[str] = typer.Argument(
        None,
        metavar="[MODEL]...",
        help="Folders of voice bundles, or names of voices of --project; "
        "the first speaks where a request names no "
        "model. The formant voice is always there.",
        show_default=False,
    ),
    host: str | None = _HOST,
    port: int | None = typer.Option(
        None, "--port", "-p", help="Port, 8000 by default; 0 takes one that is free.", show_default=False
    ),
    api_key_file: Path | None = _API_KEY_FILE,
    voices_folder: Path | None = _VOICES_FOLDER,
    slots: int | None = typer.Option(
        None, "--slots", help="Sentences that are decoded together, 8 by default.", show_default=False
    ),
    queue: int | None = typer.Option(
        None, "--queue", help="Requests that may wait beyond that, 32 by default.", show_default=False
    ),
    project: Path | None = typer.Option(
        None, "--project", metavar="FOLDER", help="Project whose settings, lexicon and voices are used."
    ),
    lexicon: Path | None = typer.Option(
        None, "--lexicon", metavar="FILE", help="Your own lexicon: word TAB phones."
    ),
    device: str | None = typer.Option(
        None, "--device", help="cpu, cuda …; default: cuda where there is one."
    ),
    log_text: bool = typer.Option(
        False, "--log-text", help="Also write the texts that are spoken to the log."
    ),
    wyoming: int | None = _WYOMING,
    ray: bool = typer.Option(
        False, "--ray", help="Run as a Ray Serve deployment: copies on one machine or many, see [serve.ray]."
    ),
    overrides: list[str] = typer.Option(
        [], "--set", metavar="TABLE.KEY=VALUE", help="Any setting, e.g. serve.max_letters=4096."
    ),
) -> None:
    """Serve speech over HTTP: POST /v1/audio/speech as OpenAI's clients send it, and more (/docs explains
    it).

    Requests share one decoding loop; SIGTERM lets the running ones finish. The log is JSON on standard error
    and holds no text.
    """
    from dimts.base.plugins import require

    for library in ("fastapi", "uvicorn", "websockets", "prometheus_client", "python_multipart"):
        require(library, "serve")
    flags = {
        "host": host,
        "port": port,
        "api_key_file": api_key_file,
        "voices_folder": voices_folder,
        "slots": slots,
        "queue": queue,
        "wyoming_port": wyoming,
        "log_text": log_text or None,
    }
    settings = settings_of(project, flags, overrides)
    sources = sources_of(models or [], project, lexicon, device, overrides)

    def on_ready(address: str) -> None:
        show(Message("cli.serving", address=address))

    if ray:
        require("ray", "ray")
        from dimts.server.cluster import serve as serve_on_ray

        serve_on_ray(sources, settings, on_ready)
        return
    from dimts.server.run import serve as serve_here

    serve_here(sources, settings, on_ready)


def settings_of(project: Path | None, flags: Mapping[str, object], overrides: Sequence[str]) -> ServeSettings:
    """Read [serve] of the project, then --set, then the command's own options."""
    import json

    from dimts.base.config import from_table
    from dimts.base.project import Project
    from dimts.server.settings import ServeSettings

    given = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in flags.items()
        if value is not None
    }
    texts = [*overrides, *(f"serve.{key}={json.dumps(value)}" for key, value in given.items())]
    if project is not None:
        return Project.open(project).settings("serve", ServeSettings, tuple(texts))
    return from_table(ServeSettings, {}, "serve", texts)


def sources_of(
    models: Sequence[str],
    project: Path | None,
    lexicon: Path | None,
    device: str | None,
    overrides: Sequence[str],
) -> list[ModelSource]:
    """Return the models to serve, and the formant voice. ConfigError for a folder that is not
    there."""
    from dimts.base import builtin_voices
    from dimts.base.config import from_table, to_dict
    from dimts.base.errors import ConfigError
    from dimts.base.project import Project
    from dimts.cli.speakers import settings_of as speaking
    from dimts.server.models import ModelSource
    from dimts.speak import FORMANT, FORMANT_FRONTEND
    from dimts.text.frontend import FrontendSettings

    settings = speaking(project, overrides, rate=None, pitch=None, variant=None, seed=None)
    if lexicon is not None and not lexicon.is_file():
        raise ConfigError("cli.no_such_lexicon", path=lexicon)
    frontend: FrontendSettings | None = None
    opened = Project.open(project) if project is not None else None
    if opened is not None:
        frontend = opened.settings("text", FrontendSettings, tuple(overrides))
        lexicon = lexicon or (opened.lexicon if opened.lexicon.is_file() else None)
    elif any(item.strip().startswith("text.") for item in overrides):
        frontend = from_table(FrontendSettings, to_dict(FORMANT_FRONTEND), "text", overrides)
    places = []
    for name in dict.fromkeys([*models, FORMANT]):
        inside = opened.voices / name if opened is not None else None
        if name == FORMANT or Path(name).is_dir():
            places.append(name)
        elif inside is not None and inside.is_dir():
            places.append(str(inside))
        elif name in builtin_voices.voices():
            places.append(name)
        else:
            raise ConfigError("cli.no_such_model", name=name)
    return [ModelSource(place, settings, frontend, lexicon, device) for place in places]
