"""A sentence is the same to the last bit whoever speaks beside it, where this machine's products allow it."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from dimts.xtts.batch_invariance import min_invariant_batch
from dimts.xtts.generate import Decoder
from dimts.xtts.model import XTTS
from dimts.xtts.quantise import quantise
from dimts.xtts.sampling import GenerateSettings

SLOTS = 8


def spoken(
    model: XTTS, rows: int, jobs: list[tuple[Tensor, list[int], int]], at_once: int
) -> list[list[int]]:
    """Codes and latents' bits of each job, joined when there is room, in one loop of `at_once` sentences."""
    decoder = Decoder(model.gpt, at_once, min_rows=rows)
    waiting = list(enumerate(jobs))
    names: dict[int, int] = {}
    out: list[list[int]] = [[] for _ in jobs]
    while waiting or len(decoder):
        while waiting and len(decoder) < at_once:
            place, (latents, ids, seed) = waiting.pop(0)
            settings = GenerateSettings(
                seed=seed, max_codes=10 + 7 * (seed % 5), temperature=1.3, top_k=0, top_p=1.0
            )
            names[decoder.add(latents, ids, settings)] = place
        for step in decoder.step():
            out[names[step.row]] += [step.code, *step.latent.view(torch.int32).tolist()]
    return out


def jobs_of(model: XTTS, count: int) -> list[tuple[Tensor, list[int], int]]:
    noise, chance = torch.Generator().manual_seed(4), random.Random(4)
    return [
        (
            torch.randn(1, 32, model.spec.width, generator=noise),
            [chance.randrange(5, 20) for _ in range(chance.randrange(3, 40))],
            seed,
        )
        for seed in range(count)
    ]


def test_neighbours_change_no_bit(model: XTTS) -> None:
    rows = min_invariant_batch(model.gpt, SLOTS)
    if not rows:
        pytest.skip("this machine's matrix products depend on how many rows they have")
    jobs = jobs_of(model, 20)
    together = spoken(model, rows, jobs, SLOTS)
    alone = [spoken(model, rows, [job], 1)[0] for job in jobs]
    assert together == alone
    assert len({len(row) for row in together}) > 2, "sentences of unlike length come and go"


def test_rows_that_fill_up_change_nothing_but_rounding(model: XTTS) -> None:
    jobs = jobs_of(model, 3)
    plain, wide = (spoken(model, rows, jobs, 3) for rows in (1, 16))
    for a, b in zip(plain, wide, strict=True):
        width = model.spec.width + 1
        assert a[::width] == b[::width], "the same codes"
        bits = [torch.tensor(row).int().view(torch.float32).reshape(-1, width)[:, 1:] for row in (a, b)]
        assert torch.allclose(*bits, atol=1e-4)


def test_inputs_scaled_together_are_never_steady(model: XTTS) -> None:
    """The dynamic 8-bit kernel takes one scale for all rows of its input, so rows do depend on each other."""
    assert min_invariant_batch(quantise(model, "dynamic").gpt, SLOTS) == 0
