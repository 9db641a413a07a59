"""Placement of a script's lines and warping: the fast searches are the plain recursions, and spans are in
order and apart.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.audio.alignment import cosine_distance, dtw, mean_cost, place_lines, warp_costs

STEP = 0.1


def plainly_placed(costs: np.ndarray, borders: list[int]) -> float:
    """The same search, state by state: the least sum of costs."""
    lines = len(borders) - 1
    inside = [math.inf] * borders[-1]
    between = [0.0] * (lines + 1)
    for row in costs.tolist():
        new = [math.inf] * len(inside)
        for line in range(lines):
            for column in range(borders[line], borders[line + 1]):
                ways = [inside[column] + STEP]
                ways += [inside[column - 1]] if column >= 1 else []
                ways += [inside[column - 2] + STEP] if column >= 2 else []
                ways += [between[line]] if column == borders[line] else []
                new[column] = min(ways) + row[column]
        inside = new
        for line in range(lines):
            between[line + 1] = min(between[line + 1], inside[borders[line + 1] - 1])
            between[line + 1] = min(between[line + 1], between[line])
    return between[lines]


@given(st.integers(0, 2**31), st.integers(1, 30), st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_placement_costs_what_the_plain_recursion_finds(seed: int, rows: int, lengths: list[int]) -> None:
    rng = np.random.default_rng(seed)
    borders = np.cumsum([0, *lengths])
    costs = rng.normal(0.1, 0.5, (rows, int(borders[-1]))).astype(np.float32)
    cost, spans = place_lines(costs, borders, STEP)
    assert cost == pytest.approx(plainly_placed(costs, borders.tolist()), abs=1e-4)
    found = [span for span in spans if span is not None]
    assert all(start < end for start, end in found)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(found))
    assert all(start >= 0 and end <= rows for start, end in found)


def test_lines_are_found_between_other_speech_and_the_rest_is_passed_over() -> None:
    rng = np.random.default_rng(1)

    def frames(count: int) -> np.ndarray:
        one = rng.standard_normal((count, 24)).astype(np.float32)
        unit: np.ndarray = one / np.linalg.norm(one, axis=1, keepdims=True)
        return unit

    first, second, unread, other = frames(20), frames(25), frames(30), frames(40)
    heard = np.concatenate([other, first, other[:15], second])
    script = np.concatenate([first, unread, second])
    costs = cosine_distance(heard, script) - np.float32(0.7)
    _, spans = place_lines(costs, np.array([0, 20, 50, 75]), STEP)
    assert spans == [(40, 60), None, (75, 100)]


def test_the_mean_cost_of_a_text_with_itself_is_nothing() -> None:
    rng = np.random.default_rng(2)
    frames = rng.standard_normal((30, 8)).astype(np.float32)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    assert mean_cost(cosine_distance(frames, frames), STEP) == pytest.approx(0.0, abs=1e-5)
    assert mean_cost(cosine_distance(frames, -frames), STEP) > 0.5


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 1000))
def test_warping_goes_from_the_first_frames_to_the_last_by_single_steps(
    rows: int, columns: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    one, other = draw.standard_normal((rows, 3)), draw.standard_normal((columns, 3))
    path = dtw(one, other)
    assert path.pairs[0].tolist() == [0, 0]
    assert path.pairs[-1].tolist() == [rows - 1, columns - 1]
    steps = np.diff(path.pairs, axis=0)
    assert steps.min() >= 0
    assert steps.max() <= 1
    assert (steps.sum(axis=1) >= 1).all()
    assert dtw(one, one).mean == pytest.approx(0.0, abs=1e-6)


def test_the_costs_of_a_warp_are_those_of_the_textbook() -> None:
    """Against the plain recursion of Sakoe and Chiba, cell by cell."""
    rng = np.random.default_rng(0)
    heard, said = rng.random((7, 4), np.float32), rng.random((2, 5, 4), np.float32)
    found = warp_costs(heard, said)
    for kind in range(2):
        distance = 1.0 - heard @ said[kind].T
        best = np.full((8, 6), np.inf)
        best[1, 1] = distance[0, 0]
        for row in range(1, 8):
            for column in range(1, 6):
                if (row, column) != (1, 1):
                    cost = distance[row - 1, column - 1]
                    best[row, column] = min(
                        best[row - 1, column] + cost,
                        best[row, column - 1] + cost,
                        best[row - 1, column - 1] + 2 * cost,
                    )
        assert found[kind] == pytest.approx(best[7, 5] / 12, rel=1e-5)


def test_a_sound_fits_itself() -> None:
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((30, 6)).astype(np.float32)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    assert warp_costs(frames, frames[None])[0] == pytest.approx(0.0, abs=1e-6)
