"""Where somebody speaks: to a few hundredths of a second, whatever the block size, the rate or the offset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.data import vad as room
from dimts.data.vad import detect_speech, detect_speech_in, speech_spans


@pytest.fixture(scope="module")
def long_take(speech: Any) -> tuple[Wave, list[tuple[float, float]]]:
    """Twelve sentences with silences between, and their true borders."""
    return speech.take(12)


@pytest.mark.parametrize("snr_db", [40.0, 20.0])
def test_borders_of_speech_are_found(
    long_take: tuple[Wave, list[tuple[float, float]]], snr_db: float
) -> None:
    wave, truth = long_take
    power = np.mean(np.square(wave.samples))
    noise = np.random.default_rng(2).standard_normal(len(wave.samples)) * np.sqrt(power / 10 ** (snr_db / 10))
    activity = detect_speech_in((wave.samples + noise).astype(np.float32), wave.rate)
    errors = []
    for start, end in truth:
        spoken = activity.spoken(start - 0.2, end + 0.2)
        errors += [abs(spoken[0][0] - start), abs(spoken[-1][1] - end)]
    assert activity.speech[0][0] > truth[0][0] - 0.2
    assert np.median(errors) <= 0.05
    assert max(errors) <= 0.15


def test_a_file_in_blocks_is_heard_as_the_whole(
    long_take: tuple[Wave, list[tuple[float, float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[Any, Any]] = []

    def overheard(levels: Any, voice: Any) -> Any:
        heard.append((levels, voice))
        return speech_spans(levels, voice)

    monkeypatch.setattr(room, "speech_spans", overheard)
    wave = long_take[0].resample(16_000)
    path = wave.save(tmp_path / "take.wav")
    whole, blocks = detect_speech_in(Wave.load(path).samples, 16_000), detect_speech(path)
    assert blocks.speech == whole.speech
    (levels, voice), (block_levels, block_voice) = heard
    np.testing.assert_allclose(block_voice, voice, atol=1e-4)
    np.testing.assert_allclose(block_levels, levels, atol=1e-3)


@pytest.mark.parametrize("snr_db", [15.0, 25.0, 35.0])
def test_the_ratio_to_the_noise_is_recovered(
    long_take: tuple[Wave, list[tuple[float, float]]], snr_db: float
) -> None:
    wave, truth = long_take
    rate = wave.rate
    speech = np.concatenate([wave.samples[round(a * rate) : round(b * rate)] for a, b in truth])
    scale = np.sqrt(np.mean(np.square(speech)) / 10 ** (snr_db / 10))
    noise = np.random.default_rng(3).standard_normal(len(wave.samples)) * scale
    activity = detect_speech_in((wave.samples + noise).astype(np.float32), rate)
    # the noise is white, the levels are measured at 16 kHz: a third of its power lies above
    expected = snr_db + 10 * np.log10(rate / 16_000)
    assert activity.snr_db(0, wave.seconds) == pytest.approx(expected, abs=1.0)


def test_an_offset_changes_nothing(speech: Any) -> None:
    plain = speech.room(speech.said(speech.sentences[3]).wave)
    shifted = Wave(plain.samples + 0.12, plain.rate)
    assert np.allclose(
        detect_speech_in(shifted.samples, plain.rate).speech,
        detect_speech_in(plain.samples, plain.rate).speech,
        atol=0.02,
    )
    assert detect_speech_in(shifted.samples, plain.rate).dc_offset == pytest.approx(0.12, abs=0.01)


@pytest.mark.parametrize("samples", [np.zeros(32_000), np.zeros(100), np.zeros(0)])
def test_silence_holds_no_speech(samples: np.ndarray) -> None:
    activity = detect_speech_in(samples.astype(np.float32), 16_000)
    assert activity.speech == ()
    assert np.isnan(activity.snr_db(0, activity.seconds))


def test_noise_is_no_speech() -> None:
    noise = np.random.default_rng(0).standard_normal(5 * 16_000) * 0.05
    assert detect_speech_in(noise.astype(np.float32), 16_000).speech == ()


def test_flat_tops_are_counted_where_they_are() -> None:
    samples = (0.3 * np.sin(2 * np.pi * 150 * np.arange(48_000) / 24_000)).astype(np.float32)
    samples[24_000:24_050] = 1.0
    activity = detect_speech_in(samples, 24_000)
    assert activity.clipped.sum() == 50
    assert activity.clipped_share(0.0, 0.9) == 0.0
    assert activity.clipped_share(0.9, 1.1) == pytest.approx(50 / (0.2 * 24_000))


def test_a_late_burst_belongs_to_the_word() -> None:
    """A final ejective: closure of 70 ms, then a burst the detector takes for silence."""
    levels = np.full(200, -70.0, np.float32)
    levels[50:100] = -20.0
    levels[107:110] = -35.0
    voice = np.zeros(200, np.float32)
    voice[50:100] = 0.95
    spans, _ = speech_spans(levels, voice)
    assert spans == [(pytest.approx(0.50), pytest.approx(1.10))]


def test_the_level_alone_can_tell_in_a_studio(speech: Any) -> None:
    one = speech.said(speech.sentences[2])
    wave = speech.room(one.wave, lead=0.5, tail=0.5)
    found = detect_speech_in(wave.samples, wave.rate, "level").speech
    truth = (0.5 + one.start_seconds, 0.5 + one.end_seconds)
    assert (found[0][0], found[-1][1]) == (
        pytest.approx(truth[0], abs=0.06),
        pytest.approx(truth[1], abs=0.06),
    )
