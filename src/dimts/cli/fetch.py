"""`dimts fetch`: fetch and check the base weights or Transphone's files, after their licence is accepted."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dimts.base.messages import Message

if TYPE_CHECKING:
    from dimts.xtts.download import Acceptance
    from dimts.xtts.hub import Licence


def register(app: typer.Typer) -> None:
    """Add `dimts fetch`."""
    app.command()(fetch)


_SOURCE = typer.Option(
    None,
    "--from",
    metavar="FOLDER",
    help="Take the files from a local folder instead of the network.",
)
_TO = typer.Option(
    None,
    "--to",
    metavar="FOLDER",
    help="Put them there instead of the cache (DIMTS_CACHE, or the system's).",
)
_REVISION = typer.Option(
    None,
    "--revision",
    help="Another commit, tag or branch than the pinned one; its checksums are those the hub gives.",
)
_UNPINNED = typer.Option(
    False, "--unpinned", help="With --from: take files whose checksums are not the published ones."
)


class _What(StrEnum):
    xtts_v2 = "xtts-v2"
    transphone = "transphone"


def fetch(
    what: _What = typer.Argument(
        _What.xtts_v2, help="The XTTS v2 base weights, or the files of the G2P backend Transphone."
    ),
    accept_licence: bool = typer.Option(
        False, "--accept-licence", help="Say yes to the licence without being asked (for scripts)."
    ),
    source: Path | None = _SOURCE,
    to: Path | None = _TO,
    revision: str | None = _REVISION,
    unpinned: bool = _UNPINNED,
    check: bool = typer.Option(False, "--check", help="Only read and verify what is there; fetch nothing."),
    show_licence: bool = typer.Option(False, "--licence", help="Only show the licence; fetch nothing."),
) -> None:
    """Fetch the XTTS v2 base weights (2.1 GB) that fine-tuning starts from, or Transphone's files.

    The licence (of the weights: CPML, non-commercial) is shown and must be accepted first. Files of the
    weights are checked against their published SHA-256; what breaks off goes on where it stopped when the
    command is run again. HF_ENDPOINT (a mirror), HF_HUB_OFFLINE=1 and proxies are honoured.
    """
    from dimts.base.errors import DownloadError
    from dimts.cli.output import progress_bar, show, write
    from dimts.xtts import download

    if what == _What.transphone:
        if given := [
            name
            for name, value in (
                ("--to", to), ("--revision", revision), ("--unpinned", unpinned),
                ("--check", check), ("--licence", show_licence),
            )
            if value
        ]:  # fmt: skip
            raise DownloadError("cli.only_for_weights", options=given)
        _fetch_transphone(source, accept_licence=accept_licence)
        return
    published = download.XTTS_V2 if revision is None else download.XTTS_V2.at(revision)
    folder = to or download.folder_of(published)
    if unpinned and source is None:
        raise DownloadError("cli.unpinned_needs_from")
    if check:
        with progress_bar() as on_progress:
            wrong = download.check(folder, on_progress)
        if wrong:
            faults = [Message("cli.file_fault", name=name, reason=reason) for name, reason in wrong.items()]
            raise DownloadError("cli.weights_not_whole", folder=folder, faults=faults)
        write(Message("cli.files_whole", folder=folder))
        return
    if show_licence:
        _show(published.licence, download.licence_text(published, folder, source))
        return
    acceptance = None
    if not download.accepted(published, folder):
        text = "" if accept_licence else download.licence_text(published, folder, source)
        acceptance = _asked(published.licence, text, accept_licence)
    with progress_bar() as on_progress:
        folder = download.fetch(
            published,
            acceptance=acceptance,
            folder=folder,
            source=source,
            unpinned=unpinned,
            on_progress=on_progress,
        )
    lock = download.read_lock(folder) or {}
    commit = lock.get("commit", "")[:12] or revision or "local"
    state = "cli.fetched_pinned" if lock.get("pinned") else "cli.fetched_unpinned"
    show(Message(state, repository=published.repository, commit=commit))
    print(folder)


def _fetch_transphone(source: Path | None, *, accept_licence: bool) -> None:
    from dimts.cli.output import progress_bar
    from dimts.install.transphone_files import LICENCE, fetch_transphone

    acceptance = _asked(LICENCE, "", accept_licence)
    with progress_bar() as on_progress:
        print(fetch_transphone(acceptance, source=source, on_progress=on_progress))


def _asked(licence: Licence, text: str, accept_licence: bool) -> Acceptance | None:
    """Show a licence and ask for its acceptance; None where nobody can be asked."""
    from dimts.base.errors import DownloadError
    from dimts.cli.output import show
    from dimts.xtts.download import Acceptance

    if accept_licence:
        show(Message("cli.licence_accepted", licence=licence.name))
        return Acceptance("flag")
    if not sys.stdin.isatty():
        return None
    _show(licence, text)
    question = Message("cli.accept_licence_question").text()
    print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes", "አዎ"):
        raise DownloadError("cli.licence_refused")
    return Acceptance("asked")


def _show(licence: Licence, text: str) -> None:
    """Show a licence on stderr: name, address, our summary, then its own text."""
    print(f"{licence.name}\n{licence.url}\n\n{licence.summary}\n", file=sys.stderr)
    print(text.strip() or Message("cli.licence_text_unreachable").text(), file=sys.stderr)
    print(file=sys.stderr)
