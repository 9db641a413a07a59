"""Sound that is sent while it grows: every format decodes to what was pushed, whatever the pieces."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.audio.encode import STREAMED, AudioEncoder
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError

RATE = 24_000
LOSSLESS = ("flac", "wav", "pcm")
DELAY_SECONDS = 0.1
"""Longest look-ahead of a lossy coder, with its padding."""


def tone(seconds: float, rate: int = RATE) -> Wave:
    """A glide from 200 Hz to 2 kHz: no two moments are alike."""
    at = np.arange(round(seconds * rate)) / rate
    return Wave((0.5 * np.sin(2 * np.pi * (200 + 900 * at / seconds) * at)).astype(np.float32), rate)


def encoded(wave: Wave, form: str, sizes: list[int]) -> list[bytes]:
    """The pieces sent for `wave`, pushed in chunks of those many samples, the last one what is left."""
    encoder, first, out = AudioEncoder(form, RATE), 0, []
    for size in [*sizes, len(wave.samples)]:
        out.append(encoder.push(Wave(wave.samples[first : first + size], wave.rate)))
        first += size
    return [*out, encoder.finish()]


def decoded(data: bytes, form: str) -> Wave:
    """What a player hears."""
    if form == "pcm":
        return Wave(np.frombuffer(data, "<i2").astype(np.float32) / 32767, RATE)
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(data)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
        frames += resampler.resample(None)
    return Wave(np.concatenate([frame.to_ndarray()[0] for frame in frames]), RATE)


def likeness(heard: Wave, meant: Wave) -> float:
    """Correlation at the best shift within the coder's delay."""
    reach = round(DELAY_SECONDS * RATE)
    best = 0.0
    for shift in range(0, reach, 1):
        a, b = heard.samples[shift:], meant.samples
        size = min(len(a), len(b))
        a, b = a[:size:7], b[:size:7]
        best = max(best, float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9)))
    return best


@pytest.mark.parametrize("form", STREAMED)
def test_what_is_heard_is_what_was_pushed(form: str) -> None:
    wave = tone(1.5)
    heard = decoded(b"".join(encoded(wave, form, [100, 0, 5000, 1, 9000])), form)
    assert heard.seconds == pytest.approx(wave.seconds, abs=DELAY_SECONDS)
    if form in LOSSLESS:
        np.testing.assert_allclose(heard.samples[: len(wave.samples)], wave.samples, atol=2e-4)
    else:
        assert likeness(heard, wave) > 0.98


@pytest.mark.parametrize("form", STREAMED)
def test_the_pieces_do_not_matter(form: str) -> None:
    wave = tone(1.0)
    whole = b"".join(encoded(wave, form, []))
    parts = b"".join(encoded(wave, form, [1, 2399, 2400, 7]))
    if form == "opus":  # an Ogg stream has a number of its own, and its pages close where they are flushed
        np.testing.assert_array_equal(decoded(whole, form).samples, decoded(parts, form).samples)
    else:
        assert whole == parts


@pytest.mark.parametrize("form", STREAMED)
def test_sound_goes_out_before_the_end(form: str) -> None:
    pieces = encoded(tone(2.0), form, [RATE // 2, RATE // 2])
    sent = b"".join(pieces[:2])
    assert len(sent) > 0.3 * len(b"".join(pieces))
    assert decoded(sent, form).seconds > 0.5


def test_another_rate_is_resampled_and_what_is_too_loud_is_clipped() -> None:
    data = AudioEncoder("pcm", RATE).push(Wave(np.full(1000, 3.0, np.float32), 12_000))
    samples = np.frombuffer(data, "<i2")
    assert len(samples) == pytest.approx(2000, abs=2)
    assert samples.max() == 32767


@pytest.mark.parametrize("form", STREAMED)
def test_no_sound_is_no_crash(form: str) -> None:
    encoder = AudioEncoder(form, RATE)
    assert isinstance(encoder.push(Wave.silence(0, RATE)) + encoder.finish(), bytes)


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(AudioError, match="cannot stream") as caught:
        AudioEncoder("mp4", RATE)
    assert "mp3" in caught.value.message.remedy()


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "opus"])
@given(sizes=st.lists(st.integers(0, 30_000), max_size=4))
@settings(max_examples=8, deadline=None)
def test_a_file_that_can_be_gone_back_to_says_how_long_it_is(form: str, sizes: list[int]) -> None:
    import soundfile

    wave, file, first = tone(1.7), io.BytesIO(), 0
    encoder = AudioEncoder(form, RATE, file)
    for size in [*sizes, len(wave.samples)]:
        assert encoder.push(Wave(wave.samples[first : first + size], RATE)) == b""
        first += size
    assert encoder.finish() == b""
    data = file.getvalue()
    info = soundfile.info(io.BytesIO(data))
    assert info.frames == pytest.approx(len(wave.samples), abs=0 if form in LOSSLESS else 2500)
    assert form != "mp3" or b"Xing" in data[:200] or b"Info" in data[:200]
    assert form != "wav" or int.from_bytes(data[4:8], "little") + 8 == len(data)
