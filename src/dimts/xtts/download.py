"""Fetch and check published weights: XTTS v2 of Coqui, from the Hugging Face hub or a local folder.

    folder = fetch(accepted=Acceptance("asked"))      # …/dimts/xtts-v2/6c2b0d75eae4

Nothing is fetched before its licence is accepted; the acceptance and the licence stay in the folder. What
is fetched is a fixed revision, each file checked against its SHA-256. An interrupted file is continued, in
the same run or the next. `HF_ENDPOINT`, `HF_HUB_OFFLINE` and proxies work as everywhere;
files that the hub's own cache holds already are taken from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dimts.base import builtin_voices
from dimts.base.errors import CheckpointError, DownloadError, storage_error
from dimts.base.files import fingerprint, write_bytes, write_text
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.user_folders import cache_folder
from dimts.xtts.hub import (
    LICENCE_FILE,
    FolderSupplier,
    HubSupplier,
    Item,
    Licence,
    Published,
    Supplier,
    WebSupplier,
)

LOCK_FILE = "dimts-lock.json"
"""Name of the file that records repository, commit, and size and SHA-256 of every file."""
ACCEPTANCE_FILE = "licence-accepted.json"
BUNDLE_LICENCE_FILE = "LICENCE"
"""Name of the licence file in a voice bundle."""

_BLOCK_BYTES = 1 << 20
_SPARE_BYTES = 50_000_000


CPML = Licence(
    name="Coqui Public Model License 1.0.0 (CPML)",
    url="https://huggingface.co/coqui/XTTS-v2/blob/6c2b0d75eae4b7047358e3b6bd9325f857d43f77/LICENSE.txt",
    summary=Message("xtts.cpml_summary"),
)

XTTS_V2 = Published(
    name="xtts-v2",
    repository="coqui/XTTS-v2",
    revision="6c2b0d75eae4b7047358e3b6bd9325f857d43f77",
    files={
        "config.json": (4_368, "ef262b1454dd2a77e1461b0b2cd53e19b8a7624cc131b837d36df67356bc75e8"),
        "vocab.json": (361_219, "928260878a59da8a72a2a5b7687fea29d5106137669d90945430fe17e415304a"),
        "mel_stats.pth": (1_067, "1f69422a8a8f344c4fca2f0c6b8d41d2151d6615b7321e48e6bb15ae949b119c"),
        "speakers_xtts.pth": (7_754_818, "f0f6137c19a4eab0cbbe4c99b5babacf68b1746e50da90807708c10e645b943b"),
        "dvae.pth": (210_514_388, "b29bc227d410d4991e0a8c09b858f77415013eeb9fba9650258e96095557d97a"),
        "model.pth": (1_867_929_118, "c7ea20001c6a0a841c77e252d8409f6a74fb423e79b3206a0771ba5989776187"),
    },
    licence=CPML,
)
"""XTTS v2.0.3. Commit and checksums as several independent projects have published them."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Record that somebody accepted the licence."""

    how: str
    """"asked" at the terminal, "flag" on the command line, or a caller's own word."""


def folder_of(published: Published = XTTS_V2) -> Path:
    """Return the folder in the cache for these files."""
    revision = published.revision[:12] if published.at_commit else published.revision
    return cache_folder() / published.name / revision.replace("/", "-")


def find_base(published: Published = XTTS_V2) -> Path:
    """Return the fetched folder; DownloadError if it is absent or incomplete (by sizes; `check` reads it
    all)."""
    folder = folder_of(published)
    lock = read_lock(folder)
    if lock is None or any(
        not (folder / name).is_file() or (folder / name).stat().st_size != lock["files"][name]["bytes"]
        for name in published.files
        if name in lock["files"]
    ):
        raise DownloadError("xtts.not_fetched", name=published.name, folder=folder)
    return folder


def base_folder(base: Path | str) -> Path:
    """Return the folder of a base: "xtts-v2", which was fetched, "small", which is in the package, or a path
    ("./small" for a folder of that name).

    DownloadError where the first was not fetched, CheckpointError where the second was left out.
    """
    if base == XTTS_V2.name:
        return find_base()
    if base == builtin_voices.NAME:
        folder = builtin_voices.base()
        if folder is None:
            raise CheckpointError("xtts.no_small_model", folder=builtin_voices.FOLDER)
        return folder
    return Path(base)


def accepted(published: Published = XTTS_V2, folder: Path | None = None) -> bool:
    """Whether the licence of these files was accepted on this machine before."""
    path = (folder or folder_of(published)) / ACCEPTANCE_FILE
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["licence"] == published.licence.name)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def licence_text(
    published: Published = XTTS_V2, folder: Path | None = None, source: Path | None = None
) -> str:
    """Return the licence as published: of the folder, else of `source`, else of the hub; "" if there is
    none."""
    for place in (folder or folder_of(published), source):
        if place is not None and (place / LICENCE_FILE).is_file():
            return (place / LICENCE_FILE).read_text(encoding="utf-8", errors="replace")
    if source is not None:
        return ""
    try:
        hub = HubSupplier(published)
        return hub.read(hub.describe(LICENCE_FILE)).decode("utf-8", errors="replace")
    except DownloadError:
        return ""


def fetch(
    published: Published = XTTS_V2,
    *,
    acceptance: Acceptance | None = None,
    folder: Path | None = None,
    source: Path | None = None,
    unpinned: bool = False,
    on_progress: ProgressCallback = ignore,
) -> Path:
    """Fetch the files into `folder` (default: the cache), complete and checked; returns it.

    From the hub, or from the local folder `source`. Files that are there and right are left alone.
    `unpinned` takes files of `source` whose checksums differ; the lock file then says so.
    Raises DownloadError: licence not accepted, no network, unknown revision, checksum wrong, no room;
    what has done_bytes so far stays and the next call goes on from there.
    """
    folder = folder or folder_of(published)
    if acceptance is None and not accepted(published, folder):
        raise DownloadError(
            "xtts.licence_not_accepted",
            repository=published.repository,
            licence=published.licence.name,
            url=published.licence.url,
        )
    with _alone(folder):
        if acceptance is not None and not accepted(published, folder):
            _record_acceptance(published, folder, acceptance)
        if _whole(published, folder, unpinned, on_progress):
            return folder
        _fetch_missing(published, folder, _supplier(published, source, unpinned), on_progress)
    return folder


def _supplier(published: Published, source: Path | None, unpinned: bool) -> Supplier:
    if source is not None:
        return FolderSupplier(published, source, unpinned)
    return WebSupplier(published) if published.kind == "url" else HubSupplier(published)


def check(folder: Path, on_progress: ProgressCallback = ignore) -> dict[str, Message]:
    """Check a fetched folder; returns the reason by file name for each wrong one. Reads every byte."""
    lock = read_lock(folder)
    if lock is None:
        raise DownloadError("xtts.no_fetched_files", folder=folder, name=LOCK_FILE)
    wrong: dict[str, Message] = {}
    for done, (name, facts) in enumerate(lock["files"].items()):
        on_progress(Progress("check", done, len(lock["files"]), "files"))
        path = folder / name
        if not path.is_file():
            wrong[name] = Message("xtts.fetched_file_missing")
        elif path.stat().st_size != facts["bytes"]:
            wrong[name] = Message("xtts.file_of_other_size", size=path.stat().st_size, wanted=facts["bytes"])
        elif fingerprint(path) != facts["sha256"]:
            wrong[name] = Message("xtts.file_changed")
    on_progress(Progress("check", len(lock["files"]), len(lock["files"]), "files"))
    return wrong


def read_lock(folder: Path) -> dict[str, Any] | None:
    """Read the lock file of a fetched folder; None if there is none that can be read."""
    try:
        lock: dict[str, Any] = json.loads((folder / LOCK_FILE).read_text(encoding="utf-8"))
        return lock if isinstance(lock.get("files"), dict) else None
    except (OSError, ValueError):
        return None


def carry_licence(base: Path, bundle: Path) -> None:
    """Copy the licence of fetched weights into a voice bundle made from them, as the licence asks."""
    text = base / LICENCE_FILE
    if text.is_file():
        write_bytes(bundle / BUNDLE_LICENCE_FILE, text.read_bytes())
    elif accepted(XTTS_V2, base):
        write_text(bundle / BUNDLE_LICENCE_FILE, f"{CPML.name}\n{CPML.url}\n\n{CPML.summary}\n")


def _whole(published: Published, folder: Path, unpinned: bool, on_progress: ProgressCallback) -> bool:
    """Whether all files are there and right, as far as is known without the network."""
    lock = read_lock(folder)
    settled = published.at_commit or os.environ.get("HF_HUB_OFFLINE", "").upper() in (
        "1",
        "ON",
        "YES",
        "TRUE",
    )
    if lock is None or not settled or lock.get("revision") != published.revision:
        return False
    listed = all(
        name in lock["files"] and (unpinned or not digest or lock["files"][name]["sha256"] == digest)
        for name, (_, digest) in published.files.items()
    )
    return listed and not check(folder, on_progress)


def _fetch_missing(
    published: Published, folder: Path, supplier: Supplier, on_progress: ProgressCallback
) -> None:
    names = [LICENCE_FILE, *published.files]
    items = {}
    for name in names:
        try:
            items[name] = supplier.describe(name)
        except DownloadError:
            if name != LICENCE_FILE:  # a folder without the licence's text gets its name and address instead
                raise
            text = f"{published.licence.name}\n{published.licence.url}\n\n{published.licence.summary}\n"
            if not (folder / LICENCE_FILE).is_file():
                write_text(folder / LICENCE_FILE, text)
    commits = {item.commit for item in items.values()}
    total = sum(item.bytes for item in items.values())
    _make_room(folder, items)
    known = read_lock(folder) or {"files": {}}
    files: dict[str, dict[str, object]] = {}
    before = 0
    for name, item in items.items():
        sha256 = _already(folder / name, item, known["files"].get(name))
        if sha256 is None:
            on_progress(
                Progress(
                    "fetch",
                    before / 1000000.0,
                    total / 1000000.0,
                    "mb",
                    message=Message("xtts.fetching_file", name=name, where=item.where),
                )
            )
            start = before

            def on_bytes(done: int, start: int = start) -> None:
                on_progress(Progress("fetch", (start + done) / 1e6, total / 1e6, "mb"))

            sha256 = _one(folder, item, supplier, on_bytes)
        files[name] = {"bytes": item.bytes, "sha256": sha256}
        before += item.bytes
        on_progress(Progress("fetch", before / 1e6, total / 1e6, "mb"))
    lock = {
        "repository": published.repository,
        "revision": published.revision,
        "commit": commits.pop() if len(commits) == 1 else "",
        "pinned": published.pinned
        and all(files[name]["sha256"] == published.files[name][1] for name in published.files),
        "files": files,
    }
    if lock != known:
        write_text(folder / LOCK_FILE, json.dumps(lock, indent=1) + "\n")


def _already(path: Path, item: Item, known: Mapping[str, Any] | None) -> str | None:
    """Return the SHA-256 of a file that is there and right; None if it has to be fetched."""
    if not path.is_file() or path.stat().st_size != item.bytes:
        return None
    sha256, blob = _digests(path)
    if item.sha256:
        return sha256 if sha256 == item.sha256 else None
    if item.blob:
        return sha256 if blob == item.blob else None
    return sha256 if known and known.get("sha256") == sha256 else None


def _one(folder: Path, item: Item, supplier: Supplier, on_bytes: Callable[[int], None]) -> str:
    """Fetch one file; returns its SHA-256."""
    mark = (item.sha256 or item.blob)[:12]
    part = folder / f"{item.name}.{mark}.part"
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        if part.is_file() and part.stat().st_size > item.bytes:
            part.unlink()
        supplier.fetch(item, part, on_bytes)
        sha256, blob = _digests(part)
        right = sha256 == item.sha256 if item.sha256 else blob == item.blob if item.blob else True
        if part.stat().st_size != item.bytes or not right:
            part.unlink()
            raise DownloadError(
                "xtts.checksum_wrong", name=item.name, where=item.where, found=sha256[:12], expected=mark
            )
        os.replace(part, folder / item.name)
    except OSError as error:
        raise storage_error(error, part) or error from error
    return sha256


def _digests(path: Path) -> tuple[str, str]:
    """SHA-256 of a file, and Git's SHA-1 of it as a blob."""
    sha256 = hashlib.sha256()
    blob = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            sha256.update(block)
            blob.update(block)
    return sha256.hexdigest(), blob.hexdigest()


def _make_room(folder: Path, items: Mapping[str, Item]) -> None:
    missing = 0
    for name, item in items.items():
        if not (folder / name).is_file():
            done_bytes = sum(part.stat().st_size for part in folder.glob(f"{name}.*.part"))
            missing += max(0, item.bytes - done_bytes)
    free = shutil.disk_usage(folder).free
    if missing and missing + min(_SPARE_BYTES, missing) > free:
        raise DownloadError(
            "xtts.disk_too_full", folder=folder, needed_mb=missing / 1000000.0, free_mb=free / 1000000.0
        )


def _record_acceptance(published: Published, folder: Path, acceptance: Acceptance) -> None:
    record = {
        "licence": published.licence.name,
        "url": published.licence.url,
        "repository": published.repository,
        "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
        "how": acceptance.how,
    }
    write_text(folder / ACCEPTANCE_FILE, json.dumps(record, indent=1) + "\n")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock a folder for one fetch at a time."""
    filelock = require("filelock", "fetch")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".fetching", timeout=0)
        with lock:
            yield
    except filelock.Timeout as error:
        raise DownloadError("xtts.fetch_running", folder=folder) from error
    except OSError as error:
        raise storage_error(error, folder) or error from error
