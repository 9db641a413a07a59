"""Measure and correct levels of a Wave: offset, loudness, peaks, clipping, silences, noise.

Measures are in dB relative to full scale (dBFS, a full-scale sine has a peak of 0 and an RMS of −3),
loudness in LUFS (ITU-R BS.1770-4). Silence measures as −inf, never as an exception.

A strong DC offset makes every figure nonsense: measure after `high_pass`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from dimts.audio.media import Samples
from dimts.audio.wave import Wave
from dimts.base.plugins import require

FRAME_SECONDS = 0.025
HOP_SECONDS = 0.010
FLOOR_DBFS = -120.0
"""Level of digital silence in frame levels; no recording is quieter."""
CLIP_LEVEL = 0.985
"""Share of full scale that counts as clipped. Lossy coding moves clipped peaks, so exactly 1.0 would miss
most."""
CLIP_RUN = 3
"""Samples in a row at the top before it counts as clipping; a single peak may touch it."""
CLIP_SPREAD = 0.05
"""Difference between the largest and the least sample of a flat top; more is a float beyond full scale."""
HIGH_PASS_HERTZ = 60.0
"""Cutoff below the lowest speaking voice (about 70 Hz), above hum and rumble."""
LOUDNESS_LUFS = -23.0
"""Programme loudness of EBU R 128."""
PEAK_DBFS = -1.0
"""Highest peak: leaves headroom for what resampling and lossy coding add."""
_BLOCK_SECONDS = 0.4
"""Gating block of BS.1770; a shorter sound is measured as one block."""
_BLANK_RANGE_DB = 40.0
"""Where the pauses are digital silence, speech is what is within this much of its loudest frame."""
_SMALLEST_RISE_DB = 6.0
"""Least distance of speech from the noise if they are separated by level alone."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Measurements of one wave."""

    seconds: float
    dc_offset: float
    """Mean of the samples, as a share of full scale; healthy: below 0.001."""
    peak_dbfs: float
    rms_dbfs: float
    loudness_lufs: float
    clipped_share: float
    """Share of samples in flat tops; healthy: 0."""
    silence_share: float
    noise_dbfs: float
    snr_db: float
    """Speech-to-noise ratio; inf where there is no noise, nan where speech and noise cannot be separated."""


def measure(wave: Wave) -> Levels:
    """Measure all levels of a wave: offset and clipping of it as it is, the rest after the high-pass."""
    clean = high_pass(wave)
    noise, snr = noise_and_snr(clean)
    quiet = silences(clean)
    return Levels(
        seconds=wave.seconds,
        dc_offset=dc_offset(wave),
        peak_dbfs=peak_dbfs(wave),
        rms_dbfs=rms_dbfs(clean),
        loudness_lufs=loudness_lufs(clean),
        clipped_share=clipped_share(wave),
        silence_share=min(1.0, sum(end - start for start, end in quiet) / max(wave.seconds, 1e-9)),
        noise_dbfs=noise,
        snr_db=snr,
    )


def dc_offset(wave: Wave) -> float:
    """Return the mean of the samples, as a share of full scale."""
    return float(np.mean(wave.samples, dtype=np.float64)) if len(wave.samples) else 0.0


def high_pass(wave: Wave, hertz: float = HIGH_PASS_HERTZ) -> Wave:
    """Remove offset and rumble: zero-phase Butterworth, −6 dB at `hertz`, 24 dB an octave below it."""
    if not len(wave.samples):
        return wave
    from scipy import signal

    sections = _high_pass_sections(hertz, wave.rate)
    centred = wave.samples.astype(np.float64) - dc_offset(wave)
    padding = min(len(centred) - 1, round(3 * wave.rate / hertz))
    return Wave(signal.sosfiltfilt(sections, centred, padlen=padding).astype(np.float32), wave.rate)


@cache
def _high_pass_sections(hertz: float, rate: int) -> npt.NDArray[np.float64]:
    """Design the filter, cached: designing costs as much as filtering a clip."""
    from scipy import signal

    sections: npt.NDArray[np.float64] = signal.butter(2, hertz, "highpass", fs=rate, output="sos")
    return sections


def peak_dbfs(wave: Wave) -> float:
    """Return the level of the largest sample."""
    return _decibels(float(np.max(np.abs(wave.samples), initial=0.0)) ** 2)


def rms_dbfs(wave: Wave) -> float:
    """Return the mean power over the whole length."""
    return _decibels(_power(wave.samples))


def loudness_lufs(wave: Wave) -> float:
    """Return the integrated loudness, gated (ITU-R BS.1770-4); −inf for silence or sound below its gate."""
    if peak_dbfs(wave) <= FLOOR_DBFS:
        return -math.inf
    pyloudnorm = require("pyloudnorm", "audio")
    samples = wave.samples
    shortest = math.ceil(_BLOCK_SECONDS * wave.rate) + 1
    if len(samples) < shortest:  # repeated, so that its own loudness is measured and not the padding's
        samples = np.tile(samples, -(-shortest // len(samples)))
    with np.errstate(divide="ignore"):
        return float(pyloudnorm.Meter(wave.rate, block_size=_BLOCK_SECONDS).integrated_loudness(samples))


def to_loudness(wave: Wave, lufs: float = LOUDNESS_LUFS, peak: float = PEAK_DBFS) -> Wave:
    """Scale the wave to `lufs`, or as near as a highest sample of `peak` dBFS allows. Silence is
    unchanged."""
    now = loudness_lufs(wave)
    if not math.isfinite(now):
        return wave
    return wave.gain(min(lufs - now, peak - peak_dbfs(wave)))


def clipped_share(wave: Wave) -> float:
    """Return the share of samples in flat tops: runs of at least CLIP_RUN at CLIP_LEVEL or above."""
    top = np.abs(wave.samples) >= CLIP_LEVEL
    if not top.any():
        return 0.0
    flat = (
        (start, end)
        for start, end in _runs(top)
        if end - start >= CLIP_RUN and np.ptp(np.abs(wave.samples[start:end])) <= CLIP_SPREAD
    )
    return sum(end - start for start, end in flat) / len(top)


def frame_levels(
    wave: Wave, frame: float = FRAME_SECONDS, hop: float = HOP_SECONDS
) -> npt.NDArray[np.float64]:
    """Return [F] dBFS of frames of `frame` seconds every `hop` seconds; frame i is centred at (i + ½)·hop.

    There are ceil(seconds / hop) frames; beyond the ends the wave counts as silent.
    """
    step, width = max(1, round(hop * wave.rate)), max(1, round(frame * wave.rate))
    count = -(-len(wave.samples) // step)
    energy = np.concatenate([[0.0], np.cumsum(np.square(wave.samples, dtype=np.float64))])
    centres = np.arange(count) * step + step // 2
    first = np.clip(centres - width // 2, 0, len(wave.samples))
    last = np.clip(centres - width // 2 + width, 0, len(wave.samples))
    power = np.maximum(energy[last] - energy[first], 0.0) / np.maximum(last - first, 1)
    levels: npt.NDArray[np.float64] = 10.0 * np.log10(np.maximum(power, 10.0 ** (FLOOR_DBFS / 10.0)))
    return levels


def speech_threshold_dbfs(levels: npt.NDArray[np.float64]) -> float:
    """Return the level between the quiet and the loud frames (Otsu's threshold, IEEE SMC 9(1), 1979).

    Digital silence always counts as quiet. nan if the two cannot be separated: if they are less than 6 dB
    apart.
    """
    audible = levels[levels > FLOOR_DBFS]
    blank = len(audible) < len(levels)
    plain = float(audible.max()) - _BLANK_RANGE_DB if blank and len(audible) else math.nan
    if len(audible) < 2 or np.ptp(audible) < _SMALLEST_RISE_DB:
        return plain
    ordered = np.sort(audible)
    count = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1] / count
    above = (ordered.sum() - np.cumsum(ordered)[:-1]) / (len(ordered) - count)
    best = int(np.argmax(count * (len(ordered) - count) * np.square(above - below)))
    if above[best] - below[best] < _SMALLEST_RISE_DB:
        return plain
    return float((ordered[best] + ordered[best + 1]) / 2)


def silences(wave: Wave, shortest: float = 0.1, threshold: float | None = None) -> list[tuple[float, float]]:
    """Return stretches without speech as (start, end) seconds, each at least `shortest` seconds long.

    `threshold` in dBFS; by default it is found from the wave's own levels. Where nothing stands out,
    a wave whose loudest frame is below −60 dBFS is one silence, and any other has none.
    """
    levels = frame_levels(wave)
    if threshold is None:
        threshold = speech_threshold_dbfs(levels)
        if math.isnan(threshold):
            quiet = not len(levels) or float(levels.max()) < -60.0
            threshold = math.inf if quiet else FLOOR_DBFS + 1e-6
    pairs = [
        (start * HOP_SECONDS, min(end * HOP_SECONDS, wave.seconds))
        for start, end in _runs(levels < threshold)
    ]
    return [(start, end) for start, end in pairs if end - start >= shortest - 1e-9]


def noise_and_snr(wave: Wave, speech: npt.NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Return noise level (dBFS) and speech-to-noise ratio (dB) of a wave.

    `speech` [F] marks the frames of `frame_levels` with speech (from a voice detector); by default they are
    found by level. Frames beside a border are left out of the noise, as they contain both. The noise is the
    mean power of the rest, the ratio is (power in speech − noise) / noise, so noise during speech is not
    counted twice. inf where there is no noise at all, nan where there is no speech or nothing but speech.
    """
    levels = frame_levels(wave)
    if speech is None:
        threshold = speech_threshold_dbfs(levels)
        speech = levels > threshold  # nan: nothing is
    speech = np.asarray(speech, dtype=bool)[: len(levels)]
    power = 10.0 ** (levels[: len(speech)] / 10.0)
    near = speech.copy()
    margin = 5
    for shift in range(1, margin + 1):
        near[shift:] |= speech[:-shift]
        near[:-shift] |= speech[shift:]
    quiet = power[~near] if (~near).any() else power[~speech]
    if not len(quiet):
        return math.nan, math.nan
    noise = float(quiet.mean())
    if not speech.any():
        return _decibels(noise), math.nan
    loud = float(power[speech].mean())
    if noise <= 10.0 ** (FLOOR_DBFS / 10.0) * 1.001:
        return -math.inf, math.inf
    return _decibels(noise), _decibels(max(loud - noise, 1e-30) / noise)


def _power(samples: Samples) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0


def _decibels(power: float) -> float:
    return 10.0 * math.log10(power) if power > 0.0 else -math.inf


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return half-open borders of the stretches in which `mask` [T] is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
