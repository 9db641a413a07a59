"""Labels and features of the phone recogniser: phones to labels, waves to log-mel frames, Viterbi paths.

A label is a phone of text/phones.py with ʷ written as a following w, as they sound the same. ʔ at the start
of a word is not expected, as Amharic does not distinguish it from a vowel onset there.
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

LABELS = ("", *VOWELS, *(label for phone in CONSONANTS for label in (phone, phone + LONG)))
"""All labels of the recogniser; "" is the CTC blank."""
MEL = Mel(rate=16_000, transform=400, window=400, hop=160, bands=80, low_hz=0.0, high_hz=8000.0)
"""Mel spectrogram of Whisper, whose first layers are the front end."""
FRAME_SECONDS = 0.020
"""Duration of one output frame of the network."""
_RANGE, _TOP, _SHIFT, _SCALE = 8.0, 1.5, 4.0, 4.0
"""Dynamic range in decades, level of the maximum, and Whisper's (x + 4) / 4."""
_SHORTEST_SECONDS = 0.05
IMPOSSIBLE = -1e30
"""Logarithm of probability zero; finite, so that sums stay numbers."""
_NUMBERS = {label: number for number, label in enumerate(LABELS)}


def phone_labels(phones: Iterable[str]) -> tuple[str, ...]:
    """Convert phones to the recogniser's labels: Cʷ to C w, word marks removed.

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
    """Convert each word to labels, without a ʔ before a vowel at its start."""
    return [
        phone_labels(word[1:] if len(word) > 1 and word[0] == "ʔ" and is_vowel(word[1]) else word)
        for word in words
    ]


def features(wave: Wave) -> Matrix:
    """Compute [F, 80] log-mel features at 100 frames a second, their maximum normalised to a fixed value.

    They do not depend on level or offset. AudioError for a wave under 50 ms.
    """
    if wave.seconds < _SHORTEST_SECONDS:
        raise AudioError("evaluate.wave_too_short", seconds=wave.seconds)
    power = mel_power(high_pass(wave.resample(MEL.rate)).samples, MEL)
    level = np.log10(np.maximum(power, 1e-20))
    level = np.maximum(level - level.max(), -_RANGE)
    normalised: Matrix = ((level + _TOP + _SHIFT) / _SCALE).astype(np.float32)
    return normalised


@dataclass(frozen=True, slots=True)
class AlignedPhone:
    """A label with its times."""

    label: str
    start: float
    """Seconds from the start of the wave."""
    end: float
    """Seconds from the start of the wave."""
    probability: float
    """Mean posterior probability of the label over its frames, 0 to 1."""


def viterbi_path(steps: npt.NDArray[np.float64], skip: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Find the most likely state sequence [N] (Viterbi 1967).

    `steps` [N, S] are log probabilities of each state in each frame. A path begins in the first or the second
    state, ends in the last or the last but one, and stays, advances by one, or, into states with `skip` [S],
    by two. AudioError if there are too few frames for it.
    """
    count = steps.shape[1]
    state = np.full(count + 2, IMPOSSIBLE)  # padded by two unreachable states in front
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
    """Merge repetitions and remove blanks of the most probable label of each frame ([N] indices)."""
    turns = np.flatnonzero(np.diff(best, prepend=-1))
    return tuple(LABELS[best[at]] for at in turns if best[at])


def label_index(label: str) -> int:
    """Return the index of a label in LABELS. AudioError for one that is not in it."""
    if label not in _NUMBERS or not label:
        raise AudioError("evaluate.unknown_label", label=label, labels=" ".join(LABELS[1:]))
    return _NUMBERS[label]
