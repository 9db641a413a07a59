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
from dimts.base.doubt import Doubt
from dimts.base.errors import AudioError, ConfigError, DataError, TextError
from dimts.base.files import fingerprint
from dimts.base.progress import Progress, Tell, silent
from dimts.base.project import Project, ProjectSettings
from dimts.data.acoustics import bandwidth_hz, decay_seconds, sketch, spectrogram
from dimts.data.activity import Activity, listen
from dimts.data.align import Line, align, sentences
from dimts.data.check import (
    CheckSettings,
    check_match,
    check_rate,
    check_sound,
    check_text,
    judged,
)
from dimts.data.clean import RATE, CleanSettings, clean
from dimts.data.collection import as_a_set, merged
from dimts.data.files import Known, gather
from dimts.data.journal import Journal
from dimts.data.manifest import Manifest, Utterance
from dimts.data.recording import Recording
from dimts.data.segment import Piece, SegmentSettings, by_cues, by_silence, cut, shorten_pauses, whole
from dimts.data.split import SplitSettings

if TYPE_CHECKING:
    from dimts.audio.wave import Wave
    from dimts.data.match import Matcher
    from dimts.text.frontend import Frontend, FrontendSettings

WORK_VERSION = 1
"""Raised when the same recording and settings would give other clips."""
MIN_PHONES = 6
"""A shorter text is too little to compare with a sound."""
_NO_NOISE_DB = 99.0
"""Stands for a ratio to no noise at all, as JSON has no infinity."""


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

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ConfigError(f"data.jobs = {self.jobs} is not 1 or more", "1 for each core is usual")


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
    tell: Tell = silent,
) -> Prepared:
    """Make clips and the manifest of the recordings in `sources` (default: the project's own folder).

    Raises SourceError for a source that is not there, DataError when not one utterance can be kept (the
    manifest then says why for each), DimtsError for a full or read-only disk. What was done before is kept.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("data", PrepareSettings)
    owner = project.settings("project", ProjectSettings)
    known = Known(settings.speaker, owner.licence, owner.consent)
    recordings = list(gather(sources or [project.recordings], known))
    before = Manifest.read(project.manifest) if project.manifest.exists() else []
    if not recordings and not before:
        raise DataError(
            f"no recordings in {', '.join(map(str, sources)) or project.recordings}",
            "put sound files with texts of the same name there, or a metadata.tsv (path, text)",
        )
    context = Context.of(project, settings)
    project.clips.mkdir(parents=True, exist_ok=True)
    with Journal.open(project.clips) as journal:
        done = _finished(before, journal.rows, project)
        fresh: list[Utterance] = []
        complete = False
        try:
            for rows in _worked(recordings, done, context, journal, tell):
                fresh += rows
            complete = True
        finally:  # Ctrl-C: what is done becomes a manifest too
            if complete or fresh:
                rows_now = as_a_set(
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

    def tools(self) -> Tools:
        """Made once a process, as some backends take seconds. MissingExtra without the formant voice."""
        from dimts.data.match import Matcher
        from dimts.text.frontend import Frontend

        return Tools(Frontend(self.text, lexicon=self.lexicon), Matcher())


@dataclass(frozen=True, slots=True)
class Tools:
    """What a process keeps for all recordings."""

    frontend: Frontend
    matcher: Matcher


def work(recording: Recording, content: str, context: Context, tools: Tools) -> list[Utterance]:
    """One recording → its utterances, clips written. Never empty: what cannot be used says why."""
    key = _digest([content, recording.name])[:16]
    base = Utterance(
        id=f"{_slug(recording.name)}-{key[:10]}",
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
    if recording.problem is not None:
        return [judged(replace(base, doubts=(*base.doubts, recording.problem)), check)]
    try:
        activity = listen(recording.path, context.settings.segment.detector)
        pieces = segment(recording, activity, context.settings.segment, tools)
        if not pieces:
            silence = Doubt("no_speech", f"nobody speaks in its {activity.seconds:.1f} s")
            return [judged(replace(base, doubts=(*base.doubts, silence)), check)]
        rows = []
        for piece, wave in zip(pieces, cut(recording.path, pieces, RATE), strict=True):
            row = replace(
                base,
                id=f"{_slug(recording.name)}-{_digest([key, round(piece.start_seconds, 2)])[:10]}",
                text=piece.text or "",
                speaker=piece.speaker or recording.speaker,
                start_seconds=piece.start_seconds,
                end_seconds=piece.end_seconds,
                score=piece.score,
                doubts=(*base.doubts, *piece.doubts),
            )
            rows.append(judged(_utterance(row, piece, wave, activity, context, tools), check))
    except AudioError as error:
        return [judged(replace(base, doubts=(*base.doubts, Doubt("unreadable", error.message))), check)]
    return rows


def segment(recording: Recording, activity: Activity, settings: SegmentSettings, tools: Tools) -> list[Piece]:
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
    lines = [
        Line(text, _words(text, tools.frontend), cue.speaker) for cue in recording.cues for text in sentences(cue.text)
    ]
    fits = piece.seconds <= settings.max_seconds
    if len(lines) < 2 or (fits and recording.by == "transcript"):
        return [piece]
    return align(recording.path, activity, lines, tools.matcher, settings)


def _words(text: str, frontend: Frontend) -> tuple[tuple[str, ...], ...]:
    """The phones of a text, word by word; none if it cannot be read aloud."""
    try:
        return tuple(word.phones for phrase in frontend(text) for word in phrase.words if word.phones)
    except TextError:
        return ()


def _utterance(
    row: Utterance, piece: Piece, wave: Wave, activity: Activity, context: Context, tools: Tools
) -> Utterance:
    """A cut piece → its row, measured and doubted, its clip written."""
    settings = context.settings
    start, end = piece.start_seconds, piece.end_seconds
    spoken = [(a - start, b - start) for a, b in activity.spoken(start, end)]
    speech_seconds = sum(b - a for a, b in spoken)
    wave, shortened = shorten_pauses(wave, spoken, settings.segment)
    cleaned = clean(wave, settings.clean)
    power = spectrogram(cleaned.wave)
    silence = 1.0 - min(1.0, speech_seconds / max(piece.seconds, 1e-9))
    measures = {
        "snr_db": min(activity.snr_db(start, end), _NO_NOISE_DB),
        "loudness_lufs": cleaned.loudness_lufs,
        "clipped_share": activity.clipped_share(start, end),
        "dc_offset": activity.dc_offset,
        "silence_share": silence,
        "bandwidth_hz": bandwidth_hz(cleaned.wave, power),
        "decay_seconds": decay_seconds(activity, start, end),
        "original_hz": float(activity.rate),
    }
    doubts = list(cleaned.doubts)
    seconds = cleaned.wave.seconds
    limits = settings.segment
    if not speech_seconds:
        doubts.append(Doubt("no_speech", f"nobody speaks between {start:.1f} s and {end:.1f} s"))
    if seconds < limits.min_seconds:
        doubts.append(Doubt("too_short", f"{seconds:.2f} s", seconds, limits.min_seconds))
    if seconds > limits.max_seconds:
        doubts.append(Doubt("too_long", f"{seconds:.1f} s", seconds, limits.max_seconds))
    doubts += check_sound(measures, seconds, settings.check)
    row, words = described(row, tools.frontend, settings.check)
    phones = sum(map(len, words))
    doubts += check_rate(phones, speech_seconds, settings.check)
    if phones and speech_seconds:
        measures["phones_per_second"] = phones / speech_seconds
        if settings.check.match and phones >= MIN_PHONES and speech_seconds <= limits.max_seconds:
            said = tools.matcher.match(wave.cut(spoken[0][0], wave.seconds - (piece.seconds - spoken[-1][1])), words)
            row = replace(row, score=said.score)
            measures["match_nearness"] = said.nearness
            doubts += check_match(said.score, settings.check)
    steps = [f"shortened silences by {shortened:.2f} s", *cleaned.steps] if shortened else list(cleaned.steps)
    return replace(
        row,
        path=_save(cleaned.wave, row.name, context.root) if len(cleaned.wave.samples) else "",
        seconds=seconds,
        doubts=(*row.doubts, *doubts),
        cleaned=tuple(steps),
        measures={name: value for name, value in measures.items() if abs(value) < float("inf")},
        sketch=sketch(cleaned.wave, power),
    )


def described(
    row: Utterance, frontend: Frontend, settings: CheckSettings
) -> tuple[Utterance, tuple[tuple[str, ...], ...]]:
    """A row with what is spoken and its phones, by the text wing; and the phones of its words."""
    if not row.text:
        missing = Doubt("no_text", "nobody has written down what is spoken")
        return (row if any(doubt.kind == "no_text" for doubt in row.doubts) else _doubted(row, missing)), ()
    doubts = check_text(row.text, settings)
    if any(settings.sets_aside(doubt.kind) for doubt in doubts):
        return _doubted(row, *doubts), ()
    try:
        phrases = list(frontend(row.text))
    except TextError as error:
        return _doubted(row, *doubts, Doubt("text_unreadable", error.message)), ()
    words = [word for phrase in phrases for word in phrase.words]
    if not words:
        return _doubted(row, *doubts, Doubt("text_unreadable", "nothing in the text can be read aloud")), ()
    unsure = [word.written for word in words if word.doubts]
    if unsure:
        doubts.append(Doubt("pronunciation", f"unsure how to say {', '.join(unsure[:5])}", len(unsure), 0))
    return (
        replace(
            _doubted(row, *doubts),
            spoken=" ".join(filter(None, (phrase.spoken for phrase in phrases))),
            spelling=" ".join(filter(None, (phrase.spelling for phrase in phrases))),
            phones=" # ".join(filter(None, (phrase.phones for phrase in phrases))),
        ),
        tuple(word.phones for word in words if word.phones),
    )


def _doubted(row: Utterance, *doubts: Doubt) -> Utterance:
    return replace(row, doubts=(*row.doubts, *doubts))


def _save(wave: Wave, name: str, root: Path) -> str:
    """Write a clip under a name made of its content; written already, it stays."""
    data = wave.encode("wav")
    relative = f"clips/{_slug(name)}-{hashlib.sha256(data).hexdigest()[:12]}.wav"
    path = root / relative
    if not (path.is_file() and path.stat().st_size == len(data)):
        wave.save(path)
    return relative


# --- many recordings ------------------------------------------------------------------------------


def work_key(recording: Recording, content: str, context: Context) -> str:
    """Fingerprint of all that the rows of a recording are made from."""
    cues = [[cue.text, cue.start_seconds, cue.end_seconds, cue.speaker] for cue in recording.cues]
    owner = [recording.speaker, recording.licence, recording.consent, _relative(recording.path, context.root)]
    problem = str(recording.problem or "")
    return _digest([content, recording.name, cues, recording.by, owner, problem, context.fingerprint])[:16]


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
    tell: Tell,
) -> Iterator[list[Utterance]]:
    """The rows of each recording in order: known ones from before, the others worked on now."""
    from dimts.data.workers import in_order

    total, seen, kept, seconds = len(recordings), Counter[str](), 0, 0.0
    for number, (key, rows) in enumerate(in_order(recordings, done, context), start=1):
        if key not in done:
            journal.note(key, rows)
        rows = [_renamed(row, seen) for row in rows]
        kept += sum(row.kept for row in rows)
        seconds += sum(row.seconds for row in rows if row.kept)
        messages = [
            f"set aside {row.name}: {'; '.join(doubt.message for doubt in row.doubts_against)}"
            for row in rows
            if not row.kept and key not in done
        ]
        values = {"kept": float(kept), "minutes": seconds / 60}
        for message in messages[:-1]:
            tell(Progress("prepare", number - 1, total, "recordings", message, values))
        tell(Progress("prepare", number, total, "recordings", messages[-1] if messages else "", values))
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
        counted = ", ".join(f"{count} × {kind}" for kind, count in reasons.most_common(4))
        raise DataError(
            f"none of {len(rows)} utterances can be used: {counted}",
            f"'dimts data check {project.root}' lists each with its reason and what to do",
        )
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
_MAX_SLUG = 48


def _slug(name: str) -> str:
    """A name that is one in every file system; letters and digits of any script stay."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:_MAX_SLUG] or "clip"


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
