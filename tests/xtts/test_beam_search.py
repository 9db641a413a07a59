"""Beam search against every sentence there is, in a model small enough to ask."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dimts.base.errors import ConfigError
from dimts.xtts.beam_search import BeamSettings, beam_search
from dimts.xtts.generate import generate_all
from dimts.xtts.gpt import GPT
from dimts.xtts.sampling import GenerateSettings
from dimts.xtts.spec import SPECS

SPEC = replace(
    SPECS["tiny"], layers=1, width=32, heads=2, text_ids=10, audio_ids=6, start_audio=4, stop_audio=5,
    max_audio=12, max_text=8, dvae_codes=4,
)  # fmt: skip
IDS = [5, 6]


@pytest.fixture
def gpt() -> GPT:
    torch.manual_seed(2)
    gpt = GPT(SPEC).eval()
    with torch.no_grad():
        for parameter in gpt.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.3)
    return gpt


@pytest.fixture
def latents() -> Tensor:
    return torch.randn(1, 32, SPEC.width, generator=torch.Generator().manual_seed(3))


def log_probabilities(gpt: GPT, latents: Tensor, codes: tuple[int, ...]) -> list[float]:
    """log p of each code given those before it, by whole passes."""
    found = []
    from dimts.xtts.gpt import KVCache

    cache = KVCache(SPEC, 1, 64, gpt.text_embedding.weight)
    with torch.no_grad():
        state = gpt.prefill(latents, IDS, cache, 0)
        for place, code in enumerate(codes, start=1):
            found.append(float(gpt.mel_head(state).log_softmax(-1)[0, code]))
            state = gpt.decode(torch.tensor([code]), torch.tensor([place]), cache)
    return found


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_a_wide_search_finds_the_best_of_all(penalty: float, gpt: GPT, latents: Tensor) -> None:
    limit = 3
    stop, others = SPEC.stop_audio, [code for code in range(SPEC.audio_ids) if code != SPEC.stop_audio]
    sentences = [(*body, stop) for size in range(limit) for body in itertools.product(others, repeat=size)]
    sentences += list(itertools.product(others, repeat=limit))
    scores = {one: sum(log_probabilities(gpt, latents, one)) / len(one) ** penalty for one in sentences}
    best = max(scores, key=scores.__getitem__)
    found = beam_search(
        gpt, latents, IDS, BeamSettings(200, penalty, repetition_penalty=1.0, max_codes=limit)
    )
    assert tuple(found.codes.tolist()) == best
    assert found.stopped == (best[-1] == stop)
    assert found.latents.shape == (len(best), SPEC.width)


def test_a_search_is_never_worse_than_greedy(gpt: GPT, latents: Tensor) -> None:
    greedy = generate_all(gpt, [latents], [IDS], GenerateSettings(sample=False, repetition_penalty=1.0))[0]
    found = beam_search(gpt, latents, IDS, BeamSettings(6, 0.0, repetition_penalty=1.0))

    def score(codes: Tensor) -> float:
        return sum(log_probabilities(gpt, latents, tuple(codes.tolist())))

    assert score(found.codes) >= score(greedy.codes) - 1e-5


def test_longer_is_preferred_by_a_larger_penalty(gpt: GPT, latents: Tensor) -> None:
    lengths = [
        len(beam_search(gpt, latents, IDS, BeamSettings(5, penalty, repetition_penalty=1.0)).codes)
        for penalty in (0.0, 4.0)
    ]
    assert lengths[0] <= lengths[1]


def test_one_beam_is_no_search() -> None:
    with pytest.raises(ConfigError, match="too small for a beam search"):
        BeamSettings(1)
    with pytest.raises(ConfigError, match="positive"):
        BeamSettings(repetition_penalty=0.0)
