"""Edit the manifest by hand: another text, keep, drop, remove. A person's decision overrides the checks.

A changed row carries its `decision`, or `by="person"` where its text was corrected, and stays as it is when
the recordings are prepared again. While a run is preparing, the manifest belongs to it, and a change is
refused.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.data.check import CheckSettings, decide
from dimts.data.context import PrepareSettings
from dimts.data.journal import Journal
from dimts.data.manifest import Manifest, Utterance
from dimts.data.process import describe_text

MAX_LETTERS = 2000
EDITING = threading.RLock()
"""Held during an edit: edits of one process wait for each other, where another process is refused."""
TEXT_KINDS = frozenset(
    {"no_text", "text_unreadable", "not_amharic", "other_language", "pronunciation", "invented",
     "speaking_rate", "mismatch", "unlike_others"}
)  # fmt: skip
"""Kinds of issues of the text, which a new text resolves."""


def correct(project: Project, identity: str, text: str) -> Utterance:
    """Give a row another text, spoken form and spelling; returns it. DataError for an empty or too long
    text."""
    from dimts.text.frontend import Frontend, FrontendSettings

    text = " ".join(unicodedata.normalize("NFC", text).split())
    if not text or len(text) > MAX_LETTERS:
        raise DataError("data.text_empty_or_too_long", most=MAX_LETTERS)
    settings = project.settings("data", PrepareSettings)
    lexicon = project.lexicon if project.lexicon.is_file() else None
    frontend = Frontend(project.settings("text", FrontendSettings), lexicon=lexicon)
    with _edited(project) as found:
        row = _row(found, identity)
        if (row.text, row.by, row.decision) == (text, "person", ""):
            return row
        rest = tuple(issue for issue in row.issues if issue.kind not in TEXT_KINDS)
        fresh = replace(
            row, text=text, spoken="", spelling="", phones="", issues=rest, by="person", score=None
        )
        fresh, _ = describe_text(replace(fresh, decision=""), frontend, settings.check)
        found[identity] = _placed(fresh, row, settings.check)
    return found[identity]


def keep(project: Project, identity: str) -> Utterance:
    """Keep a clip whatever the checks find; returns its row.

    DataError for a row without sound or text, from which nothing can be learnt.
    """
    settings = project.settings("data", PrepareSettings)
    with _edited(project) as found:
        row = _row(found, identity)
        if not (row.path and row.text and row.seconds > 0):
            raise DataError("data.nothing_to_keep")
        found[identity] = _placed(replace(row, decision="keep"), row, settings.check)
    return found[identity]


def drop(project: Project, identity: str) -> Utterance:
    """Drop a clip from the set; returns its row."""
    settings = project.settings("data", PrepareSettings)
    with _edited(project) as found:
        row = _row(found, identity)
        found[identity] = _placed(replace(row, decision="drop"), row, settings.check)
    return found[identity]


def restore(project: Project, before: Utterance) -> Utterance:
    """Restore a row as it was before a change. DataError for a clip that no longer exists."""
    with _edited(project) as found:
        _row(found, before.id)
        found[before.id] = before
    return before


@dataclass(frozen=True, slots=True)
class Removed:
    """Rows and files of a removal."""

    rows: tuple[Utterance, ...]
    kept: int
    """Number of kept rows among them."""
    kept_seconds: float
    recordings: tuple[Path, ...]
    """Audio files without a remaining row, inside the project's recordings."""


def find_removal(project: Project, names: Sequence[str] = (), speaker: str | None = None) -> Removed:
    """Find what `remove` would remove: clips by id, recordings by name or file, all of a speaker. DataError
    for no match."""
    rows = Manifest.read(project.manifest)
    taken = _matching(project, rows, names, speaker)
    left = {row.source for row in rows if row.id not in taken}
    mine = tuple(row for row in rows if row.id in taken)
    home = project.recordings.resolve()
    sounds = []
    for source in dict.fromkeys(row.source for row in mine):
        path = project.root / source
        if source not in left and path.is_file() and path.resolve().is_relative_to(home):
            sounds.append(path)
    kept = [row for row in mine if row.kept]
    return Removed(mine, len(kept), sum(row.seconds for row in kept), tuple(sounds))


def remove(
    project: Project, names: Sequence[str] = (), speaker: str | None = None, *, delete: bool = False
) -> Removed:
    """Remove rows from the training set; with `delete`, also whole recordings and their clips from the disk.

    Without `delete`, and where other rows of the recording remain, the rows stay in the manifest as dropped,
    so that preparing again does not bring them back.
    """
    found = find_removal(project, names, speaker)
    settings = project.settings("data", PrepareSettings)
    gone: list[Path] = []
    with _edited(project) as rows:
        for row in found.rows:
            if delete and (project.root / row.source) in found.recordings:
                rows.pop(row.id)
                gone += [project.inside(row.source), *([project.inside(row.path)] if row.path else [])]
            else:
                rows[row.id] = _placed(replace(row, decision="drop"), row, settings.check)
        used = {project.inside(row.path) for row in rows.values() if row.path}
    for path in gone:
        if path not in used:
            path.unlink(missing_ok=True)
    return found


def rename_source(project: Project, before: str, now: str, name: str) -> int:
    """Let the rows of a recording follow it to another file; returns how many did. Paths are as in the
    manifest."""
    with _edited(project) as rows:
        mine = [row for row in rows.values() if row.source == before]
        for row in mine:
            rows[row.id] = replace(row, source=now, name=name)
    return len(mine)


def _matching(
    project: Project, rows: Sequence[Utterance], names: Sequence[str], speaker: str | None
) -> set[str]:
    taken = {row.id for row in rows if speaker is not None and row.speaker == speaker}
    if speaker is not None and not taken:
        raise DataError("data.no_such_speaker", speaker=speaker)
    for name in names:
        as_file = Path(name)
        found = {
            row.id
            for row in rows
            if name in (row.id, row.name, row.source)
            or (as_file.is_absolute() and project.root / row.source == as_file)
            or row.source == f"{project.recordings.name}/{name}"
        }
        if not found:
            raise DataError("data.no_such_clip", id=name[:60])
        taken |= found
    return taken


def _placed(row: Utterance, before: Utterance, check: CheckSettings) -> Utterance:
    row = decide(row, check)
    return replace(row, split=before.split or "train") if row.kept else row


def _row(found: dict[str, Utterance], identity: str) -> Utterance:
    if identity not in found:
        raise DataError("data.no_such_clip", id=str(identity)[:60])
    return found[identity]


@contextmanager
def _edited(project: Project) -> Iterator[dict[str, Utterance]]:
    """Yield the rows by id, written back when the block ends well; excludes a concurrent preparation."""
    if not project.manifest.is_file():
        raise DataError("data.no_manifest", path=project.manifest)
    with EDITING, Journal.open(project.clips):
        found = {row.id: row for row in Manifest.read(project.manifest)}
        before = dict(found)
        yield found
        if found != before:
            Manifest.write(project.manifest, found.values())
