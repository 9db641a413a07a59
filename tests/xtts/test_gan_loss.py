"""Discriminators and losses of the vocoder's training."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dimts.xtts.discriminators import Kind, build_discriminator
from dimts.xtts.gan_loss import discriminator_loss, feature_loss, generator_loss, mel_distance, speaker_loss
from dimts.xtts.model import XTTS
from dimts.xtts.spec import SPECS

RATE = 24_000


def _noise(seed: int, samples: int = 4096, rows: int = 2) -> Tensor:
    return torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


def _tone(hertz: float, samples: int = 12_000) -> Tensor:
    return 0.2 * torch.sin(2 * math.pi * hertz * torch.arange(samples) / RATE)[None]


@pytest.mark.parametrize("kind", ["spectrogram", pytest.param("hifigan", marks=pytest.mark.slow)])
def test_a_discriminator_learns_to_tell_noise_from_tones(kind: Kind) -> None:
    discriminator = build_discriminator(kind, seed=1)
    optimizer = torch.optim.AdamW(
        discriminator.parameters(), lr=2e-3 if kind == "spectrogram" else 2e-4, betas=(0.8, 0.99)
    )
    real = torch.cat([_tone(hertz, 2048) for hertz in (200.0, 700.0)])
    losses = []
    for step in range(12 if kind == "spectrogram" else 4):
        loss = discriminator_loss(discriminator(real), discriminator(_noise(step, 2048)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def test_the_same_seed_gives_the_same_discriminator_and_leaves_torch_alone() -> None:
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    one, other = (build_discriminator("spectrogram", seed=4).state_dict() for _ in range(2))
    assert torch.rand(1).equal(expected)
    assert all(value.equal(other[name]) for name, value in one.items())


def test_losses_are_0_and_1_at_their_bounds() -> None:
    discriminator = build_discriminator("spectrogram", seed=1)
    real = discriminator(_noise(1))
    assert float(feature_loss(real, real).detach()) == 0.0
    certain = type(real)([torch.ones(2, 5)], [[torch.ones(2, 5)]])
    fooled = type(real)([torch.zeros(2, 5)], [[torch.zeros(2, 5)]])
    assert float(discriminator_loss(certain, fooled)) == 0.0
    assert float(generator_loss(certain)) == 0.0
    assert float(generator_loss(fooled)) == 1.0


def test_feature_loss_teaches_the_generator_alone() -> None:
    real, fake = _noise(1).requires_grad_(True), _noise(2).requires_grad_(True)
    discriminator = build_discriminator("spectrogram", seed=1)
    feature_loss(discriminator(real), discriminator(fake)).backward()
    assert real.grad is None
    assert fake.grad is not None


def test_a_band_limit_hides_what_lies_above_it_and_only_for_its_own_row() -> None:
    low, high = _tone(500.0), _tone(10_000.0)
    real, fake = torch.cat((low, low)), torch.cat((low + high, low + high))
    free = float(mel_distance(fake, real))
    limited = float(mel_distance(fake, real, [8000.0, 8000.0]))
    half = float(mel_distance(fake, real, [8000.0, 12_000.0]))
    assert limited < 0.15 * free
    assert half == pytest.approx((limited + free) / 2, rel=1e-4)


def test_speaker_loss_is_lowest_for_the_speaker_itself_and_teaches_the_wave() -> None:
    encoder = XTTS.build(SPECS["tiny"], 1).timbre
    real = _noise(1, 12_000)
    same = speaker_loss(encoder, real, real, RATE)
    fake = _noise(2, 12_000).cumsum(1).requires_grad_(True)
    other = speaker_loss(encoder, fake, real, RATE)
    assert float(same) == pytest.approx(-1.0, abs=1e-5)
    assert float(other.detach()) > float(same)
    other.backward()
    assert fake.grad is not None
    assert fake.grad.abs().max() > 0
