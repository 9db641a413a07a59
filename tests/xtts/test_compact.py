"""Weights stored rounded: how far they are from what they were, and that a bundle of them is a bundle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import CheckpointError
from dimts.xtts import weights
from dimts.xtts.checkpoint import Bundle, load_bundle, save_bundle, verify_bundle
from dimts.xtts.compact import GROUP, SCALE, expand, shrink
from dimts.xtts.model import XTTS
from dimts.xtts.spec import SPECS
from dimts.xtts.vocabulary import Vocabulary


@given(st.integers(0, 2**31), st.sampled_from([1e-9, 1e-3, 1.0, 1e3]))
def test_each_weight_is_within_half_a_step_of_its_group(seed: int, size: float) -> None:
    matrix = torch.randn(64, 3 * GROUP, generator=torch.Generator().manual_seed(seed)) * size
    found = expand(shrink({"w": matrix}))["w"]
    step = (matrix.view(64, 3, GROUP).abs().amax(dim=2, keepdim=True) / 127).clamp(min=2.0**-24)
    error = (found - matrix).view(64, 3, GROUP).abs()
    assert bool((error <= 0.51 * step + step * 127 * 2**-11).all()), (
        "half a step, and the rounding of the scale"
    )


def test_what_is_no_large_matrix_is_bfloat16_or_stays() -> None:
    state = {
        "bias": torch.randn(300),
        "small": torch.randn(8, 64),
        "odd": torch.randn(80, 65),
        "count": torch.tensor(7),
    }
    found = shrink(state)
    assert {key: value.dtype for key, value in found.items()} == {
        "bias": torch.bfloat16,
        "small": torch.bfloat16,
        "odd": torch.bfloat16,
        "count": torch.int64,
    }
    assert set(expand(found)) == set(state)


def _bundle() -> Bundle:
    vocabulary = Vocabulary.for_phones(["a", "b"])
    spec = dataclasses.replace(
        SPECS["tiny"],
        layers=2,
        text_ids=vocabulary.size,
        start_text=vocabulary.start,
        stop_text=vocabulary.stop,
    )
    return Bundle(XTTS.build(spec, 1), vocabulary)


def test_a_compact_bundle_is_less_than_half_as_large_and_its_dvae_is_exact(tmp_path: Path) -> None:
    bundle = _bundle()
    save_bundle(bundle, tmp_path / "whole", dvae=True)
    save_bundle(bundle, tmp_path / "compact", dvae=True, compact=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "compact")]
    assert sizes[1] < 0.5 * sizes[0]
    assert verify_bundle(tmp_path / "compact") == []
    before, found = bundle.model.state_dict(), load_bundle(tmp_path / "compact", dvae=True).model.state_dict()
    assert set(found) == set(before)
    for key, value in found.items():
        if key.startswith("dvae."):
            assert torch.equal(value, before[key]), "codes are exact"
        elif value.is_floating_point():
            assert value.dtype == torch.float32
            assert float((value - before[key]).abs().max()) <= 0.01 * float(before[key].abs().max()) + 1e-12
    save_bundle(load_bundle(tmp_path / "compact", dvae=True), tmp_path / "again", dvae=True, compact=True)
    again = weights.read(tmp_path / "again" / "model.safetensors")
    torch.testing.assert_close(
        again, weights.read(tmp_path / "compact" / "model.safetensors"), rtol=2e-3, atol=1e-5
    )


def test_scales_of_another_shape_are_damage(tmp_path: Path) -> None:
    state = shrink({"w": torch.randn(64, 128)})
    state["w" + SCALE] = state["w" + SCALE][:, :1].repeat(1, 3)
    weights.write_safetensors(tmp_path / "w.safetensors", state)
    with pytest.raises(CheckpointError) as found:
        weights.read(tmp_path / "w.safetensors")
    assert found.value.code == "xtts.safetensors_damaged"
