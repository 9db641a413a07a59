"""Read the label files of audio editors, annotators and recognisers: texts with times, as Cues.

Audacity labels, Praat TextGrid (long and short), Whisper and WhisperX json, Whisper tsv, YouTube sbv, lyrics
lrc. Each reader answers None for a text of another kind.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from itertools import pairwise

from dimts.data.recording import Cue

Cues = tuple[Cue, ...] | None
MAX_LABEL_SECONDS = 360_000.0


def audacity_labels(content: str) -> Cues:
    """Audacity: start TAB end TAB text, in seconds. Lines of spectral ranges are skipped."""
    cues = []
    for line in content.splitlines():
        if not line.strip() or line.startswith("\\"):
            continue
        cells = line.split("\t")
        if len(cells) < 3:
            return None
        start, end = seconds(cells[0]), seconds(cells[1])
        if start is None or end is None or end < start:
            return None
        cues.append(Cue(" ".join("\t".join(cells[2:]).split()), start, end))
    return _spoken(cues)


def whisper_table(content: str) -> Cues:
    """Whisper's tsv: a header start, end, text; times in milliseconds."""
    head, _, rest = content.lstrip("\ufeff").partition("\n")
    if head.strip().split("\t") != ["start", "end", "text"]:
        return None
    cues = []
    for line in rest.splitlines():
        cells = line.split("\t", 2)
        start, end = (seconds(cell) for cell in (*cells, "", "")[:2])
        if len(cells) == 3 and start is not None and end is not None:
            cues.append(Cue(" ".join(cells[2].split()), start / 1000, end / 1000))
    return _spoken(cues)


def whisper_json(content: str) -> Cues:
    """Whisper's and WhisperX's json: segments with start, end, text and, where it was found, speaker."""
    try:
        segments = json.loads(content)["segments"]
        return _spoken(
            Cue(
                " ".join(str(one["text"]).split()),
                float(one["start"]),
                float(one["end"]),
                str(one.get("speaker") or ""),
            )
            for one in segments
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


_SBV = re.compile(r"(\d+):(\d\d):(\d\d\.\d{1,3}),(\d+):(\d\d):(\d\d\.\d{1,3})")


def youtube_sbv(content: str) -> Cues:
    """YouTube's sbv: blocks of a line start,end and lines of text."""
    cues = []
    for block in re.split(r"\n\s*\n", content.strip()):
        head, _, text = block.partition("\n")
        found = _SBV.fullmatch(head.strip())
        if found is None:
            return None
        start, end = (int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in (found.groups()[:3], found.groups()[3:]))
        cues.append(Cue(" ".join(text.replace("[br]", " ").split()), start, end))
    return _spoken(cues)


_LRC = re.compile(r"\[(\d+):(\d\d(?:\.\d{1,3})?)\](.*)")


def lyrics(content: str) -> Cues:
    """lrc: [minutes:seconds] before each line; a line lasts until the next one begins, the last for ten
    seconds."""
    found = [_LRC.fullmatch(line.strip()) for line in content.splitlines()]
    starts = [(int(one[1]) * 60 + float(one[2]), " ".join(one[3].split())) for one in found if one]
    if not starts:
        return None
    starts.append((starts[-1][0] + 10.0, ""))
    return _spoken(Cue(text, start, end) for (start, text), (end, _) in pairwise(starts))


_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<![\w."])(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w\]:"])|<exists>')
_TIERS = ("phrases", "sentences", "utterances", "sentence", "utterance", "phrase", "transcription", "text", "words")
"""Usual names of the tier that holds what is spoken, the best first."""


def praat_textgrid(content: str) -> Cues:
    """Praat TextGrid, long or short: the intervals of the tier whose name or place says that it holds
    sentences."""
    if "TextGrid" not in content[:200]:
        return None
    tokens = [
        one[1] if one[1] is not None else float(one[2]) for one in _TOKEN.finditer(content) if one[0] != "<exists>"
    ]
    tiers: dict[str, list[Cue]] = {}
    at = next((place for place, one in enumerate(tokens) if one in ("IntervalTier", "TextTier")), len(tokens))
    while at + 5 <= len(tokens):
        kind, name, *_ = tokens[at : at + 2]
        count = tokens[at + 4]
        width = 3 if kind == "IntervalTier" else 2
        if not isinstance(name, str) or not isinstance(count, float) or count < 0 or count > len(tokens):
            return None
        cues = []
        for place in range(at + 5, at + 5 + width * int(count), width):
            row = tokens[place : place + width]
            if len(row) < width or width == 2:
                continue
            start, end, text = row
            if not isinstance(start, float) or not isinstance(end, float) or not isinstance(text, str):
                return None
            cues.append(Cue(" ".join(text.replace('""', '"').split()), start, end))
        tiers.setdefault(name.lower(), cues)
        at += 5 + width * int(count)
    best = next((tiers[name] for name in _TIERS if tiers.get(name)), None)
    return _spoken(best if best is not None else next((cues for cues in tiers.values() if _spoken(cues)), []))


LABELS: dict[str, Callable[[str], Cues]] = {
    ".textgrid": praat_textgrid,
    ".json": whisper_json,
    ".tsv": whisper_table,
    ".sbv": youtube_sbv,
    ".lrc": lyrics,
}
"""Suffix of a label file beside a recording of the same name → its reader."""


def _spoken(cues: Iterable[Cue]) -> Cues:
    """Cues with a text and a time that is one, in order; None where there is none."""
    good = [
        cue
        for cue in cues
        if cue.text and 0.0 <= (cue.start_seconds or 0.0) < (cue.end_seconds or 0.0) <= MAX_LABEL_SECONDS
    ]
    return tuple(sorted(good, key=lambda cue: (cue.start_seconds or 0.0, cue.end_seconds or 0.0))) or None


def seconds(text: str) -> float | None:
    """A time in seconds, 0 or more; None for anything else. A comma may stand for the point."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
