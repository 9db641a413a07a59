"""Define the results of synthesis (phrases, words and phones with their times) and the protocol of an
engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from dimts.audio.level import HOP_SECONDS, frame_levels
from dimts.audio.wave import Wave
from dimts.base.messages import Message
from dimts.text.frontend import Phrase
from dimts.text.phones import LONG, VOWELS

if TYPE_CHECKING:
    from dimts.speak.settings import SpeakSettings
    from dimts.xtts.voice import Voice

_AUDIBLE_DB = 35.0
"""Frames further below the loudest one are silence before or after a phrase."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word with its times."""

    word: str
    """The word as written."""
    start: float
    """Start in seconds from the beginning of the text."""
    end: float
    phones: tuple[tuple[str, float, float], ...]
    """(phone, start, end) of each, in seconds."""


@dataclass(frozen=True, slots=True)
class SynthesisedPhrase:
    """One synthesised phrase."""

    phrase: Phrase
    wave: Wave
    """The phrase alone, without the pause after it."""
    start: float
    """Start in seconds from the beginning of the text."""
    pause: float
    """Silence that follows, in seconds; 0 after the last phrase."""
    words: tuple[SpokenWord, ...]
    measured: bool
    """Whether the times are those of the synthesis itself; else they are estimated from the usual lengths of
    phones."""

    @property
    def silence(self) -> Wave:
        """The silence that follows; empty after the last phrase."""
        return Wave(np.zeros(round(self.pause * self.wave.rate), np.float32), self.wave.rate, self.wave.tags)


Times = tuple[tuple[tuple[float, float], ...], ...]
"""For each word, for each phone: (start, end) in seconds."""


class Engine(Protocol):
    """An engine: converts phrases to audio."""

    voices: Mapping[str, Voice]
    """Voices of its model, by name; empty for an engine with one voice."""

    @property
    def name(self) -> str | Message:
        """Name shown to users."""

    def with_settings(self, settings: SpeakSettings) -> Engine:
        """Return the same engine with other settings; a model is shared, not copied."""

    def stream(self, phrase: Phrase, number: int, voice: Voice | None) -> Iterator[Wave]:
        """Yield phrase `number` of a text as waves at 24 kHz, piece by piece."""

    def synthesise(
        self, phrases: Mapping[int, Phrase], voice: Voice | None
    ) -> Mapping[int, tuple[Wave, Times | None]]:
        """Return each phrase as one wave, and the times of its phones if the engine knows them."""

    def clone(self, paths: Sequence[Path]) -> Voice:
        """Clone the voice of the recordings."""


def estimate_times(phrase: Phrase, wave: Wave) -> Times:
    """Estimate the times of a phrase's phones: divide its audible part by the usual lengths of phones."""
    levels = frame_levels(wave)
    audible = np.flatnonzero(levels > levels.max() - _AUDIBLE_DB) if len(levels) else np.zeros(0, int)
    first = float(audible[0]) * HOP_SECONDS if len(audible) else 0.0
    last = min(float(audible[-1] + 1) * HOP_SECONDS, wave.seconds) if len(audible) else wave.seconds
    shares = [[_relative_length(phone) for phone in word.phones] for word in phrase.words]
    scale = (last - first) / max(sum(map(sum, shares)), 1e-9)
    times, now = [], first
    for word in shares:
        ends = np.cumsum([now, *(share * scale for share in word)]).tolist()
        times.append(tuple(itertools.pairwise(ends)))
        now = ends[-1]
    return tuple(times)


def _relative_length(phone: str) -> float:
    """Return the relative length of a phone; a long consonant lasts about twice a short one, ɨ is the
    shortest vowel."""
    if phone in VOWELS:
        return 0.7 if phone == "ɨ" else 1.1
    return 1.8 if phone.endswith(LONG) else 0.9


def words_of(phrase: Phrase, times: Times, start: float) -> tuple[SpokenWord, ...]:
    """Return the words of a phrase that begins at `start`, with the times of their phones."""
    out = []
    now = start
    for word, borders in zip(phrase.words, times, strict=True):
        phones = tuple((p, start + a, start + b) for p, (a, b) in zip(word.phones, borders, strict=True))
        first, now = (phones[0][1], phones[-1][2]) if phones else (now, now)
        out.append(SpokenWord(word.written or word.spoken, first, now, phones))
    return tuple(out)
