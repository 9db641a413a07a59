"""Merge the rows of many recordings into one set: merged with earlier rows, compared with each other, split.

Members of the set stay members: a new row is judged by the others, never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.data.check import DATASET_KINDS, CheckSettings, decide, match_outliers, rate_outliers
from dimts.data.licences import UNKNOWN, is_free
from dimts.data.manifest import Split, Utterance
from dimts.data.speaker_outliers import find_outliers
from dimts.data.split import SplitSettings, assign, repeated_texts, repeats
from dimts.data.transcribe import repeated_transcripts


def merged(before: Sequence[Utterance], fresh: Sequence[Utterance], root: Path) -> list[Utterance]:
    """Merge rows: earlier ones keep their places, those of the same recordings are replaced, new ones are
    appended.

    A row that a person corrected, kept or dropped stays as it is. A recording that was moved is known by its
    content.
    """
    by_source: dict[tuple[str, str], list[Utterance]] = {}
    for row in fresh:
        by_source.setdefault((row.source, row.name), []).append(row)
    old = {row.id: row.split for row in before}
    corrected: dict[tuple[str, str], list[Utterance]] = {}
    for row in before:
        if row.by == "person" or row.decision:
            corrected.setdefault((row.source, row.name), []).append(row)
    keys = {row.recording: (row.source, row.name) for row in fresh}
    out: dict[str, Utterance] = {}
    placed = set()

    def is_corrected(new: Utterance) -> bool:
        return any(_overlap(new, other) for other in corrected.get((new.source, new.name), ()))

    for row in before:
        place = (row.source, row.name)
        if place not in by_source and row.recording in keys and not (root / row.source).exists():
            place = keys[row.recording]
        if place not in by_source or row.by == "person" or row.decision:
            out.setdefault(row.id, row if place not in by_source else replace(row, split=old[row.id]))
        if place in by_source and place not in placed:  # once for all rows of a recording
            placed.add(place)
            for new in by_source[place]:
                if not is_corrected(new):
                    out.setdefault(new.id, replace(new, split=old.get(new.id, "")))
    for row in fresh:
        if not is_corrected(row):
            out.setdefault(row.id, row)
    return list(out.values())


def _overlap(new: Utterance, corrected: Utterance) -> bool:
    """Whether a row overlaps with one of the same recording that a person corrected."""
    shared = min(new.end_seconds, corrected.end_seconds) - max(new.start_seconds, corrected.start_seconds)
    return shared > 0.5 * (new.end_seconds - new.start_seconds)


def check_dataset(
    rows: Sequence[Utterance],
    check: CheckSettings,
    split: SplitSettings,
    *,
    complete: bool,
    free: bool = False,
) -> list[Utterance]:
    """Find issues that depend on other rows, and assign splits. `free`: the voice is marked free, so licences
    must be."""
    splits: dict[str, Split] = {row.id: row.split for row in rows}
    rows = [
        decide(replace(row, issues=tuple(one for one in row.issues if one.kind not in DATASET_KINDS)), check)
        for row in rows
    ]
    rows = _with(rows, _not_free(rows) if free else {}, check)
    rows = _with(rows, repeats(rows, check.near_duplicate_likeness), check)
    rows = _with(rows, repeated_texts(rows), check)
    rows = _with(rows, rate_outliers(rows), check)
    odd = match_outliers(rows) if check.match else {}
    odd |= find_outliers(rows, check.speaker_spreads) if check.speaker else {}
    odd |= repeated_transcripts(rows)
    rows = _with(
        rows, {name: issue for name, issue in odd.items() if not splits[name]}, check
    )  # what is in stays in
    rows = [replace(row, split=splits[row.id]) if row.kept else row for row in rows]
    places = assign(rows, split, complete=complete)
    rows = _with(rows, {name: place for name, place in places.items() if isinstance(place, Issue)}, check)
    out = []
    for row in rows:
        place = places.get(row.id)
        if isinstance(place, str):
            row = replace(row, split=place)
        elif row.kept and not row.split:  # a leak that is tolerated
            row = replace(row, split="train")
        out.append(row)
    return out


def _not_free(rows: Sequence[Utterance]) -> dict[str, Issue]:
    """Find clips under a licence that does not allow everything; returns {utterance id: issue}."""
    return {
        row.id: Issue("licence", Message("data.licence_not_free", licence=row.licence or UNKNOWN))
        for row in rows
        if row.kept and not is_free(row.licence)
    }


def _with(rows: Sequence[Utterance], issues: Mapping[str, Issue], check: CheckSettings) -> list[Utterance]:
    return [
        replace(decide(replace(row, issues=(*row.issues, issues[row.id])), check), split=row.split)
        if row.id in issues
        else row
        for row in rows
    ]
