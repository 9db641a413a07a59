"""Add files, folders and links to the project's recordings/ folder, with the texts that belong to them.

Local files are copied, so that a project can be moved as a whole; what is there already is not copied again.
A link is fetched by `youtube`, a Parquet corpus unpacked by `parquet`. Nothing is ever overwritten by
something else.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dimts.base.errors import SourceError
from dimts.base.files import atomic_path, fingerprint
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.parquet import unpack
from dimts.data.sources import SOUND, SUBTITLES, TEXT
from dimts.data.youtube import fetch, is_link


def add(project: Project, sources: Sequence[str], on_progress: ProgressCallback = ignore) -> list[Path]:
    """Bring sources into the project; the files that are new. Raises SourceError for one that cannot be
    had."""
    project.recordings.mkdir(parents=True, exist_ok=True)
    added: list[Path] = []
    for number, source in enumerate(sources):
        on_progress(Progress("add", number, len(sources), "sources", subject=source))
        if is_link(source):
            added += fetch(source, project.recordings, on_progress)
        elif Path(source).suffix.lower() == ".parquet" and Path(source).is_file():
            added += unpack(Path(source), project.recordings / Path(source).stem, on_progress)
        else:
            added += _copied(Path(source), project.recordings)
    on_progress(Progress("add", len(sources), len(sources), "sources"))
    return added


def _copied(source: Path, folder: Path) -> list[Path]:
    if not source.exists():
        raise SourceError("data.no_such_source", path=source)
    if folder.resolve() in (source.resolve(), *source.resolve().parents):
        return []  # it is in the project already
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
        target = folder / source.resolve().name
        return [path for one in files if (path := _copy(one, target / one.relative_to(source)))]
    beside = [source.with_suffix(suffix) for suffix in (*SUBTITLES, *TEXT)] if source.suffix.lower() in SOUND else []
    files = [source, *(path for path in beside if path.is_file())]
    return [path for one in files if (path := _copy(one, folder / one.name))]


def _copy(source: Path, target: Path) -> Path | None:
    """Copy one file, whole or not at all; None if it is there already."""
    if target.exists():
        if target.stat().st_size == source.stat().st_size and fingerprint(target) == fingerprint(source):
            return None
        raise SourceError("data.name_taken", target=target, source=source.name)
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target
