"""The command line. Every command builds settings and calls one function of the lower layers."""

from __future__ import annotations

import sys


def run() -> int:
    """The entry point of the command `dimts`; says what to install when typer is missing."""
    try:
        import typer  # noqa: F401  # only to tell apart "not installed" from an error inside our own code
    except ModuleNotFoundError:
        print("error: the dimts command needs typer\nhint:  pip install 'dimts[cli]'", file=sys.stderr)
        return 2
    from dimts.cli.main import main

    return main()
