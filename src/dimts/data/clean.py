"""Clean a cut clip for training: mono, no offset, one loudness; each step is recorded.

The originals are never touched. Noise reduction and vocal separation change voices, so both are off by
default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dimts.audio.level import HIGH_PASS_HERTZ, LOUDNESS_LUFS, PEAK_DBFS, high_pass, loudness_lufs, peak_dbfs
from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.data.separate import voice_of

RATE = 22_050
"""Sample rate of every clip in Hz: the input rate of XTTS."""
_MAX_GAIN_DB = 40.0
"""Largest gain: more would raise a whisper in another room to speech."""


@dataclass(frozen=True, slots=True)
class CleanSettings:
    """[data.clean]: processing of a clip's audio."""

    high_pass_hertz: float = HIGH_PASS_HERTZ
    """Cutoff below which offset and rumble are removed; 0 keeps them."""
    loudness_lufs: float = LOUDNESS_LUFS
    """Loudness of every clip (ITU-R BS.1770-4), as far as its peaks allow; 0 keeps its own."""
    separate: str = ""
    """Folder of Demucs weights, to remove music under the voice; "": off."""
    denoise: float = 0.0
    """Share of steady noise to remove, 0 to 1 (noisereduce, spectral gating); 0: none."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.denoise <= 1.0:
            raise ConfigError("data.denoise_out_of_range", denoise=self.denoise)
        if not -70.0 <= self.loudness_lufs <= 0.0:
            raise ConfigError("data.loudness_out_of_range", loudness_lufs=self.loudness_lufs)
        if not 0.0 <= self.high_pass_hertz <= 300.0:
            raise ConfigError("data.high_pass_out_of_range", high_pass_hertz=self.high_pass_hertz)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A clip and the processing it got."""

    wave: Wave
    steps: tuple[str, ...]
    loudness_lufs: float
    """Loudness before levelling; −inf for silence."""
    issues: tuple[Issue, ...] = ()


def clean(wave: Wave, settings: CleanSettings) -> Cleaned:
    """Clean and level a cut clip [T] at 22 050 Hz. MissingExtra if a step lacks its library."""
    steps, issues = [], []
    if settings.separate:
        wave = voice_of(wave, settings.separate)
        steps.append("vocals by Demucs")
    if settings.high_pass_hertz:
        wave = high_pass(wave, settings.high_pass_hertz)
        steps.append(f"high-pass {settings.high_pass_hertz:g} Hz")
    if settings.denoise:
        wave = denoised(wave, settings.denoise)
        steps.append(f"noise reduction {settings.denoise:g}")
    loudness = loudness_lufs(wave)
    if settings.loudness_lufs and math.isfinite(loudness):
        wanted = settings.loudness_lufs - loudness
        gain = min(wanted, PEAK_DBFS - peak_dbfs(wave), _MAX_GAIN_DB)
        wave = wave.gain(gain)
        steps.append(f"level {gain:+.1f} dB")
        if wanted - gain > 3.0:
            issues.append(
                Issue(
                    "peaky",
                    Message("data.peaky", wanted=wanted - gain, loudness_lufs=settings.loudness_lufs),
                    wanted - gain,
                    3.0,
                )
            )
    elif (peak := peak_dbfs(wave)) > 0.0:  # a float beyond full scale, which a clip cannot hold
        wave = wave.gain(PEAK_DBFS - peak)
        steps.append(f"level {PEAK_DBFS - peak:+.1f} dB")
    return Cleaned(wave, tuple(steps), loudness, tuple(issues))


def denoised(wave: Wave, share: float) -> Wave:
    """Reduce steady noise by spectral gating (Tim Sainburg's noisereduce, MIT).

    The noise is learnt from the quietest fifth of the frames: learnt from the whole, speech would be taken
    for it.
    """
    library = require("noisereduce", "denoise")
    size = round(_FRAME_SECONDS * wave.rate)
    frames = wave.samples[: len(wave.samples) // size * size].reshape(-1, size)  # [F, size]
    levels = np.square(frames).mean(axis=1)
    quiet = frames[levels <= np.quantile(levels, _QUIET_SHARE)].ravel() if len(frames) else wave.samples
    samples = library.reduce_noise(
        y=wave.samples, y_noise=quiet, sr=wave.rate, stationary=True, prop_decrease=share
    )
    return Wave(samples, wave.rate)


_FRAME_SECONDS = 0.05
_QUIET_SHARE = 0.2
