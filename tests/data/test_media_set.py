"""A set of 150 small media files (container, codec, channels, defect): each clip is kept or set aside with a
reason, and what is whole is kept whatever lies beside it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.base.project import Project
from dimts.data.check import CheckSettings
from dimts.data.context import PrepareSettings
from dimts.data.manifest import Manifest, Utterance
from dimts.data.prepare import prepare
from tests.media import write_media

Case = tuple[str, str, str, str]
CODECS = {
    "wav": ["pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_mulaw", "adpcm_ima_wav"],
    "aiff": ["pcm_s16be"], "caf": ["pcm_s16be"], "au": ["pcm_s16be"], "w64": ["pcm_s16le"],
    "flac": ["flac"], "ogg": ["flac", "libopus"], "mp3": ["libmp3lame"], "adts": ["aac"],
    "mp4": ["aac", "flac"], "mov": ["pcm_s16le", "aac"],
    "matroska": ["pcm_s16le", "aac", "libopus", "flac"], "webm": ["libopus"],
    "avi": ["pcm_s16le", "libmp3lame"], "mpegts": ["aac", "libmp3lame"], "tta": ["tta"],
}  # fmt: skip
SUFFIX = {"adts": "aac", "matroska": "mkv", "mpegts": "ts", "aiff": "aif"}
DEFECTS = ("whole", "cut", "tail", "noise", "nothing")
CASES = [
    (form, codec, layout, defect)
    for form, codecs in CODECS.items()
    for codec, layout, defect in itertools.product(codecs, ("mono", "stereo"), DEFECTS)
    if layout == "mono" or defect == "whole"
]


def written(path: Path, wave: Wave, form: str, codec: str, layout: str) -> None:
    """A wave in a container, in the second channel softer."""
    rate = 44_100 if codec == "libmp3lame" else 48_000
    samples = wave.resample(rate).samples
    write_media(path, samples, rate, form, codec, layout)


def damaged(data: bytes, defect: str) -> bytes:
    middle = len(data) // 2
    return {
        "whole": data,
        "cut": data[:middle],
        "tail": data + b"TAG" + bytes(125),
        "noise": data[:middle] + np.random.default_rng(1).bytes(64) + data[middle + 64 :],
        "nothing": b"",
    }[defect]


def in_a_set(project: Project, folder: Path, speech: Any, cases: list[Case]) -> dict[str, Utterance]:
    folder.mkdir()
    for number, (form, codec, layout, defect) in enumerate(cases):
        path = folder / f"m{number:03d}.{SUFFIX.get(form, form)}"
        text = speech.sentence(number + 2)
        written(path, speech.room(speech.said(text, "f2").wave, seed=number), form, codec, layout)
        path.write_bytes(damaged(path.read_bytes(), defect))
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
    # codecs' artefacts and a voice that is the same in all are no faults here
    prepare(project, [folder], PrepareSettings(check=CheckSettings(match=False, speaker=False)))
    rows = {row.name: row for row in Manifest.read(project.manifest)}
    assert len(rows) == len(cases)
    return rows


def judged(rows: dict[str, Utterance], cases: list[Case], speech: Any) -> None:
    lost = []
    for number, case in enumerate(cases):
        row = rows[f"m{number:03d}"]
        assert row.kept or row.rejections, case
        assert all(issue.message.line() for issue in row.issues)
        assert row.text == speech.sentence(number + 2)
        if case[3] == "whole" and not row.kept:
            lost.append((case, row.rejected_for))
        if case[3] == "nothing":
            assert row.rejected_for == ("unreadable",)
    assert lost == []


@pytest.mark.slow
def test_many_media_files_are_read_or_set_aside_each_for_itself(
    project: Project, tmp_path: Path, speech: Any
) -> None:
    assert len(CASES) >= 150
    judged(in_a_set(project, tmp_path / "media", speech, CASES), CASES, speech)
