"""A long recording and its script, line by line → which line is spoken where.

The formant voice reads the script; its speech and the recording's, both without their silences, are warped onto each
other in windows of some minutes, each beginning where the one before was sure. That says about where each line
ends; the border itself is put into a silence near there. Lines between which nobody pauses stay together, and a
line to which nothing was spoken is named. Whether a clip really says its line is for `match` to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dimts.audio.wave import Wave, join
from dimts.base.errors import DataError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import resolve
from dimts.data.segment import FORMANT, Piece, SegmentSettings, bordered, cut
from dimts.data.text_match import HOP_SECONDS, RATE, Features, Matcher, Words, base_features, normalised
from dimts.data.vad import SpeechActivity

_COARSE = 3
"""Frames of `match` that make one of these: 60 ms."""
_CONTEXT = 2
FRAME_SECONDS = _COARSE * HOP_SECONDS
WINDOW_SECONDS = 120.0
"""Of script read in one window."""
_SURE_SHARE = 0.7
"""Of a window, that is taken; what lies behind is warped again in the next one."""
_ROOM = 1.6
"""Speech heard for a window, against the script's own length: people read slower than the formant voice."""
_INTRO_SECONDS = 60.0
"""Unscripted speech that may come before the first line."""
_SLACK_SECONDS = 15.0
"""Unscripted speech that may come later on."""
_ENOUGH_SHARE = 0.85
"""Of the script's own length at the reader's pace, that must be left of a recording which holds all of it."""
_STAND_COST = 0.2
"""Of standing still in one while the other goes on, for each frame: keeps warps from collapsing."""
_WIDEST, _NARROW = (0.5, 2.0), (0.8, 1.25)
"""How slow and how fast a reader may be against the formant voice; and against how they have read so far."""
_SKIP_COST = 0.5
"""Of each frame of the recording that comes before the script."""
_REACH_SECONDS = 1.2
"""How far from where the warp says a border may be put."""
_APART_COST = 4.0
"""Of a border a second away from where the warp says."""
_PAUSE_GAIN = 3.0
"""Of a border in a silence of a second; more is not gained."""
_KEPT_SECONDS = 300.0
"""Of speech around where the warp says, in which the end of a line is looked for."""
_TOGETHER_COST = 3.0
"""Of leaving two lines together."""

Costs = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the script."""

    text: str
    words: Words
    """Phones; empty: it cannot be read aloud."""
    speaker: str = ""


class Aligner(Protocol):
    """What a plug-in of the group `dimts.aligner` makes, called without arguments; e.g. one with a CTC phone model."""

    def place(self, heard: Wave, lines: Sequence[Words], *, first: bool, last: bool) -> Sequence[float]:
        """[lines + 1] seconds of `heard` (16 kHz, its silences taken out): where line 0 begins, where each line ends.

        In the `first` window unscripted speech may come before line 0; unless it is the `last`, more lines follow.
        """
        ...


ALIGNERS: dict[str, Any] = {}
"""Aligners by name, besides "formant", which is this module."""


@cache
def find_aligner(name: str) -> Aligner | None:
    """None for "formant". ConfigError for an unknown name."""
    if name == FORMANT:
        return None
    made: Aligner = resolve(name, {FORMANT: None, **ALIGNERS}, "dimts.aligner")()
    return made


_SENTENCE_END = re.compile(r"(?<=[።፧?!፨])\s*(?=\S)|(?<=[.…]) +(?=\S)")
_CLAUSE_END = re.compile(r"(?<=[፣፤፥፦,;:])\s+(?=\S)")
MAX_LETTERS = 90
"""A longer sentence is cut at its commas: about as much as is read in ten seconds."""


def sentences(text: str) -> list[str]:
    """A text in sentences; long ones in their clauses, taken together as far as they stay short."""
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
    """Lines → pieces of the recording, in order; lines without speech are pieces of no length, with a doubt."""
    spoken = [line for line in lines if line.words]
    if not activity.speech:
        return [_unspoken(line, 0.0) for line in lines]
    ends = _ends(path, activity, spoken, matcher, find_aligner(settings.aligner)) if spoken else []
    borders = _into_silences(activity, ends)
    pieces: list[Piece] = []
    held: list[Line] = []
    first = borders[0] if borders and borders[0] is not None else 0
    for line, border in zip(spoken, borders[1:], strict=True):
        held.append(line)
        if border is None:
            continue
        if border > first:
            text, speakers = " ".join(one.text for one in held), {one.speaker for one in held}
            pieces.append(
                bordered(activity, first, border, text, settings, speakers.pop() if len(speakers) == 1 else "")
            )
        else:
            at = activity.speech[min(first, len(activity.speech) - 1)][0]
            pieces += [_unspoken(one, at) for one in held]
        first, held = border, []
    at = activity.speech[-1][1] if activity.speech else 0.0
    pieces += [_unspoken(one, at) for one in held]
    for line in lines:
        if not line.words:
            pieces.append(Piece(0.0, 0.0, line.text, line.speaker, None, ()))
    return sorted(pieces, key=lambda piece: piece.start_seconds)


def _unspoken(line: Line, at: float) -> Piece:
    doubt = Issue("line_without_speech", Message("data.line_without_speech", at=at))
    return Piece(at, at, line.text, line.speaker, None, (doubt,))


# --- where the lines end, about -------------------------------------------------------------------


def _ends(
    path: Path, activity: SpeechActivity, lines: Sequence[Line], matcher: Matcher, aligner: Aligner | None
) -> list[float]:
    """Where the first line begins and where each ends, in seconds of speech (the silences taken out)."""
    starts = np.array([start for start, _ in activity.speech])
    lengths = np.array([end - start for start, end in activity.speech])
    before = np.concatenate([[0.0], np.cumsum(lengths)])  # speech before each span
    total = float(before[-1])
    window: list[Piece] = []

    def windows() -> Iterator[Piece]:
        while window:
            yield window[-1]

    ends: list[float] = []
    done, at, heard_so_far, said_so_far, pace = 0, 0.0, 0.0, 0.0, 1.0
    paces = _WIDEST
    window.append(Piece(0.0, 0.0, None))
    waves = cut(path, windows(), RATE)
    while done < len(lines) and total - at > FRAME_SECONDS * 4:
        said: list[Features] = []
        while done + len(said) < len(lines) and sum(map(len, said)) * HOP_SECONDS < WINDOW_SECONDS:
            said.append(matcher.said(lines[done + len(said)].words))
        borders = np.cumsum([len(frames) * HOP_SECONDS for frames in said])
        last = done + len(said) == len(lines)
        room = min(total, at + _ROOM * float(borders[-1]) + (_SLACK_SECONDS if ends else _INTRO_SECONDS))
        first_span, last_span = (int(np.searchsorted(before, t, side="right")) - 1 for t in (at, room - 1e-6))
        begin, finish = starts[first_span] + (at - before[first_span]), starts[last_span] + (room - before[last_span])
        window[-1] = Piece(float(begin), float(finish), None)
        heard = _speech_only(next(waves), activity, float(begin))
        whole = last and room - at < _SLACK_SECONDS
        # far less speech than the script needs: it ended before the script
        ended = room == total and heard.seconds < _ENOUGH_SHARE * float(borders[-1]) * pace
        if aligner is None:
            path_rows = warp(
                _coarse(base_features(heard)),
                _coarse(normalised(np.concatenate(said))),
                paces,
                free_start=not ends,
                whole=whole or ended,
                ended=ended,
            )
            columns = np.minimum((borders / FRAME_SECONDS).astype(int), len(path_rows) - 1)
            placed = np.concatenate([path_rows[:1], path_rows[columns]]) * FRAME_SECONDS
        else:
            words = [line.words for line in lines[done : done + len(said)]]
            placed = _placed(aligner.place(heard, words, first=not ends, last=last), len(said), heard.seconds)
        found = at + placed[1:]
        if not ends:
            ends.append(at + float(placed[0]))
        sure = len(said) if last else max(1, int(np.searchsorted(borders, _SURE_SHARE * borders[-1])))
        ends += [float(one) for one in found[:sure]]
        read, written = float(found[sure - 1] - ends[-sure - 1]), float(borders[sure - 1])
        heard_so_far, said_so_far = heard_so_far + read, said_so_far + written
        pace = max(heard_so_far, FRAME_SECONDS) / said_so_far
        paces = (_NARROW[0] * pace, _NARROW[1] * pace)
        done, at = done + sure, float(found[sure - 1])
    ends = ends or [0.0]
    ends += [total] * (len(lines) + 1 - len(ends))  # the recording ended before the script
    return ends


def _placed(times: Sequence[float], lines: int, seconds: float) -> npt.NDArray[np.float64]:
    """What an aligner answered, held to its contract. DataError if it broke it."""
    placed = np.asarray(times, np.float64)
    if placed.shape != (lines + 1,) or not np.isfinite(placed).all() or (np.diff(placed) < 0).any():
        raise DataError("data.bad_alignment_times", shape=placed.shape, lines=lines)
    return np.clip(placed, 0.0, seconds)


def _speech_only(wave: Wave, activity: SpeechActivity, begin: float) -> Wave:
    """The speech of a window that begins at `begin` seconds, without its silences."""
    parts = [wave.cut(a - begin, b - begin) for a, b in activity.spoken(begin, begin + wave.seconds)]
    return join(parts) if parts else wave


def _coarse(base: Features) -> Features:
    """[F, …] frames of 60 ms with their neighbours, of unit length."""
    count = max(1, len(base) // _COARSE)
    base = np.resize(base, (count * _COARSE, base.shape[1])) if len(base) < _COARSE else base[: count * _COARSE]
    frames = base.reshape(count, _COARSE, -1).mean(axis=1)
    index = np.arange(count)
    around = np.concatenate(
        [frames[np.clip(index + shift, 0, count - 1)] for shift in range(-_CONTEXT, _CONTEXT + 1)], axis=1
    )
    unit: Features = around / (np.linalg.norm(around, axis=1, keepdims=True) + 1e-9)
    return unit


def warp(
    heard: Features,
    said: Features,
    paces: tuple[float, float],
    *,
    free_start: bool,
    whole: bool,
    ended: bool = False,
) -> npt.NDArray[np.int64]:
    """[M] the frame of `heard` [N, D] at which each frame of `said` [M, D] is over, along the best warp.

    The path stays between two `paces` (frames heard for each frame said), give or take _SLACK_SECONDS. With
    `free_start` it may begin in the first minute of `heard`; unless `whole`, it may end anywhere. If `heard` `ended`
    before `said` did, what is left of `said` is over at its end. Dynamic time warping by diagonals of the cost matrix,
    its steps kept in a byte each.
    """
    distance: Costs = (1.0 - heard @ said.T).astype(np.float32).ravel()  # [N * M]
    rows, columns = len(heard), len(said)
    apart = max(columns - 1, 1)  # of neighbours on a diagonal, in `distance`
    lows, highs = _band(rows, columns, paces, free_start=free_start, whole=whole)
    steps = np.zeros((rows + columns - 1, rows), np.uint8)
    # row n stands at n + 1; what lies beside the band of a diagonal is never reached
    before, last, new = np.full((3, rows + 2), np.inf, np.float32)
    ends: Costs = np.full(rows, np.inf, np.float32)
    stops: Costs = np.full(columns, np.inf, np.float32)  # of the whole of `heard`, by how much of `said` is over
    intro = min(rows, round(_INTRO_SECONDS / FRAME_SECONDS)) if free_start else 1
    for number, (low, high) in enumerate(zip(lows, highs, strict=True)):
        if low < high:
            corner = number + low * (columns - 1)
            cost = distance[corner : corner + (high - low - 1) * apart + 1 : apart]
            down, across = last[low:high], last[low + 1 : high + 1]
            straight = before[low:high] + 2 * cost
            if number < intro and high == number + 1:
                straight[-1] = cost[-1] + _SKIP_COST * number  # a beginning: column 0
            bent = np.minimum(down, across) + cost + np.float32(_STAND_COST)
            np.minimum(straight, bent, out=new[low + 1 : high + 1])
            np.multiply(1 + (across < down), bent < straight, out=steps[number, low:high], casting="unsafe")
        new[low] = new[high + 1] = np.inf
        if low == number - columns + 1 < high:
            ends[low] = new[low + 1] / (low + columns)
        if low < high == rows:
            stops[number - rows + 1] = new[rows] / (number + 1)
        before, last, new = last, new, before
    row = rows - 1 if whole else int(np.argmin(ends))
    said_to = int(np.argmin(stops)) + 1 if ended else columns
    over = _walked_back(steps, row, said_to, free_start)
    return np.concatenate([over, np.full(columns - said_to, row, np.int64)])


def _band(
    rows: int, columns: int, paces: tuple[float, float], *, free_start: bool, whole: bool
) -> tuple[list[int], list[int]]:
    """For each diagonal n + m of the cost matrix, its first row within reach and the one behind its last."""
    number = np.arange(rows + columns - 1)
    low, high = np.maximum(0, number - columns + 1), np.minimum(rows, number + 1)
    if not whole:
        slack = (_INTRO_SECONDS if free_start else _SLACK_SECONDS) / FRAME_SECONDS
        # n - m * pace stays under the slack, and over minus the slack
        high = np.minimum(high, np.floor((slack + number * paces[1]) / (1 + paces[1])).astype(int) + 1)
        if rows >= columns * paces[0]:  # the recording does not end before the script
            slack = _SLACK_SECONDS / FRAME_SECONDS
            low = np.maximum(low, np.ceil((number * paces[0] - slack) / (1 + paces[0])).astype(int))
    return np.minimum(low, rows).tolist(), high.tolist()


def _walked_back(steps: npt.NDArray[np.uint8], row: int, columns: int, free_start: bool) -> npt.NDArray[np.int64]:
    over = np.zeros(columns, np.int64)
    column = columns - 1
    over[column] = row
    while column > 0 or (row > 0 and not free_start):
        step = steps[row + column, row]
        if step == 0:
            if column == 0:  # the beginning
                break
            row, column = row - 1, column - 1
            over[column] = row
        elif step == 1:
            row -= 1
        else:
            column -= 1
            over[column] = row
    return over


# --- into the silences ----------------------------------------------------------------------------


def _into_silences(activity: SpeechActivity, ends: Sequence[float]) -> list[int | None]:
    """For the beginning and the end of each line: the first speech span behind it; None where lines stay together.

    Chosen together by dynamic programming: near to where the warp says, in long silences, in order.
    """
    if not ends:
        return []
    lengths = np.array([end - start for start, end in activity.speech])
    before = np.concatenate([[0.0], np.cumsum(lengths)])  # [G] speech before gap g; gap g lies before span g
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
        # a line's end is never minutes away from where the warp says: what lies beyond is not kept
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
