"""Subtitle files (SRT, WebVTT, ASS) → Cues in order, and what was odd about them.

Markup, inline times, descriptions of sounds and music are not spoken and are taken out; rolling captions,
which repeat the line before, are unrolled. Read by pysubs2 (Tomas Karabela, MIT).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from dimts.base.errors import SourceError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.data.recording import Cue

_INLINE_TIME = re.compile(r"<\d+(?::\d+)+(?:[.,]\d+)?>")
"""WebVTT timestamp tags (W3C WebVTT, 3.1), which pysubs2 leaves in the text."""
_VOICE = re.compile(r"<v(?:\.[^\s>]+)*\s+([^>]+)>")
"""WebVTT voice span: who speaks."""
_TAG = re.compile(r"</?[a-zA-Z][^>]*>|\{[^}]*\}")
_SOUND = re.compile(r"\[[^\]]*\]|\([^)]*\)|♪[^♪]*♪?|#[^#]+#")
"""[ሙዚቃ], (ጭብጨባ), ♪ … ♪: described, not spoken."""
_SPEAKER = re.compile(r"^\s*(?:-\s*|>>\s*)")
"""A dash or >> that marks a change of speaker."""
_SLACK_SECONDS = 0.05
"""Cues may overlap by this much: editors round to frames."""


def read_subtitles(path: Path) -> tuple[tuple[Cue, ...], tuple[Issue, ...]]:
    """Spoken cues in order of time. SourceError when the file cannot be read or holds no cue."""
    pysubs2 = require("pysubs2", "data")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError("data.not_utf8_file", path=path.name, reason=error.reason) from error
    except OSError as error:
        raise SourceError("data.unreadable_file", path=path, reason=error.strerror) from error
    try:
        events = pysubs2.SSAFile.from_string(content, path.suffix.lower().lstrip("."))
    except (pysubs2.Pysubs2Error, ValueError, IndexError, KeyError, AttributeError) as error:
        raise SourceError("data.not_subtitle_file", path=path.name, error=error) from error
    cues = []
    for event in events:
        if event.is_comment:
            continue
        text, speaker = spoken_text(event.text)
        if text:
            cues.append(Cue(text, event.start / 1000, event.end / 1000, speaker or event.name))
    if not cues:
        raise SourceError("data.no_spoken_text", path=path.name)
    return in_order(cues)


def spoken_text(raw: str) -> tuple[str, str]:
    """What is spoken of a cue, and by whom if the markup says so."""
    text = raw.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    text = _INLINE_TIME.sub("", text)
    voice = _VOICE.search(text)
    text = _SOUND.sub(" ", _TAG.sub("", text))
    lines = [_SPEAKER.sub("", line) for line in text.splitlines()]
    spoken = unicodedata.normalize("NFC", " ".join(" ".join(lines).split()))
    return (spoken if any(char.isalnum() for char in spoken) else ""), voice.group(1).strip() if voice else ""


def in_order(cues: Iterable[Cue]) -> tuple[tuple[Cue, ...], tuple[Issue, ...]]:
    """Timed cues sorted, unrolled and kept from overlapping; with a doubt for each kind of mend."""
    given = list(cues)
    ordered = sorted(given, key=lambda cue: (cue.start_seconds or 0.0, cue.end_seconds or 0.0))
    moved = sum(first is not second for first, second in zip(given, ordered, strict=True))
    kept: list[Cue] = []
    backwards = overlaps = rolled = 0
    for cue in ordered:
        start, end = cue.start_seconds or 0.0, cue.end_seconds or 0.0
        if end <= start:
            backwards += 1
            continue
        text = cue.text
        if kept:
            before = kept[-1]
            if text == before.text and start <= (before.end_seconds or 0.0) + 1.0:
                rolled += 1
                kept[-1] = Cue(before.text, before.start_seconds, max(end, before.end_seconds or 0.0), before.speaker)
                continue
            if text.startswith(before.text + " ") and start <= (before.end_seconds or 0.0) + _SLACK_SECONDS:
                rolled += 1
                text = text[len(before.text) :].strip()
            if start < (before.end_seconds or 0.0):
                if (before.end_seconds or 0.0) - start > _SLACK_SECONDS:
                    overlaps += 1
                if start > (before.start_seconds or 0.0):
                    kept[-1] = Cue(before.text, before.start_seconds, start, before.speaker)
                else:
                    start = before.end_seconds or 0.0
                    if end <= start:
                        continue
        kept.append(Cue(text, start, end, cue.speaker))
    doubts = []
    if moved:
        doubts.append(Issue("subtitles_out_of_order", Message("data.subtitles_out_of_order", moved=moved), moved, 0))
    if backwards:
        doubts.append(
            Issue("subtitles_backwards", Message("data.subtitles_backwards", backwards=backwards), backwards, 0)
        )
    if overlaps:
        doubts.append(Issue("subtitles_overlap", Message("data.subtitles_overlap", overlaps=overlaps), overlaps, 0))
    if rolled:
        doubts.append(Issue("subtitles_rolling", Message("data.subtitles_rolling", rolled=rolled), rolled, 0))
    return tuple(kept), tuple(doubts)
