"""Measure the share of a clip's frames with two voices (or a voice and music) at once.

Two pitches: the autocorrelation of a frame gives its strongest period; taking that period away (a comb
filter) leaves little of one voice, but of two it leaves the other, which has a period of its own. After de
Cheveigné's cancellation model (JASA 93, 1993), computed on the autocorrelation alone, so that it costs a
sixth of a percent of real time.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from dimts.audio.wave import Wave

RATE = 8_000
_WINDOW = 512
"""Samples per window: 64 ms, five periods of a low voice."""
_HOP = 160
_SHORTEST, _LONGEST = 20, 115
"""Samples of a period: 400 Hz to 70 Hz."""
_BAND_HERTZ = (80.0, 1500.0)
"""Band of the harmonics that carry pitch."""
_LOUD_DB = 20.0
"""Level below the loudest frame above which frames count."""
_FIRST_OF_BEST = 0.9
"""The shortest period whose peak reaches this share of the best is taken: a multiple is a period, too."""
_PERIODIC = (0.3, 0.8)
"""Correlation at the strongest period: below is no voice, above is one voice alone."""
_SECOND = 0.65
"""Correlation of the residual at a period of its own, from which it is a second voice."""
_MIN_FRAMES = 50
"""Least loud frames for a meaningful share: one second."""


def overlap_share(wave: Wave) -> float:
    """Compute the share, 0 to 1; nan where there is less than a second of audio."""
    from scipy import fft, signal

    samples = wave.resample(RATE).samples
    if len(samples) < _WINDOW + _MIN_FRAMES * _HOP:
        return math.nan
    band = signal.sosfilt(_band(), samples).astype(np.float32)
    taper = np.hanning(_WINDOW).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(band, _WINDOW)[::_HOP] * taper  # [F, W]
    lags = 2 * _LONGEST + 2
    power = np.square(np.abs(fft.rfft(frames, 2 * _WINDOW, axis=1)))
    across = fft.irfft(power, axis=1)[:, :lags]  # autocorrelation
    energy = across[:, 0].copy()
    loud = energy > np.percentile(energy, 95) * 10.0 ** (-_LOUD_DB / 10.0)
    if loud.sum() < _MIN_FRAMES:
        return math.nan
    fade = np.correlate(taper, taper, "full")[_WINDOW - 1 :][:lags]
    across = across[loud] / np.maximum(energy[loud], 1e-12)[:, None] / (fade / fade[0])
    own = across[:, _SHORTEST : _LONGEST + 1]
    peak = np.zeros(own.shape, dtype=bool)
    peak[:, 1:-1] = (own[:, 1:-1] >= own[:, :-2]) & (own[:, 1:-1] >= own[:, 2:])
    peak &= own >= _FIRST_OF_BEST * own.max(axis=1, keepdims=True)
    period = np.where(peak.any(axis=1), peak.argmax(axis=1), own.argmax(axis=1)) + _SHORTEST  # [F]
    rows, lag = np.arange(len(across)), np.arange(_SHORTEST, _LONGEST + 1)
    first = across[rows, period]
    # x[t] − x[t − T] has the autocorrelation 2 R(τ) − R(τ + T) − R(τ − T)
    left = (
        2 * own
        - across[rows[:, None], lag + period[:, None]]
        - across[rows[:, None], np.abs(lag - period[:, None])]
    )
    second = (left / np.maximum(2.0 - 2.0 * first, 1e-6)[:, None]).max(axis=1)
    both = (first > _PERIODIC[0]) & (first < _PERIODIC[1]) & (second > _SECOND)
    return float(both.mean())


@cache
def _band() -> npt.NDArray[np.float64]:
    from scipy import signal

    sections: npt.NDArray[np.float64] = signal.butter(4, _BAND_HERTZ, "bandpass", fs=RATE, output="sos")
    return sections
