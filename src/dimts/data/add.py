"""Add files, folders and links to the project's recordings/ folder, with the texts that belong to them.

Local files are copied, so that a project can be moved as a whole; existing files are not copied again. A link
is fetched by `youtube`, a Parquet corpus unpacked by `parquet`. Nothing is ever overwritten by something
else.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dimts.base.errors import SourceError
from dimts.base.files import atomic_path, fingerprint
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.labels import LABELS
from dimts.data.parquet import unpack
from dimts.data.sources import SOUND, SUBTITLES, TEXT
from dimts.data.text_files import name_key
from dimts.data.unread import PACKED
from dimts.data.youtube import fetch, is_link


def add(project: Project, sources: Sequence[str], on_progress: ProgressCallback = ignore) -> list[Path]:
    """Add sources to the project; returns the new files. Raises SourceError for one that cannot be had."""
    project.recordings.mkdir(parents=True, exist_ok=True)
    added: list[Path] = []
    for number, source in enumerate(sources):
        on_progress(Progress("add", number, len(sources), "sources", subject=source))
        if is_link(source):
            added += fetch(source, project.recordings, on_progress)
        elif Path(source).suffix.lower() in PACKED and Path(source).is_file():
            added += unpack(Path(source), project.recordings / Path(source).stem, on_progress)
        else:
            added += _copied(Path(source), project.recordings, on_progress)
    on_progress(Progress("add", len(sources), len(sources), "sources"))
    return added


def _copied(source: Path, folder: Path, on_progress: ProgressCallback) -> list[Path]:
    if not source.exists():
        raise SourceError("data.no_such_source", path=source)
    if folder.resolve() in (source.resolve(), *source.resolve().parents):
        return []  # it is in the project already
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
        target = folder / source.resolve().name
        added: list[Path] = []
        for one in files:
            place = target / one.relative_to(source)
            if one.suffix.lower() in PACKED:  # a data set of the hub, as a folder
                added += unpack(one, place.with_suffix(""), on_progress)
            elif path := _copy(one, place):
                added.append(path)
        return added
    files = [source, *(_texts_of(source) if source.suffix.lower() in SOUND else ())]
    return [path for one in files if (path := _copy(one, folder / one.name))]


def _texts_of(sound: Path) -> list[Path]:
    """Return texts, subtitles and labels of the same name beside an audio file."""
    kinds = {*SUBTITLES, *TEXT, *LABELS}
    beside = sorted(
        path for path in sound.parent.iterdir() if path.suffix.lower() in kinds and path.is_file()
    )
    return [
        path
        for path in beside
        if name_key(sound.stem) in (name_key(path.stem), name_key(Path(path.stem).stem))
    ]


def _copy(source: Path, target: Path) -> Path | None:
    """Copy one file atomically; None if it exists already."""
    if target.exists():
        if target.stat().st_size == source.stat().st_size and fingerprint(target) == fingerprint(source):
            return None
        raise SourceError("data.name_taken", target=target, source=source.name)
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target
