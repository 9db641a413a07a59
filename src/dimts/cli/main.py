"""The command `dimts`: assembles the commands and converts errors to exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import cast

import typer
from typer.exceptions import TyperException

from dimts.base.errors import DimtsError, storage_error
from dimts.base.extras import missing_extra
from dimts.base.messages import LANGUAGE_VARIABLE, LANGUAGES, Message
from dimts.cli.help import PROGRAM, CommandLine
from dimts.cli.output import EXIT_BAD_INPUT, EXIT_INTERRUPTED, Log, show, show_error, use_log

PARTS = (
    "setup", "doctor", "new", "fetch", "text", "phones", "data", "train", "say", "consent", "export",
    "evaluate", "web", "serve", "demo",
)  # fmt: skip
"""Modules of this folder in the order of `dimts --help`; each has `register(app)`."""
_EXTRAS = {
    "data": "data",
    "demo": "all",
    "evaluate": "evaluate",
    "export": "export",
    "fetch": "fetch",
    "new": "data",
    "say": "formant",
    "serve": "serve",
    "train": "train",
    "web": "ui",
}
"""Extra that installs everything a command needs; the others need nothing besides `cli`."""


def build() -> typer.Typer:
    """Build the whole command line."""
    app = CommandLine(
        name=PROGRAM,
        help="dimts (ድምፅ): recordings and text in, an Amharic voice out.",
        no_args_is_help=True,
    )

    @app.callback()
    def options(
        version: bool = typer.Option(
            False, "--version", help="Print the version and leave.", is_eager=True, callback=_print_version
        ),
        log: str = typer.Option(
            "text",
            "--log",
            metavar="text|json",
            help="On standard error: lines for people, or one JSON object for each event.",
            is_eager=True,
            callback=_choose_log,
        ),
    ) -> None:
        # a docstring here would replace the help text above
        del version, log

    for part in PARTS:
        import_module(f"dimts.cli.{part}").register(app)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code: 0 done, 2 bad input, 130 interrupted."""
    use_log("text")
    _check_language()
    try:
        code = build()(
            args=list(arguments) if arguments is not None else None, prog_name=PROGRAM, standalone_mode=False
        )
    except DimtsError as error:
        show_error(error)
        return EXIT_BAD_INPUT
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help page
            print(error.format_message(), file=sys.stderr)
        else:
            show_error(DimtsError(_usage(error)))
        return EXIT_BAD_INPUT
    except ModuleNotFoundError as error:
        command = next(
            (word for word in (sys.argv[1:] if arguments is None else arguments) if word in _EXTRAS), ""
        )
        missing = missing_extra(error, _EXTRAS.get(command, ""))
        if missing is None:
            raise
        show_error(missing)
        return EXIT_BAD_INPUT
    except BrokenPipeError:  # the reader (head, a player) has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        known = storage_error(error)
        if known is None:
            raise
        show_error(known)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:
        show(Message("cli.interrupted"))
    return code if isinstance(code, int) else 0


def _usage(error: TyperException) -> Message:
    """Return the message of a command line that cannot be read, by the kind of its fault."""
    kind, hint = type(error).__name__, getattr(getattr(error, "param", None), "get_error_hint", None)
    if kind == "NoSuchOption":
        near = getattr(error, "possibilities", None)
        known = Message("base.did_you_mean", name=near[0]) if near else Message("cli.see_help")
        return Message("cli.no_such_option", option=getattr(error, "option_name", ""), nearest=known)
    if kind == "MissingParameter" and hint is not None:
        return Message("cli.missing_parameter", name=hint())
    if kind == "BadParameter" and hint is not None:
        return Message("cli.bad_parameter", name=hint(), problem=error.message)
    return Message("cli.usage", problem=error.format_message())


def _choose_log(form: str) -> str:
    if form not in ("text", "json"):
        raise typer.BadParameter(Message("cli.text_or_json").text())
    use_log(cast("Log", form))
    return form


def _check_language() -> None:
    """Warn where `DIMTS_LANG` names a language without catalogues."""
    value = os.environ.get(LANGUAGE_VARIABLE, "")
    if value and value.split("_")[0].split(".")[0].lower() not in LANGUAGES:
        show(
            Message("base.language_unknown", variable=LANGUAGE_VARIABLE, value=value, known=LANGUAGES),
            "warning",
        )


def _print_version(wanted: bool) -> None:
    if wanted:
        from dimts.base.version import __version__

        print(f"dimts {__version__}")
        raise typer.Exit
