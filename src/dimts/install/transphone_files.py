"""Fetch the two archives that Transphone needs, and unpack them where the backend looks for them.

The library itself would fetch them in the middle of a sentence; here a person asks for it, sees the licence
and the addresses, and an interrupted download is continued. No checksums are published for them: what came
is recorded with its SHA-256 beside the archives, and each member is unpacked inside the folder or refused.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dimts.base.archives import unpack
from dimts.base.errors import DownloadError, storage_error
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.text.g2p.transphone import LANGUAGE, MODEL, SOURCES, fetched_folder, missing
from dimts.xtts.download import Acceptance, fetch
from dimts.xtts.hub import Licence, Published

NAME = "transphone"
LICENCE = Licence(
    "MIT",
    "https://github.com/xinjli/transphone",
    Message("install.transphone_licence"),
)
_WANTED = (f"{MODEL}/", f"latest/{LANGUAGE}/")
"""Members that are unpacked; the list of phones covers thousands of languages."""


def fetch_transphone(
    acceptance: Acceptance | None = None,
    *,
    source: Path | None = None,
    on_progress: ProgressCallback = ignore,
) -> Path:
    """Fetch and unpack the archives, or take them from the folder `source`; returns the folder of the files.

    Raises DownloadError: licence not accepted, no network, an archive that is broken or lacks a file, no
    room. What was there before stays until the new files are whole.
    """
    folder = fetched_folder()
    archives = [
        (name, fetch(published, acceptance=acceptance, source=source, on_progress=on_progress))
        for name, published in _published().items()
    ]
    staging = folder.with_name(f".{folder.name}.unpacking")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        for number, (name, place) in enumerate(archives):
            on_progress(Progress("unpack", number, len(archives), "files", subject=name))
            unpack(place / name, staging, _wanted, DownloadError)
        if absent := missing(staging):
            names = [str(path.relative_to(staging)) for path in absent]
            raise DownloadError("install.transphone_incomplete", names=names)
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
        on_progress(Progress("unpack", len(archives), len(archives), "files"))
    except OSError as error:
        raise storage_error(error, staging) or error from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _published() -> dict[str, Published]:
    """Return each archive as a set of files of its own, as they lie at two addresses."""
    found = {}
    for address in SOURCES.values():
        base, _, name = address.rpartition("/")
        part = f"{NAME}-archives/{name.partition('.')[0]}"
        found[name] = Published(part, base, "v1.0", {name: (0, "")}, LICENCE, "url")
    return found


def _wanted(member: str) -> bool:
    return member.removeprefix("./").startswith(_WANTED)
