"""Waves: what goes into a file comes out again, at any rate, whole or as a stream."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.audio.wave import FORMATS, MP3_RATES, OPUS_RATES, Wave, join, stream
from dimts.base.errors import AudioError, DimtsError

RATE = 24_000


def chirp(seconds: float = 1.5, rate: int = RATE) -> Wave:
    """A tone that rises from 200 Hz to 2 kHz, with soft ends."""
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (200 * time + 900 / seconds * time**2))
    return Wave(0.5 * tone * np.minimum(1, 20 * np.minimum(time, seconds - time)), rate)


def likeness(one: Wave, other: Wave) -> float:
    """Highest normalised cross-correlation of two waves of one rate."""
    size = len(one.samples) + len(other.samples)
    product = np.fft.irfft(np.fft.rfft(one.samples, size) * np.conj(np.fft.rfft(other.samples, size)))
    return float(product.max() / np.linalg.norm(one.samples) / np.linalg.norm(other.samples))


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000])
def test_every_format_gives_back_what_was_written(form: str, rate: int, tmp_path: Path) -> None:
    wave = chirp(rate=rate)
    path = wave.save(tmp_path / f"chirp.{form}")
    found = Wave.load(path)
    assert found.seconds == pytest.approx(wave.seconds, abs=0.03)
    allowed = {"opus": OPUS_RATES, "mp3": MP3_RATES}.get(form, (rate,))
    assert found.rate in allowed
    assert found.rate >= rate
    assert likeness(found.resample(rate), wave) > (0.9999 if form in ("wav", "flac") else 0.95)


@given(
    st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=500),
    st.sampled_from([8_000, 22_050, 48_000]),
)
@settings(max_examples=30, deadline=None)
def test_sixteen_bit_samples_survive_wav_and_flac_exactly(numbers: list[int], rate: int) -> None:
    import io

    wave = Wave(np.array(numbers, np.float32) / 32768, rate)
    for form in ("wav", "flac"):
        back, found_rate = soundfile.read(io.BytesIO(wave.encode(form)), dtype="float32")
        assert found_rate == rate
        np.testing.assert_array_equal(back, wave.samples)


def test_samples_beyond_full_scale_are_clipped_and_do_not_wrap(tmp_path: Path) -> None:
    path = Wave(np.array([2.0, -2.0, 0.5], np.float32), RATE).save(tmp_path / "loud.wav")
    np.testing.assert_allclose(Wave.load(path).samples, [1.0, -1.0, 0.5], atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new"), [(44_100, 24_000), (16_000, 22_050), (8_000, 24_000), (48_000, 24_000)]
)
def test_resampling_keeps_length_and_sound(old: int, new: int) -> None:
    wave = chirp(rate=old)
    found = wave.resample(new)
    assert found.rate == new
    assert len(found.samples) == pytest.approx(len(wave.samples) * new / old, abs=2)
    assert likeness(found, chirp(rate=new)) > 0.9999


def test_resampling_leaves_nothing_above_the_new_nyquist_frequency() -> None:
    time = np.arange(48_000) / 48_000
    high = Wave(np.sin(2 * np.pi * 15_000 * time).astype(np.float32), 48_000).resample(24_000)
    assert np.sqrt(np.mean(high.samples[2000:-2000] ** 2)) < 1e-4


@pytest.mark.parametrize("rate", [RATE, 22_050, 48_000])
@pytest.mark.parametrize("block_seconds", [0.1, 0.37, 10.0])
def test_a_stream_equals_the_whole(rate: int, block_seconds: float, tmp_path: Path) -> None:
    path = chirp(2.0).save(tmp_path / "chirp.flac")
    parts = list(stream(path, rate, block_seconds))
    whole = Wave.load(path, rate)
    found = join(parts)
    assert found.rate == rate
    assert len(found.samples) == pytest.approx(len(whole.samples), abs=2)
    size = min(len(found.samples), len(whole.samples))
    np.testing.assert_allclose(found.samples[:size], whole.samples[:size], atol=1e-4)
    if block_seconds < 1:
        assert len(parts) > 4


def test_cut_gain_and_silence() -> None:
    wave = chirp()
    assert wave.cut(0.5, 1.0).seconds == pytest.approx(0.5)
    np.testing.assert_array_equal(wave.cut(0.5, 9.0).samples, wave.samples[RATE // 2 :])
    assert len(wave.cut(5.0, 6.0).samples) == 0
    np.testing.assert_allclose(wave.gain(-20).samples, wave.samples / 10, rtol=1e-5)
    assert Wave.silence(0.25, RATE).seconds == 0.25
    assert not Wave.silence(0.25, RATE).samples.any()


def test_joining_takes_the_rate_of_the_first() -> None:
    found = join([chirp(1.0, 24_000), chirp(1.0, 16_000)])
    assert found.rate == 24_000
    assert found.seconds == pytest.approx(2.0, abs=0.001)
    with pytest.raises(AudioError, match="no sound"):
        join([])


def test_a_wave_is_mono_float32_and_has_a_rate() -> None:
    assert Wave(np.zeros(3, np.float64), RATE).samples.dtype == np.float32
    with pytest.raises(ValueError, match="mono"):
        Wave(np.zeros((2, 3), np.float32), RATE)
    with pytest.raises(ValueError, match="rate"):
        Wave(np.zeros(3, np.float32), 0)


def test_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "two.wav", np.array([[0.5, 0.1]] * 800), RATE, subtype="FLOAT")
    np.testing.assert_allclose(Wave.load(tmp_path / "two.wav").samples, 0.3, atol=1e-6)


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="wave") as caught:
        chirp().save(tmp_path / "x.wave")
    assert "'wav'" in caught.value.message.remedy()
    assert list(tmp_path.glob("*.wave")) == []


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "voice.wav").mkdir()
    with pytest.raises(AudioError, match="folder"):
        chirp().save(tmp_path / "voice.wav")


def test_a_file_name_in_fidel(tmp_path: Path) -> None:
    path = chirp().save(tmp_path / "ሰላም ለዓለም.flac")
    assert Wave.load(path).seconds == pytest.approx(1.5)


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A file system of 64 kB."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a tiny disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True
    )
    if mount.returncode:
        pytest.skip(f"mounting is not allowed here: {mount.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_half_written(tiny_disk: Path) -> None:
    (tiny_disk / "kept.wav").write_bytes(chirp(0.1).encode("wav"))
    with pytest.raises(DimtsError, match="full") as caught:
        chirp(5.0).save(tiny_disk / "long.wav")
    assert "free some space" in caught.value.message.remedy()
    assert [path.name for path in tiny_disk.iterdir()] == ["kept.wav"]


def test_a_full_disk_keeps_the_file_that_was_there(tiny_disk: Path) -> None:
    path = chirp(0.1).save(tiny_disk / "voice.wav")
    with pytest.raises(DimtsError, match="full"):
        chirp(5.0).save(path)
    assert Wave.load(path).seconds == pytest.approx(0.1)


def test_a_read_only_disk_is_named(tiny_disk: Path) -> None:
    if subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], capture_output=True).returncode:
        pytest.skip("remounting is not allowed here")
    with pytest.raises(DimtsError, match="read-only") as caught:
        chirp().save(tiny_disk / "x.wav")
    assert "choose a folder" in caught.value.message.remedy()
