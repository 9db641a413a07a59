"""Process one recording: detect speech, cut, clean, measure and check each piece, write the clips.

detect_speech → segment → cut → clean → measure → check → row of the manifest
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dimts.audio.likeness import embed
from dimts.base.errors import AudioError, TextError
from dimts.base.files import write_bytes
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.data.acoustics import bandwidth_hz, decay_seconds, sketch, spectrogram
from dimts.data.check import CheckSettings, check_match, check_rate, check_sound, check_text, decide
from dimts.data.clean import RATE as CLIP_RATE
from dimts.data.clean import clean
from dimts.data.context import Context, PrepareTools, digest, relative
from dimts.data.forced_alignment import Line, align, sentences
from dimts.data.manifest import NO_NOISE_DB, Utterance
from dimts.data.overlap import overlap_share
from dimts.data.recording import By, Recording
from dimts.data.segment import Piece, SegmentSettings, by_cues, by_silence, cut, shorten_pauses, whole
from dimts.data.speaker_outliers import packed
from dimts.data.transcribe import Transcriber, TranscribeSettings, check_transcript, compared, transcriber
from dimts.data.vad import SpeechActivity, detect_speech

if TYPE_CHECKING:
    from dimts.audio.wave import Wave
    from dimts.text.frontend import Frontend

HEARD_HZ = 16_000
"""Sample rate at which a cleaned clip is compared with its text and with other voices."""
MIN_PHONES = 6
"""Least phones of a text for a comparison with the audio."""
MIN_VOICE_SECONDS = 2.5
"""Least seconds of speech for a speaker embedding."""


_WITHOUT_SOUND = frozenset({"line_without_speech", "cue_without_speech"})
"""Kinds of issues of a text without speech: it has no clip."""


def work_key(recording: Recording, content: str, context: Context) -> str:
    """Return the fingerprint of all that the rows of a recording are made from."""
    cues = [
        [cue.text, cue.start_seconds, cue.end_seconds, cue.speaker, cue.several_speakers]
        for cue in recording.cues
    ]
    owner = [recording.speaker, recording.licence, recording.consent, relative(recording.path, context.root)]
    problem = recording.problem.as_dict() if recording.problem else {}
    settings = context.settings.transcribe
    asked = settings.by and (is_unwritten(recording) or settings.compare)
    recogniser = settings.shaping() if asked else {}
    return digest(
        [content, recording.name, cues, recording.by, owner, problem, recogniser, context.fingerprint]
    )[:16]


def process_recording(
    recording: Recording, content: str, context: Context, tools: PrepareTools
) -> list[Utterance]:
    """Process one recording into rows, its clips written. Never empty: unusable ones have an issue."""
    key = digest([content, recording.name])[:16]
    base = Utterance(
        id=f"{slug(recording.name)}-{key[:10]}",
        text=recording.text,
        speaker=recording.speaker,
        source_split=recording.split,
        issues=recording.notes,
        by=recording.by,
        recording=key,
        name=recording.name,
        source=relative(recording.path, context.root),
        origin=recording.origin,
        licence=recording.licence,
        consent=recording.consent,
        work=work_key(recording, content, context),
    )
    check = context.settings.check
    to_hear = bool(context.settings.transcribe.by) and is_unwritten(recording)
    if recording.problem is not None and not to_hear:
        return [decide(replace(base, issues=(*base.issues, recording.problem)), check)]
    try:
        activity = detect_speech(recording.path, context.settings.segment.detector)
        base = replace(base, issues=(*base.issues, *activity.issues))
        pieces = segment(recording, activity, context.settings.segment, tools)
        if not pieces:
            silence = Issue("no_speech", Message("data.no_speech", seconds=activity.seconds))
            return [decide(replace(base, issues=(*base.issues, silence)), check)]
        rows = []
        for piece, wave in zip(pieces, cut(recording.path, pieces, CLIP_RATE), strict=True):
            row = replace(
                base,
                id=f"{slug(recording.name)}-{digest([key, round(piece.start_seconds, 2)])[:10]}",
                text=piece.text or "",
                speaker=piece.speaker or recording.speaker,
                start_seconds=piece.start_seconds,
                end_seconds=piece.end_seconds,
                score=piece.score,
                issues=(*base.issues, *piece.issues),
            )
            if any(issue.kind in _WITHOUT_SOUND for issue in piece.issues):  # one cause, one issue
                rows.append(decide(replace(row, start_seconds=0.0, end_seconds=0.0), check))
                continue
            rows.append(decide(process_clip(row, piece, wave, activity, context, tools), check))
    except AudioError as error:
        return [decide(replace(base, issues=(*base.issues, Issue("unreadable", error.message))), check)]
    return rows


def is_unwritten(recording: Recording) -> bool:
    """Whether a recogniser may be used: there is audio, and no text."""
    missing = recording.problem is None or recording.problem.kind == "no_text"
    return missing and not recording.cues and recording.path.is_file()


def segment(
    recording: Recording, activity: SpeechActivity, settings: SegmentSettings, tools: PrepareTools
) -> list[Piece]:
    """Choose the pieces to cut out of a recording by its text.

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
    """Return the phones of a text, word by word; none if it cannot be read aloud."""
    try:
        return tuple(word.phones for phrase in frontend(text) for word in phrase.words if word.phones)
    except TextError:
        return ()


def process_clip(
    row: Utterance, piece: Piece, wave: Wave, activity: SpeechActivity, context: Context, tools: PrepareTools
) -> Utterance:
    """Process a cut piece into its row, measured and checked, its clip written."""
    settings = context.settings
    start, end = piece.start_seconds, piece.end_seconds
    spoken = [(a - start, b - start) for a, b in activity.spoken(start, end)]
    speech_seconds = sum(b - a for a, b in spoken)
    wave, shortened = shorten_pauses(wave, spoken, settings.segment)
    cleaned = clean(wave, settings.clean)
    plain = cleaned.wave.resample(HEARD_HZ)
    power = spectrogram(cleaned.wave)
    silence = 1.0 - min(1.0, speech_seconds / max(piece.seconds, 1e-9))
    measures = {
        "snr_db": min(activity.snr_db(start, end), NO_NOISE_DB),
        "loudness_lufs": cleaned.loudness_lufs,
        "clipped_share": activity.clipped_share(start, end),
        "dc_offset": activity.dc_offset,
        "silence_share": silence,
        "bandwidth_hz": bandwidth_hz(cleaned.wave, power),
        "decay_seconds": decay_seconds(activity, start, end),
        "original_hz": float(activity.rate),
        "overlap_share": overlap_share(plain),
    }
    issues = list(cleaned.issues)
    seconds = cleaned.wave.seconds
    limits = settings.segment
    if not speech_seconds:
        issues.append(Issue("no_speech", Message("data.no_speech_between", start=start, end=end)))
    if seconds < limits.min_seconds:
        issues.append(
            Issue("too_short", Message("data.too_short", seconds=seconds), seconds, limits.min_seconds)
        )
    if seconds > limits.max_seconds:
        issues.append(
            Issue("too_long", Message("data.too_long", seconds=seconds), seconds, limits.max_seconds)
        )
    issues += check_sound(measures, seconds, settings.check)
    if not row.text and speech_seconds and settings.transcribe.by:
        row, found = _transcribed(row, cleaned.wave, speech_seconds, settings.transcribe, settings.jobs)
        issues += found
    row, words = describe_text(row, tools.frontend, settings.check)
    phones = sum(map(len, words))
    issues += check_rate(phones, speech_seconds, settings.check)
    if phones and speech_seconds:
        measures["phones_per_second"] = phones / speech_seconds
        if settings.check.match and phones >= MIN_PHONES and speech_seconds <= limits.max_seconds:
            match = tools.matcher.match(
                plain.cut(spoken[0][0], plain.seconds - (piece.seconds - spoken[-1][1])), words
            )
            row = replace(row, score=match.score)
            measures["match_nearness"] = match.nearness
            issues += check_match(match.score, settings.check)
    if (
        settings.transcribe.compare
        and row.spoken
        and row.by not in ("whisper", "recogniser")
        and speech_seconds
    ):
        transcript = _recogniser(settings.transcribe, settings.jobs).transcribe(cleaned.wave)
        measures["character_error_rate"], found = compared(transcript, row.spoken, settings.transcribe)
        issues += found
    steps = [f"shortened silences by {shortened:.2f} s", *cleaned.steps] if shortened else list(cleaned.steps)
    voice = ""
    if settings.check.speaker and speech_seconds >= MIN_VOICE_SECONDS:
        with contextlib.suppress(AudioError):  # silence after cleaning has no voice
            voice = packed(embed(plain, quick=True))
    return replace(
        row,
        path=_save(cleaned.wave, row.name, context.root) if len(cleaned.wave.samples) else "",
        seconds=seconds,
        issues=(*row.issues, *issues),
        cleaned=tuple(steps),
        measures={name: value for name, value in measures.items() if abs(value) < float("inf")},
        sketch=sketch(cleaned.wave, power),
        voice=voice,
    )


def _transcribed(
    row: Utterance, wave: Wave, speech_seconds: float, settings: TranscribeSettings, jobs: int
) -> tuple[Utterance, list[Issue]]:
    """Add the recogniser's text to a row; also returns the reasons not to trust it."""
    transcript = _recogniser(settings, jobs).transcribe(wave)
    if not transcript.text:
        return _with_issues(row, Issue("no_text", Message("data.recogniser_silent"))), []
    by: By = "whisper" if settings.by == "whisper" else "recogniser"
    return replace(row, text=transcript.text, by=by), check_transcript(transcript, speech_seconds, settings)


def _recogniser(settings: TranscribeSettings, jobs: int) -> Transcriber:
    threads = settings.threads or max(1, (os.cpu_count() or 1) // jobs)
    return transcriber(replace(settings, threads=threads))


def describe_text(
    row: Utterance, frontend: Frontend, settings: CheckSettings
) -> tuple[Utterance, tuple[tuple[str, ...], ...]]:
    """Add spoken form and phones to a row, by the text front end; also returns the phones of its words."""
    if not row.text:
        missing = Issue("no_text", Message("data.text_missing"))
        return (
            row if any(issue.kind == "no_text" for issue in row.issues) else _with_issues(row, missing)
        ), ()
    issues = check_text(row.text, settings)
    if any(settings.rejects(issue.kind) for issue in issues):
        return _with_issues(row, *issues), ()
    try:
        phrases = list(frontend(row.text))
    except TextError as error:
        return _with_issues(row, *issues, Issue("text_unreadable", error.message)), ()
    words = [word for phrase in phrases for word in phrase.words]
    if not words:
        return _with_issues(row, *issues, Issue("text_unreadable", Message("data.text_unreadable"))), ()
    unsure = [word.written for word in words if word.doubts]
    if unsure:
        issues.append(
            Issue("pronunciation", Message("data.pronunciation", unsure=tuple(unsure[:5])), len(unsure), 0)
        )
    return (
        replace(
            _with_issues(row, *issues),
            spoken=" ".join(filter(None, (phrase.spoken for phrase in phrases))),
            spelling=" ".join(filter(None, (phrase.spelling for phrase in phrases))),
            phones=" # ".join(filter(None, (phrase.phones for phrase in phrases))),
        ),
        tuple(word.phones for word in words if word.phones),
    )


def _with_issues(row: Utterance, *issues: Issue) -> Utterance:
    return replace(row, issues=(*row.issues, *issues))


def _save(wave: Wave, name: str, root: Path) -> str:
    """Write a clip under a name made of its content; an existing one is kept."""
    data = wave.encode("wav")
    relative = f"clips/{slug(name)}-{hashlib.sha256(data).hexdigest()[:12]}.wav"
    path = root / relative
    if not (path.is_file() and path.stat().st_size == len(data)):
        write_bytes(path, data)
    return relative


_MAX_SLUG = 48


def slug(name: str) -> str:
    """Convert a name to one that is valid in every file system; letters and digits of any script stay."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:_MAX_SLUG] or "clip"
