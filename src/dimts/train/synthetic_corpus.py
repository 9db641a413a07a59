"""Generate formant speech of real sentences by many speakers on the fly; a clip depends on seed and index
alone.

    corpus = SyntheticCorpus(read_phrases(lines, Frontend()), SyntheticCorpusSettings(speakers=64), seed=1)
    corpus.clip(17).wave, corpus.clip(17).spelling

A speaker is a variant of the formant voice with a pitch, a length of the vocal tract and a tempo of its own.
A clip is a run of words of one phrase. Nothing is stored: the same settings, seed and index give the same
samples, so tens of hours cost no disk, and a resumed run reads the same clips.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dimts.audio.augment import change_vocal_tract
from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError, DimtsError
from dimts.text.frontend import MARKS, Frontend

SPEAKER_VARIANTS = (
    "", "f1", "f3", "f4", "f5", "m1", "m2", "m4", "m6", "m7", "m8", "Annie", "Alex", "Denis", "Mario",
    "Michael", "steph", "steph2", "Gene", "Hugo", "Lee", "max", "robosoft6", "iven", "quincy", "Diogo",
)  # fmt: skip
"""Variants of the formant voice that sound like a person and speak clearly; the plain one is ""."""


@dataclass(frozen=True, slots=True)
class SyntheticCorpusSettings:
    """How the speakers and clips of a synthetic corpus are drawn."""

    speakers: int = 64
    """Number of different speakers."""
    min_words: int = 1
    """Fewest words of a clip, where the phrase has so many."""
    max_words: int = 8
    """Most words of a clip."""
    slowest: float = 0.8
    """Lowest tempo of a speaker; 1.0 is about eleven phones a second."""
    fastest: float = 1.15
    """Highest tempo of a speaker."""
    lowest: float = 0.75
    """Lowest pitch of a speaker, as a factor of the variant's own."""
    highest: float = 1.35
    """Highest pitch of a speaker, as a factor of the variant's own."""
    shortest_tract: float = 0.87
    """Shortest vocal tract, as a factor of the variant's own; a child's is about a quarter shorter than a
    man's."""
    longest_tract: float = 1.12
    """Longest vocal tract, as a factor of the variant's own."""

    def __post_init__(self) -> None:
        if self.speakers < 1:
            raise ConfigError("train.setting_rule", table="train.synthetic", rule="speakers ≥ 1")
        for low, high in (
            ("min_words", "max_words"),
            ("slowest", "fastest"),
            ("lowest", "highest"),
            ("shortest_tract", "longest_tract"),
        ):
            if not 0 < getattr(self, low) <= getattr(self, high):
                raise ConfigError("train.setting_rule", table="train.synthetic", rule=f"0 < {low} ≤ {high}")


@dataclass(frozen=True, slots=True)
class SyntheticSpeaker:
    """One speaker of the corpus."""

    formant: FormantSettings
    """Variant, pitch and tempo, before the vocal tract changes pitch and tempo."""
    tract: float
    """Length of the vocal tract as a factor of the variant's own."""


@dataclass(frozen=True, slots=True)
class PronouncedPhrase:
    """A phrase and its pronunciation."""

    words: tuple[tuple[str, ...], ...]
    """The phones of each word."""
    mark: str
    """The stop at its end: ። ፣ ፤ ? ! or nothing."""


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """One clip of the corpus."""

    wave: Wave
    """Audio at 24 kHz."""
    phrase: PronouncedPhrase
    speaker: int
    """Number of the speaker, 0 to `speakers` − 1."""
    times: tuple[tuple[tuple[float, float], ...], ...]
    """For each word, for each phone of it: (start, end) in seconds."""

    @property
    def spelling(self) -> str:
        """The text as the voice model reads it: words by spaces, the phones of a word joined, and the
        stop."""
        mark = self.phrase.mark
        return " ".join("".join(word) for word in self.phrase.words) + MARKS.get(mark, mark)


def read_phrases(lines: Iterable[str], frontend: Frontend) -> list[PronouncedPhrase]:
    """Pronounce the phrases of sentences, one or more to a line; lines that cannot be read are left out."""
    phrases = []
    for line in lines:
        try:
            found = list(frontend(line))
        except DimtsError:
            continue
        spoken = (
            PronouncedPhrase(tuple(w.phones for w in phrase.words if w.phones), phrase.mark)
            for phrase in found
        )
        phrases += [phrase for phrase in spoken if phrase.words]
    return phrases


class SyntheticCorpus:
    """An infinite series of clips, each a function of the seed and its index."""

    def __init__(
        self,
        phrases: Sequence[PronouncedPhrase],
        settings: SyntheticCorpusSettings | None = None,
        *,
        seed: int = 1,
    ) -> None:
        """Raises DataError where there is no phrase, MissingExtra without the formant voice."""
        if not phrases:
            raise DataError("train.synthetic_no_phrase")
        self.phrases = phrases
        self.settings = settings or SyntheticCorpusSettings()
        self.seed = seed
        self.speakers = tuple(self._speaker(number) for number in range(self.settings.speakers))
        """Speakers by number; the first is the plain voice."""
        self._voices: dict[int, Formant] = {}

    def _speaker(self, number: int) -> SyntheticSpeaker:
        if number == 0:
            return SyntheticSpeaker(FormantSettings(), 1.0)
        settings, rng = self.settings, random.Random(f"{self.seed} speaker {number}")
        variant = SPEAKER_VARIANTS[number % len(SPEAKER_VARIANTS)]  # every variant before one comes again
        pitch = rng.uniform(settings.lowest, settings.highest)
        rate = rng.uniform(settings.slowest, settings.fastest)
        tract = rng.uniform(settings.shortest_tract, settings.longest_tract)
        return SyntheticSpeaker(FormantSettings(rate=rate, pitch=pitch, variant=variant), tract)

    def clip(self, index: int, speaker: int | None = None) -> SyntheticClip:
        """Return the clip of that index, by its own speaker or by another."""
        rng = random.Random(f"{self.seed} clip {index}")
        own = rng.randrange(self.settings.speakers)
        return self.speak(self._phrase(rng), own if speaker is None else speaker)

    def speak(self, phrase: PronouncedPhrase, speaker: int) -> SyntheticClip:
        """Synthesise a phrase with one of the speakers."""
        voice = self._voices.get(speaker)
        if voice is None:
            voice = self._voices[speaker] = Formant(self.speakers[speaker].formant)
        spoken, tract = voice.speak_timed(phrase.words, phrase.mark), self.speakers[speaker].tract
        times = tuple(tuple((start * tract, end * tract) for start, end in word) for word in spoken.times)
        return SyntheticClip(change_vocal_tract(spoken.wave, tract), phrase, speaker, times)

    def _phrase(self, rng: random.Random) -> PronouncedPhrase:
        phrase = self.phrases[rng.randrange(len(self.phrases))]
        words, settings = phrase.words, self.settings
        count = min(len(words), rng.randint(settings.min_words, settings.max_words))
        first = rng.randint(0, len(words) - count)
        mark = phrase.mark if first + count == len(words) else ""
        return PronouncedPhrase(words[first : first + count], mark)
