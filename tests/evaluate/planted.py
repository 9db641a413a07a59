"""Sentences with and without planted errors, by several formant voices: what the detectors are tried on."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from dimts.audio.formant import Formant, FormantSettings, Spoken
from dimts.audio.likeness import Embedding, profile
from dimts.audio.wave import Wave
from dimts.evaluate import plant
from dimts.evaluate.faults import Examined, examine
from dimts.evaluate.lessons import add_noise
from dimts.evaluate.listener import Listener
from dimts.evaluate.sentences import GREETINGS, SENTENCES
from dimts.speak import FORMANT_FRONTEND
from dimts.text.frontend import Frontend

Words = list[tuple[str, ...]]

LOW, HIGH = ("", "m3", "Henrique"), ("f2", "linda", "klatt2")
"""Voices, all but the first never taught to the listener; those of one group sound alike to the voice encoder too."""
WANTED = {
    "wrong word": {"wrong_word"},
    "cut": {"cut"},
    "loop": {"loop", "extra"},
    "said after the end": {"extra", "loop"},
    "halved length": {"short_consonants"},
    "other voice": {"other_voice"},
    "noise at 10 dB": {"noise"},
}
"""Planted error → the doubts that find it."""


@dataclass
class Tally:
    """How often each planted error was found, and what was found where none was."""

    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    clean: int = 0
    alarms: list[str] = field(default_factory=list)
    false_alarms: int = 0

    def recall(self, error: str) -> float:
        return self.found[error] / self.planted[error]


@cache
def sentences() -> tuple[Words, ...]:
    frontend = Frontend(FORMANT_FRONTEND)
    every = ([w.phones for phrase in frontend(text) for w in phrase.words] for text in SENTENCES + GREETINGS)
    return tuple(words for words in every if len(words) >= 3)


@cache
def profile_of(variant: str) -> Embedding:
    voice = Formant(FormantSettings(variant=variant))
    return profile([voice.speak(words, "።") for words in sentences()[:6]])


def try_all(listener: Listener, count: int, seed: int = 5) -> Tally:
    """`count` clean sentences and, of each, one with every planted error."""
    rng, tally = random.Random(seed), Tally()
    everything = [word for words in sentences() for word in words]
    for number in range(count):
        words = sentences()[number % len(sentences())]
        group, others = (LOW, HIGH) if number % 2 else (HIGH, LOW)
        variant = rng.choice(group)
        voice = Formant(FormantSettings(variant=variant, rate=rng.uniform(0.85, 1.2), pitch=rng.uniform(0.9, 1.1)))
        spoken = voice.speak_timed(words, "።")
        clean = examine(spoken.wave, words, listener, profile_of(variant))
        tally.clean += 1
        tally.false_alarms += bool(clean.doubts)
        tally.alarms += [f"{variant}: {doubt.kind}: {doubt.message}" for doubt in clean.doubts]
        for error, wave in planted(rng, voice, spoken, words, everything, others).items():
            found = examine(wave, words, listener, profile_of(variant))
            tally.planted[error] += 1
            tally.found[error] += bool(kinds(found) & WANTED[error])
    return tally


def planted(
    rng: random.Random, voice: Formant, spoken: Spoken, words: Words, everything: Words, others: tuple[str, ...]
) -> dict[str, Wave]:
    first = rng.randrange(len(words) - 1)
    last = first + 1
    while sum(map(len, words[first:last])) < 4:
        last += 1
        if last > len(words):
            first, last = first - 1, len(words)
    out = {
        "wrong word": voice.speak(plant.wrong_word(words, rng, everything), "።"),
        "cut": plant.cut(spoken, rng.uniform(0.4, 0.8)),
        "loop": plant.loop(spoken, first, last, rng.choice((2, 3))),
        "said after the end": plant.babble(spoken, voice, [rng.choice([w for w in everything if len(w) >= 4])]),
        "other voice": Formant(FormantSettings(variant=rng.choice(others))).speak(words, "።"),
        "noise at 10 dB": add_noise(spoken.wave, 10.0, np.random.default_rng(rng.getrandbits(32))),
    }
    if any(phone.endswith("ː") for phone in [phone for word in words for phone in word][:-1]):
        out["halved length"] = plant.halve(spoken, words)
    return out


def kinds(found: Examined) -> set[str]:
    return {doubt.kind for doubt in found.doubts}
