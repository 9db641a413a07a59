"""Invert a log-mel [80, F] to a wave without weights, to check mels and DVAE codes before a vocoder is
trained.

The magnitudes are the non-negative spectrum whose mel is the given one (multiplicative updates; Lee and
Seung, 2001), the phases those that agree with them best (Griffin and Lim, 1984; with momentum, Perraudin et
al., 2013).
"""

from __future__ import annotations

import torch
from torch import Tensor

from dimts.xtts.mel import DVAE, FrontEnd, filter_bank, window

MAGNITUDE_ITERATIONS = 40
PHASE_ITERATIONS = 32
MOMENTUM = 0.99
_LEAST = 1e-10


@torch.no_grad()
def griffin_lim(log_mel: Tensor, mel_stats: Tensor, front: FrontEnd = DVAE, seed: int = 0) -> Tensor:
    """Invert a log-mel [80, F] of `mel.log_mel` to a wave [(F − 1) · hop] at `front.rate`. `seed` is the
    phases'."""
    magnitude = mel_to_power(log_mel, mel_stats, front).sqrt()
    taper = window(front)
    generator = torch.Generator().manual_seed(seed)
    phase = torch.polar(
        torch.ones_like(magnitude), 2 * torch.pi * torch.rand(magnitude.shape, generator=generator)
    )
    length = (log_mel.shape[1] - 1) * front.hop
    sizes = (front.transform, front.hop, front.window, taper)
    before = torch.zeros_like(phase)
    for _ in range(PHASE_ITERATIONS):
        wave = torch.istft(magnitude * phase, *sizes, length=length)
        found = torch.stft(wave, *sizes, return_complex=True)
        moved = found + MOMENTUM * (found - before) / (1 + MOMENTUM)
        phase, before = moved / moved.abs().clamp(min=_LEAST), found
    return torch.istft(magnitude * phase, *sizes, length=length)


@torch.no_grad()
def mel_to_power(log_mel: Tensor, mel_stats: Tensor, front: FrontEnd = DVAE) -> Tensor:
    """Return a power spectrum [transform / 2 + 1, F] whose mel is the given one."""
    bank = filter_bank(front)  # [bins, bands]
    wanted = (log_mel * mel_stats[:, None]).exp()
    power: Tensor = (torch.linalg.pinv(bank.t()) @ wanted).clamp(min=_LEAST)
    coverage = bank.sum(dim=1, keepdim=True).clamp(min=_LEAST)
    for _ in range(MAGNITUDE_ITERATIONS):
        power = power * (bank @ (wanted / (bank.t() @ power).clamp(min=_LEAST))) / coverage
    return power
