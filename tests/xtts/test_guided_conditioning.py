"""The loss that keeps speakers apart in the conditioning latents, alone and in a model that learns."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from dimts.xtts.guided_conditioning import UNKNOWN, count_pairs, labels, speaker_contrast
from dimts.xtts.loss import LossSettings
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.spec import SPECS


def test_one_speaker_alike_and_two_apart_is_no_loss() -> None:
    one, other = torch.eye(2)[:, None, :].unbind(0)  # [1, 2] each, at right angles
    latents = torch.stack([one, one * 3.0, other])
    assert speaker_contrast(latents, torch.tensor([0, 0, 1])).item() == pytest.approx(0.0, abs=1e-6)
    assert speaker_contrast(latents, torch.tensor([0, 1, 1])).item() == pytest.approx(
        0.5 * (1 + 1 / 2), abs=1e-6
    )


def test_rows_of_unknown_speakers_do_not_count() -> None:
    latents = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert speaker_contrast(latents, torch.full((4,), UNKNOWN)).item() == 0.0
    loss = speaker_contrast(latents, torch.tensor([0, UNKNOWN, 1, UNKNOWN]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert latents.grad is not None
    assert latents.grad[[1, 3]].abs().max() == 0.0
    assert latents.grad[[0, 2]].abs().max() > 0.0


def test_speakers_are_numbered_and_their_pairs_counted() -> None:
    assert labels(["a", "", "b", "a"]).tolist() == [0, UNKNOWN, 2, 0]
    assert count_pairs(["a", "", "b", "a"]) == 6
    assert count_pairs(["", ""]) == 0


def batch(seed: int) -> Examples:
    """Four clips of two speakers, who differ in the bands that sound."""
    generator = torch.Generator().manual_seed(seed)
    mel = 0.3 * torch.randn(4, 80, 40, generator=generator)
    mel[:2, :40] += 2.0
    mel[2:, 40:] += 2.0
    return Examples(
        torch.randint(10, 20, (4, 6), generator=generator),
        [6] * 4,
        torch.randint(0, 100, (4, 12), generator=generator),
        [12] * 4,
        mel=mel,
        speakers=torch.tensor([0, 0, 1, 1]),
        speaker_pairs=12,
    )


def cosine_of_two_speakers(weight: float) -> float:
    """What a tiny model's latents of two speakers have in common after some steps."""
    spec = dataclasses.replace(SPECS["tiny"], layers=2)
    model = XTTS.build(spec, 1)
    optimizer = torch.optim.AdamW([p for _, p in model.trained()], lr=1e-3)
    for step in range(60):
        losses = model(batch(step), LossSettings(guided_conditioning=weight))
        assert (losses.speaker is None) == (weight == 0.0)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    with torch.no_grad():
        rows = torch.nn.functional.normalize(model.conditioning(batch(99).mel).flatten(1), dim=1)
    return float(rows[0] @ rows[2])


def test_the_latents_of_two_speakers_come_apart_with_it_and_not_without() -> None:
    assert cosine_of_two_speakers(1.0) < 0.3
    assert cosine_of_two_speakers(0.0) > 0.8


def test_the_total_holds_it_with_its_weight() -> None:
    spec = dataclasses.replace(SPECS["tiny"], layers=2)
    model, examples = XTTS.build(spec, 1), batch(1)
    with torch.no_grad():
        plain, guided = model(examples), model(examples, LossSettings(guided_conditioning=0.5))
    assert guided.speaker is not None
    assert float(guided.total) == pytest.approx(float(plain.total + 0.5 * guided.speaker), rel=1e-5)
    assert guided.speaker_pairs == 12
    assert float(guided.mel) == pytest.approx(float(plain.mel), rel=1e-5), "nothing else changes"
