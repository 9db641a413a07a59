"""What was said, and when: phrases, words and phones with their times; and what an engine is that says them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dimts.audio.level import HOP_SECONDS, frame_levels
from dimts.audio.wave import Wave
from dimts.text.frontend import Phrase
from dimts.text.phones import LONG, VOWELS

if TYPE_CHECKING:
    from dimts.speak.settings import SpeakSettings
    from dimts.xtts.voice import Voice

_AUDIBLE_DB = 35.0
"""Below the loudest frame by more than this, a phrase has not begun, or has ended."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word, and when it was said."""

    word: str
    """As it was written."""
    start: float
    """Seconds from the beginning of the whole."""
    end: float
    phones: tuple[tuple[str, float, float], ...]
    """(phone, start, end) of each, in seconds."""


@dataclass(frozen=True, slots=True)
class SynthesisedPhrase:
    """One phrase, spoken."""

    phrase: Phrase
    wave: Wave
    """The phrase alone, without the pause after it."""
    start: float
    """Seconds from the beginning of the whole."""
    pause: float
    """Silence that follows, in seconds; 0 after the last phrase."""
    words: tuple[SpokenWord, ...]
    measured: bool
    """Whether the times are those of the synthesis itself; else they are spread by the usual lengths of phones."""


Times = tuple[tuple[tuple[float, float], ...], ...]
"""For each word, for each phone: (start, end) in seconds."""


class Engine(Protocol):
    """What turns phrases into sound."""

    name: str
    """What people know it by."""
    voices: Mapping[str, Voice]
    """Voices it brings with it, by name; empty if it has one of its own only."""

    def using(self, settings: SpeakSettings) -> Engine:
        """The same with other settings; a model is shared, not copied."""

    def chunks(self, phrase: Phrase, number: int, voice: Voice | None) -> Iterator[Wave]:
        """Phrase `number` of a text as waves at 24 kHz, the first as soon as it can be."""

    def wholes(self, phrases: Mapping[int, Phrase], voice: Voice | None) -> Mapping[int, tuple[Wave, Times | None]]:
        """Phrases by their numbers → each whole, and the times of its phones if the engine knows them."""

    def listen(self, paths: Sequence[Path]) -> Voice:
        """A voice like that of the recordings."""


def estimate_times(phrase: Phrase, wave: Wave) -> Times:
    """Likely times of the phones of a phrase: its audible part shared out by the usual lengths of phones."""
    levels = frame_levels(wave)
    heard = np.flatnonzero(levels > levels.max() - _AUDIBLE_DB) if len(levels) else np.zeros(0, int)
    first = float(heard[0]) * HOP_SECONDS if len(heard) else 0.0
    last = min(float(heard[-1] + 1) * HOP_SECONDS, wave.seconds) if len(heard) else wave.seconds
    shares = [[_usual(phone) for phone in word.phones] for word in phrase.words]
    scale = (last - first) / max(sum(map(sum, shares)), 1e-9)
    times, now = [], first
    for word in shares:
        ends = np.cumsum([now, *(share * scale for share in word)]).tolist()
        times.append(tuple(itertools.pairwise(ends)))
        now = ends[-1]
    return tuple(times)


def _usual(phone: str) -> float:
    """Relative length of a phone; a long consonant lasts about twice a short one, ɨ is the shortest vowel."""
    if phone in VOWELS:
        return 0.7 if phone == "ɨ" else 1.1
    return 1.8 if phone.endswith(LONG) else 0.9


def words_of(phrase: Phrase, times: Times, start: float) -> tuple[SpokenWord, ...]:
    """The words of a phrase that begins at `start`, with the times of their phones."""
    out = []
    now = start
    for word, borders in zip(phrase.words, times, strict=True):
        phones = tuple((p, start + a, start + b) for p, (a, b) in zip(word.phones, borders, strict=True))
        first, now = (phones[0][1], phones[-1][2]) if phones else (now, now)
        out.append(SpokenWord(word.written or word.spoken, first, now, phones))
    return tuple(out)
