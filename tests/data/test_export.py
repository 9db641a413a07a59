"""Exports for other programs: what is written is read back as the same clips."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.data.export import LAYOUTS, export
from dimts.data.manifest import Manifest, Utterance
from dimts.data.sources import find_recordings

COUNT = 20
TEXTS = [f"ሰላም ለዓለም ቁጥር {'ሀለሐመሠረሰሸቀበ'[number % 10]} {'አዎ' * (1 + number // 10)}" for number in range(COUNT)]


@pytest.fixture
def prepared(project: Project, speech: object) -> Project:
    """Twenty rows; their sounds are of no matter here."""
    rows = []
    project.clips.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(TEXTS):
        path = f"clips/c{number}.wav"
        (project.root / path).write_bytes(b"RIFF" + bytes([number]) * 40)
        split = "dev" if number % 10 == 3 else "train"
        speaker = "አበበ" if number % 2 else "kebede"
        rows.append(
            Utterance(
                id=f"c{number:02d}-0123456789",
                path=path,
                text=text,
                spoken=text,
                seconds=1.5,
                speaker=speaker,
                split=split,
                kept=True,
                licence="CC0-1.0",
            )
        )
    Manifest.write(project.manifest, [*rows, Utterance(id="x", text="ተጥሏል", rejected_for=("clipped",))])
    return project


def without_speaker(layout: str) -> bool:
    return layout in ("ljspeech", "f5", "textgrid")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_export_is_read_back(prepared: Project, tmp_path: Path, layout: str) -> None:
    count, tables = export(prepared, tmp_path / "out", layout)
    assert count == COUNT
    assert all(table.is_file() for table in tables)
    found = list(find_recordings([tmp_path / "out"]))
    assert [row.problem for row in found if row.problem] == []
    rows = {row.id: row for row in Manifest.read(prepared.manifest) if row.kept}
    assert {row.path.stem: row.text for row in found} == {row.id: row.text for row in rows.values()}
    expected = {row.id: "" if without_speaker(layout) else row.speaker for row in rows.values()}
    assert {row.path.stem: row.speaker for row in found} == expected
    for row in found:
        assert row.path.read_bytes() == (prepared.root / rows[row.path.stem].path).read_bytes()


def test_what_cannot_be_exported_is_refused_and_nothing_is_overwritten(
    prepared: Project, tmp_path: Path, corpus: Callable[..., Path]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x", encoding="utf-8")
    for folder, layout, code in (
        (tmp_path / "full", "hf", "data.folder_not_empty"),
        (tmp_path / "new", "ljspech", "data.unknown_layout"),
    ):
        with pytest.raises(DataError) as caught:
            export(prepared, folder, layout)
        assert caught.value.code == code
    assert not (tmp_path / "new").exists()


def of_other_python(python: str, code: str, *arguments: object) -> object:
    """What a program of another environment prints as JSON."""
    done = subprocess.run(
        [python, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=1200, check=False,
        env={**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def quoted(project: Project) -> list[Utterance]:
    """The prepared rows, one with quotes in its text."""
    rows = [row for row in Manifest.read(project.manifest) if row.kept]
    rows[1] = replace(rows[1], text='"ሰላም" አለ', spoken='"ሰላም" አለ')
    Manifest.write(project.manifest, rows)
    return rows


COQUI = """
import json, sys
from TTS.tts.datasets.formatters import coqui
items = [one for name in sys.argv[2:] for one in coqui(sys.argv[1], name)]
print(json.dumps([[one["audio_file"], one["text"], one["speaker_name"]] for one in items]))
"""


@pytest.mark.slow
def test_coqui_tts_reads_its_layout(prepared: Project, tmp_path: Path) -> None:
    python = os.environ.get("DIMTS_PEER_PYTHON", "")
    if not python:
        pytest.skip("DIMTS_PEER_PYTHON names no Python with coqui-tts")
    rows = quoted(prepared)
    export(prepared, tmp_path / "out", "xtts-coqui")
    found = of_other_python(python, COQUI, tmp_path / "out", "metadata_train.csv", "metadata_eval.csv")
    assert sorted(found) == sorted(
        [str(tmp_path / "out" / "wavs" / f"{row.id}.wav"), row.spoken.replace('"', "”"), row.speaker]
        for row in rows
    )
