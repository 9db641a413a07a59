"""`dimts consent`: list and withdraw what speakers agreed to; ask for it where a recording is cloned."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dimts.base.messages import Message
from dimts.cli.groups import DefaultGroup
from dimts.cli.help import CommandLine
from dimts.cli.output import show, write

if TYPE_CHECKING:
    from dimts.speak.consent import ConsentStore

_HASH_LETTERS = 12
"""Letters of a recording's hash in the list."""


class _Group(DefaultGroup):
    default = "list"


def register(app: typer.Typer) -> None:
    """Add the group `consent`."""
    group = CommandLine(
        cls=_Group, help="List or withdraw the statements of how speakers of recordings agreed."
    )
    group.command("list")(list_statements)
    group.command("withdraw")(withdraw)
    app.add_typer(group, name="consent")


def list_statements() -> None:
    """List the statements that 'dimts say' has stored: recording's hash, day, file, statement; oldest
    first."""
    from dimts.base.errors import SynthesisError
    from dimts.speak.consent import ConsentStore

    store, found = ConsentStore(), []
    for sha256 in store.hashes():
        try:
            statement = store.find(sha256)
        except SynthesisError as error:
            show(error.message, "warning")
            continue
        if statement is not None:
            found.append(statement)
    if not found:
        write(Message("cli.no_consents", folder=store.folder))
    for one in sorted(found, key=lambda one: (one.created, one.sha256)):
        print("  ".join((one.sha256[:_HASH_LETTERS], one.day, _shown(one.recording), _shown(one.consent))))


def withdraw(
    recording: str = typer.Argument(
        ...,
        metavar="RECORDING",
        help="The recording, or the first 8 or more letters of its hash, as 'dimts consent' lists it.",
        show_default=False,
    ),
) -> None:
    """Withdraw the statement for a recording: 'dimts say' asks again before it speaks like it."""
    from dimts.base.errors import SynthesisError
    from dimts.base.files import fingerprint
    from dimts.speak.consent import ConsentStore

    store = ConsentStore()
    sha256 = fingerprint(recording) if Path(recording).is_file() else store.matching(recording.lower())
    if not store.withdraw(sha256):
        raise SynthesisError("speak.consent_not_found", name=recording)
    show(Message("cli.consent_withdrawn", name=recording))


def consents_of(recordings: Sequence[Path], given: str | None) -> dict[Path, str]:
    """Return the statement for each recording: the one that is given, else the stored one, else the answer
    of whoever sits at the terminal. New ones are stored.

    Raises AudioError for files that are no sound, SynthesisError for a statement that is refused, and where
    one is missing and nobody can be asked.
    """
    from dimts.audio.media import Medium
    from dimts.base.errors import SynthesisError
    from dimts.base.files import fingerprint
    from dimts.speak.consent import ConsentStore, consent_text

    store, hashes = ConsentStore(), {}
    for path in recordings:
        with Medium.open(path):
            hashes[path] = fingerprint(path)
    text = None if given is None else consent_text(given)
    known = {sha256: _stored(store, sha256) for sha256 in hashes.values()}
    missing = {sha256: path for path, sha256 in hashes.items() if text is None and known[sha256] is None}
    if missing and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SynthesisError("cli.consent_missing", recordings=tuple(sorted(map(str, missing.values()))))
    for path, sha256 in hashes.items():
        wanted = text if text is not None else known[sha256] or consent_text(_asked(path))
        if wanted != known[sha256]:
            _store(store, sha256, wanted, path)
            known[sha256] = wanted
    return {path: known[sha256] or "" for path, sha256 in hashes.items()}


def _stored(store: ConsentStore, sha256: str) -> str | None:
    """Return the stored statement; a damaged one is reported and counts as none."""
    from dimts.base.errors import SynthesisError

    try:
        found = store.find(sha256)
    except SynthesisError as error:
        show(error.message, "warning")
        return None
    return found.consent if found is not None else None


def _asked(recording: Path) -> str:
    """Ask at the terminal who speaks in a recording and how the person agreed. SynthesisError for an answer
    that is no text."""
    from dimts.base.errors import SynthesisError

    show(Message("cli.consent_question", recording=recording))
    print("> ", end="", file=sys.stderr, flush=True)
    try:
        return sys.stdin.buffer.readline().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SynthesisError("speak.consent_unprintable") from error


def _store(store: ConsentStore, sha256: str, consent: str, recording: Path) -> None:
    from dimts.speak.consent import ConsentStatement

    name = recording.name.encode("utf-8", "replace").decode("utf-8")
    path = store.add(ConsentStatement(sha256, consent, name, int(time.time())))
    show(Message("cli.consent_stored", recording=recording, path=path))


def _shown(text: str) -> str:
    """Return a text of somebody else on one line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
