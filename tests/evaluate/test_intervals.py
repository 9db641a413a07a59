"""Intervals cover the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dimts.evaluate.intervals import bootstrap, probability_better, share, two_way

SIMULATED = 400


@pytest.mark.parametrize(
    ("raters", "sentences", "by_rater", "by_sentence"),
    [(6, 8, 0.4, 0.3), (12, 20, 0.3, 0.2), (20, 20, 0.0, 0.0), (4, 20, 0.4, 0.1), (30, 10, 0.2, 0.4)],
)
def test_two_way_intervals_cover_the_truth(
    raters: int, sentences: int, by_rater: float, by_sentence: float
) -> None:
    draw, truth, hits = np.random.default_rng(3), 0.35, 0
    for _ in range(SIMULATED):
        values = truth + draw.normal(0, by_rater, (raters, 1)) + draw.normal(0, by_sentence, (1, sentences))
        found = two_way(values + draw.normal(0, 0.6, values.shape))
        hits += found.low <= truth <= found.high
    assert hits / SIMULATED >= 0.93


def test_ignoring_raters_would_be_too_sure() -> None:
    """The reason for the method: counting every opinion alone covers far less than 95 %."""
    draw, hits = np.random.default_rng(3), 0
    for _ in range(SIMULATED):
        values = draw.normal(0, 0.5, (6, 1)) + draw.normal(0, 0.5, (6, 20))
        half = 1.96 * values.std() / math.sqrt(values.size)
        hits += abs(values.mean()) <= half
    assert hits / SIMULATED < 0.8


def test_bootstrap_covers_the_truth_and_narrows_with_more_sentences() -> None:
    draw, hits = np.random.default_rng(5), 0
    for _ in range(200):
        found = bootstrap(draw.normal(1.0, 0.5, 40).tolist())
        hits += found.low <= 1.0 <= found.high
    assert 0.90 <= hits / 200 <= 0.99
    few, many = bootstrap(draw.normal(0, 1, 20).tolist()), bootstrap(draw.normal(0, 1, 500).tolist())
    assert many.high - many.low < few.high - few.low


def test_weights_make_a_mean_of_rates_the_rate_of_all() -> None:
    found = bootstrap([0.5, 0.1], weights=[10, 90])
    assert found.mean == pytest.approx(0.14)


def test_what_is_not_known_is_said() -> None:
    assert bootstrap([]).count == 0
    assert bootstrap([math.nan]).count == 0
    assert math.isnan(bootstrap([1.0]).low)
    assert math.isnan(two_way(np.array([[3.0, 4.0]])).low)
    assert two_way(np.full((3, 3), np.nan)).count == 0
    assert bootstrap([1.0]).as_dict() == {"mean": 1.0, "low": None, "high": None, "count": 1}


def test_chance_of_being_better() -> None:
    assert probability_better([1, 2, 3], [2, 3, 4]) == 1.0
    assert probability_better([1, 2, 3], [1, 2, 3]) == 0.5
    assert math.isnan(probability_better([], []))


def test_none_of_ten_is_not_surely_none() -> None:
    none, half = share(0, 10), share(5, 10)
    assert (none.mean, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.278, abs=0.001)  # Wilson 1927, as tabled
    assert (half.low, half.high) == (pytest.approx(0.237, abs=0.001), pytest.approx(0.763, abs=0.001))
    assert share(10, 10).low == pytest.approx(1 - none.high)
    assert share(0, 0).count == 0
