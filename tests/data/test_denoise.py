"""Noise reduction takes noise and leaves speech, more of it the more it is asked to."""

from __future__ import annotations

import numpy as np
import pytest

from dimts.audio.formant import Formant
from dimts.audio.wave import Wave
from dimts.data.clean import CleanSettings, clean, denoised

WORDS = [["s", "ə", "l", "a", "m"], ["l", "ə", "ʔ", "a", "l", "ə", "m"]]


@pytest.fixture(scope="module")
def noisy() -> Wave:
    """Half a second of noise alone, then speech in the same noise."""
    speech = Formant().speak(WORDS).resample(22_050).samples
    quiet = np.zeros(11_025, np.float32)
    noise = np.random.default_rng(3).normal(0, 0.01, len(quiet) + len(speech)).astype(np.float32)
    return Wave(np.concatenate((quiet, speech)) + noise, 22_050)


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def test_noise_goes_and_speech_stays(noisy: Wave) -> None:
    def left(share: float) -> tuple[float, float]:
        cleaned = denoised(noisy, share).samples
        return level(cleaned[:9_000]), level(cleaned[12_000:])

    before = level(noisy.samples[:9_000]), level(noisy.samples[12_000:])
    half, most = left(0.5), left(0.95)
    assert most[0] < half[0] < before[0]
    assert most[0] < 0.35 * before[0]
    assert most[1] > 0.8 * before[1]


def test_the_setting_is_recorded_with_the_clip(noisy: Wave) -> None:
    assert "noise reduction 0.9" in clean(noisy, CleanSettings(denoise=0.9)).steps
    assert not [step for step in clean(noisy, CleanSettings()).steps if "noise" in step]
