"""Write times of phrases, words and phones as SRT, WebVTT, Praat TextGrid or JSON.

    marks = [Mark("phrase", "ሰላም ለዓለም", 0.0, 0.95), Mark("word", "ሰላም", 0.01, 0.38), …]
    write("talk.srt", marks, seconds=2.4)

Subtitles show the phrases; a TextGrid has one tier for each kind of mark, in the order in which they come.
Sources: SubRip (de facto), WebVTT (W3C), Praat manual "TextGrid file formats".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dimts.base.errors import AudioError
from dimts.base.files import write_text
from dimts.base.plugins import nearest

SHOWN = "phrase"
"""Kind of mark in subtitles."""
_SHORTEST_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class Mark:
    """A time interval and the text spoken in it."""

    kind: str
    """ "phrase", "word" or "phone"."""
    text: str
    start: float
    """Start in seconds."""
    end: float
    """End in seconds."""


def srt(marks: Sequence[Mark], seconds: float) -> str:
    """Write numbered SRT subtitles."""
    shown = [mark for mark in marks if mark.kind == SHOWN]
    blocks = (
        f"{number}\n{_clock(mark.start, ',')} --> {_clock(mark.end, ',')}\n{_line(mark.text)}\n"
        for number, mark in enumerate(shown, start=1)
    )
    return "\n".join(blocks)


def vtt(marks: Sequence[Mark], seconds: float) -> str:
    """Write WebVTT subtitles."""
    shown = [mark for mark in marks if mark.kind == SHOWN]
    safe = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    blocks = (
        f"{_clock(mark.start, '.')} --> {_clock(mark.end, '.')}\n{_line(mark.text).translate(safe)}\n"
        for mark in shown
    )
    return "\n".join(["WEBVTT\n", *blocks])


def textgrid(marks: Sequence[Mark], seconds: float) -> str:
    """Write one interval tier per kind, without gaps: unmarked time is an empty interval, as Praat
    requires."""
    kinds = list(dict.fromkeys(mark.kind for mark in marks))
    lines = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {seconds:.6f}",
        "tiers? <exists>", f"size = {len(kinds)}", "item []:",
    ]  # fmt: skip
    for number, kind in enumerate(kinds, start=1):
        intervals = _without_gaps([mark for mark in marks if mark.kind == kind], seconds)
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{kind}s"',
            "        xmin = 0",
            f"        xmax = {seconds:.6f}",
            f"        intervals: size = {len(intervals)}",
        ]
        for place, (start, end, text) in enumerate(intervals, start=1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {start:.6f}",
                f"            xmax = {end:.6f}",
                '            text = "' + _line(text).replace('"', '""') + '"',
            ]
    return "\n".join(lines) + "\n"


def as_json(marks: Sequence[Mark], seconds: float) -> str:
    """Write {"seconds": …, "marks": [{"kind", "text", "start", "end"}, …]}"""
    plain = [{**asdict(mark), "start": round(mark.start, 4), "end": round(mark.end, 4)} for mark in marks]
    return json.dumps({"seconds": round(seconds, 4), "marks": plain}, ensure_ascii=False, indent=1) + "\n"


FORMATS: dict[str, Callable[[Sequence[Mark], float], str]] = {
    ".srt": srt, ".vtt": vtt, ".textgrid": textgrid, ".json": as_json,
}  # fmt: skip
"""File suffix (in small letters) → writer."""


def write(path: Path | str, marks: Sequence[Mark], seconds: float) -> Path:
    """Write the marks of a sound of `seconds`; the suffix chooses the format. AudioError for an unknown
    one."""
    path = Path(path)
    write_text(path, writer(path)(marks, seconds))
    return path


def writer(path: Path) -> Callable[[Sequence[Mark], float], str]:
    """The format of a file name; AudioError if it has none of ours."""
    if path.suffix.lower() not in FORMATS:
        raise AudioError(
            "audio.unknown_timings_format",
            suffix=path.suffix or path.name,
            nearest=nearest(path.suffix.lower(), FORMATS),
        )
    return FORMATS[path.suffix.lower()]


def _without_gaps(marks: Sequence[Mark], seconds: float) -> list[tuple[float, float, str]]:
    out: list[tuple[float, float, str]] = []
    now = 0.0
    for mark in sorted(marks, key=lambda mark: mark.start):
        start, end = max(mark.start, now), min(mark.end, seconds)
        if end - start < _SHORTEST_SECONDS:
            continue
        if start - now > _SHORTEST_SECONDS:
            out.append((now, start, ""))
        else:
            start = now
        out.append((start, end, mark.text))
        now = end
    if seconds - now > _SHORTEST_SECONDS or not out:
        out.append((now, seconds, ""))
    else:
        start, _, text = out[-1]
        out[-1] = (start, seconds, text)
    return out


def _clock(seconds: float, point: str) -> str:
    """3661.5 → 01:01:01,500"""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milliseconds:03d}"


def _line(text: str) -> str:
    """On one line: a blank line would end a subtitle, and "-->" would be taken for a time."""
    return " ".join(text.split()).replace("-->", "→")
