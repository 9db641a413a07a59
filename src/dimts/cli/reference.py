"""Write the program's own help as docs/cli.md: `python -m dimts.cli.reference [FILE]`."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import typer

from dimts.base.messages import LANGUAGE_VARIABLE, LANGUAGES

_HEAD = """# The command line

Written by the program itself (`make docs`); a test fails when it is stale. With `DIMTS_LANG=am`, or an
Amharic locale, the same pages are in Amharic: `DIMTS_LANG=am dimts train --help`.
"""


def reference() -> str:
    """Return the help of every command as one Markdown page, 100 columns wide."""
    from dimts.cli.main import build

    root = typer.main.get_command(build())
    pages = [
        f"\n## {' '.join(path)}\n\n```text\n{_help(path[1:])}\n```\n" for path in _commands(root, ("dimts",))
    ]
    return _HEAD + "".join(pages)


def _commands(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


def _help(arguments: tuple[str, ...]) -> str:
    from dimts.cli.main import main

    out = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1", LANGUAGE_VARIABLE: LANGUAGES[0]}),
        mock.patch.object(sys, "argv", ["dimts"]),
        contextlib.redirect_stdout(out),
    ):
        main([*arguments, "--help"])
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


if __name__ == "__main__":
    page = reference()
    if len(sys.argv) > 1:
        from dimts.base.files import write_text

        write_text(Path(sys.argv[1]), page)
    else:
        sys.stdout.write(page)
