"""Measure how well text and audio match, without a recogniser: by comparison with formant speech of the text.

Cepstra of both, each normalised over its own length so that voice and microphone fall out, are warped onto
each other (dynamic time warping, Sakoe and Chiba 1978). How near they come means little by itself; it is set
against decoys, other sentences cut to the same length: the right text is clearly nearer than they are, a
wrong one does not. The idea of aligning against synthetic speech is that of aeneas (Pettarin 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dimts.audio.alignment import warp_costs
from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.spectrum import cosine_transform, htk_bank, windowed_power
from dimts.audio.wave import Wave, join
from dimts.text.g2p.rules import Rules

Features = npt.NDArray[np.float32]

RATE = 16_000
HOP_SECONDS = 0.020
_WINDOW = 512
_BANDS = 26
_LOW_HERTZ, _HIGH_HERTZ = 100.0, 6500.0
_CEPSTRA = 12
_LIFTER = 0.2
"""Weight of the last cepstrum against the first: the coarse shape of the spectrum distinguishes phones, the
fine one voices."""
_ENERGY_WEIGHT = 0.7
_SLOPE_WEIGHT = 0.7
_FLOOR_NEPERS = 11.0
"""Level below the loudest at which bands count as silence."""
_CONTEXT = 4
"""Frames before and behind that are compared with a frame: ±80 ms, about a phone."""
KEPT_SECONDS = 3600.0
"""Seconds of synthesised speech whose cepstra are cached: a script is synthesised once, not for each clip. 9
MB."""
DECOYS = 5
MATCH_AT = 0.12
"""Nearness beyond the decoys of the right text: its median over news read by twelve speakers; a wrong text
has 0."""

Words = Sequence[Sequence[str]]


OTHER_TEXTS = (
    "ድር ቢያብር አንበሳ ያስር ሲባል ሰምተን አብረን ለመሥራት ወሰንን",
    "ፀሐይ ከመጥለቋ በፊት ከብቶቹን ወደ በረት ማስገባት ልማዳቸው ነበር",
    "የጠፋው ቁልፍ በመጨረሻ ከትራሱ ሥር ተገኘ ብላ በደስታ ጮኸች",
    "ባቡሩ ረጅሙን ዋሻ አልፎ ሲወጣ ሰማያዊ ሐይቅ ከፊት ለፊታችን ተዘረጋ",
    "ዶሮዎቿን ለመመገብ በማለዳ የምትነሳው ሴት ዛሬ ግን አልታየችም",
    "እሳቱ እንዳይጠፋ ደረቅ ጭራሮ እየጨመረ ሌሊቱን በሙሉ ጠበቀ",
)
"""Sentences for decoys: our own, on many phones."""


@dataclass(frozen=True, slots=True)
class Match:
    """Match of a text and audio."""

    score: float
    """Match, 0: no nearer than nonsense, 1: as near as the right text usually is."""
    nearness: float
    """Share by which the text is nearer than the decoys; 0 and below for a wrong text."""
    distance: float
    """Mean cosine distance along the warp, 0 to 2."""
    decoy_distance: float
    """Mean cosine distance of the decoys, 0 to 2."""


class Matcher:
    """Compare texts with audio; synthesised speech is cached."""

    def __init__(self, variant: str = "") -> None:
        self._voice = Formant(FormantSettings(variant=variant))
        self._decoys: Features | None = None
        self._references: dict[tuple[tuple[str, ...], ...], Features] = {}
        self._frames = 0

    def other_speech(self, frames: int) -> Features:
        """Return [F, cepstra] of so many frames of speech of other texts; repeated where it is too short."""
        return np.take(self._decoy_bank(), np.arange(frames), axis=0, mode="wrap")

    def _decoy_bank(self) -> Features:
        if self._decoys is None:
            spoken = [self.speak(Rules().phones(text.split())) for text in OTHER_TEXTS]
            self._decoys = cepstra(join(spoken))
        return self._decoys

    def _decoy_stretches(self, frames: int) -> Features:
        """Return [DECOYS, F, cepstra] stretches of other speech, each of so many frames."""
        bank = self._decoy_bank()
        at = np.linspace(0, len(bank), DECOYS, endpoint=False).astype(int)
        return bank[(at[:, None] + np.arange(frames)) % len(bank)]

    def speak(self, words: Words) -> Wave:
        """Synthesise the text with the formant voice, at 16 kHz. AudioError for an unknown phone."""
        return self._voice.speak([word for word in words if word]).resample(RATE)

    def reference_features(self, words: Words) -> Features:
        """Return [F, cepstra] of formant speech of the text; the last hour is cached."""
        key = tuple(tuple(word) for word in words if word)
        frames = self._references.pop(key, None)
        if frames is None:
            frames = cepstra(self.speak(key))
            self._frames += len(frames)
            while self._references and self._frames > KEPT_SECONDS / HOP_SECONDS:
                self._frames -= len(self._references.pop(next(iter(self._references))))
        self._references[key] = frames  # what was asked for last goes last
        return frames

    def match(self, wave: Wave, words: Words) -> Match:
        """Match `words` (phones) with speech without silence around it. AudioError for an unknown phone."""
        sound = stacked(base_features(wave.resample(RATE)))
        own_text = self.reference_features(words)
        candidates = np.concatenate([own_text[None], self._decoy_stretches(len(own_text))])
        costs = warp_costs(sound, stacked(normalised(candidates)))
        own, decoys = float(costs[0]), float(np.mean(costs[1:]))
        nearness = 1.0 - own / decoys if decoys > 0 else 0.0
        return Match(min(1.0, max(0.0, nearness / MATCH_AT)), nearness, own, decoys)


def base_features(wave: Wave) -> Features:
    """Compute [F, 2·cepstra] cepstra and their slopes of a wave at 16 kHz, each normalised over the wave."""
    return normalised(cepstra(wave))


def cepstra(wave: Wave) -> Features:
    """Compute [F, cepstra] of a wave at 16 kHz, a frame each 20 ms."""
    samples = np.pad(wave.samples, (0, max(0, 3 * _WINDOW - len(wave.samples))))
    power = windowed_power(samples, _WINDOW, round(HOP_SECONDS * RATE))
    level = np.log(power @ htk_bank(RATE, _WINDOW, _BANDS, _LOW_HERTZ, _HIGH_HERTZ).T + 1e-8)
    level = np.maximum(level, level.max() - _FLOOR_NEPERS)
    found: Features = (level @ cosine_transform(_CEPSTRA, _BANDS).T).astype(np.float32)
    return found


def normalised(frames: Features) -> Features:
    """Normalise [F, cepstra] to [F, 2·cepstra] without their mean and spread, weighted, with their slopes."""
    even = frames - frames.mean(axis=-2, keepdims=True)
    even /= even.std(axis=-2, keepdims=True) + np.float32(1e-3)
    even *= np.linspace(1.0, _LIFTER, _CEPSTRA, dtype=np.float32)
    even[..., 0] *= np.float32(_ENERGY_WEIGHT)
    slopes = np.gradient(even, axis=-2)
    slopes *= np.float32(_SLOPE_WEIGHT) / (slopes.std(axis=-2, keepdims=True) + np.float32(1e-3))
    return np.concatenate([even, slopes], axis=-1, dtype=np.float32)


def stacked(base: Features) -> Features:
    """Stack [F, D] to [F, (2·context+1)·D], each frame with its neighbours, of unit length."""
    frames = base.shape[-2]
    index = np.clip(
        np.arange(frames)[:, None] + np.arange(-_CONTEXT, _CONTEXT + 1), 0, frames - 1
    )  # [F, 2·context+1]
    around: Features = base[..., index, :].reshape(*base.shape[:-1], -1)
    around /= np.linalg.norm(around, axis=-1, keepdims=True)
    return around
