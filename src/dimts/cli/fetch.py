"""`dimts fetch`: the published base weights, after their licence, whole and checked."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from dimts.base.messages import Message


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


def fetch(
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
    """Fetch the XTTS v2 base weights (2.1 GB) that fine-tuning starts from.

    Coqui's model licence (CPML, non-commercial) is shown and must be accepted first. Files are checked
    against their published SHA-256; what breaks off goes on where it stopped when the command is run
    again. HF_ENDPOINT (a mirror), HF_HUB_OFFLINE=1 and proxies are honoured.
    """
    from dimts.base.errors import DownloadError
    from dimts.cli.output import progress_bar, show
    from dimts.xtts import download

    published = download.XTTS_V2 if revision is None else download.XTTS_V2.at(revision)
    folder = to or download.folder_of(published)
    if unpinned and source is None:
        raise DownloadError("cli.unpinned_needs_from")
    if check:
        with progress_bar() as on_progress:
            wrong = download.check(folder, on_progress)
        if wrong:
            faults = [f"{name}: {reason}" for name, reason in wrong.items()]
            raise DownloadError("cli.weights_not_whole", folder=folder, faults=faults)
        print(f"all files are whole: {folder}")
        return
    if show_licence:
        _show(download.licence_text(published, folder, source))
        return
    acceptance = None
    if not download.accepted(published, folder):
        if accept_licence:
            acceptance = download.Acceptance("flag")
            show(Message("cli.licence_accepted", licence=published.licence.name))
        elif sys.stdin.isatty():
            _show(download.licence_text(published, folder, source))
            print(
                f"{Message('cli.accept_licence_question').text()} [y/N]: ",
                end="",
                file=sys.stderr,
                flush=True,
            )
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                raise DownloadError("cli.licence_refused")
            acceptance = download.Acceptance("asked")
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


def _show(text: str) -> None:
    """The licence on stderr: name, address, our summary, then its own words."""
    from dimts.xtts.download import CPML

    print(f"{CPML.name}\n{CPML.url}\n\n{CPML.summary}\n", file=sys.stderr)
    print(text.strip() or Message("cli.licence_text_unreachable").text(), file=sys.stderr)
    print(file=sys.stderr)
