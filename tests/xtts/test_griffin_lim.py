"""A wave made of a mel has that mel."""

from __future__ import annotations

import math

import torch

from dimts.xtts.griffin_lim import griffin_lim, mel_to_power
from dimts.xtts.mel import DVAE, filter_bank, log_mel

STATS = torch.linspace(2.0, 4.0, 80)


def _vowels() -> torch.Tensor:
    """Two seconds of gliding harmonics with resonances, [1, T]."""
    time = torch.arange(2 * DVAE.rate) / DVAE.rate
    pitch = 2 * math.pi * torch.cumsum(140 + 40 * torch.sin(3 * time), 0) / DVAE.rate
    tones = [torch.sin(k * pitch) / (1 + ((140 * k - 700) / 300) ** 2 + k / 20) for k in range(1, 40)]
    return 0.1 * torch.stack(tones).sum(0)[None]


def test_power_has_the_mel_it_was_made_of() -> None:
    mel = log_mel(_vowels(), DVAE, STATS)[0]
    back = filter_bank(DVAE).t() @ mel_to_power(mel, STATS)
    error = (back.clamp(min=1e-5).log() - mel * STATS[:, None]).abs().mean()
    assert float(error) < 0.1


def test_the_wave_has_the_mel_it_was_made_of_and_the_seed_decides_its_phases() -> None:
    mel = log_mel(_vowels(), DVAE, STATS)[0]
    wave = griffin_lim(mel, STATS)
    again = log_mel(wave[None], DVAE, STATS)[0]
    assert len(wave) == (mel.shape[1] - 1) * DVAE.hop
    loud = mel > mel.max() - 6.0 / STATS[:, None]
    error = ((again - mel) * STATS[:, None]).abs()[loud].mean()
    assert float(error) < 0.5
    assert wave.equal(griffin_lim(mel, STATS))
    assert not wave.equal(griffin_lim(mel, STATS, seed=1))
