"""Media: every container gives its sound; whatever cannot be trusted says what is wrong and what to do."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from dimts.audio.media import Medium, probe
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError

RATE = 24_000


def noise(seconds: float = 2.0) -> Wave:
    samples = np.random.default_rng(1).standard_normal(round(seconds * RATE)) * 0.1
    return Wave(samples, RATE)


def tone(seconds: float = 2.0, rate: int = 44_100) -> Wave:
    return Wave(0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate), rate)


def write_av(path: Path, wave: Wave, codec: str, *, video: bool = False) -> Path:
    """Encode through FFmpeg's libraries, with a small picture track if asked for."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10) if video else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        stream = container.add_stream(codec, rate=wave.rate)
        stream.layout = "stereo"
        both = np.stack([wave.samples, wave.samples]).astype(np.float32)
        for first in range(0, both.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(
                both[:, first : first + 1024].copy(), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = wave.rate, first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if pictures is not None:
            for index in range(round(wave.seconds * 10)):
                picture = av.VideoFrame.from_ndarray(
                    np.full((64, 64, 3), index * 5, np.uint8), format="rgb24"
                )
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [
        ("talk.m4a", "aac", False),
        ("talk.mp4", "aac", True),
        ("talk.mkv", "aac", True),
        ("talk.webm", "libopus", False),
        ("talk.ogg", "libopus", False),
    ],
)
def test_sound_of_any_container(name: str, codec: str, video: bool, tmp_path: Path) -> None:
    rate = 48_000 if codec == "libopus" else 44_100
    path = write_av(tmp_path / name, tone(rate=rate), codec, video=video)
    facts = probe(path)
    assert facts.rate == rate
    assert facts.channels == 2
    found = Wave.load(path)
    assert found.seconds == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(found.samples[rate // 2 : rate]))
    assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=4)
    assert np.abs(found.samples[rate // 2 : rate]).max() == pytest.approx(0.3, abs=0.03)


def test_the_content_counts_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "really_flac.wav"
    path.write_bytes(noise().encode("flac"))
    assert Wave.load(path).seconds == pytest.approx(2.0)
    path = tmp_path / "really_wav.raw"
    path.write_bytes(noise().encode("wav"))
    assert Wave.load(path).seconds == pytest.approx(2.0)


def test_probe_does_not_decode(tmp_path: Path) -> None:
    path = noise(3.0).save(tmp_path / "x.flac")
    facts = probe(path)
    assert (facts.rate, facts.channels, facts.seconds, facts.codec) == (RATE, 1, 3.0, "flac/pcm_16")


def test_blocks_have_the_size_asked_for(tmp_path: Path) -> None:
    path = noise(1.0).save(tmp_path / "x.wav")
    with Medium.open(path) as medium:
        sizes = [len(block) for block in medium.blocks(0.3)]
    assert sizes == [7200, 7200, 7200, 2400]


def test_a_long_file_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    block = np.zeros(RATE * 10, np.int16)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(block)
    tracemalloc.start()
    with Medium.open(path) as medium:
        total = sum(len(one) for one in medium.blocks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == RATE * 600
    assert peak < 10e6  # the whole is 58 MB as float32


def half(form: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        data = noise().encode(form)
        path.write_bytes(data[: len(data) // 2])

    return write


def riff(data: bytes, *, channels: int = 1, rate: int = RATE, size: int | None = None) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data"
    body += struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty.wav": (lambda path: path.touch(), "empty"),
    "letters.wav": (lambda path: path.write_text("ሰላም " * 100), "not a sound or video file"),
    "zero_length.wav": (lambda path: path.write_bytes(riff(b"")), "zero length"),
    "no_channels.wav": (
        lambda path: path.write_bytes(riff(b"\0" * 800, channels=0)),
        "0 channels|not a sound",
    ),
    "no_rate.wav": (lambda path: path.write_bytes(riff(b"\0" * 800, rate=0)), "0 Hz|not a sound"),
    "promises_2_gb.wav": (
        lambda path: path.write_bytes(riff(b"\1" * 48_000, size=2_000_000_000)),
        "cut short",
    ),
    "half.wav": (half("wav"), "cut short"),
    "half.flac": (half("flac"), "corrupt|cut short"),
    "half.mp3": (half("mp3"), "corrupt|cut short"),
    "half.ogg": (half("ogg"), "corrupt|cut short"),
    "half.opus": (half("opus"), "malformed|cut short"),
    "nan.wav": (
        lambda path: soundfile.write(path, np.array([0, 0.5, np.nan, 0.1]), RATE, subtype="FLOAT"),
        "not numbers",
    ),
    "infinite.wav": (
        lambda path: soundfile.write(path, np.array([0, 0.5, np.inf, 0.1]), RATE, subtype="FLOAT"),
        "not numbers",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_trusted_is_refused_with_a_remedy(name: str, tmp_path: Path) -> None:
    write, expected = BROKEN[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(AudioError, match=expected) as caught:
        Wave.load(path)
    assert name in caught.value.message.text()
    assert caught.value.message.remedy()


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such sound file"):
        Wave.load(tmp_path / "nowhere.wav")
    with pytest.raises(AudioError, match="is a folder"):
        Wave.load(tmp_path)


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
        for index in range(10):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), index, np.uint8), format="rgb24")
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
    with pytest.raises(AudioError, match="no sound track"):
        Wave.load(path)


def test_a_cut_video_is_refused(tmp_path: Path) -> None:
    path = write_av(tmp_path / "talk.mkv", tone(6.0), "aac")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    with pytest.raises(AudioError, match=r"cut short|corrupt"):
        Wave.load(path)


def test_a_wav_written_into_a_pipe_has_no_length_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "piped.wav"
    path.write_bytes(riff(b"\1\0" * RATE, size=0xFFFFFFFF))
    assert Wave.load(path).seconds == pytest.approx(1.0)


DAMAGES = ("flip", "cut", "insert", "header")


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "opus", "mp3", "m4a", "mkv"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_read_or_refused_and_nothing_else(form: str, damage: str, tmp_path: Path) -> None:
    """Bytes changed at random: whatever comes of it is a wave of numbers or an AudioError with a remedy."""
    if form in ("m4a", "mkv"):
        whole = write_av(tmp_path / f"whole.{form}", tone(0.5), "aac").read_bytes()
    else:
        whole = tone(0.5, 24_000).encode(form)
    chance = random.Random(f"{form} {damage}")
    remedies = []
    for _ in range(12):
        data = bytearray(whole)
        if damage == "flip":
            for _ in range(20):
                data[chance.randrange(len(data))] = chance.randrange(256)
        elif damage == "header":
            for _ in range(4):
                data[chance.randrange(min(200, len(data)))] = chance.randrange(256)
        elif damage == "cut":
            del data[chance.randrange(1, len(data)) :]
        else:
            place = chance.randrange(len(data))
            data[place:place] = chance.randbytes(32)
        path = tmp_path / f"damaged.{form}"
        path.write_bytes(data)
        try:
            assert np.isfinite(Wave.load(path).samples).all()
        except AudioError as error:
            remedies.append(error.message.remedy())
    assert all(remedies)
    if damage == "cut" and form != "mkv":
        assert len(remedies) >= 6


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("value", [1e38, -3e38, 20_000.0, np.nan, np.inf])
def test_floats_that_are_no_sound_are_refused(channels: int, value: float, tmp_path: Path) -> None:
    samples = np.zeros((16_000, channels), np.float32)
    samples[9_000:9_100] = value
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with Medium.open(tmp_path / "a.wav") as medium, pytest.raises(AudioError) as caught:
        list(medium.blocks())
    assert caught.value.code == ("audio.samples_absurd" if np.isfinite(value) else "audio.not_finite")
