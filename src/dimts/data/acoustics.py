"""Measure a clip's spectrum: bandwidth, decay after speech, and a sketch to find duplicates."""

from __future__ import annotations

import base64
import bisect
import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimts.audio.spectrum import windowed_power
from dimts.audio.wave import Wave
from dimts.data.vad import HOP_SECONDS, SpeechActivity

Spectrum = npt.NDArray[np.float32]

_FFT = 1024
_HOP = 512
BANDWIDTH_DROP_DB = 58.0
"""Level below the peak of the loud frames' spectrum at which the bandwidth ends. Fricatives of a good
microphone stay within 50 dB; above the end of a narrow source it is 75 dB and more."""
SKETCH_BANDS = 12
SKETCH_TIMES = 16
_SKETCH_LOW_HERTZ, _SKETCH_HIGH_HERTZ = 150.0, 4000.0
_DECAY_DB = 15.0
_DECAY_REACH_SECONDS = 0.5


def spectrogram(wave: Wave, size: int = _FFT, hop: int = _HOP) -> Spectrum:
    """Compute [F, size/2+1] power with a Hann window. A wave shorter than one window is padded."""
    return windowed_power(wave.samples, size, hop).astype(np.float32)


def bandwidth_hz(wave: Wave, power: Spectrum | None = None) -> float:
    """Return the highest frequency with speech; detects a telephone's 4 kHz stored at 22 kHz."""
    power = spectrogram(wave) if power is None else power
    loud = power[power.sum(axis=1) >= np.percentile(power.sum(axis=1), 30)]
    peak = np.percentile(loud, 95, axis=0)
    level = 10.0 * np.log10(np.maximum(np.convolve(peak, np.full(5, 0.2), mode="same"), 1e-20))
    audible = np.flatnonzero(level > level.max() - BANDWIDTH_DROP_DB)
    if not len(audible) or power.max() <= 0.0:
        return 0.0
    return float((int(audible[-1]) + 1) * wave.rate / 2 / (power.shape[1] - 1))


def decay_seconds(activity: SpeechActivity, start: float, end: float) -> float:
    """Measure the decay where speech stops: median time of a fall by 60 dB, extrapolated from 15 dB.

    A proxy of reverberation time, measured at the stops before silences (ISO 3382's T15 on speech
    instead of a burst). A close microphone gives 0.1–0.4 s, a hall 1 s and more. nan without a silence.
    """
    falls = []
    reach = round(_DECAY_REACH_SECONDS / HOP_SECONDS)
    first = bisect.bisect_left(activity.speech, start, key=lambda span: span[1])
    last = bisect.bisect_right(activity.speech, end, key=lambda span: span[1])
    for _, stop in activity.speech[first:last]:
        at = round(stop / HOP_SECONDS)
        levels = activity.levels[max(0, at - 30) : at + reach]
        if len(levels) < 40:
            continue
        top = int(np.argmax(levels[:30]))
        tail = levels[top:]
        low = np.flatnonzero(tail <= tail[0] - _DECAY_DB)
        if not len(low):
            continue
        last_loud = np.flatnonzero(tail[: low[0]] >= tail[0] - 3.0)[-1]
        falls.append((int(low[0]) - int(last_loud)) * HOP_SECONDS * 60.0 / (_DECAY_DB - 3.0))
    return float(np.median(falls)) if falls else math.nan


def sketch(wave: Wave, power: Spectrum | None = None) -> str:
    """Encode a clip as 192 bytes in base64: its log spectrum by band and time, each band against its own
    mean.

    Level, codec, sample rate and a little silence at the ends hardly change it; another reading of the same
    sentence does.
    """
    power = spectrogram(wave) if power is None else power
    hertz = np.linspace(0, wave.rate / 2, power.shape[1])
    edges = np.geomspace(_SKETCH_LOW_HERTZ, _SKETCH_HIGH_HERTZ, SKETCH_BANDS + 1)
    bands = np.stack(
        [power[:, (hertz >= low) & (hertz < high)].sum(axis=1) for low, high in itertools.pairwise(edges)],
        axis=1,
    )
    level = 10.0 * np.log10(
        np.maximum(bands, bands.max() * 1e-5 + 1e-20)
    )  # 50 dB of range: noise floors are not compared
    audible = np.flatnonzero(level.max(axis=1) > level.max() - 30.0)
    level = level[audible[0] : audible[-1] + 1] if len(audible) else level
    at = np.linspace(0, len(level), SKETCH_TIMES + 1)
    means = np.stack([_mean_between(level, low, high) for low, high in itertools.pairwise(at)])
    means -= means.mean(axis=0)
    scale = float(np.abs(means).max()) or 1.0
    return base64.b64encode(np.round(means / scale * 127).astype(np.int8).tobytes()).decode("ascii")


def likeness(sketches: Sequence[str]) -> npt.NDArray[np.float32]:
    """Decode sketches to unit vectors [N, 192]; the product of two rows is their similarity, at most 1."""
    raw = np.stack([np.frombuffer(base64.b64decode(one), np.int8) for one in sketches]).astype(np.float32)
    unit: npt.NDArray[np.float32] = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)
    return unit


def _mean_between(level: npt.NDArray[np.floating], low: float, high: float) -> npt.NDArray[np.floating]:
    first = min(int(low), len(level) - 1)
    mean: npt.NDArray[np.floating] = level[first : max(first + 1, math.ceil(high))].mean(axis=0)
    return mean
