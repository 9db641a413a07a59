"""Confidence intervals of means over sentences and raters.

Two methods: the percentile bootstrap over sentences for objective measures (Efron 1979), and the two-way
clustered interval for ratings, in which raters and sentences are crossed random effects (variance after
Cameron, Gelbach and Miller 2011, t quantiles by the smaller of the two).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
DRAWS = 2000
"""Number of bootstrap samples; the Monte Carlo error of the limits is then a few per cent of the width."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval."""

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
        """Return JSON values; nan and infinity become null."""
        low, high = (value if math.isfinite(value) else None for value in (self.low, self.high))
        return {
            "mean": self.mean if math.isfinite(self.mean) else None,
            "low": low,
            "high": high,
            "count": self.count,
        }


UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)


def bootstrap(values: Sequence[float], weights: Sequence[float] | None = None, seed: int = 1) -> Interval:
    """Compute the mean and its bootstrap interval over sentences; nan values are left out.

    With `weights` it is Σ value·weight / Σ weight, as for an error rate over sentences of different length.
    """
    data = np.asarray(values, dtype=np.float64)
    weight = np.ones(len(data)) if weights is None else np.asarray(weights, dtype=np.float64)
    kept = np.isfinite(data) & (weight > 0)
    data, weight = data[kept], weight[kept]
    if not len(data):
        return UNKNOWN
    mean = float(np.average(data, weights=weight))
    if len(data) == 1:
        return Interval(mean, math.nan, math.nan, 1)
    rows = np.random.default_rng(seed).integers(0, len(data), (DRAWS, len(data)))
    means = (data * weight)[rows].sum(axis=1) / weight[rows].sum(axis=1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(mean, float(low), float(high), len(data))


def share(found: int, count: int) -> Interval:
    """Compute the proportion `found` of `count` with Wilson's interval (1927)."""
    from scipy import stats

    if not count:
        return UNKNOWN
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    part = found / count
    middle = (part + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(part * (1 - part) / count + (z / (2 * count)) ** 2) / (1 + z * z / count)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(part, low if found else 0.0, high if found < count else 1.0, count)


def probability_better(one: Sequence[float], other: Sequence[float], seed: int = 1) -> float:
    """Compute the share of paired bootstrap samples in which `one` has the lower mean; ties count half."""
    difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return math.nan
    rows = np.random.default_rng(seed).integers(0, len(difference), (DRAWS, len(difference)))
    means = difference[rows].mean(axis=1)
    return float((means < 0).mean() + 0.5 * (means == 0).mean())


def two_way(values: npt.NDArray[np.float64]) -> Interval:
    """Compute the mean and interval of ratings [raters, sentences], nan where there is none.

    With a single rater or a single sentence there is no interval, only a mean.
    """
    from scipy import stats

    rated = np.isfinite(values)
    count = int(rated.sum())
    if not count:
        return UNKNOWN
    mean = float(values[rated].mean())
    rest = np.where(rated, values - mean, 0.0)
    raters, sentences = int(rated.any(axis=1).sum()), int(rated.any(axis=0).sum())
    if min(raters, sentences) < 2:
        return Interval(mean, math.nan, math.nan, count)
    by_rater = raters / (raters - 1) * float(np.square(rest.sum(axis=1)).sum())
    by_sentence = sentences / (sentences - 1) * float(np.square(rest.sum(axis=0)).sum())
    alone = count / (count - 1) * float(np.square(rest).sum())
    # with small cluster effects the sum may fall below the variance of either part
    variance = max(by_rater + by_sentence - alone, by_rater, by_sentence) / count**2
    half = float(stats.t.ppf((1 + LEVEL) / 2, min(raters, sentences) - 1)) * math.sqrt(variance)
    return Interval(mean, mean - half, mean + half, count)
