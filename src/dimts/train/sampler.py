"""Choose the clips of each step from their lengths, for a whole epoch at once.

A pure function of (rows, settings, seed, epoch): every clip occurs once per epoch (weights apart), a resumed
run sees the same steps, and the members of a step depend only on its seconds, not on how many processes and
forward passes share it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dimts.base.errors import TrainingError

_WINDOW_STEPS = 50
"""Steps' worth of clips that are sorted by length together without packing."""


@dataclass(frozen=True, slots=True)
class Row:
    """A clip as the sampler sees it."""

    seconds: float
    tokens: int
    """Positions in the trunk: latents, text, codes."""
    weight: float = 1.0
    """How often it is drawn per epoch."""


Step = tuple[tuple[int, ...], ...]
"""The clips of one optimizer step: one tuple of row numbers per forward pass and process."""


@dataclass(frozen=True, slots=True)
class Sampler:
    """Sampler of epochs of steps from rows."""

    rows: tuple[Row, ...]
    seconds: float
    """Seconds of speech per forward pass and process."""
    clips: int
    """Most clips per forward pass; 0: any number."""
    parts: int
    """Forward passes × processes per step."""
    packed: bool
    seed: int

    def __post_init__(self) -> None:
        drawable = sum(row.weight > 0 for row in self.rows)
        if drawable < self.parts:
            raise TrainingError("train.clips_shared_forward_passes", drawable=drawable, parts=self.parts)

    def epoch(self, number: int) -> list[Step]:
        """The steps of epoch `number` (from 0), in order."""
        rng = random.Random(f"{self.seed}:{number}")
        drawn = [index for index, row in enumerate(self.rows) for _ in range(_times(row.weight, rng))]
        if len(drawn) < self.parts:  # low weights, a small set: take what there is rather than nothing
            drawn = [index for index, row in enumerate(self.rows) if row.weight > 0]
        rng.shuffle(drawn)
        if not self.packed:
            drawn = self._by_length(drawn)
        steps = self._fill(drawn)
        if not self.packed:
            rng.shuffle(steps)
        return [self._share(step) for step in steps]

    def steps_per_epoch(self) -> int:
        """Steps of the first epoch; others may differ by one or two."""
        return len(self.epoch(0))

    def _by_length(self, drawn: list[int]) -> list[int]:
        mean = sum(self.rows[index].seconds for index in drawn) / len(drawn)
        window = max(1, int(_WINDOW_STEPS * self.parts * self.seconds / mean))
        out: list[int] = []
        for first in range(0, len(drawn), window):
            out += sorted(drawn[first : first + window], key=lambda index: self.rows[index].tokens)
        return out

    def _fill(self, drawn: list[int]) -> list[list[int]]:
        """Add clips until a step is full; the last step takes from its neighbour what it lacks."""
        limit, most = self.seconds * self.parts, self.clips * self.parts
        steps: list[list[int]] = [[]]
        filled = 0.0
        for index in drawn:
            seconds = self.rows[index].seconds
            full = filled + seconds > limit or (most and len(steps[-1]) >= most)
            if full and len(steps[-1]) >= self.parts:
                steps.append([])
                filled = 0.0
            steps[-1].append(index)
            filled += seconds
        while len(steps) > 1 and len(steps[-1]) < self.parts:
            lacking = self.parts - len(steps[-1])
            if len(steps[-2]) - lacking >= self.parts:
                steps[-1] = steps[-2][-lacking:] + steps[-1]
                steps[-2] = steps[-2][:-lacking]
            else:
                steps[-2:] = [steps[-2] + steps[-1]]
        return steps

    def _share(self, step: Sequence[int]) -> Step:
        """Divide a step's clips so that every part has about as many tokens: longest first."""
        parts: list[list[int]] = [[] for _ in range(self.parts)]
        loads = [0] * self.parts
        for index in sorted(step, key=lambda index: (-self.rows[index].tokens, index)):
            lightest = loads.index(min(loads))
            parts[lightest].append(index)
            loads[lightest] += self.rows[index].tokens
        return tuple(map(tuple, parts))


class StepSource(Protocol):
    """A sampler: yields the steps of an epoch."""

    def epoch(self, number: int) -> list[Step]:
        """The steps of epoch `number` (from 0), in order."""

    def steps_per_epoch(self) -> int:
        """Steps of the first epoch."""


def total_steps(sampler: StepSource, steps: int, epochs: int) -> int:
    """Return the steps of a run: `steps`, or those of so many epochs."""
    return sum(len(sampler.epoch(number)) for number in range(epochs)) if epochs else steps


def _times(weight: float, rng: random.Random) -> int:
    """Return how often a clip of this weight occurs in one epoch: 1.25: once, and twice in every fourth
    epoch."""
    if weight == int(weight):
        return int(weight)
    return int(weight) + (rng.random() < weight - int(weight))


def padding_share(sampler: Sampler, steps: Sequence[Step]) -> float:
    """Return the share of padding, 0 to 1, if the parts of `steps` were padded: 0 when packed."""
    real = sum(sampler.rows[index].tokens for step in steps for part in step for index in part)
    padded = sum(
        len(part) * max(sampler.rows[index].tokens for index in part) for step in steps for part in step
    )
    return 0.0 if sampler.packed or not padded else 1 - real / padded


def crop(samples: int, rng: random.Random, shortest: int, longest: int) -> tuple[int, int]:
    """Draw the start and end of the conditioning crop of a clip of `samples`; a shorter clip gives half of
    itself.

    The rule of the published training (`get_prompt_slice`), draw by draw: length, then start.
    """
    length = rng.randint(shortest, longest)
    if length > samples:
        length = samples // 2
    start = rng.randint(0, samples - length)
    return start, start + length


def crop_for_dev(samples: int, shortest: int, longest: int) -> tuple[int, int]:
    """Return the crop used for evaluation: of medium length, from the beginning."""
    length = (shortest + longest) // 2
    return 0, length if length <= samples else samples // 2
