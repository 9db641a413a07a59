"""`dimts fetch`: the published base weights, after their licence, whole and checked."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add `dimts fetch`."""

    @app.command()
    def fetch(
        accept_licence: bool = typer.Option(
            False, "--accept-licence", help="Say yes to the licence without being asked (for scripts)."
        ),
        source: Path | None = typer.Option(
            None, "--from", metavar="FOLDER", help="Take the files from a local folder instead of the network."
        ),
        to: Path | None = typer.Option(
            None, "--to", metavar="FOLDER", help="Put them there instead of the cache (DIMTS_CACHE, or the system's)."
        ),
        revision: str | None = typer.Option(
            None,
            "--revision",
            help="Another commit, tag or branch than the pinned one; its checksums are those the hub tells.",
        ),
        unpinned: bool = typer.Option(
            False, "--unpinned", help="With --from: take files whose checksums are not the published ones."
        ),
        check: bool = typer.Option(False, "--check", help="Only read and verify what is there; fetch nothing."),
        show_licence: bool = typer.Option(False, "--licence", help="Only show the licence; fetch nothing."),
    ) -> None:
        """Fetch the XTTS v2 base weights (2.1 GB) that fine-tuning starts from.

        Coqui's model licence (CPML, non-commercial) is shown and must be accepted first. Files are checked
        against their published SHA-256; what breaks off goes on where it stopped when the command is run
        again. HF_ENDPOINT (a mirror), HF_HUB_OFFLINE=1 and proxies are honoured.
        """
        from dimts.base.errors import DownloadError
        from dimts.cli.output import progress_bar
        from dimts.xtts import download

        published = download.XTTS_V2 if revision is None else download.XTTS_V2.at(revision)
        folder = to or download.folder_of(published)
        if unpinned and source is None:
            raise DownloadError("cli.unpinned_goes")
        if check:
            with progress_bar() as on_progress:
                wrong = download.check(folder, on_progress)
            if wrong:
                what = ", ".join(f"{name}: {reason}" for name, reason in wrong.items())
                raise DownloadError("cli.message", folder=folder, what=what)
            print(f"all files are whole: {folder}")
            return
        if show_licence:
            _show(download.licence_text(published, folder, source))
            return
        acceptance = None
        if not download.accepted(published, folder):
            if accept_licence:
                acceptance = download.Acceptance("flag")
                print(f"licence accepted by --accept-licence: {published.licence.name}", file=sys.stderr)
            elif sys.stdin.isatty():
                _show(download.licence_text(published, folder, source))
                print("Do you accept this licence? [y/N]: ", end="", file=sys.stderr, flush=True)
                if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                    raise DownloadError("cli.licence_not_accepted_nothing")
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
        state = "checksums as published" if lock.get("pinned") else "checksums as found, not pinned"
        print(
            f"{published.repository} ({lock.get('commit', '')[:12] or revision or 'local'}; {state})", file=sys.stderr
        )
        print(folder)


def _show(text: str) -> None:
    """The licence on stderr: name, address, our summary, then its own words."""
    from dimts.xtts.download import CPML

    print(f"{CPML.name}\n{CPML.url}\n\nIn short: {CPML.summary}\n", file=sys.stderr)
    print(text.strip() or "(its text cannot be reached now; read it at the address above)", file=sys.stderr)
    print(file=sys.stderr)
