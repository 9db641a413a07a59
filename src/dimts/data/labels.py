"""Read the label files of audio editors, annotators and recognisers: texts with times, as Cues.

Audacity labels, Praat TextGrid (long and short), ELAN eaf, Whisper and WhisperX json, Whisper tsv, YouTube
sbv, SubViewer sub, lyrics lrc, W3C TTML. Each reader answers None for a text of another kind. ELAN and TTML
are read here: pympi refuses files without a schema's address, and pysubs2 (1.8) those whose cues last for a
`dur`.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from xml.etree import ElementTree

from dimts.data.recording import Cue
from dimts.text.ethiopic import is_ethiopic_letter

Cues = tuple[Cue, ...] | None
MAX_LABEL_SECONDS = 360_000.0


def audacity_labels(content: str) -> Cues:
    """Read Audacity labels: start TAB end TAB text, in seconds. Lines of spectral ranges are skipped."""
    cues = []
    for line in content.splitlines():
        if not line.strip() or line.startswith("\\"):
            continue
        cells = line.split("\t")
        if len(cells) < 3:
            return None
        start, end = seconds(cells[0]), seconds(cells[1])
        if start is None or end is None:
            return None
        cues.append(Cue(" ".join("\t".join(cells[2:]).split()), start, end))
    return _spoken(cues)


def whisper_table(content: str) -> Cues:
    """Read Whisper's tsv: a header start, end, text; times in milliseconds."""
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
    """Read Whisper's and WhisperX's json: segments with start, end, text and, where it was found, speaker."""
    try:
        segments = json.loads(content)["segments"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    cues = []
    for one in segments if isinstance(segments, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("text"), str):
            continue
        start, end = (seconds(str(one.get(name))) for name in ("start", "end"))
        if start is None or end is None:
            start = end = 0.0  # not aligned: it has no length, and is left out by name
        cues.append(Cue(" ".join(one["text"].split()), start, end, str(one.get("speaker") or "")))
    return _spoken(cues)


_SBV = re.compile(r"(\d+):(\d\d):(\d\d\.\d{1,3}),(\d+):(\d\d):(\d\d\.\d{1,3})")


def youtube_sbv(content: str) -> Cues:
    """Read YouTube's sbv: blocks of a line start,end and lines of text."""
    cues = []
    for block in re.split(r"\n\s*\n", content.strip()):
        head, _, text = block.partition("\n")
        found = _SBV.fullmatch(head.strip())
        if found is None:
            return None
        start, end = (
            int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in (found.groups()[:3], found.groups()[3:])
        )
        cues.append(Cue(" ".join(re.sub(r"(?i)\[br\]", " ", text).split()), start, end))
    return _spoken(cues)


_LRC = re.compile(r"((?:\[\d+:\d\d(?:[.:]\d{1,3})?\]\s*)+)(.*)")
_LRC_TIME = re.compile(r"[\[<](\d+):(\d\d)(?:[.:](\d{1,3}))?[\]>]")
_LRC_OFFSET = re.compile(r"\[offset:\s*([+-]?\d+)\s*\]", re.IGNORECASE)
"""Shift of all times in milliseconds; a positive one makes the text come earlier."""


def lyrics(content: str) -> Cues:
    """Read lrc: [minutes:seconds] before each line, several where it comes again; a line lasts until the next
    one begins, the last for ten seconds."""
    shift = _LRC_OFFSET.search(content)
    earlier = int(shift[1]) / 1000 if shift else 0.0
    starts = []
    for line in content.splitlines():
        if found := _LRC.fullmatch(line.strip()):
            text = " ".join(_LRC_TIME.sub(" ", found[2]).split())  # without the times of single words
            for minutes, whole, share in _LRC_TIME.findall(found[1]):
                start = int(minutes) * 60 + int(whole) + float(f"0.{share or 0}") - earlier
                starts.append((max(0.0, start), text))
    if not starts:
        return None
    starts.sort(key=lambda one: one[0])
    starts.append((starts[-1][0] + 10.0, ""))
    return _spoken(Cue(text, start, end) for (start, text), (end, _) in pairwise(starts))


_SYNC = re.compile(r"<sync[^>]*?start\s*=\s*\"?(\d+)[^>]*>", re.IGNORECASE)


def sami(content: str) -> Cues:
    """Read SAMI: a text lasts from its SYNC to the next, the last for ten seconds.

    It is read here, as pysubs2 (1.8) estimates the ends by the length of the text.
    """
    parts = _SYNC.split(content)[1:]
    if not parts:
        return None
    starts = []
    for start, text in zip(parts[::2], parts[1::2], strict=True):
        body = re.split(r"(?i)</body", text)[0]
        lines = re.sub(r"<[^>]*>", "", re.sub(r"(?i)<(?:br|p)\b[^>]*>", "\n", " ".join(body.split())))
        spoken = [clean for line in lines.splitlines() if (clean := " ".join(html.unescape(line).split()))]
        starts.append((int(start) / 1000, "\n".join(spoken)))
    starts.append((starts[-1][0] + 10.0, ""))
    return _spoken(Cue(text, start, max(start, end)) for (start, text), (end, _) in pairwise(starts))


def nist_ctm(content: str) -> Cues:
    """Read NIST's ctm of one recording: file, channel, start, duration, word, sometimes a confidence."""
    rows = [line.split() for line in content.splitlines() if line.strip() and not line.startswith(";;")]
    if len({row[0] for row in rows}) != 1:
        return None
    cues = []
    for row in rows:
        start, length = (seconds(cell) for cell in (*row, "", "", "", "")[2:4])
        if start is None or length is None or len(row) < 5:
            return None
        cues.append(Cue(row[4], start, start + length))
    return _spoken(cues)


def nist_stm(content: str) -> Cues:
    """Read NIST's stm of one recording: file, channel, speaker, start, end, sometimes <labels>, text."""
    rows = [line.split(maxsplit=5) for line in content.splitlines() if line.strip() and line[:2] != ";;"]
    if len({row[0] for row in rows}) != 1:
        return None
    cues = []
    for row in rows:
        start, end = (seconds(cell) for cell in (*row, "", "", "", "")[3:5])
        if start is None or end is None:
            return None
        text = re.sub(r"^<[^>]*>\s*", "", row[5]) if len(row) > 5 else ""
        if text != "ignore_time_segment_in_scoring":
            cues.append(Cue(text, start, end, row[2]))
    return _spoken(cues)


_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<![\w."])(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w\]:"])|<exists>')
_TIERS = (
    "phrases",
    "sentences",
    "utterances",
    "sentence",
    "utterance",
    "phrase",
    "transcription",
    "text",
    "words",
)
"""Usual names of the tier with the spoken text, the best first."""


def praat_textgrid(content: str) -> Cues:
    """Read a Praat TextGrid, long or short: the intervals of the tier that holds sentences by its name or
    place."""
    if "TextGrid" not in content[:200]:
        return None
    tokens = [
        one[1] if one[1] is not None else float(one[2])
        for one in _TOKEN.finditer(content)
        if one[0] != "<exists>"
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
    if best is None:
        spoken = [cues for cues in tiers.values() if _spoken(cues)]
        amharic = (
            cues for cues in spoken if any(is_ethiopic_letter(char) for cue in cues for char in cue.text)
        )
        best = next(amharic, next(iter(spoken), []))
    return _spoken(best)


# --- XML ------------------------------------------------------------------------------------------


def _root(content: str) -> ElementTree.Element | None:
    """Parse the root of an XML document; None for another text. expat itself limits the size of entities."""
    start = content.find("<")
    if start < 0:
        return None
    text = re.sub(r"^<\?xml[^>]*\?>", "", content[start:])  # the text is decoded already
    try:
        return ElementTree.fromstring(text)  # noqa: S314
    except (ElementTree.ParseError, ValueError, RecursionError):
        return None


def _plain_name(tag: object) -> str:
    """Return the name of an XML tag without its name space."""
    return str(tag).rpartition("}")[2]


def elan(content: str) -> Cues:
    """Read ELAN eaf: the aligned annotations of the tier that holds sentences by its name, else of every
    top-level tier; each tier's participant is the speaker."""
    root = _root(content)
    if root is None or root.tag != "ANNOTATION_DOCUMENT":
        return None
    times = {slot.get("TIME_SLOT_ID"): seconds(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")}
    tiers = [tier for tier in root.iter("TIER") if tier.find("ANNOTATION/ALIGNABLE_ANNOTATION") is not None]
    named = [tier for tier in tiers if tier.get("TIER_ID", "").lower().partition("@")[0] in _TIERS]
    chosen = named or [tier for tier in tiers if not tier.get("PARENT_REF")]
    people = {tier.get("PARTICIPANT", "") or tier.get("TIER_ID", "") for tier in chosen}
    cues = []
    for tier in chosen:
        speaker = tier.get("PARTICIPANT", "") or (tier.get("TIER_ID", "") if len(people) > 1 else "")
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            start, end = times.get(one.get("TIME_SLOT_REF1")), times.get(one.get("TIME_SLOT_REF2"))
            text = " ".join((one.findtext("ANNOTATION_VALUE") or "").split())
            if start is not None and end is not None:
                cues.append(Cue(text, start / 1000, end / 1000, speaker))
    return _spoken(cues)


_CLOCK = re.compile(r"(\d{1,4}):(\d\d):(\d\d)(?:(\.\d+)|:(\d\d\d?))?")
_OFFSET = re.compile(r"(\d+(?:\.\d+)?)(h|m|s|ms|f|t)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def ttml(content: str) -> Cues:
    """Read W3C TTML (and its profiles DFXP and IMSC): paragraphs of the body with begin and end, or begin and
    dur."""
    root = _root(content)
    if root is None or _plain_name(root.tag) != "tt":
        return None
    facts = {_plain_name(name): value for name, value in root.attrib.items()}
    rates = {"f": seconds(facts.get("frameRate", "")) or 30.0, "t": seconds(facts.get("tickRate", "")) or 0.0}
    cues: list[Cue] = []

    def visit(element: ElementTree.Element, begin: float, end: float) -> None:
        first = _ttml_time(element.get("begin"), rates)
        last, length = _ttml_time(element.get("end"), rates), _ttml_time(element.get("dur"), rates)
        start = begin + (first or 0.0)
        stops = [
            end,
            *([begin + last] if last is not None else []),
            *([start + length] if length is not None else []),
        ]
        if _plain_name(element.tag) == "p":
            lines = "".join(
                "\n" if _plain_name(one.tag) == "br" else _ttml_text(one) for one in _flat(element)
            )
            cues.append(Cue(" ".join(lines.split()), start, min(stops)))
            return
        for child in element:
            if _plain_name(child.tag) in ("body", "div", "p"):
                visit(child, start, min(stops))

    visit(root, 0.0, math.inf)
    return _spoken(cues)


def _ttml_time(text: str | None, rates: dict[str, float]) -> float | None:
    """Convert a time expression of TTML (W3C TTML2, 12.3.1) to seconds; None for none, or one that is
    wrong."""
    text = (text or "").strip()
    if found := _CLOCK.fullmatch(text):
        hours, minutes, whole, share, frames = found.groups()
        part = float(share) if share else int(frames or 0) / rates["f"]
        return int(hours) * 3600 + int(minutes) * 60 + int(whole) + part
    if found := _OFFSET.fullmatch(text):
        unit = found[2]
        per_second = rates.get(unit)
        if unit in _UNITS:
            return float(found[1]) * _UNITS[unit]
        return float(found[1]) / per_second if per_second else None
    return None


def _flat(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Yield an element and its descendants, without metadata."""
    yield element
    for child in element:
        if _plain_name(child.tag) != "metadata":
            yield from _flat(child)
            if child.tail:
                after = ElementTree.Element("tail")
                after.text = child.tail
                yield after


def _ttml_text(element: ElementTree.Element) -> str:
    return element.text or ""


_SUBVIEWER = re.compile(r"(?m)^\s*(\d+:\d\d:\d\d\.\d{1,3})\s*,\s*(\d+:\d\d:\d\d\.\d{1,3})\s*$")


def subviewer(content: str) -> Cues:
    """Read SubViewer's sub: a head in brackets, then blocks of a line start,end and a line of text."""
    found = _SUBVIEWER.search(content)
    if found is None:
        return None
    body = re.sub(r"(?m)^\s*\[(?:COLF|SUBTITLE|STYLE)\].*$", "", content[found.start() :])
    return youtube_sbv("\n\n".join(block.strip() for block in re.split(r"\n\s*\n", body) if block.strip()))


LABELS: dict[str, Callable[[str], Cues]] = {
    ".textgrid": praat_textgrid,
    ".json": whisper_json,
    ".tsv": whisper_table,
    ".sbv": youtube_sbv,
    ".lrc": lyrics,
    ".smi": sami,
    ".ctm": nist_ctm,
    ".stm": nist_stm,
    ".eaf": elan,
    ".ttml": ttml,
    ".dfxp": ttml,
}
"""Reader by the suffix of a label file beside a recording of the same name."""


def _spoken(cues: Iterable[Cue]) -> Cues:
    """Return cues with a text and credible times, in order; None where there is none.

    One that ends where it begins, or before, is among them: who uses them says that it is left out.
    """
    good = [
        cue
        for cue in cues
        if cue.text
        and 0.0 <= (cue.start_seconds or 0.0) <= MAX_LABEL_SECONDS
        and 0.0 <= (cue.end_seconds or 0.0) <= MAX_LABEL_SECONDS
    ]
    return tuple(sorted(good, key=lambda cue: (cue.start_seconds or 0.0, cue.end_seconds or 0.0))) or None


def seconds(text: str) -> float | None:
    """Parse a time in seconds, 0 or more; None for anything else. A comma may be the decimal point."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def clock_seconds(text: str) -> float | None:
    """Parse a time in seconds, or as minutes:seconds or hours:minutes:seconds; None for anything else."""
    parts = text.strip().split(":")
    last = seconds(parts[-1])
    if last is None or len(parts) > 3 or not all(part.strip().isdecimal() for part in parts[:-1]):
        return None
    if len(parts) > 1 and last >= 60:
        return None
    whole = 0
    for part in parts[:-1]:
        whole = 60 * (whole + int(part))
    return whole + last
