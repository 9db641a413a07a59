"""What a file says about its sound: every format with fields has voice, licence and that it is synthetic."""

from __future__ import annotations

import io
import wave as riff
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from dimts.audio.encode import AudioEncoder
from dimts.audio.tags import FileTags
from dimts.audio.wave import Wave

TAGS = FileTags("አበበ", "CC BY 4.0", "synthetic speech (dimts 9.9)", "dimts 9.9")
SOUND = Wave(0.1 * np.sin(np.arange(24_000) / 9), 24_000, TAGS)


def fields(path: Path) -> str:
    """All texts in the fields of a file, as FFmpeg reads them."""
    with av.open(path) as container:
        found = dict(container.metadata) | dict(container.streams[0].metadata)
    return "\n".join(found.values())


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "opus"])
def test_a_file_has_the_tags_of_its_wave(form: str, tmp_path: Path) -> None:
    path = SOUND.resample(24_000).gain(-1.0).save(tmp_path / f"x.{form}")
    assert all(text in fields(path) for text in (TAGS.artist, TAGS.licence, TAGS.comment))
    plain = Wave(SOUND.samples, 24_000).save(tmp_path / f"plain.{form}")
    assert TAGS.artist not in fields(plain)


def test_the_tags_of_an_mp3_file_are_ascii(tmp_path: Path) -> None:
    text = fields(SOUND.save(tmp_path / "x.mp3"))
    assert TAGS.comment in text
    assert TAGS.licence in text
    assert text.isascii()
    named = replace(SOUND, tags=replace(TAGS, artist="abebe"))
    assert "abebe" in fields(named.save(tmp_path / "y.mp3"))


@pytest.mark.parametrize("form", ["flac", "opus", "mp3"])
def test_a_stream_has_the_tags_of_its_first_wave(form: str, tmp_path: Path) -> None:
    encoder = AudioEncoder(form, 24_000)
    path = tmp_path / f"x.{form}"
    path.write_bytes(encoder.push(SOUND) + encoder.push(Wave(SOUND.samples, 24_000)) + encoder.finish())
    assert all(text in fields(path) for text in (TAGS.artist, TAGS.licence, TAGS.comment))


def test_a_finished_wav_has_its_tags_after_the_samples(tmp_path: Path) -> None:
    file = io.BytesIO()
    encoder = AudioEncoder("wav", 24_000, file)
    encoder.push(SOUND)
    encoder.finish()
    data = file.getvalue()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    with riff.open(io.BytesIO(data)) as read:
        assert read.getnframes() == 24_000
    (tmp_path / "x.wav").write_bytes(data)
    assert all(text in fields(tmp_path / "x.wav") for text in (TAGS.artist, TAGS.licence, TAGS.comment))
    assert len(Wave.load(tmp_path / "x.wav").samples) == 24_000
