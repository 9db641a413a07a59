"""Add files, folders and links to the project's recordings/ folder, with the texts that belong to them.

Local files are copied, so that a project can be moved as a whole; existing files are not copied again. A link
is fetched by `youtube`, a Parquet corpus unpacked by `parquet`, an archive into a folder of its name; of a
.txt with links each is fetched. Nothing is ever overwritten by something else.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dimts.base.archives import unpack as unpack_archive
from dimts.base.errors import SourceError, storage_error
from dimts.base.files import atomic_path, fingerprint
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.labels import LABELS
from dimts.data.parquet import unpack
from dimts.data.sources import SOUND, SUBTITLES, TEXT
from dimts.data.text_files import name_key
from dimts.data.unread import ARCHIVES, PACKED, links_in
from dimts.data.youtube import fetch, is_link


def add(project: Project, sources: Sequence[str], on_progress: ProgressCallback = ignore) -> list[Path]:
    """Add sources to the project; returns the new files. Raises SourceError for one that cannot be had."""
    project.recordings.mkdir(parents=True, exist_ok=True)
    added: list[Path] = []
    listed = [link for source in sources for link in (links_in(Path(source)) or (source,))]
    beside = _TextsBeside()
    for number, source in enumerate(listed):
        on_progress(Progress("add", number, len(listed), "sources", subject=source))
        path = Path(source)
        if is_link(source):
            added += fetch(source, project.recordings, on_progress)
        elif path.suffix.lower() in PACKED and path.is_file():
            added += unpack(path, project.recordings / path.stem, on_progress)
        elif path.name.lower().endswith(ARCHIVES) and path.is_file():
            added += _unpacked(path, project.recordings, on_progress)
        else:
            added += _copied(path, project.recordings, beside, on_progress)
    on_progress(Progress("add", len(listed), len(listed), "sources"))
    return added


def _copied(source: Path, folder: Path, beside: _TextsBeside, on_progress: ProgressCallback) -> list[Path]:
    if not source.exists():
        raise SourceError("data.no_such_source", path=source)
    if folder.resolve() in (source.resolve(), *source.resolve().parents):
        return []  # it is in the project already
    if source.is_dir():
        return _tree(source, folder / source.resolve().name, on_progress)
    files = [source, *(beside.of(source) if source.suffix.lower() in SOUND else ())]
    return [path for one in files if (path := _copy(one, folder / one.name))]


def _tree(source: Path, target: Path, on_progress: ProgressCallback) -> list[Path]:
    """Copy the files of a folder, without hidden ones and what is in hidden folders."""
    added: list[Path] = []
    for one in sorted(source.rglob("*")):
        inside = one.relative_to(source)
        if any(part.startswith(".") or part == "__MACOSX" for part in inside.parts) or not one.is_file():
            continue
        if one.suffix.lower() in PACKED:  # a data set of the hub, as a folder
            added += unpack(one, (target / inside).with_suffix(""), on_progress)
        elif path := _copy(one, target / inside):
            added.append(path)
    return added


def _unpacked(source: Path, folder: Path, on_progress: ProgressCallback) -> list[Path]:
    """Unpack an archive into a folder of its name, as a folder of its files would be copied."""
    staging = folder / f".{source.name}.unpacking"
    end = next(end for end in ARCHIVES if source.name.lower().endswith(end))
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        unpack_archive(source, staging, lambda member: True, SourceError)
        return _tree(staging, folder / source.name[: -len(end)], on_progress)
    except OSError as error:
        raise storage_error(error, staging) or error from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _TextsBeside:
    """Texts, subtitles and labels beside audio files; each folder is read once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, list[Path]]] = {}

    def of(self, sound: Path) -> list[Path]:
        """Return those of the same name as an audio file."""
        if sound.parent not in self._folders:
            kinds = {*SUBTITLES, *TEXT, *LABELS}
            texts: dict[str, list[Path]] = {}
            for path in sorted(sound.parent.iterdir()):
                if path.suffix.lower() in kinds and path.is_file():
                    # talk.txt, talk.am.srt, talk.mp3.txt
                    for stem in {name_key(path.stem), name_key(Path(path.stem).stem)}:
                        texts.setdefault(stem, []).append(path)
            self._folders[sound.parent] = texts
        return self._folders[sound.parent].get(name_key(sound.stem), [])


def _copy(source: Path, target: Path) -> Path | None:
    """Copy one file atomically; None if it exists already."""
    if target.exists():
        if target.stat().st_size == source.stat().st_size and fingerprint(target) == fingerprint(source):
            return None
        raise SourceError("data.name_taken", target=target, source=source.name)
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target
