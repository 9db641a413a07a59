"""Compute the three mel spectrograms of XTTS from waves, and resample waves.

All three share the short-time transform (centred, reflecting edges, periodic window, |X|²) and the HTK mel
scale; they differ in window, bands, area norm and logarithm. Banks and windows are made once per device.

Sources: section 1 of the XTTS v2 specification; windowed-sinc resampling after Smith, "Digital Audio
Resampling" (CCRMA), with the Hann window, 6 zero crossings and roll-off 0.99 that XTTS was trained with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from dimts.base.errors import AudioError
from dimts.xtts.spec import MEL_BANDS, MEL_HOP, TIMBRE_RATE

ZERO_CROSSINGS = 6
ROLL_OFF = 0.99
MEL_FLOOR = 1e-5
PRE_EMPHASIS = 0.97


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Parameters of one mel spectrogram."""

    rate: int
    """Samples per second."""
    transform: int
    """Samples of one Fourier transform."""
    window: int
    """Samples of the window, centred in the transform."""
    hop: int
    """Samples between frames."""
    bands: int
    top_hz: float
    hamming: bool = False
    """Hamming instead of Hann."""
    area_norm: bool = True
    """Divide each band by half its width in Hz ("slaney")."""


CONDITIONING = FrontEnd(22_050, 2048, 1024, MEL_HOP, MEL_BANDS, 8000.0)
DVAE = FrontEnd(22_050, 1024, 1024, MEL_HOP, MEL_BANDS, 8000.0)
TIMBRE = FrontEnd(TIMBRE_RATE, 512, 400, 160, 64, 8000.0, hamming=True, area_norm=False)


def window(front: FrontEnd, device: torch.device | None = None) -> Tensor:
    """The periodic window, [front.window]."""
    make = torch.hamming_window if front.hamming else torch.hann_window
    # A copy, as torch makes a periodic window one sample too long and cuts it.
    return make(front.window, periodic=True, device=device or torch.device("cpu")).clone()


def filter_bank(front: FrontEnd) -> Tensor:
    """Triangles on the HTK mel scale, [transform / 2 + 1, bands] on the CPU."""
    cpu = torch.device("cpu")
    hertz = torch.linspace(0, front.rate // 2, front.transform // 2 + 1, device=cpu)
    top = 2595.0 * math.log10(1.0 + front.top_hz / 700.0)
    corners = 700.0 * (
        10.0 ** (torch.linspace(0.0, top, front.bands + 2, device=cpu) / 2595.0) - 1.0
    )  # [bands + 2]
    width = corners[1:] - corners[:-1]
    distance = corners[None] - hertz[:, None]  # [bins, bands + 2]
    rising, falling = -distance[:, :-2] / width[:-1], distance[:, 2:] / width[1:]
    bank = torch.minimum(rising, falling).clamp(min=0.0)  # [bins, bands]
    return bank * (2.0 / (corners[2:] - corners[:-2])) if front.area_norm else bank


@lru_cache(maxsize=16)
def _constants(front: FrontEnd, device: torch.device) -> tuple[Tensor, Tensor]:
    return window(front, device), filter_bank(front).to(device)


def power_mel(wave: Tensor, front: FrontEnd, constants: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Mel power without logarithm: [B, T] → [B, bands, T // hop + 1].

    `constants` are (window, bank) to use instead of computed ones. Raises AudioError for a wave shorter than
    half a transform, which cannot be reflected at its edges.
    """
    if wave.shape[-1] <= front.transform // 2:
        least = (front.transform // 2 + 1) / front.rate
        raise AudioError("xtts.sound_too_short", least_seconds=least)
    taper, bank = constants or _constants(front, wave.device)
    spectrum = torch.stft(
        wave.float(),
        front.transform,
        front.hop,
        front.window,
        taper,
        center=True,
        pad_mode="reflect",
        onesided=True,
        return_complex=True,
    )  # [B, bins, F]
    power = spectrum.real.square() + spectrum.imag.square()
    return torch.matmul(bank.t(), power)  # [B, bands, F]


def log_mel(wave: Tensor, front: FrontEnd, mel_stats: Tensor) -> Tensor:
    """Compute the mel of GPT conditioning (CONDITIONING) and DVAE: [B, T] at 22 050 Hz → [B, 80, F], log /
    `mel_stats` [80]."""
    return power_mel(wave, front).clamp(min=MEL_FLOOR).log() / mel_stats.to(wave.device)[:, None]


def pre_emphasise(wave: Tensor) -> Tensor:
    """x[t] - 0.97 x[t-1], with x[-1] = x[1]: [B, T] → [B, T]."""
    return wave - PRE_EMPHASIS * torch.cat((wave[:, 1:2], wave[:, :-1]), dim=1)


def forget_constants() -> None:
    """Drop the cached banks, windows and kernels, for example those made without contents by a trace."""
    _constants.cache_clear()
    _sinc_kernel.cache_clear()


@lru_cache(maxsize=16)
def _sinc_kernel(old: int, new: int) -> tuple[Tensor, int]:
    """Polyphase kernel [new, 1, width * 2 + old] and its half width.

    In float32 throughout: the weights were trained on waves resampled so, and float64 differs by 1e-5.
    """
    cut = min(old, new) * ROLL_OFF
    width = math.ceil(ZERO_CROSSINGS * old / cut)
    cpu = torch.device("cpu")
    at = torch.arange(-width, width + old, dtype=torch.float32, device=cpu)[None, None] / old
    at = torch.arange(0, -new, -1, dtype=torch.float32, device=cpu)[:, None, None] / new + at
    at = (at * cut).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    taper = torch.cos(at * math.pi / ZERO_CROSSINGS / 2).square()
    at = at * math.pi
    kernel = torch.where(at == 0, torch.ones_like(at), at.sin() / at)
    return kernel * taper * (cut / old), width


def resample(wave: Tensor, rate: int, new_rate: int) -> Tensor:
    """[B, T] at `rate` → [B, ceil(T * new_rate / rate)], by windowed sinc."""
    if rate == new_rate:
        return wave
    shared = math.gcd(rate, new_rate)
    old, new = rate // shared, new_rate // shared
    kernel, width = _sinc_kernel(old, new)
    length = wave.shape[-1]
    padded = F.pad(wave.float(), (width, width + old))
    phases = F.conv1d(padded[:, None], kernel.to(wave.device), stride=old)  # [B, new, frames]
    return phases.transpose(1, 2).reshape(wave.shape[0], -1)[:, : -(-length * new // old)]
