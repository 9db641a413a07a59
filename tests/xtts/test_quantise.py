"""8-bit weights say nearly the same, take a quarter of the room, and leave the model alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import ConfigError
from dimts.xtts import lora
from dimts.xtts.generate import generate_all
from dimts.xtts.gpt import Conv1D
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.quantise import LIMIT, WAYS, quantise, trunk_bytes, whole_numbers
from dimts.xtts.sampling import GenerateSettings


@settings(max_examples=40, deadline=None)
@given(
    inputs=st.integers(1, 20), outputs=st.integers(1, 20), seed=st.integers(0, 999), size=st.floats(1e-6, 1e6)
)
def test_whole_numbers_are_the_nearest(inputs: int, outputs: int, seed: int, size: float) -> None:
    weight = torch.randn(inputs, outputs, generator=torch.Generator().manual_seed(seed)) * size
    codes, scale = whole_numbers(weight)
    assert codes.shape == (outputs, inputs)
    assert int(codes.abs().max()) <= LIMIT
    error = (codes.float() * scale[:, None] - weight.t()).abs()
    assert (error <= scale[:, None] * 0.5001).all()


@pytest.mark.parametrize("way", WAYS)
def test_quantised_layers_are_near(way: Any) -> None:
    torch.manual_seed(1)
    layer = Conv1D(64, 48)
    with torch.no_grad():
        layer.bias.normal_()
        x = torch.randn(2, 5, 64)
        wanted, found = layer(x), WAYS[way](layer)(x)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 0.03


@pytest.mark.parametrize("way", WAYS)
def test_a_quantised_model_answers_nearly_alike(way: Any, model: XTTS, examples: Examples) -> None:
    state = {key: value.clone() for key, value in model.state_dict().items()}
    small = quantise(model, way)
    with torch.no_grad():
        wanted, found = model.hidden(examples), small.hidden(examples)
        codes = [m.gpt.mel_head(h.audio).argmax(-1) for m, h in ((model, wanted), (small, found))]
    assert float((codes[0] == codes[1]).float().mean()) >= 0.9
    assert not torch.equal(wanted.audio, found.audio)
    assert trunk_bytes(small) * 4 == trunk_bytes(model)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    latents = torch.randn(1, 32, model.spec.width)
    said = generate_all(small.gpt, [latents], [[5, 6, 7]], GenerateSettings(seed=1, max_codes=9))[0]
    assert 1 <= len(said.codes) <= 9


def test_what_cannot_be_quantised_is_refused(model: XTTS) -> None:
    with pytest.raises(ConfigError, match="unknown quantisation"):
        quantise(model, "int3")  # type: ignore[arg-type]
    lora.attach(model, replace(lora.LoraSettings(), rank=2))
    with pytest.raises(ConfigError, match="adapters"):
        quantise(model)
