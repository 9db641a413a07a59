"""Choosing codes: upstream's rule step by step, seeds, limits, and sentences that do not disturb each
other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dimts.base.errors import ConfigError, SynthesisError
from dimts.xtts.generate import Decoder, generate, generate_all
from dimts.xtts.model import XTTS
from dimts.xtts.sampling import GenerateSettings, choose, warp

GREEDY = GenerateSettings(sample=False, repetition_penalty=1.0)


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture
def latents(model: XTTS) -> Tensor:
    return torch.randn(1, 32, model.spec.width, generator=torch.Generator().manual_seed(2))


def test_cached_states_are_those_of_a_whole_pass(model: XTTS, latents: Tensor) -> None:
    """Latents met while decoding equal the states of one pass over the finished sentence."""
    ids = [5, 6, 7, 8]
    said = generate_all(model.gpt, [latents], [ids], replace(GREEDY, max_codes=20))[0]
    gpt, spec = model.gpt, model.spec
    text = torch.tensor([spec.start_text, *ids, spec.stop_text])
    audio = torch.cat((torch.tensor([spec.start_audio]), said.codes[:-1]))
    x = torch.cat(
        (
            latents[0],
            gpt.text_embedding(text) + gpt.text_pos_embedding(torch.arange(len(text))),
            gpt.mel_embedding(audio) + gpt.mel_pos_embedding(torch.arange(len(audio))),
        )
    )[None]
    from dimts.xtts.attention import SequenceLayout

    states = gpt.final_norm(gpt.trunk(x, SequenceLayout((x.shape[1],), packed=False)))[0, -len(audio) :]
    assert torch.allclose(states, said.latents, atol=1e-4 * float(states.abs().max()))
    assert torch.equal(gpt.mel_head(states).argmax(-1), said.codes)


def test_seeds_decide_and_rows_draw_alone(model: XTTS, latents: Tensor) -> None:
    drawn = GenerateSettings(seed=3, max_codes=25, temperature=1.5, top_k=0, top_p=1.0)
    texts = [[5, 6, 7], [8, 9, 10, 11, 12], [5]]
    together = generate_all(model.gpt, [latents] * 3, texts, drawn)
    for text, said in zip(texts, together, strict=True):
        alone = generate_all(model.gpt, [latents], [text], drawn)[0]
        assert torch.equal(alone.codes, said.codes)
    other = generate_all(model.gpt, [latents], [texts[0]], replace(drawn, seed=4))[0]
    assert not torch.equal(other.codes, together[0].codes)


def test_the_cache_is_allocated_once(model: XTTS, latents: Tensor) -> None:
    decoder = Decoder(model.gpt, 2)
    where = decoder.cache.keys.data_ptr()
    decoder.add(latents, [5, 6], replace(GREEDY, max_codes=10))
    while len(decoder):
        decoder.step()
    assert decoder.cache.keys.data_ptr() == where
    assert decoder.cache.keys.shape[2] == model.spec.prefix_tokens + model.spec.max_codes


def test_limits_and_the_last_step(model: XTTS, latents: Tensor) -> None:
    steps = list(generate(model.gpt, latents, [5, 6], replace(GREEDY, max_codes=7)))
    assert len(steps) <= 7
    assert [step.last for step in steps] == [False] * (len(steps) - 1) + [True]
    model.gpt.mel_head.bias[model.spec.stop_audio] += 1000.0
    steps = list(generate(model.gpt, latents, [5, 6], GREEDY))
    assert [step.code for step in steps] == [model.spec.stop_audio]
    model.gpt.mel_head.bias[model.spec.stop_audio] -= 2000.0
    assert len(list(generate(model.gpt, latents, [5, 6], GREEDY))) == model.spec.max_codes


def test_a_full_or_foreign_loop_is_an_error(model: XTTS, latents: Tensor) -> None:
    decoder = Decoder(model.gpt, 1)
    decoder.add(latents, [5], GREEDY)
    with pytest.raises(SynthesisError, match="all 1 slots"):
        decoder.add(latents, [5], GREEDY)
    decoder.remove(77)
    decoder.remove(0)
    assert len(decoder) == 0
    assert decoder.step() == []
    with pytest.raises(SynthesisError, match="1 to 60"):
        list(generate(model.gpt, latents, [5] * 61, GREEDY))
    with pytest.raises(SynthesisError, match="1 to 60"):
        list(generate(model.gpt, latents, [], GREEDY))
    with pytest.raises(SynthesisError, match="the cache holds"):
        Decoder(model.gpt, 1, capacity=50).add(latents, [5], GREEDY)


def test_answers_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(SynthesisError, match="not a number"):
        choose(np.array([0.0, np.nan], np.float32), np.zeros(2, np.bool_), GREEDY)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    temperature=st.floats(0.2, 2.0),
    top_k=st.integers(0, 12),
    top_p=st.floats(0.05, 1.0),
)
def test_cuts_keep_the_likeliest(seed: int, temperature: float, top_k: int, top_p: float) -> None:
    logits = torch.randn(10, generator=torch.Generator().manual_seed(seed)) * 3
    cut = torch.from_numpy(
        warp(logits.numpy(), GenerateSettings(temperature=temperature, top_k=top_k, top_p=top_p))
    )
    kept = torch.isfinite(cut)
    assert kept[logits.argmax()]
    if top_k:
        assert int(kept.sum()) <= top_k
    assert logits[kept].min() >= logits[~kept].max() if (~kept).any() else True
    assert torch.allclose(cut[kept], logits[kept] / temperature)
    only_k = GenerateSettings(temperature=temperature, top_k=top_k, top_p=1.0)
    by_k = torch.from_numpy(warp(logits.numpy(), only_k)).softmax(-1)
    mass = by_k.double()[kept]
    assert mass.sum() >= top_p - 1e-6, "what is kept reaches top_p"
    if top_p < 1.0:
        assert mass.sum() - mass.min() <= top_p + 1e-6, "and would not without its least likely"


def test_the_penalty_divides_or_multiplies_what_was_said() -> None:
    said = np.array([True, True, False])
    assert (
        choose(np.array([2.0, -1.0, 1.5], np.float32), said, replace(GREEDY, repetition_penalty=2.0))[0] == 2
    )
    assert (
        choose(np.array([-2.0, -1.1, -2.0], np.float32), said, replace(GREEDY, repetition_penalty=2.0))[0]
        == 2
    )
    assert (
        choose(np.array([4.0, -1.0, 1.5], np.float32), said, replace(GREEDY, repetition_penalty=2.0))[0] == 0
    )


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"repetition_penalty": 0.0}, {"top_k": -1}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        GenerateSettings(**wrong)  # type: ignore[arg-type]


def test_settings_of_a_coqui_config() -> None:
    found = GenerateSettings.from_coqui({"temperature": 0.65, "top_k": 40, "repetition_penalty": 2.0, "x": 1})
    assert (found.temperature, found.top_k, found.top_p, found.repetition_penalty) == (0.65, 40, 0.85, 2.0)
