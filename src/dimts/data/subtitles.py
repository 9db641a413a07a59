"""Read subtitle files (SRT, WebVTT, ASS, MicroDVD and SubViewer) as cues in order of time, with their
irregularities.

SRT and WebVTT are read here, as pysubs2 (1.8) takes the lines of a cue whose times are written in another
way for the text of the cue before. Markup, inline times, descriptions of sounds and music are not spoken and
are taken out; rolling captions, which repeat the line before, are unrolled. The others are read by pysubs2
(Tomas Karabela, MIT).
"""

from __future__ import annotations

import bisect
import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from dimts.base.errors import SourceError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.data.labels import subviewer
from dimts.data.recording import Cue
from dimts.data.text_files import read_text
from dimts.text.ethiopic import is_ethiopic_letter

_INLINE_TIME = re.compile(r"<\d+(?::\d+)+(?:[.,]\d+)?>")
"""WebVTT timestamp tags (W3C WebVTT, 3.1), which pysubs2 leaves in the text."""
_VOICE = re.compile(r"<v(?:\.[^\s>]+)*\s+([^>]+)>")
"""WebVTT voice span with the speaker."""
_TAG = re.compile(r"</?[a-zA-Z][^>]*>|\{[^}]*\}")
_NOTES = "♩♪♫♬🎵🎶"
_SOUND = re.compile(rf"\[[^\]]*\]|\([^)]*\)|[{_NOTES}]+[^{_NOTES}]*[{_NOTES}]*|#\s[^#]*(?:#|$)")
"""Descriptions of sounds and music, which are not spoken: [ሙዚቃ], (ጭብጨባ), ♪ … ♪, # … #."""
_RUBY = re.compile(r"<rt>.*?(?:</rt>|(?=</ruby>)|$)", re.DOTALL)
"""Ruby text of WebVTT: how the word before it is read, which is not read again."""
_HASHTAG = re.compile(r"#(?=\w)")
_DRAWING = re.compile(r"\{[^}]*\\p[1-9][^}]*\}.*?(?:\{[^}]*\\p0[^}]*\}|$)", re.DOTALL)
"""Drawing commands of ASS between \\p1 and \\p0, which are not text."""
_SPEAKER = re.compile(r"^\s*(?:-\s*|–\s*|>>\s*)")
"""A dash or >> that marks a change of speaker."""
_WORD = r"[^\W\d_]+"
_LABEL = re.compile(
    rf"^\s*((?:[^\W\d_]{{1,2}}/[^\W\d_]{{1,2}} |(?:{_WORD}\. ?)+)?{_WORD}(?: {_WORD})?|{_WORD}[ _]?\d{{1,3}})"
    r"\s*(?:፦|:-|:(?!//|\d)|(?<=\d)፡)\s*(?=\S)"
)
"""A name in front of the spoken text: one or two words, also with a title (ዶ/ር, Dr.), or a word and a number
(Speaker 1, SPEAKER_00)."""
_INTRODUCING = """
አለ አለች አሉ አልኩ አልን ብሎ ብላ ብሏል ብላለች ብለዋል ይላል ትላለች ይላሉ ጠየቀ ጠየቀች መለሰ መለሰች ማለት ማለትም ለምሳሌ እንዲህ
ነው ናት ናቸው ነበር ማስታወሻ ማሳሰቢያ እነዚህም እነሱም እነርሱም
ሲል ስትል ሲሉ ተናገረ ተናገረች ተናገሩ ገለጸ ገለጸች ገለጹ አስረዳ አስረዱ አስታወቀ አስታወቁ ጻፈ ጻፈች ጻፉ
"""
_NO_LABELS = frozenset(_INTRODUCING.split())
"""Last words in front of a colon that introduce the spoken text, and name nobody."""
_FRAME_RATE = re.compile(r"\A\{0\}\{0\}(\d+(?:\.\d+)?[ \t]*)$", re.MULTILINE)
"""First line of MicroDVD that states the frame rate at frame 0."""
_TIME = r"-?\s*(?:\d{1,3}\s*:\s*)?\d{1,3}\s*:\s*\d{1,2}(?:[.,:]\d{1,6})?"
_TIMES = re.compile(rf"\[?\s*({_TIME})\s*-{{1,2}}>\s*({_TIME})\s*(?:\]\s*(.*)|(?:[ \t].*)?)")
"""Line of the times of a cue, in all the ways that programs write it; [start --> end] text is Whisper's."""
_SILENCES = frozenset(
    (
        *("#", "##", "sil", "sp", "spn", "silence", "pause", "noise", "breath", "laugh", "inhale", "exhale"),
        *("xxx", "xx", "x", "<eps>", "<sil>", "<sp>", "<p>", "<unk>", "{sil}", "{sp}"),
    )
)
"""Labels of intervals without speech, of Praat's users and of forced aligners."""
_SLACK_SECONDS = 0.05
"""Cues may overlap by this much: editors round to frames."""
_SAME_SHARE = 0.8
"""Share of two cues' times from which they count as simultaneous."""


def read_subtitles(path: Path) -> tuple[tuple[Cue, ...], tuple[Issue, ...]]:
    """Read spoken cues in order of time, and irregularities. SourceError when the file cannot be read or has
    no cue."""
    form = path.suffix.lower().lstrip(".")
    content = read_text(path)
    if form == "sub" and (timed := subviewer(content)) is not None:
        return in_order(timed)
    unclear = 0
    if form in ("srt", "vtt"):
        blocks, unclear = _blocks(content.split("\n"), is_vtt=form == "vtt")
        cues = tuple(Cue(text, start, end) for start, end, text in blocks)
    else:
        cues = _by_pysubs2(path, content, form)
    cues, issues = spoken_cues(cues, in_place=False)
    if not cues:
        raise SourceError("data.no_spoken_text", path=path.name)
    if unclear:
        issues = (
            *issues,
            Issue("subtitles_unclear_time", _REPAIRS["subtitles_unclear_time"](unclear), unclear, 0),
        )
    return cues, issues


def _by_pysubs2(path: Path, content: str, form: str) -> tuple[Cue, ...]:
    """Read ASS, SSA, MicroDVD, MPL2 or TMPlayer."""
    pysubs2 = require("pysubs2", "data")
    try:
        if form == "sub":  # the formats are told apart by pysubs2, which reads no frame rate at frame 0
            events = pysubs2.SSAFile.from_string(_FRAME_RATE.sub(r"{1}{1}\1", content))
        else:
            events = pysubs2.SSAFile.from_string(content, form)
    except pysubs2.exceptions.UnknownFPSError as error:
        raise SourceError("data.no_frame_rate", path=path.name) from error
    except (
        pysubs2.exceptions.Pysubs2Error,
        ValueError,
        IndexError,
        KeyError,
        AttributeError,
        OverflowError,
    ) as error:
        raise SourceError("data.not_subtitle_file", path=path.name, error=error) from error
    return tuple(
        Cue(event.text, event.start / 1000, event.end / 1000, event.name)
        for event in events
        if not event.is_comment
    )


def spoken_cues(given: Iterable[Cue], *, in_place: bool) -> tuple[tuple[Cue, ...], tuple[Issue, ...]]:
    """Reduce cues to what is spoken in them, in order, and list their irregularities.

    `in_place`: they are in order, and stay as they are unless two overlap.
    """
    cues = []
    foreign = 0
    names: dict[str, None] = {}
    for cue in given:
        spoken = spoken_text(cue.text)
        foreign += spoken.foreign_lines
        if spoken.labelled:
            names[spoken.speaker] = None
        if spoken.text and spoken.text.lower() not in _SILENCES:
            several = spoken.several_speakers or cue.several_speakers
            cues.append(
                replace(
                    cue, text=spoken.text, speaker=spoken.speaker or cue.speaker, several_speakers=several
                )
            )
    ordered, issues = as_given(cues) if in_place and not foreign else in_order(cues, foreign)
    if names:
        found = Message("data.subtitles_labels", names=tuple(names)[:5])
        issues = (*issues, Issue("subtitles_labels", found, len(names), 0))
    return ordered, issues


def as_given(cues: Sequence[Cue]) -> tuple[tuple[Cue, ...], tuple[Issue, ...]]:
    """Return cues that are in order as they are, without those that end before they begin; repaired where
    two overlap."""
    good = [cue for cue in cues if (cue.end_seconds or 0.0) > (cue.start_seconds or 0.0)]
    if any((one.end_seconds or 0.0) > (two.start_seconds or 0.0) for one, two in pairwise(good)):
        return in_order(cues)
    wrong = len(cues) - len(good)
    repair = Issue("subtitles_backwards", _REPAIRS["subtitles_backwards"](wrong), wrong, 0)
    return tuple(good), (repair,) if wrong else ()


def is_silence(text: str) -> bool:
    """Whether a label marks an interval without speech."""
    return text.lower() in _SILENCES or not any(char.isalnum() for char in text)


def timed_text(content: str) -> tuple[tuple[Cue, ...], tuple[Issue, ...]] | None:
    """Read the cues of a plain text that has subtitles in it, as SRT or as Whisper prints them; None for
    another text."""
    if "->" not in content:
        return None
    blocks, unclear = _blocks(content.split("\n"), is_vtt=False)
    if not blocks:
        return None
    cues, issues = spoken_cues([Cue(text, start, end) for start, end, text in blocks], in_place=False)
    if unclear:
        issues = (
            *issues,
            Issue("subtitles_unclear_time", _REPAIRS["subtitles_unclear_time"](unclear), unclear, 0),
        )
    return (cues, issues) if cues else None


def _blocks(lines: Sequence[str], *, is_vtt: bool) -> tuple[list[tuple[float, float, str]], int]:
    """Return start, end and text of each cue of SRT or WebVTT, without its number or identifier, comments,
    styles and regions (W3C WebVTT, 4); and the number of cues whose times cannot be read."""
    starts = [at for at, line in enumerate(lines) if "-->" in line or _TIMES.fullmatch(line.strip())]
    out, unclear = [], 0
    for place, at in enumerate(starts):
        first = at
        while is_vtt and first and lines[first - 1].strip():
            first -= 1
        if is_vtt and re.match(r"(NOTE|STYLE|REGION)\b", lines[first]):
            continue
        found = _TIMES.fullmatch(lines[at].strip())
        start, end = (_seconds(found[1]), _seconds(found[2])) if found else (None, None)
        if found is None or start is None or end is None:
            unclear += 1
            continue
        text = list(lines[at + 1 : starts[place + 1] if place + 1 < len(starts) else len(lines)])
        if is_vtt:  # the text ends at an empty line; identifiers and comments are behind it
            text = text[: next((number for number, line in enumerate(text) if not line.strip()), len(text))]
            last = place + 1 < len(starts) and at + 1 + len(text) == starts[place + 1]
        else:
            last = place + 1 < len(starts)
        if last and text and text[-1].strip().isdecimal():
            text.pop()  # the number of the next cue
        words = [line.strip() for line in (found[3] or "", *text) if line.strip()]
        out.append((start, end, "\n".join(words)))
    return out, unclear


def _seconds(time: str) -> float | None:
    """Convert a time of a cue to seconds, 0 for one before the beginning; None for one that is none."""
    whole, _, share = re.sub(r"\s", "", time).replace(",", ".").partition(".")
    if not share and whole.count(":") == 3:
        whole, _, share = whole.rpartition(":")
    parts = [int(part) for part in whole.lstrip("-").split(":")]
    if any(part > 59 for part in parts[1:]):
        return None
    value = sum(part * 60**power for power, part in enumerate(reversed(parts))) + float(f"0.{share or 0}")
    return 0.0 if whole.startswith("-") else value


@dataclass(frozen=True, slots=True)
class SpokenText:
    """The spoken part of a cue."""

    text: str
    speaker: str = ""
    several_speakers: bool = False
    labelled: bool = False
    """Whether the speaker's name precedes the text."""
    foreign_lines: int = 0
    """Lines in other letters beside Ethiopic ones, left out."""


def spoken_text(raw: str) -> SpokenText:
    """Remove markup, drawings, described sounds and speakers' names from a cue."""
    text = _DRAWING.sub("", raw).replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    text = _INLINE_TIME.sub("", _RUBY.sub("", text))
    voices = [name.strip() for name in _VOICE.findall(text)]
    text = _HASHTAG.sub("", _SOUND.sub(" ", html.unescape(_TAG.sub("", text))))
    lines = [line for line in text.splitlines() if line.strip()]
    changes = sum(bool(_SPEAKER.match(line)) for line in lines)
    lines = [_SPEAKER.sub("", line) for line in lines]
    ethiopic = [any(map(is_ethiopic_letter, line)) for line in lines]
    own = [
        line
        for line, own in zip(lines, ethiopic, strict=True)
        if own or not any(ethiopic) or len(line.split()) < 2
    ]
    labels = []
    for number, line in enumerate(own):
        found = _LABEL.match(line)
        if found and found[1].split()[-1] not in _NO_LABELS:
            labels.append(found[1])
            own[number] = line[found.end() :]
    spoken = unicodedata.normalize("NFC", " ".join(" ".join(own).split()))
    if not any(char.isalnum() for char in spoken):
        return SpokenText("")
    several = (
        changes > 1
        or len(set(voices)) > 1
        or len(set(labels)) > 1
        or (bool(labels) and len(own) > len(labels) > 1)
    )
    speaker = "" if several else next(iter((*voices, *labels)), "")
    return SpokenText(spoken, speaker, several, bool(labels), len(lines) - len(own))


def in_order(cues: Iterable[Cue], foreign: int = 0) -> tuple[tuple[Cue, ...], tuple[Issue, ...]]:
    """Sort and unroll timed cues and remove overlaps; with an issue for each kind of repair."""
    given = list(cues)
    ordered = sorted(given, key=lambda cue: (cue.start_seconds or 0.0, cue.end_seconds or 0.0))
    counts = {"subtitles_out_of_order": sum(one is not two for one, two in zip(given, ordered, strict=True))}
    ordered, others = _own_language(ordered)
    counts["subtitles_other_language"] = foreign + others
    kept: list[Cue] = []
    counts |= dict.fromkeys(
        ("subtitles_backwards", "subtitles_overlap", "subtitles_same_time", "subtitles_rolling"), 0
    )
    for cue in ordered:
        if (kind := _added(kept, cue)) is not None:
            counts[kind] += 1
    issues = [Issue(kind, _REPAIRS[kind](count), count, 0) for kind, count in counts.items() if count]
    return tuple(kept), tuple(issues)


_REPAIRS: dict[str, Callable[[int], Message]] = {
    "subtitles_out_of_order": lambda count: Message("data.subtitles_out_of_order", count=count),
    "subtitles_other_language": lambda count: Message("data.subtitles_other_language", count=count),
    "subtitles_backwards": lambda count: Message("data.subtitles_backwards", count=count),
    "subtitles_overlap": lambda count: Message("data.subtitles_overlap", count=count),
    "subtitles_same_time": lambda count: Message("data.subtitles_same_time", count=count),
    "subtitles_rolling": lambda count: Message("data.subtitles_rolling", count=count),
    "subtitles_unclear_time": lambda count: Message("data.subtitles_unclear_time", count=count),
}


def _own_language(cues: Sequence[Cue]) -> tuple[list[Cue], int]:
    """Return cues without those in other letters at the time of an Ethiopic one, and the number of these."""
    own = [cue for cue in cues if any(map(is_ethiopic_letter, cue.text))]
    starts = [cue.start_seconds or 0.0 for cue in own]
    mine = set(map(id, own))
    out = []
    for cue in cues:
        if id(cue) not in mine:
            at = bisect.bisect_left(starts, cue.end_seconds or 0.0)
            if any(_shared(cue, other) > 0.5 for other in own[max(0, at - 3) : at]):
                continue
        out.append(cue)
    return out, len(cues) - len(out)


def _shared(one: Cue, other: Cue) -> float:
    """Return the share of a cue's time that another one covers."""
    start, end = one.start_seconds or 0.0, one.end_seconds or 0.0
    common = min(end, other.end_seconds or 0.0) - max(start, other.start_seconds or 0.0)
    return common / (end - start) if end > start else 0.0


def _added(kept: list[Cue], cue: Cue) -> str | None:
    """Add a cue behind those that are kept; returns the kind of issue if something had to be repaired."""
    start, end = cue.start_seconds or 0.0, cue.end_seconds or 0.0
    if end <= start:
        return "subtitles_backwards"
    if not kept:
        kept.append(cue)
        return None
    before, kind = kept[-1], None
    first, last = before.start_seconds or 0.0, before.end_seconds or 0.0
    text = cue.text
    if text == before.text and start <= last + 1.0:
        kept[-1] = replace(before, end_seconds=max(end, last))
        return "subtitles_rolling"
    if text.startswith(before.text + " ") and start <= last + _SLACK_SECONDS:
        kind = "subtitles_rolling"
        text = text[len(before.text) :].strip()
    if start < last:
        if min(_shared(cue, before), _shared(before, cue)) > _SAME_SHARE and kind is None:
            both = replace(
                before, text=f"{before.text} {text}", end_seconds=max(end, last), several_speakers=True
            )
            kept[-1] = both
            return "subtitles_same_time"
        if last - start > _SLACK_SECONDS:
            kind = "subtitles_overlap"
        if start > first:
            kept[-1] = replace(before, end_seconds=start)
        else:
            start = last
            if end <= start:
                kept[-1] = replace(before, text=f"{before.text} {text}", several_speakers=True)
                return "subtitles_same_time"
    kept.append(replace(cue, text=text, start_seconds=start, end_seconds=end))
    return kind
