"""Reverberation: the proxy moves with a room's real decay time, and stays put without a room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.data.acoustics import decay_seconds
from dimts.data.check import CheckSettings, check_sound
from dimts.data.vad import detect_speech_in


def in_a_room(wave: Wave, seconds: float, direct: float = 1.0, seed: int = 0) -> Wave:
    """The sound in a room of such a reverberation time: noise that falls by 60 dB in `seconds`, its power as
    large as the direct sound's (Polack's model of late reverberation)."""
    if not seconds:
        return wave
    time = np.arange(round(seconds * wave.rate)) / wave.rate
    tail = np.random.default_rng(seed).standard_normal(len(time)) * 10.0 ** (-3.0 * time / seconds)
    tail /= np.linalg.norm(tail)
    size = 1 << (len(wave.samples) + len(tail)).bit_length()
    late = np.fft.irfft(np.fft.rfft(wave.samples, size) * np.fft.rfft(tail, size), size)
    samples = np.pad(wave.samples * direct, (0, len(tail))) + late[: len(wave.samples) + len(tail)]
    return Wave((samples / np.abs(samples).max() * 0.5).astype(np.float32), wave.rate)


@pytest.fixture(scope="module")
def takes(speech: Any) -> list[Wave]:
    """Seven recordings by two voices: with pauses around them."""
    return [
        speech.room(speech.said(speech.sentence(index), ("f2", "m3")[index % 2]).wave, 0.5, 1.5, -90.0, index)
        for index in range(4, 11)
    ]


def measured(takes: list[Wave], seconds: float) -> float:
    found = []
    for seed, take in enumerate(takes):
        activity = detect_speech_in(in_a_room(take, seconds, seed=seed).resample(16_000).samples, 16_000)
        found.append(decay_seconds(activity, 0.0, activity.seconds))
    return float(np.nanmedian(found))


def test_decay_grows_with_planted_reverberation(takes: list[Wave]) -> None:
    found = {seconds: measured(takes, seconds) for seconds in (0.0, 0.4, 0.8, 1.6, 2.4)}
    assert list(found.values()) == sorted(found.values())
    assert found[0.0] < 0.4
    for seconds in (0.8, 1.6, 2.4):  # a proxy: within a third of the truth
        assert found[seconds] == pytest.approx(seconds, rel=0.35)


def test_a_hall_is_noted_and_a_chamber_is_not(takes: list[Wave]) -> None:
    limits = CheckSettings()
    for seconds, noted in ((0.4, False), (2.4, True)):
        measures = {"decay_seconds": measured(takes, seconds)}
        kinds = {issue.kind for issue in check_sound(measures, 3.0, limits)}
        assert ("reverberant" in kinds) == noted
