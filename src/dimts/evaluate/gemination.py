"""Score gemination: whether the long consonants of aligned sentences have the durations of long consonants.

    scorer = GeminationScorer.fit(sentences)    # aligned sentences of a speaker (hmm_aligner.py)
    scorer.evidence(sentence)                   # log-likelihood ratio of "shortened" for each long consonant

Durations depend on speaker, tempo and consonant: each is compared with the mean of its label for this speaker
at the tempo of the sentence. A single consonant gives weak evidence, as durations vary by a third within a
speaker; the sum over a sentence is reliable.
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
    """Log-normal model of the durations of long consonants."""

    means: Mapping[str, float]
    """Mean of ln seconds by long label, corrected for tempo."""
    mean: float
    """Mean of ln seconds over all long labels, corrected for tempo."""
    tempo_slope: float
    """Regression slope of a long consonant's ln seconds on the tempo (mean ln seconds of other phones)."""
    spread: float
    """Robust standard deviation of ln seconds within labels."""
    short_offset: float
    """Difference of mean ln seconds between long and short consonants."""

    @classmethod
    def fit(cls, sentences: Sequence[Sequence[AlignedPhone]]) -> GeminationScorer:
        """Fit the model to aligned sentences. ConfigError if they hold under ten long consonants."""
        long: list[tuple[str, float, float]] = []
        shorts: list[float] = []
        for sentence in sentences:
            tempo = _tempo(sentence)
            for one in sentence[:-1]:
                if one.label.endswith(LONG):
                    long.append((one.label, _log_seconds(one), tempo))
                elif not is_vowel(one.label):
                    shorts.append(_log_seconds(one) - tempo)
        if len(long) < _LEAST_LONG or not shorts:
            raise ConfigError("evaluate.too_few_long_consonants", long_count=len(long))
        logs, tempi = (np.array([row[column] for row in long]) for column in (1, 2))
        slope = 0.0
        if np.var(tempi) > 0:
            slope = float(np.clip(np.cov(tempi, logs)[0, 1] / np.var(tempi, ddof=1), 0.0, 1.0))
        left = logs - slope * tempi
        usual = float(left.mean())
        by_label: dict[str, list[float]] = defaultdict(list)
        for (label, _, _), value in zip(long, left, strict=True):
            by_label[label].append(value)
        means = {
            label: (sum(some) + _SHARED * usual) / (len(some) + _SHARED) for label, some in by_label.items()
        }
        apart = np.array([value - means[label] for (label, _, _), value in zip(long, left, strict=True)])
        low, middle, high = np.percentile(apart, (25, 50, 75))
        means = {label: float(value + middle) for label, value in means.items()}
        below = float((logs - tempi).mean() - np.mean(shorts))
        return cls(
            means, usual + float(middle), slope, max(float(high - low) / _QUARTILES, _LEAST_SPREAD), below
        )

    def evidence(self, sentence: Sequence[AlignedPhone]) -> dict[int, float]:
        """Compute, by position, the log-likelihood ratio of half to full duration of each long consonant but
        a last one.

        One before a consonant, as at the end of a word (-otʃː before s), counts half: speakers shorten it.
        The likelihoods include a share of consonants that speakers shorten or the front end marked long by
        mistake.
        """
        tempo = _tempo(sentence)
        found = {}
        for place, one in enumerate(sentence[:-1]):
            if one.label.endswith(LONG):
                off = _log_seconds(one) - self.tempo_slope * tempo - self.means.get(one.label, self.mean)
                ratio = self._log_density(off, -math.log(2)) - self._log_density(off, 0.0)
                weight = 1.0 if is_vowel(sentence[place + 1].label) else _BEFORE_CONSONANT
                found[place] = weight * float(np.clip(ratio, -_MOST, _MOST))
        return found

    def _log_density(self, off: float, centre: float) -> float:
        """Log density of deviation `off` from `centre`: a mixture with a share of shortened consonants."""
        density = (1 - _SHORTENED_SHARE) * _normal(off - centre, self.spread)
        return math.log(
            density
            + _SHORTENED_SHARE * _normal(off - centre + self.short_offset, _WIDER * self.spread)
            + 1e-12
        )


def length_ratio(sentence: Sequence[AlignedPhone]) -> float:
    """Compute the ratio of the durations of long and short consonants, geometric means, without the last
    phone.

    1 means that length is not spoken; nan without a consonant of each kind.
    """
    inner = [one for one in sentence[:-1] if not is_vowel(one.label)]
    long = [_log_seconds(one) for one in inner if one.label.endswith(LONG)]
    shorts = [_log_seconds(one) for one in inner if not one.label.endswith(LONG)]
    return math.exp(float(np.mean(long) - np.mean(shorts))) if long and shorts else math.nan


_MOST = 3.0
"""Limit of a single log-likelihood ratio, ln 20, as an alignment may be wrong."""
_BEFORE_CONSONANT = 0.5
"""Weight of the ratio of a long consonant before another consonant."""
_SHORTEST_SECONDS = 0.01
_LEAST_LONG = 10
_SHARED = 5.0
"""Pseudo-count of the mean over all labels in the mean of a label."""
_QUARTILES = 1.349
"""Interquartile range of the normal distribution, in standard deviations."""
_LEAST_SPREAD = 0.2
_SHORTENED_SHARE = 0.15
_WIDER = 1.25


def _normal(off: float, spread: float) -> float:
    return math.exp(-0.5 * (off / spread) ** 2) / spread


def _log_seconds(one: AlignedPhone) -> float:
    return math.log(max(one.end - one.start, _SHORTEST_SECONDS))


def _tempo(sentence: Sequence[AlignedPhone]) -> float:
    """Mean ln seconds of the phones of a sentence that are not long."""
    plain = [one for one in sentence if not one.label.endswith(LONG)] or sentence
    return float(np.mean([_log_seconds(one) for one in plain]))
