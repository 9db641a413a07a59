"""Change the speaker of a wave, for data augmentation."""

from __future__ import annotations

from dimts.audio.wave import Wave


def change_vocal_tract(wave: Wave, length: float, rate: int | None = None) -> Wave:
    """Simulate a vocal tract `length` times as long: formants, pitch and tempo change together, by
    resampling.

    The result is at `rate`, or at the wave's own. A child's vocal tract is about a quarter shorter than a
    man's.
    """
    return Wave(wave.samples, round(wave.rate / length)).resample(rate or wave.rate)
