"""The command line. Every command builds settings and calls one function of the lower layers."""

from __future__ import annotations

import signal

_INTERRUPTED = 130


def run() -> int:
    """Run the command `dimts`; names the extra to install when typer is missing.

    After the first Ctrl-C further ones are ignored while Python ends: they would print tracebacks.
    """
    try:
        code = _run()
        if code == _INTERRUPTED:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:  # while the first was handled, or before there was anything to interrupt
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = _INTERRUPTED
    return code


def _run() -> int:
    try:
        import typer  # noqa: F401  # only to tell apart "not installed" from an error inside our own code
    except ModuleNotFoundError:
        from dimts.base.errors import MissingExtra
        from dimts.cli.output import EXIT_BAD_INPUT, show_error

        show_error(MissingExtra("typer", "cli"))
        return EXIT_BAD_INPUT
    from dimts.cli.main import main

    return main()
