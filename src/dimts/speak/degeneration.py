"""Detect loops, tails and cuts of a phrase while it is decoded, from codes, attention path and number of
phones.

    loop      codes repeat themselves, or attention jumps back in the text
    tail      sound goes on when the text has been read, or lasts longer than its phones can
    cut       the model stopped before the end of the text, or sooner than its phones can be spoken
    endless   it did not stop by itself

Attention is used if some head of the model follows the text (`dimts.xtts.alignment`); else codes and duration
alone.
`dimts.evaluate.faults` finds faults in the finished wave; this finds them before there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dimts.base.messages import Message
from dimts.speak.settings import PHONE_SECONDS, SPARE_SECONDS

Kind = Literal["loop", "tail", "cut", "endless"]

LONGEST_PERIOD_SECONDS = 2.0
"""Longest period of a detected loop; longer ones are found by attention and duration."""
MAX_HELD_SECONDS = 0.75
"""Longest normal run of one code: a pause, a breath."""
MIN_LOOP_SECONDS = 0.46
"""Least length of a loop beyond its first period."""
SURE_LOOP_SECONDS = 1.0
"""Length of an exact repeat that is a loop even if it occurred once."""
TEXT_END = 0.93
"""Position in the text, 0 to 1, from which on it counts as read."""
TAIL_SECONDS = 0.6
"""Longest normal sound after the last phones: a lengthened end, breath, silence."""
SLOW_TEMPO, FAST_TEMPO = 1.6, 0.45
"""Ratios of a phrase's length to the usual one of its phones that no calm reading reaches."""
MIN_TEXT_READ = 0.85
"""Position in the text, 0 to 1, before which a stop is a cut."""
JUMP_BACK = 0.3
"""Share of the text over which a jump back of attention is a loop, if it lasts `JUMP_STEPS`."""
JUMP_STEPS = 4
"""Number of codes that attention must stay back."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a phrase."""

    kind: Kind
    at: int
    """Index of the first wrong code; for a cut, the number of codes."""
    reason: Message
    """The finding, as a clause about the phrase."""


def find_faults(
    codes: Sequence[int],
    phones: int,
    rate: float,
    *,
    path: Sequence[float] | None = None,
    stopped: bool = True,
) -> list[Fault]:
    """Find faults in the codes of a phrase (STOP left out), the earliest first.

    `phones` it should have, `rate` codes a second; `path` is the position in the text, 0 to 1, at each code
    but the first; `stopped` is whether the model stopped by itself.
    """
    found = [
        fault
        for fault in (_repeats(codes, rate), _attention_jump(path, rate), _tail(codes, phones, rate, path))
        if fault
    ]
    expected = phones * PHONE_SECONDS * rate
    if stopped and path and max(path) < MIN_TEXT_READ:
        found.append(Fault("cut", len(codes), Message("speak.fault_text_unread", share=float(max(path)))))
    elif stopped and len(codes) < FAST_TEMPO * expected:
        reason = Message("speak.fault_too_short", seconds=len(codes) / rate, phones=phones)
        found.append(Fault("cut", len(codes), reason))
    if not stopped:
        found.append(Fault("endless", len(codes), Message("speak.fault_no_stop")))
    return sorted(found, key=lambda fault: fault.at)


def find_running_fault(
    codes: Sequence[int], phones: int, rate: float, path: Sequence[float] | None
) -> Fault | None:
    """Find the earliest loop or tail of a phrase that is still being decoded."""
    kinds = ("loop", "tail")
    return next((fault for fault in find_faults(codes, phones, rate, path=path) if fault.kind in kinds), None)


def _repeats(codes: Sequence[int], rate: float) -> Fault | None:
    """Find the first repeated pattern of codes."""
    line = np.asarray(codes)
    first: Fault | None = None
    for period in range(1, min(round(LONGEST_PERIOD_SECONDS * rate), len(line) - 1) + 1):
        again = line[period:] == line[:-period]
        needed = MAX_HELD_SECONDS * rate if period == 1 else max(MIN_LOOP_SECONDS * rate, 2 * period)
        needed = min(needed, SURE_LOOP_SECONDS * rate)
        begin, length = _longest_run(again)
        if length >= needed and (first is None or begin + period < first.at):
            reason = Message(
                "speak.fault_sound_repeats", seconds=period / rate, start=(begin + period) / rate
            )
            first = Fault("loop", begin + period, reason)
    return first


def _longest_run(flags: np.ndarray) -> tuple[int, int]:
    """Return (first, length) of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    longest = int(lengths.argmax())
    return int(edges[::2][longest]), int(lengths[longest])


def _attention_jump(path: Sequence[float] | None, rate: float) -> Fault | None:
    """Find a jump of attention back in the text that lasts."""
    if not path:
        return None
    place = np.asarray(path)
    behind = np.maximum.accumulate(place) - place >= JUMP_BACK
    begin, length = _longest_run(behind)
    if length < JUMP_STEPS:
        return None
    return Fault("loop", begin + 1, Message("speak.fault_text_repeats", start=(begin + 1) / rate))


def _tail(codes: Sequence[int], phones: int, rate: float, path: Sequence[float] | None) -> Fault | None:
    """Find sound after the end of the text."""
    usual = phones * PHONE_SECONDS * rate
    allowed = usual * SLOW_TEMPO + SPARE_SECONDS * rate
    if len(codes) > allowed:
        return Fault(
            "tail", round(allowed), Message("speak.fault_too_long", seconds=len(codes) / rate, phones=phones)
        )
    if path:
        end = next((step for step, place in enumerate(path, start=1) if place >= TEXT_END), None)
        if end is not None:
            allowed = end + (1 - TEXT_END) * usual * SLOW_TEMPO + TAIL_SECONDS * rate
            if len(codes) > allowed:
                reason = Message("speak.fault_text_finished", seconds=(len(codes) - end) / rate)
                return Fault("tail", round(allowed), reason)
    return None
