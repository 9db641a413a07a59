"""Prepare recordings for training as clips and a manifest.

    find recordings → process each (in `process`) → merge with what was there → check the set → manifest

Work is keyed by content: the bytes of the recording, its text, the settings. What is done is written line by
line into a journal, so that neither Ctrl-C nor kill -9 nor a power cut loses it and the next run goes on;
what earlier runs put into the manifest stays there, in its place and its split. Memory holds rows, not sound.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dimts.base.errors import DataError
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project, ProjectSettings
from dimts.data.cluster import map_on_ray
from dimts.data.context import Context, PrepareSettings
from dimts.data.dataset_checks import check_dataset, merged
from dimts.data.forced_alignment import find_aligner
from dimts.data.journal import Journal
from dimts.data.manifest import Manifest, Utterance
from dimts.data.pool import map_ordered
from dimts.data.process import is_unwritten
from dimts.data.separate import find_weights
from dimts.data.sources import Known, find_recordings, with_speakers
from dimts.data.transcribe import ready


@dataclass(frozen=True, slots=True)
class Prepared:
    """Summary of the manifest after a run."""

    kept: int
    """Utterances for training and evaluation."""
    set_aside: int
    reasons: Mapping[str, int]
    """Number of utterances set aside by kind of issue, most frequent first."""
    seconds: float
    """Total length of the kept clips."""
    new: int
    """Utterances that this run added."""
    recordings: int
    """Recordings processed in this run."""
    manifest: Path


def prepare(
    project: Project | Path | str,
    sources: Sequence[Path | str] = (),
    settings: PrepareSettings | None = None,
    on_progress: ProgressCallback = ignore,
    *,
    on_ray: bool = False,
) -> Prepared:
    """Make clips and the manifest of the recordings in `sources` (default: the project's own folder).

    On one machine, or with `on_ray` on the cluster of `data.ray`: the clips and rows are the same. Raises
    SourceError for a source that is not there, DataError when not one utterance can be kept (the manifest
    then says why for each), DimtsError for a full or read-only disk. What was done before is kept.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("data", PrepareSettings)
    owner = project.settings("project", ProjectSettings)
    known = Known("" if settings.speakers else settings.speaker, owner.licence, owner.consent)
    recordings = list(find_recordings(sources or [project.recordings], known))
    if settings.speakers:
        recordings = with_speakers(recordings, settings.speakers, project.root, settings.speaker)
    before = Manifest.read(project.manifest) if project.manifest.exists() else []
    removed = _removed(project)
    if not recordings and not before:
        raise DataError("data.no_recordings", sources=tuple(map(str, sources)) or (str(project.recordings),))
    context = Context.of(project, settings)
    find_aligner(settings.segment.aligner)
    if settings.clean.separate:
        find_weights(settings.clean.separate)
    asked = settings.transcribe.compare or any(is_unwritten(recording) for recording in recordings)
    if settings.transcribe.by and asked:
        ready(settings.transcribe)
    project.clips.mkdir(parents=True, exist_ok=True)
    with Journal.open(project.clips) as journal:
        done = _finished(before, journal.rows, project)
        fresh: list[Utterance] = []
        complete = False
        try:
            found = (
                map_on_ray(recordings, done, context, journal.note, on_progress)
                if on_ray
                else map_ordered(recordings, done, context, journal.note)
            )
            for rows in _worked(found, len(recordings), done, on_progress):
                fresh += rows
            complete = True
        finally:  # Ctrl-C: what is done becomes a manifest too
            if complete or fresh:
                there = {row.recording for row in fresh}  # also a recording that was moved
                rows_now = [
                    row
                    for row in merged(before, fresh, project.root)
                    if row.source not in removed or row.recording in there
                ]
                rows_now = check_dataset(
                    rows_now, settings.check, settings.split, complete=complete, free=owner.free
                )
                Manifest.write(project.manifest, rows_now)
                journal.close(finished=complete)
                if complete:
                    _sweep(project, rows_now)
                    _remember(project, rows_now)
    return _summary(project, rows_now, before, len(recordings))


# --- many recordings ------------------------------------------------------------------------------


def _finished(
    before: Iterable[Utterance], journal: Mapping[str, Sequence[Utterance]], project: Project
) -> dict[str, list[Utterance]]:
    """Return rows by work key that are done and whose clips exist."""
    done: dict[str, list[Utterance]] = {}
    for row in before:
        done.setdefault(row.work, []).append(row)
    done.update((key, list(rows)) for key, rows in journal.items())
    return {
        key: rows
        for key, rows in done.items()
        if key and all(not row.path or (project.root / row.path).is_file() for row in rows)
    }


def _worked(
    found: Iterable[tuple[str, list[Utterance]]],
    total: int,
    done: Mapping[str, list[Utterance]],
    on_progress: ProgressCallback,
) -> Iterator[list[Utterance]]:
    """Yield the rows of each recording in order: known ones from before, the others processed now."""
    seen, kept, seconds = Counter[str](), 0, 0.0
    for number, (key, rows) in enumerate(found, start=1):
        rows = [_renamed(row, seen) for row in rows]
        kept += sum(row.kept for row in rows)
        seconds += sum(row.seconds for row in rows if row.kept)
        messages = [
            Message("data.set_aside", name=row.name, reasons=tuple(issue.message for issue in row.rejections))
            for row in rows
            if not row.kept and key not in done
        ]
        values = {"kept": float(kept), "minutes": seconds / 60}
        for message in messages[:-1]:
            on_progress(Progress("prepare", number - 1, total, "recordings", message, values))
        on_progress(
            Progress("prepare", number, total, "recordings", messages[-1] if messages else None, values)
        )
        yield rows


def _renamed(row: Utterance, seen: Counter[str]) -> Utterance:
    """Give the second of two equal recordings of one name an id of its own."""
    seen[row.id] += 1
    return row if seen[row.id] == 1 else replace(row, id=f"{row.id}-{seen[row.id]}")


# --- the end ---------------------------------------------------------------------------------------


def _summary(
    project: Project, rows: Sequence[Utterance], before: Sequence[Utterance], recordings: int
) -> Prepared:
    kept = [row for row in rows if row.kept]
    reasons = Counter(kind for row in rows for kind in row.rejected_for)
    if not kept:
        counted = tuple(f"{count} × {kind}" for kind, count in reasons.most_common(4))
        raise DataError("data.none_kept", count=len(rows), reasons=counted, project=project.root)
    old = {row.id for row in before}
    return Prepared(
        kept=len(kept),
        set_aside=len(rows) - len(kept),
        reasons=dict(reasons.most_common()),
        seconds=sum(row.seconds for row in kept),
        new=sum(row.id not in old for row in rows),
        recordings=recordings,
        manifest=project.manifest,
    )


_SEEN = ".recordings.json"
"""File in clips/ that lists the recordings of the last complete run."""


def _removed(project: Project) -> frozenset[str]:
    """Return recordings in the project's own folder that have been deleted since the last run."""
    try:
        seen = json.loads((project.clips / _SEEN).read_text(encoding="utf-8"))
        return frozenset(str(one) for one in seen if not (project.root / str(one)).exists())
    except (OSError, ValueError, TypeError):
        return frozenset()


def _remember(project: Project, rows: Iterable[Utterance]) -> None:
    inside = f"{project.recordings.relative_to(project.root).as_posix()}/"
    sources = {row.source for row in rows if row.source.startswith(inside)}
    seen = sorted(source for source in sources if (project.root / source).exists())
    write_text(project.clips / _SEEN, json.dumps(seen, ensure_ascii=False, indent=0) + "\n")


def _sweep(project: Project, rows: Iterable[Utterance]) -> None:
    """Delete clips that no row names: of replaced rows, and of interrupted writes."""
    named = {row.path for row in rows}
    for path in project.clips.iterdir():
        ours = _CLIP.fullmatch(path.name) or (path.name.startswith(".") and path.suffix == ".wav")
        if ours and f"clips/{path.name}" not in named:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


_CLIP = re.compile(r".*-[0-9a-f]{12}\.wav")
