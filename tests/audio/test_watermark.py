"""The watermark: a stream is marked as the whole is, the mark is found again, and absence is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.watermark import RATE, WatermarkEncoder, confidence, has_watermark, mark
from dimts.audio.wave import Wave
from dimts.base.errors import CheckpointError, MissingExtra

WORDS = ("s ə l a m", "l ə ʔ a l ə m", "ɨ n d e t", "n a tʃ u")

needs_weights = pytest.mark.skipif(not has_watermark(), reason="the extra watermark is not installed")


def vowels(seconds: float, rate: int = RATE) -> Wave:
    """A buzz of 120 Hz through formants that move, with pauses."""
    at = np.arange(round(seconds * rate)) / rate
    wave = sum(
        np.sin(2 * np.pi * 120 * k * at) * np.exp(-(((120 * k - 500 - 300 * np.sin(3 * at)) / 400) ** 2))
        for k in range(1, 40)
    )
    wave = (
        wave * (np.sin(2 * np.pi * 0.7 * at) > -0.8)
        + np.random.default_rng(1).standard_normal(len(at)) * 1e-3
    )
    return Wave((0.1 * wave).astype(np.float32), rate)


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize("most", [37, 700, 5000, 100_000])
def test_a_stream_is_marked_as_the_whole_is(most: int) -> None:
    wave, rng = vowels(3.0), np.random.default_rng(most)
    encoder, pieces, first = WatermarkEncoder(), [], 0
    while first < len(wave.samples):
        size = int(rng.integers(1, most + 1))
        pieces.append(encoder.push(Wave(wave.samples[first : first + size], RATE)).samples)
        first += size
        assert sum(map(len, pieces)) >= min(first, len(wave.samples)) - 0.22 * RATE
    pieces.append(encoder.finish().samples)
    whole = mark(wave)
    assert len(whole.samples) == len(wave.samples)
    np.testing.assert_allclose(np.concatenate(pieces), whole.samples, atol=1e-5)


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.05, 0.3])
def test_a_short_wave_keeps_its_length(seconds: float) -> None:
    wave = vowels(seconds)
    assert len(mark(wave).samples) == len(wave.samples)


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize("rate", [RATE, 16_000, 44_100])
def test_the_mark_is_found_and_nothing_above_its_bands_is_changed(rate: int) -> None:
    wave = Formant(FormantSettings()).speak([word.split() for word in WORDS] * 3, "።").resample(rate)
    marked = mark(wave)
    assert confidence(marked) > 0.9
    assert confidence(wave) < 0.3
    change = np.abs(np.fft.rfft(marked.samples - wave.samples)) ** 2
    above = int(2100 * len(wave.samples) / rate)
    assert change[above:].sum() < 0.01 * change.sum()


@pytest.mark.slow
@needs_weights
def test_silence_stays_silence() -> None:
    assert not mark(Wave.silence(0.5, RATE)).samples.any()


def test_other_weights_and_none_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    package = tmp_path / "perth"
    file = package / "perth_net" / "pretrained" / "implicit" / "perth_net_250000.pth.tar"
    file.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert not has_watermark()
    with pytest.raises(MissingExtra, match="dimts\\[watermark\\]"):
        mark(vowels(0.1))
    for content in ({"model": {}}, {"model": {"encoder.0": Path("x")}}, [1]):
        torch.save(content, file)
        with pytest.raises(CheckpointError) as caught:
            mark(vowels(0.1))
        assert caught.value.code == "audio.watermark_weights_unusable"
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError):
        mark(vowels(0.1))
