"""Figures of some sentences and some people → how far the truth may be from their mean.

Two methods: the bootstrap over sentences, for what a machine measures (Efron 1979; the percentile interval), and the
two-way interval, where the same people heard the same sentences: neither raters nor sentences are counted as if they
were more than they are (variance after Cameron, Gelbach and Miller 2011, t quantiles by the smaller of the two).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
DRAWS = 2000
"""Bootstrap samples; the ends of the interval are then steady to a few per cent of its width."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where the truth lies with a confidence of 95 %."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if not self.count:
            return "–"
        if not math.isfinite(self.low):
            return f"{self.mean:.3g}"
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON; what is not known is null."""
        low, high = (value if math.isfinite(value) else None for value in (self.low, self.high))
        return {"mean": self.mean if math.isfinite(self.mean) else None, "low": low, "high": high, "count": self.count}


NOTHING = Interval(math.nan, math.nan, math.nan, 0)


def bootstrap(values: Sequence[float], weights: Sequence[float] | None = None, seed: int = 1) -> Interval:
    """The mean of figures, one for each sentence, drawn again with replacement; nan values are left out.

    With `weights` it is Σ value·weight / Σ weight, as for an error rate over sentences of different length.
    """
    data = np.asarray(values, dtype=np.float64)
    weight = np.ones(len(data)) if weights is None else np.asarray(weights, dtype=np.float64)
    kept = np.isfinite(data) & (weight > 0)
    data, weight = data[kept], weight[kept]
    if not len(data):
        return NOTHING
    mean = float(np.average(data, weights=weight))
    if len(data) == 1:
        return Interval(mean, math.nan, math.nan, 1)
    rows = np.random.default_rng(seed).integers(0, len(data), (DRAWS, len(data)))
    means = (data * weight)[rows].sum(axis=1) / weight[rows].sum(axis=1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(mean, float(low), float(high), len(data))


def share(found: int, count: int) -> Interval:
    """`found` of `count` as a share, with Wilson's interval of 1927: none of ten is not surely none of all."""
    from scipy import stats

    if not count:
        return NOTHING
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    part = found / count
    middle = (part + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(part * (1 - part) / count + (z / (2 * count)) ** 2) / (1 + z * z / count)
    return Interval(part, max(0.0, middle - half), min(1.0, middle + half), count)


def chance_better(one: Sequence[float], other: Sequence[float], seed: int = 1) -> float:
    """The share of bootstrap samples of the sentences in which `one` has the lower mean (paired; ties count half)."""
    difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return math.nan
    rows = np.random.default_rng(seed).integers(0, len(difference), (DRAWS, len(difference)))
    means = difference[rows].mean(axis=1)
    return float((means < 0).mean() + 0.5 * (means == 0).mean())


def two_way(values: npt.NDArray[np.float64]) -> Interval:
    """[raters, sentences] opinions, nan where one did not hear the other → their mean and its interval.

    With a single rater or a single sentence there is no interval, only a mean.
    """
    from scipy import stats

    heard = np.isfinite(values)
    count = int(heard.sum())
    if not count:
        return NOTHING
    mean = float(values[heard].mean())
    rest = np.where(heard, values - mean, 0.0)
    raters, sentences = int(heard.any(axis=1).sum()), int(heard.any(axis=0).sum())
    if min(raters, sentences) < 2:
        return Interval(mean, math.nan, math.nan, count)
    by_rater = raters / (raters - 1) * float(np.square(rest.sum(axis=1)).sum())
    by_sentence = sentences / (sentences - 1) * float(np.square(rest.sum(axis=0)).sum())
    alone = count / (count - 1) * float(np.square(rest).sum())
    # where neither matters, the sum falls below what independent opinions would give: never go under either part
    variance = max(by_rater + by_sentence - alone, by_rater, by_sentence) / count**2
    half = float(stats.t.ppf((1 + LEVEL) / 2, min(raters, sentences) - 1)) * math.sqrt(variance)
    return Interval(mean, mean - half, mean + half, count)
