"""Compute frames, power and mel spectra of samples, with numpy.

One transform for all of them; a measure that has its own sizes gives them in a `Mel`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dimts.audio.media import Samples

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mel:
    """Parameters of a mel spectrum."""

    rate: int
    """Sample rate in Hz."""
    transform: int
    """Samples of the Fourier transform."""
    window: int
    """Samples of the Hann window, centred in the transform."""
    hop: int
    """Samples between frames."""
    bands: int
    low_hz: float
    high_hz: float


def frames(samples: Samples, size: int, hop: int) -> Matrix:
    """Cut [T] into [T // hop + 1, size]: frame i is centred on sample i · hop; beyond the ends there is
    silence."""
    padded = np.pad(samples.astype(np.float32), (size // 2, size - size // 2))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][: len(samples) // hop + 1]


def mel_power(samples: Samples, mel: Mel) -> Matrix:
    """Compute from [T] at `mel.rate` the [F, bands] power in triangular bands (Slaney's scale, each of unit
    area)."""
    from scipy import fft

    left = (mel.transform - mel.window) // 2
    taper = np.zeros(mel.transform, np.float32)
    taper[left : left + mel.window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(mel.window) / mel.window)
    spectrum = fft.rfft(frames(samples, mel.transform, mel.hop) * taper, axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    banded: Matrix = power.astype(np.float32) @ bank(mel)
    return banded


def windowed_power(samples: Samples, size: int, hop: int) -> Matrix:
    """Compute from [T] the [F, size / 2 + 1] power of Hann windows from the first sample; short input is
    padded."""
    padded = np.pad(samples, (0, max(0, size - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    power: Matrix = np.square(np.abs(np.fft.rfft(windows * np.hanning(size).astype(np.float32), axis=1)))
    return power


@cache
def htk_bank(rate: int, size: int, bands: int, low_hz: float, high_hz: float) -> Matrix:
    """Return [bands, size / 2 + 1] triangles of height 1 on the mel scale of O'Shaughnessy (1987), as in
    HTK."""

    def mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    points = 700.0 * (10.0 ** (np.linspace(mel(low_hz), mel(high_hz), bands + 2) / 2595.0) - 1.0)
    hertz = np.linspace(0, rate / 2, size // 2 + 1)
    low, middle, high = points[:-2, None], points[1:-1, None], points[2:, None]
    triangles = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    return np.clip(triangles, 0.0, None).astype(np.float32)


@cache
def cosine_transform(rows: int, bands: int) -> Matrix:
    """Return the first rows of the orthonormal DCT-II, [rows, bands]."""
    band = (np.arange(bands) + 0.5) / bands
    matrix = np.cos(np.pi * np.arange(rows)[:, None] * band) * math.sqrt(2.0 / bands)
    matrix[0] /= math.sqrt(2.0)
    return matrix.astype(np.float32)


@cache
def bank(mel: Mel) -> Matrix:
    """Return [transform / 2 + 1, bands] triangles, evenly spaced on Slaney's mel scale (Auditory Toolbox,
    1998)."""
    hertz = np.linspace(0.0, mel.rate / 2, mel.transform // 2 + 1)
    corners = _to_hertz(np.linspace(_to_mel(mel.low_hz), _to_mel(mel.high_hz), mel.bands + 2))
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (hertz[:, None] - low) / (centre - low)
    falling = (high - hertz[:, None]) / (high - centre)
    weights: Matrix = (np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)).astype(np.float32)
    return weights


_BREAK_HZ, _HZ_PER_MEL, _LOG_STEP = 1000.0, 200.0 / 3.0, math.log(6.4) / 27.0
"""Slaney's scale is linear below 1 kHz (66.7 Hz to a mel) and logarithmic above (27 mels to a factor of
6.4)."""


def _to_mel(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz / _HZ_PER_MEL
    return _BREAK_HZ / _HZ_PER_MEL + math.log(hertz / _BREAK_HZ) / _LOG_STEP


def _to_hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    knee = _BREAK_HZ / _HZ_PER_MEL
    return np.where(mels < knee, mels * _HZ_PER_MEL, _BREAK_HZ * np.exp(_LOG_STEP * (mels - knee)))
