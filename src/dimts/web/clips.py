"""The manifest as a table of clips for corrections: new text, keep, drop, undo (see `data.edit`)."""

from __future__ import annotations

from pathlib import Path

from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.data.edit import EDITING, MAX_LETTERS, correct, drop, keep, restore
from dimts.data.manifest import Manifest, Utterance

__all__ = ["EDITING", "MAX_LETTERS", "correct", "drop", "keep", "restore", "row_of", "rows", "sound_of"]


def rows(project: Project) -> list[Utterance]:
    """Return all rows; none where nothing was prepared yet. ManifestError for a wrong row."""
    return Manifest.read(project.manifest) if project.manifest.is_file() else []


def row_of(project: Project, identity: str) -> Utterance:
    """Return one row. DataError for an unknown id."""
    for row in rows(project):
        if row.id == identity:
            return row
    raise DataError("data.no_such_clip", id=str(identity)[:60])


def sound_of(project: Project, row: Utterance) -> Path | None:
    """Return its clip, inside the project; None where there is none."""
    path = project.inside(row.path) if row.path else None
    return path if path is not None and path.is_file() else None
