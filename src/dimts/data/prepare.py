"""Recordings → manifest, read top to bottom.

    gather → listen → segment → clean → describe → check → kept or set aside, with its doubts

Work is keyed by content: the bytes of the recording, its text, the settings. What is done is noted line by
line in a journal, so that neither Ctrl-C nor kill -9 loses it and the next run goes on; what earlier runs
put into the manifest stays there, in its place and its split. Memory holds rows, not sound.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dimts.base.config import to_dict
from dimts.base.errors import AudioError, ConfigError, DataError, TextError
from dimts.base.files import fingerprint
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project, ProjectSettings
from dimts.data.check import CheckSettings, judged
from dimts.data.clean import RATE, CleanSettings
from dimts.data.dataset_checks import check_dataset, merged
from dimts.data.forced_alignment import Line, align, find_aligner, sentences
from dimts.data.journal import Journal
from dimts.data.manifest import Manifest, Utterance
from dimts.data.process import slug, utterance
from dimts.data.recording import Recording
from dimts.data.segment import Piece, SegmentSettings, by_cues, by_silence, cut, whole
from dimts.data.separate import find_weights
from dimts.data.sources import Known, find_recordings
from dimts.data.split import SplitSettings
from dimts.data.transcribe import TranscribeSettings, ready
from dimts.data.vad import SpeechActivity, detect_speech

if TYPE_CHECKING:
    from dimts.data.text_match import Matcher
    from dimts.text.frontend import Frontend, FrontendSettings

WORK_VERSION = 2
"""Raised when the same recording and settings would give other clips."""


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """[data]: how recordings become clips."""

    speaker: str = ""
    """Speaker of recordings that do not name theirs."""
    jobs: int = 1
    """Recordings worked on at the same time, each on a core."""
    segment: SegmentSettings = field(default_factory=SegmentSettings)
    """Where recordings are cut."""
    clean: CleanSettings = field(default_factory=CleanSettings)
    """What is done to the sound."""
    check: CheckSettings = field(default_factory=CheckSettings)
    """What is doubted, and what sets a clip aside."""
    split: SplitSettings = field(default_factory=SplitSettings)
    """What is held out of training."""
    transcribe: TranscribeSettings = field(default_factory=TranscribeSettings)
    """Who writes down what nobody has written down."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ConfigError("data.jobs_below_one", jobs=self.jobs)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is in the manifest after a run."""

    kept: int
    """Utterances to train and evaluate on."""
    set_aside: int
    reasons: Mapping[str, int]
    """Kind of doubt → utterances set aside for it, most frequent first."""
    seconds: float
    """Of the kept clips together."""
    new: int
    """Utterances that this run added."""
    recordings: int
    """Recordings looked at in this run."""
    manifest: Path


def prepare(
    project: Project | Path | str,
    sources: Sequence[Path | str] = (),
    settings: PrepareSettings | None = None,
    on_progress: ProgressCallback = ignore,
) -> Prepared:
    """Make clips and the manifest of the recordings in `sources` (default: the project's own folder).

    Raises SourceError for a source that is not there, DataError when not one utterance can be kept (the
    manifest then says why for each), DimtsError for a full or read-only disk. What was done before is kept.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("data", PrepareSettings)
    owner = project.settings("project", ProjectSettings)
    known = Known(settings.speaker, owner.licence, owner.consent)
    recordings = list(find_recordings(sources or [project.recordings], known))
    before = Manifest.read(project.manifest) if project.manifest.exists() else []
    if not recordings and not before:
        raise DataError("data.no_recordings", sources=tuple(map(str, sources)) or (str(project.recordings),))
    context = Context.of(project, settings)
    find_aligner(settings.segment.aligner)
    if settings.clean.separate:
        find_weights(settings.clean.separate)
    if settings.transcribe.by and any(_unwritten(recording) for recording in recordings):
        ready(settings.transcribe)
    project.clips.mkdir(parents=True, exist_ok=True)
    with Journal.open(project.clips) as journal:
        done = _finished(before, journal.rows, project)
        fresh: list[Utterance] = []
        complete = False
        try:
            for rows in _worked(recordings, done, context, journal, on_progress):
                fresh += rows
            complete = True
        finally:  # Ctrl-C: what is done becomes a manifest too
            if complete or fresh:
                rows_now = check_dataset(
                    merged(before, fresh, project.root), settings.check, settings.split, complete=complete
                )
                Manifest.write(project.manifest, rows_now)
                journal.close(finished=complete)
                if complete:
                    _sweep(project, rows_now)
    return _summary(project, rows_now, before, len(recordings))


# --- one recording --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Context:
    """All that the work on one recording needs besides the recording; small, so that it travels to workers."""

    root: Path
    settings: PrepareSettings
    text: FrontendSettings
    lexicon: Path | None
    fingerprint: str
    """Of the settings that shape clips and texts."""

    @classmethod
    def of(cls, project: Project, settings: PrepareSettings) -> Context:
        """Gather it from a project."""
        from dimts.text.frontend import FrontendSettings

        text = project.settings("text", FrontendSettings)
        lexicon = project.lexicon if project.lexicon.is_file() else None
        shaping = [
            WORK_VERSION,
            to_dict(settings.segment),
            to_dict(settings.clean),
            to_dict(settings.check),
            to_dict(text),
            fingerprint(lexicon) if lexicon else "",
        ]
        return cls(project.root, settings, text, lexicon, _digest(shaping))

    def tools(self) -> PrepareTools:
        """Made once a process, as some backends take seconds. MissingExtra without the formant voice."""
        from dimts.data.text_match import Matcher
        from dimts.text.frontend import Frontend

        return PrepareTools(Frontend(self.text, lexicon=self.lexicon), Matcher())


@dataclass(frozen=True, slots=True)
class PrepareTools:
    """What a process keeps for all recordings."""

    frontend: Frontend
    matcher: Matcher


def work(recording: Recording, content: str, context: Context, tools: PrepareTools) -> list[Utterance]:
    """One recording → its utterances, clips written. Never empty: what cannot be used says why."""
    key = _digest([content, recording.name])[:16]
    base = Utterance(
        id=f"{slug(recording.name)}-{key[:10]}",
        text=recording.text,
        speaker=recording.speaker,
        doubts=recording.notes,
        by=recording.by,
        recording=key,
        name=recording.name,
        source=_relative(recording.path, context.root),
        origin=recording.origin,
        licence=recording.licence,
        consent=recording.consent,
        work=work_key(recording, content, context),
    )
    check = context.settings.check
    to_hear = bool(context.settings.transcribe.by) and _unwritten(recording)
    if recording.problem is not None and not to_hear:
        return [judged(replace(base, doubts=(*base.doubts, recording.problem)), check)]
    try:
        activity = detect_speech(recording.path, context.settings.segment.detector)
        pieces = segment(recording, activity, context.settings.segment, tools)
        if not pieces:
            silence = Issue("no_speech", Message("data.no_speech", seconds=activity.seconds))
            return [judged(replace(base, doubts=(*base.doubts, silence)), check)]
        rows = []
        for piece, wave in zip(pieces, cut(recording.path, pieces, RATE), strict=True):
            row = replace(
                base,
                id=f"{slug(recording.name)}-{_digest([key, round(piece.start_seconds, 2)])[:10]}",
                text=piece.text or "",
                speaker=piece.speaker or recording.speaker,
                start_seconds=piece.start_seconds,
                end_seconds=piece.end_seconds,
                score=piece.score,
                doubts=(*base.doubts, *piece.doubts),
            )
            rows.append(judged(utterance(row, piece, wave, activity, context, tools), check))
    except AudioError as error:
        return [judged(replace(base, doubts=(*base.doubts, Issue("unreadable", error.message))), check)]
    return rows


def _unwritten(recording: Recording) -> bool:
    """Whether a recogniser may be asked: there is a sound, and nobody has written down what is spoken."""
    missing = recording.problem is None or recording.problem.kind == "no_text"
    return missing and not recording.cues and recording.path.is_file()


def segment(
    recording: Recording, activity: SpeechActivity, settings: SegmentSettings, tools: PrepareTools
) -> list[Piece]:
    """What is to be cut out of a recording, by what is known of its text.

    Cues with times are cut where they say, a text for the whole file if it is short enough; anything longer
    is aligned, sentence by sentence.
    """
    if recording.cues and all(cue.timed for cue in recording.cues):
        return by_cues(activity, recording.cues, settings)
    if not recording.cues:
        return by_silence(activity, settings)
    piece = whole(activity, recording.text, settings)
    if piece is None:
        return []
    texts = [(text, cue.speaker) for cue in recording.cues for text in sentences(cue.text)]
    fits = piece.seconds <= settings.max_seconds
    if len(texts) < 2 or (fits and recording.by == "transcript"):
        return [piece]
    lines = [Line(text, _words(text, tools.frontend), speaker) for text, speaker in texts]
    return align(recording.path, activity, lines, tools.matcher, settings)


def _words(text: str, frontend: Frontend) -> tuple[tuple[str, ...], ...]:
    """The phones of a text, word by word; none if it cannot be read aloud."""
    try:
        return tuple(word.phones for phrase in frontend(text) for word in phrase.words if word.phones)
    except TextError:
        return ()


# --- many recordings ------------------------------------------------------------------------------


def work_key(recording: Recording, content: str, context: Context) -> str:
    """Fingerprint of all that the rows of a recording are made from."""
    cues = [[cue.text, cue.start_seconds, cue.end_seconds, cue.speaker] for cue in recording.cues]
    owner = [recording.speaker, recording.licence, recording.consent, _relative(recording.path, context.root)]
    problem = recording.problem.as_dict() if recording.problem else {}
    settings = context.settings.transcribe
    heard = settings.shaping() if settings.by and _unwritten(recording) else {}
    return _digest([content, recording.name, cues, recording.by, owner, problem, heard, context.fingerprint])[:16]


def _finished(
    before: Iterable[Utterance], journal: Mapping[str, Sequence[Utterance]], project: Project
) -> dict[str, list[Utterance]]:
    """Work key → rows that are done and whose clips are there."""
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
    recordings: Sequence[Recording],
    done: Mapping[str, list[Utterance]],
    context: Context,
    journal: Journal,
    on_progress: ProgressCallback,
) -> Iterator[list[Utterance]]:
    """The rows of each recording in order: known ones from before, the others worked on now."""
    from dimts.data.pool import map_ordered

    total, seen, kept, seconds = len(recordings), Counter[str](), 0, 0.0
    for number, (key, rows) in enumerate(map_ordered(recordings, done, context), start=1):
        if key not in done:
            journal.note(key, rows)
        rows = [_renamed(row, seen) for row in rows]
        kept += sum(row.kept for row in rows)
        seconds += sum(row.seconds for row in rows if row.kept)
        messages = [
            Message("data.set_aside", name=row.name, reasons=tuple(doubt.message for doubt in row.doubts_against))
            for row in rows
            if not row.kept and key not in done
        ]
        values = {"kept": float(kept), "minutes": seconds / 60}
        for message in messages[:-1]:
            on_progress(Progress("prepare", number - 1, total, "recordings", message, values))
        on_progress(Progress("prepare", number, total, "recordings", messages[-1] if messages else None, values))
        yield rows


def _renamed(row: Utterance, seen: Counter[str]) -> Utterance:
    """The same content under the same name in two places: the second gets an id of its own."""
    seen[row.id] += 1
    return row if seen[row.id] == 1 else replace(row, id=f"{row.id}-{seen[row.id]}")


# --- the end ---------------------------------------------------------------------------------------


def _summary(project: Project, rows: Sequence[Utterance], before: Sequence[Utterance], recordings: int) -> Prepared:
    kept = [row for row in rows if row.kept]
    reasons = Counter(kind for row in rows for kind in row.against)
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


def _sweep(project: Project, rows: Iterable[Utterance]) -> None:
    """Take away clips that no row names any more: of replaced rows, and of writes that were cut short."""
    named = {row.path for row in rows}
    for path in project.clips.iterdir():
        ours = _CLIP.fullmatch(path.name) or (path.name.startswith(".") and path.suffix == ".wav")
        if ours and f"clips/{path.name}" not in named:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


_CLIP = re.compile(r".*-[0-9a-f]{12}\.wav")


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
