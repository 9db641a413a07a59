"""Align sequences of frames: dynamic time warping, and Viterbi placement of the lines of a script.

Frames are unit vectors; their cosine distance is between 0 and 2. All searches go by rows or diagonals of
the cost matrix in numpy. Dynamic time warping: Sakoe and Chiba 1978.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
Costs = npt.NDArray[np.float32]
Frames = npt.NDArray[np.float64]

_STEP, _JUMP, _ENTER = 1, 2, 3
"""How a column of a line was reached: from the one before, from the last but one, from outside; 0: by
staying."""
_LEAVE, _SKIP = 1, 3
"""How a place between lines was reached: from the end of a line, past a line; 0: by staying."""


def cosine_distance(first: Features, second: Features) -> Costs:
    """Compute [N, M] cosine distances, 0 to 2, of [N, D] and [M, D] unit vectors."""
    distance: Costs = (1.0 - first @ second.T).astype(np.float32)
    return distance


def place_lines(
    costs: Costs, borders: npt.NDArray[np.int64], step_cost: float
) -> tuple[float, list[tuple[int, int] | None]]:
    """Find where each line of a script is spoken, in order, by Viterbi search over [N, M] costs.

    Column m of `costs` belongs to line k where borders[k] <= m < borders[k + 1]; a cost below 0 says that
    frame n is rather this column than other speech. Each frame is in a line or, at no cost, between lines.
    Within a line the column stays, or goes on by 1 or 2; staying and going on by 2 cost `step_cost`. Returns
    the sum of costs, and for each line its frames [start, end), None for a line that is passed over.
    """
    count, lines = len(costs), len(borders) - 1
    starts, ends = borders[:-1], borders[1:] - 1
    step = np.float32(step_cost)
    padded = np.full(costs.shape[1] + 2, np.inf, np.float32)
    inside = padded[2:]  # cost of lying in each column
    between = np.zeros(lines + 1, np.float32)  # cost of lying before each line, and behind the last
    by_column = np.zeros(costs.shape, np.uint8)
    by_place = np.zeros((count, lines + 1), np.uint8)
    for row in range(count):
        best, code = _advanced(padded, step)
        entered = between[:-1] < best[starts]
        best[starts[entered]] = between[:-1][entered]
        code[starts[entered]] = _ENTER
        by_column[row] = code
        np.add(best, costs[row], out=inside)
        left = inside[ends] < between[1:]
        by_place[row, 1:][left] = _LEAVE
        between[1:][left] = inside[ends][left]
        lowest = np.minimum.accumulate(between)
        by_place[row][lowest < between] = _SKIP
        between = lowest
    return float(between[lines]), _traced(by_column, by_place, starts, ends)


def _advanced(padded: Costs, step: np.float32) -> tuple[Costs, npt.NDArray[np.uint8]]:
    """Return the cheapest way into each column from the row before, and which way it is."""
    stays, on, far = padded[2:] + step, padded[1:-1], padded[:-2] + step
    code = (on <= stays).astype(np.uint8)
    best = np.minimum(stays, on)
    jumps = far < best
    code[jumps] = _JUMP
    return np.minimum(best, far), code


def _traced(
    by_column: npt.NDArray[np.uint8],
    by_place: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> list[tuple[int, int] | None]:
    """Trace the best way backwards: the frames of each line."""
    spans: list[tuple[int, int] | None] = [None] * len(starts)
    row, line, column, last = len(by_column) - 1, len(starts), -1, 0
    while row >= 0 and (line > 0 or column >= 0):
        if column < 0:
            code = by_place[row, line]
            if code == _SKIP:
                line -= 1
            elif code == _LEAVE:
                line -= 1
                column, last = int(ends[line]), row
            else:
                row -= 1
            continue
        code = by_column[row, column]
        row -= 1
        if code == _ENTER:
            spans[line], column = (row + 1, last + 1), -1
            continue
        column -= int(code)
        if column < starts[line]:  # straight from the line before
            spans[line] = (row + 1, last + 1)
            line, last = line - 1, row
    return spans


def mean_cost(costs: Costs, step_cost: float) -> float:
    """Return the mean cost of a row of [N, M] along the best way through all columns, with the steps of
    `place_lines`."""
    step = np.float32(step_cost)
    padded = np.full(costs.shape[1] + 2, np.inf, np.float32)
    padded[2] = costs[0, 0]
    for row in range(1, len(costs)):
        best, _ = _advanced(padded, step)
        np.add(best, costs[row], out=padded[2:])
    ends = padded[2:]
    whole = ends[-1] if np.isfinite(ends[-1]) else ends[np.isfinite(ends)][-1]
    return float(whole) / len(costs)


def warp_costs(first: Features, others: npt.NDArray[np.float32]) -> Costs:
    """Compute [K] mean distances along the best warp of `first` [N, D] onto each of `others` [K, M, D].

    Symmetric steps, the diagonal weighted twice, normalised by N + M (Sakoe and Chiba's form P = 0). Goes by
    diagonals of the cost matrix, all K at once.
    """
    rows, (kinds, columns, width) = len(first), others.shape
    distance = first @ others.transpose(1, 0, 2).reshape(-1, width).T
    np.subtract(1.0, distance, out=distance)
    skewed = np.full((rows + columns - 1, rows, kinds), np.inf, np.float32)
    step, across, each = skewed.strides
    cells = np.lib.stride_tricks.as_strided(skewed, (rows, columns, kinds), (step + across, step, each))
    cells[:] = distance.reshape(rows, columns, kinds)  # cell (n, m) is on diagonal n + m
    last, before, new = np.full((3, rows + 1, kinds), np.inf, np.float32)
    last[1] = skewed[0, 0]
    both = np.empty((rows, kinds), np.float32)
    for number in range(1, rows + columns - 1):
        low, high = max(0, number - columns + 1), min(rows, number + 1)
        cost, out = skewed[number, low:high], new[low + 1 : high + 1]
        straight = np.add(before[low:high], cost, out=both[: high - low])
        np.minimum(last[low:high], last[low + 1 : high + 1], out=out)
        np.minimum(out, straight, out=out)
        out += cost
        new[low] = np.inf  # what has left the matrix
        before, last, new = last, new, before
    ends: Costs = last[rows] / np.float32(rows + columns)
    return ends


@dataclass(frozen=True, slots=True)
class DTWPath:
    """A warping path and its mean distance."""

    pairs: npt.NDArray[np.intp]
    """[P, 2] frame indices of both sequences, from the first to the last."""
    mean: float
    """Mean Euclidean distance along the path."""


def dtw(one: Frames, other: Frames) -> DTWPath:
    """Align [F, D] and [G, D] by DTW (Sakoe and Chiba 1978, symmetric steps without weights)."""
    distance = np.sqrt(
        np.maximum(
            np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1)[None] - 2.0 * one @ other.T,
            0.0,
        )
    )
    rows, columns = distance.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    # along anti-diagonals, vectorised: a cell depends only on the two previous diagonals
    for diagonal in range(2, rows + columns + 1):
        row = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        column = diagonal - row
        before = np.minimum(
            total[row - 1, column - 1], np.minimum(total[row - 1, column], total[row, column - 1])
        )
        total[row, column] = distance[row - 1, column - 1] + before
    path = [(rows, columns)]
    while path[-1] != (1, 1):
        row, column = path[-1]
        steps = ((row - 1, column - 1), (row - 1, column), (row, column - 1))
        path.append(min(steps, key=lambda step: total[step]))
    pairs = np.array(path[::-1]) - 1
    return DTWPath(pairs, float(distance[pairs[:, 0], pairs[:, 1]].mean()))
