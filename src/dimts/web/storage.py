"""What a project keeps on the disk: projects, recordings, runs and voices are named, weighed, renamed,
deleted.

A run keeps its folder's name, by which voices know it; it is given a title instead (runs/<when>/title.txt).
Nothing changes while a job of the project waits or runs.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dimts.base.errors import ProjectError, storage_error
from dimts.base.files import write_text
from dimts.base.project import Project
from dimts.web import clips, speakers, uploads
from dimts.web.jobs import Jobs
from dimts.web.workspace import Workspace, voices

Kind = Literal["project", "recording", "run", "voice"]
KINDS: tuple[Kind, ...] = ("project", "recording", "run", "voice")
TITLE = "title.txt"
MAX_TITLE_LETTERS = 80
_NAME = re.compile(r"[\w][\w.-]{0,63}")


@dataclass(frozen=True, slots=True)
class StoredItem:
    """One thing that can be renamed or deleted."""

    kind: Kind
    name: str
    """By which the page knows it: of a recording its path below recordings/, of a run its folder's name."""
    title: str
    """What people call it."""
    bytes: int
    """What deleting it frees: of a recording its clips and texts too."""

    @property
    def key(self) -> str:
        """Kind and name in one."""
        return f"{self.kind}/{self.name}"


def items(workspace: Workspace, project: Project) -> list[StoredItem]:
    """All that the project keeps, itself first; recordings by name, runs and voices newest first."""
    own = workspace.root.resolve().name if workspace.single else project.root.name
    found = [StoredItem("project", own, own, _size(project.root))]
    rows = clips.rows(project)
    clips_of: dict[str, list[Path]] = {}
    for row in rows:
        if (sound := clips.sound_of(project, row)) is not None:
            clips_of.setdefault(row.source, []).append(sound)
    for path, _ in uploads.recordings(project):
        files = [*_with_texts(path), *clips_of.get(project.relative(path), ())]
        name = path.relative_to(project.recordings).as_posix()
        found.append(StoredItem("recording", name, name, sum(_size(one) for one in files)))
    runs = sorted((path.parent for path in project.runs.glob("*/run.json")), reverse=True)
    found += [StoredItem("run", folder.name, run_title(folder), _size(folder)) for folder in runs]
    found += [StoredItem("voice", name, name, _size(project.voices / name)) for name in voices(project)]
    return found


def run_title(folder: Path) -> str:
    """What people call a run: its title with its time, or its time alone."""
    try:
        title = " ".join((folder / TITLE).read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        title = ""
    return f"{title} ({folder.name})" if title else folder.name


def delete(workspace: Workspace, project: Project, key: str) -> int:
    """Delete one thing and all that is its own; returns the bytes that it freed.

    Raises ProjectError for what is not there, for the only project of a page, and while a job waits.
    """
    item = _item(workspace, project, key)
    _quiet(project)
    try:
        if item.kind == "project":
            if workspace.single:
                raise ProjectError("web.single_project_stays")
            shutil.rmtree(project.root)
        elif item.kind == "recording":
            _delete_recording(project, item.name)
        elif item.kind == "run":
            shutil.rmtree(project.runs / item.name)
        else:
            shutil.rmtree(project.voices / item.name)
    except OSError as error:
        raise storage_error(error, project.root) or error from error
    return item.bytes


def rename(workspace: Workspace, project: Project, key: str, wanted: str) -> str:
    """Give one thing another name; returns its new key.

    Raises ProjectError for a name that cannot be a file's or is taken, and as `delete` does.
    """
    item = _item(workspace, project, key)
    wanted = " ".join(unicodedata.normalize("NFC", wanted).split())
    if item.kind == "run":
        if len(wanted) > MAX_TITLE_LETTERS:
            raise ProjectError("web.title_too_long", max_letters=MAX_TITLE_LETTERS)
        write_text(project.runs / item.name / TITLE, f"{wanted}\n")
        return item.key
    if not _NAME.fullmatch(wanted) or wanted.endswith("."):
        raise ProjectError("web.name_wrong", name=wanted[:60])
    _quiet(project)
    try:
        if item.kind == "project":
            if workspace.single:
                raise ProjectError("web.single_project_stays")
            _move(project.root, project.root.with_name(wanted))
            return f"project/{wanted}"
        if item.kind == "voice":
            _move(project.voices / item.name, project.voices / wanted)
            return f"voice/{wanted}"
        return f"recording/{_rename_recording(project, item.name, wanted)}"
    except OSError as error:
        raise storage_error(error, project.root) or error from error


def _delete_recording(project: Project, name: str) -> None:
    from dimts.data.edit import remove

    path = project.recordings / name
    project.inside(path)  # what a link leads to is not ours
    source = project.relative(path)
    files = _with_texts(path)
    mine = [row for row in clips.rows(project) if row.source == source]
    if mine:
        remove(project, [row.id for row in mine], delete=True)
    for file in files:
        file.unlink(missing_ok=True)
    speakers.write_tables(project)


def _rename_recording(project: Project, name: str, wanted: str) -> str:
    """Its sound, the texts beside it, and its rows in the manifest; returns the new path below
    recordings/."""
    from dimts.data.edit import rename_source

    path = project.recordings / name
    project.inside(path)
    target = path.with_name(wanted + path.suffix)
    if target.exists():
        raise ProjectError("web.name_taken", name=wanted)
    before = project.relative(path)
    for file in _with_texts(path):
        file.rename(file.with_name(wanted + file.suffix))
    if project.manifest.is_file():
        rename_source(project, before, project.relative(target), wanted)
    speakers.write_tables(project)
    return target.relative_to(project.recordings).as_posix()


def _with_texts(path: Path) -> list[Path]:
    """A sound and the texts of the same name beside it, where no other sound has that name."""
    from dimts.data.sources import SOUND, SUBTITLES, TEXT

    beside = [one for one in path.parent.glob(f"{_glob_safe(path.stem)}.*") if one.is_file() and one != path]
    if any(one.suffix.lower() in SOUND for one in beside):
        return [path]
    return [path, *(one for one in beside if one.suffix.lower() in (*TEXT, *SUBTITLES))]


def _glob_safe(name: str) -> str:
    import glob

    return glob.escape(name)


def _item(workspace: Workspace, project: Project, key: str) -> StoredItem:
    for item in items(workspace, project):
        if item.key == key:
            return item
    raise ProjectError("web.no_such_item", key=str(key)[:80])


def _quiet(project: Project) -> None:
    """Raise ProjectError while a job of the project waits or runs."""
    if Jobs(project).waiting():
        raise ProjectError("web.busy_project")


def _move(source: Path, target: Path) -> None:
    if target.exists():
        raise ProjectError("web.name_taken", name=target.name)
    source.rename(target)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    paths: Sequence[Path] = [path] if path.is_file() else list(path.rglob("*"))
    total = 0
    for one in paths:
        try:
            total += one.lstat().st_size if one.is_file() else 0
        except OSError:
            continue
    return total
