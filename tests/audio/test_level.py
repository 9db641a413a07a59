"""Levels: known signals measure as they were made."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.audio.level import (
    clipped_share,
    dc_offset,
    frame_levels,
    high_pass,
    loudness_lufs,
    measure,
    noise_and_snr,
    peak_dbfs,
    rms_dbfs,
    silences,
    to_loudness,
)
from dimts.audio.wave import Wave, join

RATE = 24_000


def sine(hertz: float = 997.0, amplitude: float = 1.0, seconds: float = 2.0, rate: int = RATE) -> Wave:
    return Wave(amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate), rate)


def hiss(level_dbfs: float, seconds: float, seed: int = 0) -> Wave:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return Wave(samples * 10 ** (level_dbfs / 20), RATE)


def speechlike(seconds: float = 0.4, amplitude: float = 0.3) -> Wave:
    """A vowel of 120 Hz with its harmonics."""
    time = np.arange(round(seconds * RATE)) / RATE
    return Wave(amplitude * sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 12)) / 2, RATE)


def pattern(floor_dbfs: float | None = -60.0) -> tuple[Wave, list[tuple[float, float]]]:
    """Four words with pauses of half a second, on a floor of noise; and the pauses."""
    parts, quiet, at = [], [], 0.0
    for _ in range(4):
        quiet.append((at, at + 0.5))
        parts += [Wave.silence(0.5, RATE), speechlike()]
        at += 0.9
    quiet.append((at, at + 0.5))
    whole = join([*parts, Wave.silence(0.5, RATE)])
    if floor_dbfs is not None:
        whole = Wave(whole.samples + hiss(floor_dbfs, whole.seconds).samples[: len(whole.samples)], RATE)
    return whole, quiet


def test_a_full_scale_sine() -> None:
    assert peak_dbfs(sine()) == pytest.approx(0.0, abs=0.01)
    assert rms_dbfs(sine()) == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_loudness_of_the_standards_test_tone(rate: int) -> None:
    # ITU-R BS.1770-4: a 997 Hz sine at full scale on one channel reads -3.01 LUFS
    assert loudness_lufs(sine(rate=rate)) == pytest.approx(-3.01, abs=0.1)


def test_loudness_of_a_sound_shorter_than_one_block() -> None:
    assert loudness_lufs(sine(seconds=0.1)) == pytest.approx(-3.01, abs=0.3)


@given(st.floats(-35, -5), st.floats(-30, -14))
@settings(max_examples=15, deadline=None)
def test_the_loudness_asked_for_is_reached(before: float, wanted: float) -> None:
    wave = speechlike(1.0).gain(before)
    found = to_loudness(wave, wanted, peak=20.0)
    assert loudness_lufs(found) == pytest.approx(wanted, abs=0.05)


def test_peaks_limit_the_loudness() -> None:
    clicks = np.zeros(RATE, np.float32)
    clicks[::4000] = 0.5
    found = to_loudness(Wave(clicks, RATE), -10.0, peak=-1.0)
    assert peak_dbfs(found) == pytest.approx(-1.0, abs=0.01)


def test_silence_has_no_loudness_and_stays_as_it_is() -> None:
    quiet = Wave.silence(1.0, RATE)
    assert loudness_lufs(quiet) == -math.inf
    assert peak_dbfs(quiet) == -math.inf
    assert to_loudness(quiet) is quiet


def test_offset_and_rumble_go_and_speech_stays() -> None:
    voice = speechlike(2.0)
    rumble = sine(15.0, 0.2)
    found = high_pass(Wave(voice.samples + rumble.samples + 0.12, RATE))
    assert dc_offset(Wave(voice.samples + 0.12, RATE)) == pytest.approx(0.12, abs=1e-3)
    assert abs(dc_offset(found)) < 1e-4
    middle = slice(RATE // 4, -RATE // 4)
    error = found.samples[middle] - voice.samples[middle]
    assert 20 * np.log10(np.std(error) / np.std(voice.samples)) < -18


def test_the_high_pass_moves_nothing_in_time() -> None:
    wave, _ = pattern(None)
    found = high_pass(wave)
    lag = np.argmax(np.correlate(found.samples[:30_000], wave.samples[:30_000], "same")) - 15_000
    assert abs(lag) <= 1


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.01])
def test_very_short_waves_are_measured(seconds: float) -> None:
    levels = measure(Wave(np.full(round(seconds * RATE), 0.1), RATE))
    assert levels.seconds == pytest.approx(seconds)


def test_clipping_is_told_from_a_single_peak() -> None:
    assert clipped_share(sine()) < 0.02
    assert clipped_share(sine(amplitude=0.9)) == 0.0
    clipped = Wave(np.clip(sine(amplitude=2.0).samples, -1, 1), RATE)
    assert clipped_share(clipped) == pytest.approx(
        2 / 3, abs=0.02
    )  # |2 sin x| > 1 for two thirds of the time
    one = np.zeros(1000, np.float32)
    one[500] = 1.0
    assert clipped_share(Wave(one, RATE)) == 0.0


def test_there_is_a_level_for_every_hop() -> None:
    assert len(frame_levels(Wave.silence(1.0, RATE))) == 100
    levels = frame_levels(sine(seconds=1.0))
    np.testing.assert_allclose(levels[2:-2], -3.01, atol=0.4)


@pytest.mark.parametrize("floor", [None, -70.0, -50.0, -40.0])
def test_silences_are_found_where_they_are(floor: float | None) -> None:
    wave, quiet = pattern(floor)
    found = silences(wave)
    assert len(found) == len(quiet)
    np.testing.assert_allclose(np.array(found), np.array(quiet), atol=0.025)


def test_all_silent_and_nowhere_silent() -> None:
    assert silences(Wave.silence(1.0, RATE)) == [(0.0, 1.0)]
    assert silences(sine()) == []


@pytest.mark.parametrize("wanted", [5.0, 10.0, 20.0, 30.0, 40.0])
def test_snr_is_recovered_within_one_db(wanted: float) -> None:
    clean, quiet = pattern(None)
    speech = np.ones(len(clean.samples), bool)
    for start, end in quiet:
        speech[round(start * RATE) : round(end * RATE)] = False
    power = float(np.mean(clean.samples[speech] ** 2, dtype=np.float64))
    noise = hiss(10 * math.log10(power) - wanted, clean.seconds, seed=3)
    noisy = Wave(clean.samples + noise.samples[: len(clean.samples)], RATE)
    level, snr = noise_and_snr(noisy)
    assert snr == pytest.approx(wanted, abs=1.0)
    assert level == pytest.approx(10 * math.log10(power) - wanted, abs=1.0)


def test_snr_with_the_speech_known_from_elsewhere() -> None:
    wave, quiet = pattern(-45.0)
    centres = (np.arange(len(frame_levels(wave))) + 0.5) * 0.01
    speech = np.ones(len(centres), bool)
    for start, end in quiet:
        speech[(centres >= start) & (centres < end)] = False
    level, snr = noise_and_snr(wave, speech)
    assert level == pytest.approx(-45.0, abs=0.5)
    assert snr == pytest.approx(noise_and_snr(wave)[1], abs=1.0)


def test_no_noise_and_no_speech() -> None:
    assert noise_and_snr(pattern(None)[0])[1] == math.inf
    level, snr = noise_and_snr(hiss(-40.0, 2.0))
    assert level == pytest.approx(-40.0, abs=0.5)
    assert math.isnan(snr)


def test_real_speech_with_a_strong_offset(shared) -> None:
    files = sorted((shared / "speech" / "alffa" / "audio").glob("*.flac"))[:10]
    if not files:
        pytest.skip("no recordings there")
    for path in files:
        levels = measure(Wave.load(path))
        assert 0.05 < abs(levels.dc_offset) < 0.13
        assert 15 < levels.snr_db < 36
        assert 0.02 < levels.silence_share < 0.6
