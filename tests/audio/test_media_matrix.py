"""Containers × codecs × channels × defects: each small file is read as a whole, or refused with one
reason."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.media import Medium
from dimts.base.errors import AudioError
from tests.media import write_media

SECONDS = 0.8
CODECS = {
    "wav": ["pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le", "pcm_mulaw", "pcm_alaw", "adpcm_ima_wav"],
    "aiff": ["pcm_s16be"], "caf": ["pcm_s16be", "adpcm_ima_qt"], "au": ["pcm_s16be", "pcm_mulaw"],
    "w64": ["pcm_s16le"], "flac": ["flac"], "ogg": ["flac", "libopus"], "mp3": ["libmp3lame"],
    "adts": ["aac"], "mp4": ["aac", "flac"], "mov": ["pcm_s16le", "aac"],
    "matroska": ["pcm_s16le", "aac", "libopus", "flac"], "webm": ["libopus"],
    "avi": ["pcm_s16le", "libmp3lame"], "mpegts": ["aac", "libmp3lame"], "ac3": ["ac3"], "tta": ["tta"],
}  # fmt: skip
DEFECTS = ("whole", "cut", "tail", "noise", "renamed")
CASES = [
    (form, codec, layout, defect)
    for form, codecs in CODECS.items()
    for codec, layout, defect in itertools.product(codecs, ("mono", "stereo"), DEFECTS)
    if defect in ("whole", "cut") or layout == "mono"
]


def written(path: Path, form: str, codec: str, layout: str) -> None:
    """A sine of 0.8 s at 48 kHz, in the second channel softer."""
    rate = 44_100 if codec in ("libmp3lame", "adpcm_ima_qt") else 48_000
    wave = 0.4 * np.sin(np.arange(round(SECONDS * rate)) * 2 * np.pi * 300 / rate)
    write_media(path, wave, rate, form, codec, layout)


@pytest.mark.parametrize(("form", "codec", "layout", "defect"), CASES)
def test_small_files(tmp_path: Path, form: str, codec: str, layout: str, defect: str) -> None:
    path = tmp_path / f"a.{'bin' if defect == 'renamed' else form}"
    written(path, form, codec, layout)
    data = path.read_bytes()
    if defect == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif defect == "tail":
        path.write_bytes(data + b"TAG" + bytes(125))
    elif defect == "noise":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + np.random.default_rng(1).bytes(64) + data[middle + 64 :])
    try:
        with Medium.open(path) as medium:
            seconds = sum(len(block) for block in medium.blocks()) / medium.rate
    except AudioError as error:
        refused = error
    else:
        refused = None
        assert 0.0 < seconds < 1.6 * SECONDS
    if defect in ("whole", "renamed"):
        assert refused is None
        assert seconds == pytest.approx(SECONDS, abs=0.12)
    assert refused is None or refused.message.remedy()


def test_there_are_enough() -> None:
    assert len(CASES) >= 150
