"""Find the lines of a script in a long recording by forced alignment against formant speech.

The formant voice reads the script; cepstra of its speech and of the recording's, both without their silences,
are compared in windows of some minutes, each beginning where the one before was sure. A Viterbi search places
every line that was read, in order; speech that no line matches (an introduction, music, a line read twice)
costs nothing, and a line that nothing matches stays unplaced. How slowly the reader reads is estimated from
the recording. A border is then moved into a silence near by; lines between which nobody pauses stay together.
Whether a clip really says its line is for `text_match` to judge.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dimts.audio.alignment import cosine_distance, mean_cost, place_lines
from dimts.audio.wave import Wave, join
from dimts.base.errors import DataError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import resolve
from dimts.data.omnilingual import FETCHED, CtcAligner
from dimts.data.recogniser_weights import find_weights
from dimts.data.segment import FORMANT, Piece, SegmentSettings, bordered, cut
from dimts.data.text_match import HOP_SECONDS, RATE, Features, Matcher, Words, base_features, normalised
from dimts.data.vad import SpeechActivity

_COARSE = 3
"""Frames of `text_match` per frame: 60 ms."""
_CONTEXT = 2
FRAME_SECONDS = _COARSE * HOP_SECONDS
WINDOW_SECONDS = 120.0
"""Seconds of script placed in one window."""
_SURE_SHARE = 0.7
"""Share of a window whose placements are accepted; the rest is placed again in the next window."""
_ROOM = 1.6
"""Seconds of speech in a window per second of formant speech of its script."""
_INTRO_SECONDS = 60.0
"""Longest unscripted speech before the first line."""
_SLACK_SECONDS = 15.0
"""Longest unscripted speech in a later window."""
_MAX_SEARCH_SECONDS = 900.0
"""Seconds of speech in which the lines of a window are searched before they count as not read."""
_PACES = (0.55, 0.65, 0.75, 0.87, 1.0, 1.18, 1.4, 1.65)
"""Paces that are tried before the reader's is known: seconds per second of formant speech."""
_OWN_PACE_COST = 0.05
"""Share of the best cost that a placement at the reader's own pace may be worse; costs are negative."""
_STEP_COST = 0.1
"""Cost of each frame at which the reader is slower or faster than the pace."""
_MARGIN = 0.05
"""Share by which a line must match better than other texts."""
_LENIENCY = 0.15
"""Share by which a line may match worse where its neighbours leave just as much speech as it needs."""
_PART_LENIENCY = 0.05
"""The same share where they leave more speech than it needs, or speech for several lines."""
_MIN_LEFT_FRAMES = 12
"""Least frames of speech in which lines are searched again: three quarters of a second."""
_MAX_TRIED_LINES = 6
"""Most lines that are tried in runs."""
_AS_MUCH = (0.7, 1.4)
"""Range of the speech left for a line, as a share of its length at the reader's pace."""
_DECOY_FRAMES = 1000
"""Frames of the recording that are compared with other texts, to estimate how well any text matches it."""
_MIN_OTHER_SECONDS = 0.6
"""Shorter unscripted speech between two lines belongs to them."""
_REACH_SECONDS = 1.2
"""Largest distance of a border from its place in the search, in seconds."""
_APART_COST = 4.0
"""Cost of a border per second of distance from its place in the search."""
_PAUSE_GAIN = 3.0
"""Gain of a border in a silence of a second or more."""
_KEPT_SECONDS = 300.0
"""Seconds of speech around its place in the search in which the end of a line is considered."""
_TOGETHER_COST = 3.0
"""Cost of not separating two lines."""


Place = tuple[float, float] | None
"""Where a line is spoken, in seconds of speech (the silences taken out); None where it was not found."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the script."""

    text: str
    words: Words
    """Phones of each word; empty: it cannot be read aloud."""
    speaker: str = ""


class Aligner(Protocol):
    """Protocol of plug-ins of the group `dimts.aligner`, called without arguments; e.g. one with a CTC phone
    model."""

    def place(self, speech: Wave, lines: Sequence[Words], *, first: bool, last: bool) -> Sequence[float]:
        """[lines + 1] seconds of `speech` (16 kHz, its silences taken out): where line 0 begins, where each
        line ends.

        In the `first` window unscripted speech may come before line 0; unless it is the `last`, more lines
        follow.
        """
        ...


class SpanAligner(Protocol):
    """An aligner that also says what is not in the script: it has `spans` in place of `place`."""

    def spans(self, speech: Wave, lines: Sequence[Words], *, first: bool, last: bool) -> Sequence[Place]:
        """Where each line is spoken, in seconds of `speech` and in order; None: it is not."""
        ...


def _omnilingual(folder: str = FETCHED) -> SpanAligner:
    return CtcAligner(find_weights(folder))


ALIGNERS: dict[str, Any] = {"omnilingual": _omnilingual}
"""Aligners by name, besides "formant", which is this module."""


@cache
def find_aligner(name: str) -> Aligner | SpanAligner | None:
    """Load an aligner; None for "formant". Behind a colon stands the argument of an aligner.

    ConfigError for an unknown name, DataError where its weights are not here.
    """
    name, _, argument = name.partition(":")
    if name == FORMANT:
        return None
    factory = resolve(name, {FORMANT: None, **ALIGNERS}, "dimts.aligner")
    made: Aligner | SpanAligner = factory(argument) if argument else factory()
    return made


_SENTENCE_END = re.compile(r"(?<=[።፧?!፨])\s*(?=\S)|(?<=[.…]) +(?=\S)")
_CLAUSE_END = re.compile(r"(?<=[፣፤፥፦,;:])\s+(?=\S)")
MAX_LETTERS = 90
"""Letters above which a sentence is cut at its commas: about ten seconds of reading."""


def sentences(text: str) -> list[str]:
    """Split a text into sentences; long ones into clauses, joined as long as they stay short."""
    out: list[str] = []
    for sentence in filter(str.strip, _SENTENCE_END.split(text)):
        held = ""
        for clause in _CLAUSE_END.split(sentence) if len(sentence) > MAX_LETTERS else [sentence]:
            if held and len(held) + len(clause) > MAX_LETTERS:
                out.append(held)
                held = ""
            held = f"{held} {clause}".strip()
        out.append(held)
    return out


def align(
    path: Path, activity: SpeechActivity, lines: Sequence[Line], matcher: Matcher, settings: SegmentSettings
) -> list[Piece]:
    """Cut a recording by the lines of its script, in order; lines without speech are pieces of no length,
    with an issue."""
    spoken = [line for line in lines if line.words]
    if not activity.speech:
        return [_unspoken(line, 0.0) for line in lines]
    places = (
        _Placement(path, activity, spoken, matcher, find_aligner(settings.aligner)).places() if spoken else []
    )
    pieces = _pieces(activity, spoken, places, settings)
    pieces += [Piece(0.0, 0.0, line.text, line.speaker, None, ()) for line in lines if not line.words]
    return sorted(pieces, key=lambda piece: piece.start_seconds)


def _pieces(
    activity: SpeechActivity, lines: Sequence[Line], places: Sequence[Place], settings: SegmentSettings
) -> list[Piece]:
    """Convert placed lines to pieces between silences; unscripted speech between them is left out."""
    pieces: list[Piece] = []
    ends: list[float] = []
    members: list[Line | None] = []  # None: speech that is not in the script
    for line, place in zip(lines, places, strict=True):
        if place is None:
            pieces.append(_unspoken(line, _recording_time(activity, ends[-1] if ends else 0.0)))
            continue
        if not ends:
            ends.append(place[0])
        elif place[0] - ends[-1] > _MIN_OTHER_SECONDS:
            ends.append(place[0])
            members.append(None)
        ends.append(place[1])
        members.append(line)
    total = sum(end - start for start, end in activity.speech)
    if ends and total - ends[-1] > _MIN_OTHER_SECONDS:
        ends.append(total)
        members.append(None)
    borders = _into_silences(activity, ends)
    first = borders[0] if borders and borders[0] is not None else 0
    held: list[Line] = []
    for member, border in zip(members, borders[1:], strict=True):
        held += [member] if member else []
        if border is None:
            continue
        if border > first and held:
            text, speakers = " ".join(one.text for one in held), {one.speaker for one in held}
            speaker = speakers.pop() if len(speakers) == 1 else ""
            pieces.append(bordered(activity, first, border, text, settings, speaker))
        else:
            at = activity.speech[min(first, len(activity.speech) - 1)][0]
            pieces += [_unspoken(one, at) for one in held]
        first, held = border, []
    return pieces + [_unspoken(one, activity.speech[-1][1]) for one in held]


def _unspoken(line: Line, at: float) -> Piece:
    issue = Issue("line_without_speech", Message("data.line_without_speech", at=at))
    return Piece(at, at, line.text, line.speaker, None, (issue,))


def _recording_time(activity: SpeechActivity, spoken_seconds: float) -> float:
    """Convert seconds of speech to the time in the recording."""
    for start, end in activity.speech:
        if spoken_seconds <= end - start:
            return start + spoken_seconds
        spoken_seconds -= end - start
    return activity.speech[-1][1]


# --- where the lines are, about -------------------------------------------------------------------


class _Placement:
    """Placement of a script's lines in one recording, window by window."""

    def __init__(
        self,
        path: Path,
        activity: SpeechActivity,
        lines: Sequence[Line],
        matcher: Matcher,
        aligner: Aligner | SpanAligner | None,
    ) -> None:
        self._path, self._activity, self._matcher, self._aligner = path, activity, matcher, aligner
        self._lines = lines
        self._starts = np.array([start for start, _ in activity.speech])
        lengths = np.array([end - start for start, end in activity.speech])
        self._before = np.concatenate([[0.0], np.cumsum(lengths)])  # speech before each span
        self._total = float(self._before[-1])
        self._heard_seconds = self._script_seconds = 0.0
        """Seconds of placed lines in the recording, and in formant speech."""
        self._windows: list[Piece] = []
        self._waves: Iterator[Wave] | None = None

    def places(self) -> list[Place]:
        """Return the position of each line."""
        places: list[Place] = []
        at = passed = 0.0  # where the window begins; speech passed over since the last line that was found
        while len(places) < len(self._lines) and self._total - at > 4 * FRAME_SECONDS:
            script = self._script(len(places))
            borders = np.cumsum([len(frames) * HOP_SECONDS for frames in script])
            last = len(places) + len(script) == len(self._lines)
            first = not any(places)
            slack = _INTRO_SECONDS if first else _SLACK_SECONDS
            end = min(self._total, at + _ROOM * float(borders[-1]) + slack)
            found = self._window(at, end, script, len(places), first=first, last=last)
            sure = len(script) if last else max(1, int(np.searchsorted(borders, _SURE_SHARE * borders[-1])))
            hits = [number for number, place in enumerate(found) if place is not None]
            if end < self._total:
                if not hits and passed < _MAX_SEARCH_SECONDS:
                    passed += (end - at) / 2
                    at += (end - at) / 2
                    continue
                if hits and last:
                    sure = hits[-1] + 1  # what follows may be spoken later
                elif hits and hits[0] >= sure:
                    sure = hits[0]
            if not hits:
                at, passed = at - passed, 0.0
            for place, frames in zip(found[:sure], script, strict=False):
                places.append(place)
                if place is not None:
                    at, passed = place[1], 0.0
                    self._heard_seconds += place[1] - place[0]
                    self._script_seconds += len(frames) * HOP_SECONDS
        return places + [None] * (len(self._lines) - len(places))

    def _script(self, first: int) -> list[Features]:
        """Return cepstra of the lines from `first` on, for one window."""
        script: list[Features] = []
        while first + len(script) < len(self._lines) and sum(map(len, script)) * HOP_SECONDS < WINDOW_SECONDS:
            script.append(self._matcher.reference_features(self._lines[first + len(script)].words))
        return script

    def _window(
        self, at: float, end: float, script: list[Features], number: int, *, first: bool, last: bool
    ) -> list[Place]:
        """Place the lines of a window, in seconds of speech. DataError from an aligner that breaks its
        contract."""
        spans = [int(np.searchsorted(self._before, t, side="right")) - 1 for t in (at, end - 1e-6)]
        begin, finish = (
            self._starts[span] + t - self._before[span] for span, t in zip(spans, (at, end), strict=True)
        )
        speech = _speech_only(self._read(float(begin), float(finish)), self._activity, float(begin))
        if self._aligner is not None:
            words = [line.words for line in self._lines[number : number + len(script)]]
            if hasattr(self._aligner, "spans"):
                spans_there = _spans(
                    self._aligner.spans(speech, words, first=first, last=last), len(script), speech.seconds
                )
                return [span and (at + span[0], at + span[1]) for span in spans_there]
            times = _placed(
                self._aligner.place(speech, words, first=first, last=last), len(script), speech.seconds
            )
            pairs = itertools.pairwise(times.tolist())
            return [(at + a, at + b) if b - a > FRAME_SECONDS else None for a, b in pairs]
        frames = coarse(base_features(speech))
        known = self._script_seconds > _INTRO_SECONDS / 4
        paces = (self._heard_seconds / self._script_seconds,) if known else _PACES
        tried = [_placed_at(frames, script, pace, self._matcher) for pace in paces]
        best = min(range(len(tried)), key=lambda one: tried[one][0])
        cost, spans_found = tried[best]
        if not known:  # the paces are far apart: again at the one that the lines found have themselves
            own = _placed_at(frames, script, _own_pace(spans_found, script, paces[best]), self._matcher)
            spans_found = own[1] if own[0] <= (1.0 - _OWN_PACE_COST) * cost else spans_found
        return [span and (at + span[0] * FRAME_SECONDS, at + span[1] * FRAME_SECONDS) for span in spans_found]

    def _read(self, begin: float, finish: float) -> Wave:
        """Read a stretch of the recording; going back opens the file anew."""
        if self._waves is None or (self._windows and begin < self._windows[-1].start_seconds):
            self._windows = []

            def windows(asked: list[Piece]) -> Iterator[Piece]:
                while asked:
                    yield asked[-1]

            self._waves = cut(self._path, windows(self._windows), RATE)
        self._windows.append(Piece(begin, finish, None))
        return next(self._waves)


def _own_pace(spans: Sequence[tuple[int, int] | None], script: Sequence[Features], pace: float) -> float:
    """Return the reader's pace by the lines that were found at `pace`: the median over them."""
    found = [
        (span[1] - span[0]) * _COARSE / len(frames)
        for span, frames in zip(spans, script, strict=True)
        if span is not None and len(frames)
    ]
    return float(np.median(found)) if found else pace


def _placed_at(
    speech: Features, script: Sequence[Features], pace: float, matcher: Matcher
) -> tuple[float, list[tuple[int, int] | None]]:
    """Return the cost of the best placement at a pace, and the frames of each line (None: not found)."""
    stretched = [at_pace(frames, pace) for frames in script]
    reference = coarse(normalised(np.concatenate(stretched)))
    borders = np.minimum(np.cumsum([0, *map(len, stretched)]) // _COARSE, len(reference))
    borders[-1] = len(reference)
    sample = speech[:_DECOY_FRAMES]
    decoys = at_pace(matcher.other_speech(math.ceil(len(sample) * _COARSE / pace)), pace)
    level = mean_cost(cosine_distance(sample, coarse(normalised(decoys))), _STEP_COST)
    costs = cosine_distance(speech, reference) - np.float32((1.0 - _MARGIN) * level)
    cost, spans = place_lines(costs, borders, _STEP_COST)
    _fill(spans, costs, level, borders)
    return cost, spans


def _fill(
    spans: list[tuple[int, int] | None], costs: Features, level: float, borders: npt.NDArray[np.int64]
) -> None:
    """Place lines that were not found in the speech between their found neighbours, where it is of their
    length.

    Lines of which all are of that length may match worse than other texts; a part of them, beside lines that
    were not read or speech that is not in the script, by less.
    """
    found = [number for number, span in enumerate(spans) if span is not None]
    for before, after in itertools.pairwise([-1, *found]):
        first = before + 1
        start, end = spans[before] if before >= 0 else None, spans[after]
        if first == after or end is None or (before >= 0 and start is None):
            continue
        left = (start[1] if start else 0, end[0])
        share = (left[1] - left[0]) / int(borders[after] - borders[first])
        if _AS_MUCH[0] <= share <= _AS_MUCH[1]:
            inner = _within(costs - np.float32(_LENIENCY * level), left, borders, first, after)
        elif left[1] - left[0] >= _MIN_LEFT_FRAMES:
            inner = _part_within(costs - np.float32(_PART_LENIENCY * level), left, borders, first, after)
        else:
            continue
        for number, span in inner.items():
            spans[number] = span


_Spans = dict[int, tuple[int, int]]
"""Frames of placed lines, by number."""


def _within(
    costs: Features, left: tuple[int, int], borders: npt.NDArray[np.int64], first: int, last: int
) -> _Spans:
    """Place lines [first, last) in the frames that are left; none of them where one is not found."""
    columns = slice(int(borders[first]), int(borders[last]))
    _, inner = place_lines(
        costs[slice(*left), columns], borders[first : last + 1] - columns.start, _STEP_COST
    )
    placed = {
        first + number: (span[0] + left[0], span[1] + left[0]) for number, span in enumerate(inner) if span
    }
    return placed if len(placed) == len(inner) else {}


def _part_within(
    costs: Features, left: tuple[int, int], borders: npt.NDArray[np.int64], first: int, last: int
) -> _Spans:
    """Find the run of the lines [first, last) that matches the frames that are left best, each at its own
    length."""
    best: tuple[float, _Spans] = (0.0, {})
    for begin in range(first, min(last, first + _MAX_TRIED_LINES)):
        for end in range(begin + 1, min(last, first + _MAX_TRIED_LINES) + 1):
            if (left[1] - left[0]) < _AS_MUCH[0] * int(borders[end] - borders[begin]):
                break
            placed = _within(costs, left, borders, begin, end)
            shares = [(b - a) / int(borders[one + 1] - borders[one]) for one, (a, b) in placed.items()]
            if not placed or not all(_AS_MUCH[0] <= share <= _AS_MUCH[1] for share in shares):
                continue
            columns = slice(int(borders[begin]), int(borders[end]))
            cost, _ = place_lines(
                costs[slice(*left), columns], borders[begin : end + 1] - columns.start, _STEP_COST
            )
            best = min(best, (cost, placed), key=lambda one: one[0])
    return best[1]


def _placed(times: Sequence[float], lines: int, seconds: float) -> npt.NDArray[np.float64]:
    """Check an aligner's answer against its contract. DataError if it broke it."""
    placed = np.asarray(times, np.float64)
    if placed.shape != (lines + 1,) or not np.isfinite(placed).all() or (np.diff(placed) < 0).any():
        raise DataError("data.bad_alignment_times", shape=placed.shape, lines=lines)
    return np.clip(placed, 0.0, seconds)


def _spans(spans: Sequence[Place], lines: int, seconds: float) -> list[Place]:
    """What a span aligner answered, held to its contract. DataError if it broke it."""
    ends = [time for span in spans if span is not None for time in span]
    if len(spans) != lines or ends != sorted(ends) or not all(math.isfinite(time) for time in ends):
        raise DataError("data.bad_alignment_times", shape=(len(spans),), lines=lines)
    cut_off = [span and (max(0.0, span[0]), min(seconds, span[1])) for span in spans]
    return [span if span and span[1] - span[0] > FRAME_SECONDS else None for span in cut_off]


def _speech_only(wave: Wave, activity: SpeechActivity, begin: float) -> Wave:
    """Return the speech of a window that begins at `begin` seconds, without its silences."""
    parts = [wave.cut(a - begin, b - begin) for a, b in activity.spoken(begin, begin + wave.seconds)]
    return join(parts) if parts else wave


def coarse(base: Features) -> Features:
    """Group [F, …] into frames of 60 ms with their neighbours, of unit length."""
    count = max(1, len(base) // _COARSE)
    base = (
        np.resize(base, (count * _COARSE, base.shape[1])) if len(base) < _COARSE else base[: count * _COARSE]
    )
    frames = base.reshape(count, _COARSE, -1).mean(axis=1)
    index = np.arange(count)
    around = np.concatenate(
        [frames[np.clip(index + shift, 0, count - 1)] for shift in range(-_CONTEXT, _CONTEXT + 1)], axis=1
    )
    unit: Features = around / (np.linalg.norm(around, axis=1, keepdims=True) + 1e-9)
    return unit


def at_pace(frames: Features, pace: float) -> Features:
    """Resample [F, …] → [F · pace, …] by nearest frames, as for a reader who takes `pace` times as long."""
    count = max(1, round(len(frames) * pace))
    stretched: Features = frames[np.minimum((np.arange(count) / pace).astype(int), len(frames) - 1)]
    return stretched


# --- into the silences ----------------------------------------------------------------------------


def _into_silences(activity: SpeechActivity, ends: Sequence[float]) -> list[int | None]:
    """Find for the beginning and the end of each line the first speech span behind it; None where lines are
    joined.

    Chosen together by dynamic programming: near to where the search places it, in long silences, in order.
    """
    if not ends:
        return []
    lengths = np.array([end - start for start, end in activity.speech])
    before = np.concatenate([[0.0], np.cumsum(lengths)])  # [G] speech before gap g; gap g is before span g
    pauses = np.array([b[0] - a[1] for a, b in zip(activity.speech, activity.speech[1:], strict=False)])
    gains = np.concatenate([[1.0], np.minimum(pauses, 1.0), [1.0]]) * _PAUSE_GAIN
    count = len(before)
    best = np.full(count, np.inf)
    best[:] = _APART_COST * np.abs(before - ends[0]) - gains
    # for each line, from a gap on: the gap the line before ends at, and whether the two stay together
    chosen: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.bool_]]] = []
    for number, end in enumerate(ends[1:], start=1):
        order = np.minimum.accumulate(best)
        source = np.maximum.accumulate(np.where(best <= order, np.arange(count), 0))
        apart = np.abs(before - end)
        here = order + _APART_COST * apart - gains
        here[apart > _REACH_SECONDS] = np.inf
        is_last = number == len(ends) - 1
        together = best + (np.inf if is_last and np.isfinite(here).any() else _TOGETHER_COST)
        out = together <= here
        # a line's end is never minutes away from where the search places it: what is beyond is not kept
        low = min(int(np.searchsorted(before, end - _KEPT_SECONDS)), int(np.argmin(best)))
        high = int(np.searchsorted(before, end + _KEPT_SECONDS, side="right"))
        high = max(high, int(np.argmin(np.minimum(here, together))) + 1)
        chosen.append((low, np.where(out, np.arange(count), source)[low:high].copy(), out[low:high].copy()))
        best = np.minimum(here, together)
        best[:low] = best[high:] = np.inf
    at = int(np.argmin(best))
    found: list[int | None] = []
    for low, source, out in reversed(chosen):
        found.append(None if out[at - low] else at)
        at = int(source[at - low])
    found.append(at)
    found.reverse()
    if found[-1] is None and len(found) > 1:  # what is left of the recording goes to the last line
        found[-1] = count - 1
    return found
