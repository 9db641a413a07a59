"""Teacher-forced states are those that generating the same codes goes through."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dimts.base.errors import SynthesisError, TrainingError
from dimts.xtts.generate import generate
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.sampling import GenerateSettings
from dimts.xtts.spec import LATENTS, SPECS, Spec

SPEC: Spec = replace(SPECS["tiny"], max_audio=60, max_text=30)
IDS = [9, 4, 17, 5]


def _model() -> tuple[XTTS, torch.Tensor]:
    model = XTTS.build(SPEC, seed=1, dvae=False)
    return model, torch.randn(1, LATENTS, SPEC.width, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_states_of_given_codes_are_those_of_generating_them() -> None:
    model, latents = _model()
    steps = list(generate(model.gpt, latents, IDS, GenerateSettings(seed=3, max_codes=25)))
    codes = torch.tensor([step.code for step in steps])
    states = model.gpt.teacher_forced(latents, IDS, codes)
    expected = torch.stack([step.latent for step in steps])
    assert len(codes) > 5
    torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-5)
    one = model.gpt.teacher_forced(latents, IDS, codes[:1])
    torch.testing.assert_close(one, expected[:1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_states_of_training_differ_as_its_text_has_no_stop() -> None:
    model, latents = _model()
    codes = torch.tensor([5, 9, 200, 7])
    trained = model.hidden(
        Examples(torch.tensor([IDS]), [len(IDS)], codes[None], [4], latents=latents)
    ).audio[:4]
    assert not torch.allclose(model.gpt.teacher_forced(latents, IDS, codes), trained, atol=1e-4)


def test_what_the_position_tables_do_not_hold_is_refused() -> None:
    model, latents = _model()
    with pytest.raises(SynthesisError):
        model.gpt.teacher_forced(latents, [4] * 31, torch.tensor([1]))
    with pytest.raises(TrainingError):
        model.gpt.teacher_forced(latents, IDS, torch.ones(64, dtype=torch.int64))
