"""The manifest as a table of clips that a person corrects: new text, keep, drop. Their word stands above the checks.

A changed row is marked `by="person"`; preparing again leaves it as it is. While a run is preparing, the
manifest is its own, and a change is refused with that reason.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dimts.base.errors import DataError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.data.check import CheckSettings, judged
from dimts.data.context import PrepareSettings
from dimts.data.journal import Journal
from dimts.data.manifest import Manifest, Utterance
from dimts.data.process import described

DROPPED = Issue("mismatch", Message("web.set_aside_by_person"))
"""How a person's "drop" stands in the manifest."""
MAX_LETTERS = 2000
_TEXT_KINDS = frozenset(
    {"no_text", "text_unreadable", "not_amharic", "other_language", "pronunciation", "invented", "speaking_rate",
     "mismatch"}
)  # fmt: skip
"""Doubts about the text, which a new text answers."""


def rows(project: Project) -> list[Utterance]:
    """All rows; none where nothing was prepared yet. ManifestError for a wrong row."""
    return Manifest.read(project.manifest) if project.manifest.is_file() else []


def row_of(project: Project, identity: str) -> Utterance:
    """One row. DataError for an id that is not there."""
    for row in rows(project):
        if row.id == identity:
            return row
    raise DataError("web.no_such_clip", identity=str(identity)[:60])


def sound_of(project: Project, row: Utterance) -> Path | None:
    """Its clip, inside the project; None where there is none."""
    path = project.inside(row.path) if row.path else None
    return path if path is not None and path.is_file() else None


def correct(project: Project, identity: str, text: str) -> Utterance:
    """The row with another text, spoken and spelt anew; returns it. DataError for an empty or too long text."""
    from dimts.text.frontend import Frontend, FrontendSettings

    text = " ".join(unicodedata.normalize("NFC", text).split())
    if not text or len(text) > MAX_LETTERS:
        raise DataError("web.clip_text_wrong", max_letters=MAX_LETTERS)
    now = row_of(project, identity)
    if now.text == text and now.by == "person":
        return now
    settings = project.settings("data", PrepareSettings)
    lexicon = project.lexicon if project.lexicon.is_file() else None
    frontend = Frontend(project.settings("text", FrontendSettings), lexicon=lexicon)
    with _edited(project) as found:
        row = _one(found, identity)
        plain = tuple(doubt for doubt in row.doubts if doubt.kind not in _TEXT_KINDS)
        fresh = replace(row, text=text, spoken="", spelling="", phones="", doubts=plain, by="person", score=None)
        fresh, _ = described(fresh, frontend, settings.check)
        found[identity] = _placed(fresh, row, settings.check)
    return found[identity]


def keep(project: Project, identity: str) -> Utterance:
    """A person says that the clip is good: the doubts for which it was set aside are taken back.

    DataError for a row without sound or text, which nothing can be learnt from.
    """
    settings = project.settings("data", PrepareSettings)
    with _edited(project) as found:
        row = _one(found, identity)
        if not (row.path and row.text and row.seconds > 0):
            raise DataError("web.clip_incomplete")
        doubts = tuple(doubt for doubt in row.doubts if not settings.check.sets_aside(doubt.kind))
        found[identity] = _placed(replace(row, doubts=doubts, by="person"), row, settings.check)
    return found[identity]


def restore(project: Project, before: Utterance) -> Utterance:
    """The row as it was before a person's change. DataError for a clip that is no longer there."""
    with _edited(project) as found:
        _one(found, before.id)
        found[before.id] = before
    return before


def drop(project: Project, identity: str) -> Utterance:
    """A person says that the clip is not to be used."""
    settings = project.settings("data", PrepareSettings)
    with _edited(project) as found:
        row = _one(found, identity)
        doubts = row.doubts if DROPPED in row.doubts else (*row.doubts, DROPPED)
        found[identity] = _placed(replace(row, doubts=doubts, by="person"), row, settings.check)
    return found[identity]


def _placed(row: Utterance, before: Utterance, check: CheckSettings) -> Utterance:
    row = judged(row, check)
    return replace(row, split=before.split or "train") if row.kept else row


def _one(found: dict[str, Utterance], identity: str) -> Utterance:
    if identity not in found:
        raise DataError("web.no_such_clip", identity=str(identity)[:60])
    return found[identity]


@contextmanager
def _edited(project: Project) -> Iterator[dict[str, Utterance]]:
    """The rows by id, written back when the block ends well; no run prepares meanwhile."""
    if not project.manifest.is_file():
        raise DataError("web.nothing_prepared_yet")
    with Journal.open(project.clips):
        found = {row.id: row for row in Manifest.read(project.manifest)}
        yield found
        Manifest.write(project.manifest, found.values())
