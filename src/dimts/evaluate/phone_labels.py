"""Labels of the phone recogniser and the frames it sees: phones → labels, wave → log-mel frames, CTC paths.

A label is a phone of text/phones.py with ʷ written as a following w, as they sound the same. ʔ at the start of a word
is not expected, as Amharic does not distinguish it from a vowel onset there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dimts.audio.level import high_pass
from dimts.audio.spectrum import Matrix, Mel, mel_power
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError
from dimts.text.phones import CONSONANTS, LONG, ROUND, VOWELS, WORD_MARK, is_vowel

LABELS = ("", *VOWELS, *(sign for phone in CONSONANTS for sign in (phone, phone + LONG)))
"""What it can write; "" is CTC's blank."""
MEL = Mel(rate=16_000, transform=400, window=400, hop=160, bands=80, low_hz=0.0, high_hz=8000.0)
"""Whisper's, whose first layers listen here."""
FRAME_SECONDS = 0.020
"""One answer."""
_RANGE, _TOP, _SHIFT, _SCALE = 8.0, 1.5, 4.0, 4.0
"""Decades from the floor to the loudest, where the loudest is laid, and Whisper's (x + 4) / 4."""
_SHORTEST_SECONDS = 0.05
IMPOSSIBLE = -1e30
"""Logarithm of a probability of nothing, finite so that sums of it stay numbers."""
_NUMBERS = {sign: number for number, sign in enumerate(LABELS)}


def phone_labels(phones: Iterable[str]) -> tuple[str, ...]:
    """Phones as the recogniser writes them: Cʷ as C w, words run together.

    >>> phone_labels(["kʼʷː", "a", "#", "l"])
    ('kʼː', 'w', 'a', 'l')
    """
    out: list[str] = []
    for phone in phones:
        if phone == WORD_MARK:
            continue
        plain = phone.removesuffix(LONG)
        base = plain.removesuffix(ROUND)
        out.append(base + phone[len(plain) :])
        if base != plain:
            out.append("w")
    return tuple(out)


def word_labels(words: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """The same for each word, ʔ before a vowel at its start left out."""
    return [
        phone_labels(word[1:] if len(word) > 1 and word[0] == "ʔ" and is_vowel(word[1]) else word) for word in words
    ]


def features(wave: Wave) -> Matrix:
    """What the network sees: [F, 80] log-mel at 100 frames a second, the loudest place always at the same value.

    Loudness and offset are thereby gone. AudioError for a wave under 50 ms.
    """
    if wave.seconds < _SHORTEST_SECONDS:
        raise AudioError("evaluate.wave_too_short", seconds=wave.seconds)
    power = mel_power(high_pass(wave.resample(MEL.rate)).samples, MEL)
    level = np.log10(np.maximum(power, 1e-20))
    level = np.maximum(level - level.max(), -_RANGE)
    seen: Matrix = ((level + _TOP + _SHIFT) / _SCALE).astype(np.float32)
    return seen


@dataclass(frozen=True, slots=True)
class AlignedPhone:
    """One sign in time."""

    sign: str
    start: float
    end: float
    """Seconds."""
    chance: float
    """Mean chance of the sign over its frames, by the recogniser."""


def viterbi_path(steps: npt.NDArray[np.float64], skip: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """[N] the state of each frame along the likeliest way (Viterbi 1967).

    `steps` [N, S] ln of the chance of each state in each frame. A way begins in the first state or the second, ends in
    the last or the last but one, and stays, goes on by one, or, where `skip` [S], comes from two before. AudioError if
    there are too few frames for it.
    """
    count = steps.shape[1]
    state = np.full(count + 2, IMPOSSIBLE)  # two more in front, from which nothing comes
    state[2:4] = steps[0, :2]
    back = np.zeros(steps.shape, np.int8)
    for at in range(1, len(steps)):
        here, one = state[2:], state[1:-1]
        two = np.where(skip, state[:-2], IMPOSSIBLE)
        best = np.maximum(here, one)
        back[at] = np.where(two > best, 2, one > here)
        state[2:] = np.maximum(best, two) + steps[at]
    place = count - 1 if count == 1 or state[-1] >= state[-2] else count - 2
    if state[place + 2] <= IMPOSSIBLE / 2:
        raise AudioError("evaluate.too_short_for_states", count=count)
    taken = np.zeros(len(steps), np.int64)
    for at in range(len(steps) - 1, -1, -1):
        taken[at] = place
        place -= int(back[at, place])
    return taken


def greedy_decode(best: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """The likeliest sign of each frame, [N] numbers → signs, repetitions and blanks taken out."""
    turns = np.flatnonzero(np.diff(best, prepend=-1))
    return tuple(LABELS[best[at]] for at in turns if best[at])


def label_index(sign: str) -> int:
    """Its place in SIGNS. AudioError for a sign the recogniser does not have."""
    if sign not in _NUMBERS or not sign:
        raise AudioError("evaluate.unknown_label", sign=sign, signs=" ".join(LABELS[1:]))
    return _NUMBERS[sign]
