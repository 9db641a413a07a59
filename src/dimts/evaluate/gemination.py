"""Phones and their times → whether the long consonants of a sentence were said long.

    lengths = Lengths.fit(sentences)        # of a speaker, segmented (segmenter.py)
    lengths.evidence(sentence)              # place of each long consonant → how much speaks for "half its time"

Speakers differ, tempo differs, tʃː is longer than rː: each consonant is measured against what is usual for it, for
this speaker, at this tempo. One alone tells little, as people's own vary by a third; all of a sentence's together
tell (`sum`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dimts.base.errors import ConfigError
from dimts.evaluate.phone_labels import AlignedPhone
from dimts.text.phones import LONG, is_vowel


@dataclass(frozen=True, slots=True)
class GeminationScorer:
    """How long the long consonants of some speakers last."""

    means: Mapping[str, float]
    """Long sign → mean of ln seconds, the tempo of the sentence taken out."""
    usual: float
    """The same of any long sign."""
    of_tempo: float
    """How much of a sentence's tempo, the mean ln seconds of its other phones, a long consonant's follows."""
    spread: float
    """Standard deviation within signs, robust."""
    short_below: float
    """By how much in ln the short consonants are shorter."""

    @classmethod
    def fit(cls, sentences: Sequence[Sequence[AlignedPhone]]) -> GeminationScorer:
        """From segmented sentences. ConfigError if there is hardly a long consonant in them."""
        long: list[tuple[str, float, float]] = []
        shorts: list[float] = []
        for sentence in sentences:
            tempo = _tempo(sentence)
            for one in sentence[:-1]:
                if one.sign.endswith(LONG):
                    long.append((one.sign, _log_seconds(one), tempo))
                elif not is_vowel(one.sign):
                    shorts.append(_log_seconds(one) - tempo)
        if len(long) < _LEAST_LONG or not shorts:
            raise ConfigError("evaluate.too_few_long_consonants", long_count=len(long))
        logs, tempi = (np.array([row[column] for row in long]) for column in (1, 2))
        slope = 0.0
        if np.var(tempi) > 0:
            slope = float(np.clip(np.cov(tempi, logs)[0, 1] / np.var(tempi, ddof=1), 0.0, 1.0))
        left = logs - slope * tempi
        usual = float(left.mean())
        by_sign: dict[str, list[float]] = defaultdict(list)
        for (sign, _, _), value in zip(long, left, strict=True):
            by_sign[sign].append(value)
        means = {sign: (sum(some) + _SHARED * usual) / (len(some) + _SHARED) for sign, some in by_sign.items()}
        apart = np.array([value - means[sign] for (sign, _, _), value in zip(long, left, strict=True)])
        low, middle, high = np.percentile(apart, (25, 50, 75))
        means = {sign: float(value + middle) for sign, value in means.items()}
        below = float((logs - tempi).mean() - np.mean(shorts))
        return cls(means, usual + float(middle), slope, max(float(high - low) / _QUARTILES, _LEAST_SPREAD), below)

    def evidence(self, sentence: Sequence[AlignedPhone]) -> dict[int, float]:
        """Place of each long consonant but the last sign → ln of how much likelier half its time is than all of it.

        Some of what the text has long is said short by people too, or is the front end's error: that tells little.
        """
        tempo = _tempo(sentence)
        found = {}
        for place, one in enumerate(sentence[:-1]):
            if one.sign.endswith(LONG):
                off = _log_seconds(one) - self.of_tempo * tempo - self.means.get(one.sign, self.usual)
                found[place] = float(np.clip(self._chance(off, -math.log(2)) - self._chance(off, 0.0), -_MOST, _MOST))
        return found

    def _chance(self, off: float, centre: float) -> float:
        """ln density of `off` around `centre`, a share of it lying lower, as much as short consonants do."""
        said = (1 - _SAID_SHORT) * _normal(off - centre, self.spread)
        return math.log(said + _SAID_SHORT * _normal(off - centre + self.short_below, _WIDER * self.spread) + 1e-12)


_MOST = 3.0
"""As one may have been misplaced, it never speaks for more than 1 in 20."""
_SHORTEST_SECONDS = 0.01
_LEAST_LONG = 10
_SHARED = 5.0
"""As many consonants of any kind are added to those of a sign."""
_QUARTILES = 1.349
"""Between the quartiles of a normal distribution, in standard deviations."""
_LEAST_SPREAD = 0.2
_SAID_SHORT = 0.15
_WIDER = 1.25


def _normal(off: float, spread: float) -> float:
    return math.exp(-0.5 * (off / spread) ** 2) / spread


def _log_seconds(one: AlignedPhone) -> float:
    return math.log(max(one.end - one.start, _SHORTEST_SECONDS))


def _tempo(sentence: Sequence[AlignedPhone]) -> float:
    """Mean ln seconds of the phones of a sentence but the long ones, whose length is in question."""
    plain = [one for one in sentence if not one.sign.endswith(LONG)] or sentence
    return float(np.mean([_log_seconds(one) for one in plain]))
