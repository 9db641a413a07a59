"""Whose voice it is: a stranger among a speaker's clips is found, real ones too, and the speaker is not
suspected."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.audio.likeness import WIDTH, embed
from dimts.audio.wave import Wave
from dimts.base.project import Project
from dimts.data.check import CheckSettings, verdict
from dimts.data.context import PrepareSettings
from dimts.data.manifest import Manifest, Utterance
from dimts.data.prepare import prepare
from dimts.data.speaker_outliers import find_outliers, middle, packed, unpacked

LIMIT = CheckSettings().speaker_spreads


@given(st.integers(0, 2**32 - 1))
def test_a_voice_in_small_is_the_voice(seed: int) -> None:
    voice = np.maximum(np.random.default_rng(seed).standard_normal(WIDTH), 0.0).astype(np.float32)
    voice /= np.linalg.norm(voice)
    (back,) = unpacked([packed(voice)])
    assert float(back @ voice) > 0.999


def rows_of(voices: np.ndarray[Any, Any], speaker: str = "a") -> list[Utterance]:
    return [
        Utterance(id=f"{speaker}{at}", speaker=speaker, kept=True, voice=packed(voice))
        for at, voice in enumerate(voices)
    ]


def crowd(count: int, seed: int, spread: float = 0.02) -> np.ndarray[Any, Any]:
    """Directions near one that the seed draws."""
    centre = np.abs(np.random.default_rng(seed).standard_normal(WIDTH)) ** 3
    made = centre / np.linalg.norm(centre) + spread * np.random.default_rng(seed + 1).standard_normal(
        (count, WIDTH)
    )
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def test_the_larger_crowd_is_the_speaker() -> None:
    many, few = crowd(20, 0), crowd(9, 7)
    voices = np.concatenate([few[:5], many, few[5:]])
    assert set(find_outliers(rows_of(voices), LIMIT)) == {f"a{at}" for at in (*range(5), *range(25, 29))}
    assert float(middle(voices, LIMIT)[0] @ many.mean(axis=0)) > 0.9


def test_few_clips_have_no_middle_and_speakers_do_not_meet() -> None:
    assert find_outliers(rows_of(np.concatenate([crowd(3, 0), crowd(2, 7)])), LIMIT) == {}
    assert find_outliers([*rows_of(crowd(8, 0), "a"), *rows_of(crowd(8, 7), "b")], LIMIT) == {}


@pytest.fixture
def two_voices(tmp_path: Path, speech: Any) -> Path:
    """Ten sentences of one formant voice, three of another, all said to be by one speaker."""
    folder = tmp_path / "two"
    (folder / "audio").mkdir(parents=True)
    lines = ["id\tpath\tspeaker\ttext"]
    for index in range(13):
        text, variant = speech.sentence(index + 25), "f2" if index in (2, 6, 11) else "m3"
        speech.room(speech.said(text, variant).wave, seed=index).save(folder / "audio" / f"s{index:02d}.wav")
        lines.append(f"s{index:02d}\taudio/s{index:02d}.wav\tabebe\t{text}")
    (folder / "metadata.tsv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_a_second_speaker_is_found_in_a_set_of_one(project: Project, two_voices: Path) -> None:
    prepare(project, [two_voices])
    rows = {row.name: row for row in Manifest.read(project.manifest)}
    assert {name for name, row in rows.items() if "other_speaker" in row.rejected_for} == {
        "s02",
        "s06",
        "s11",
    }
    assert all(row.kept for name, row in rows.items() if name not in ("s02", "s06", "s11"))
    prepare(project, [two_voices])
    assert {row.name for row in Manifest.read(project.manifest) if not row.kept} == {"s02", "s06", "s11"}


def test_the_check_can_be_left_out(project: Project, two_voices: Path) -> None:
    assert prepare(project, [two_voices], PrepareSettings(check=CheckSettings(speaker=False))).kept == 13
    assert all(not row.voice for row in Manifest.read(project.manifest))


def test_strangers_added_later_do_not_push_out_what_is_there(project: Project, corpus: Any) -> None:
    prepare(project, [corpus(8, first=25, name="old", variant="m3")])
    prepare(
        project, [corpus(12, first=40, name="new", variant="f2")]
    )  # more than there were, and all newcomers
    rows = Manifest.read(project.manifest)
    assert all(row.kept for row in rows[:8])


def test_half_a_set_of_strangers_is_said_of_the_set() -> None:
    rows = [
        Utterance(
            id=str(at),
            path="a",
            text=str(at),
            seconds=9.0,
            kept=at < 70,
            rejected_for=() if at < 70 else ("other_speaker",),
        )
        for at in range(100)
    ]
    assert any("other speakers" in finding.message.text() for finding in verdict(rows).findings)


def test_real_speakers_are_told_apart(shared: Path) -> None:
    """ALFFA: to each speaker's clips, three of others are planted."""
    root = shared / "speech" / "alffa"
    if not (root / "metadata.tsv").is_file():
        pytest.skip("no ALFFA recordings beside the gold data")
    clips: dict[str, list[Path]] = {}
    with (root / "metadata.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            clips.setdefault(row["speaker"], []).append(root / row["path"])
    voices = {
        name: np.array([embed(Wave.load(path), quick=True) for path in paths[:9]])
        for name, paths in clips.items()
        if len(paths) >= 9
    }
    assert len(voices) >= 5
    found = planted = suspected = 0
    for name, mine in voices.items():
        for other, theirs in voices.items():
            if other != name:
                hits = set(find_outliers(rows_of(np.concatenate([mine, theirs[:3]])), LIMIT))
                found += len(hits & {f"a{at}" for at in range(9, 12)})
                suspected += len(hits - {f"a{at}" for at in range(9, 12)})
                planted += 3
    assert found >= 0.9 * planted  # of nine clips, a few lie as near to another reader
    assert suspected <= 0.02 * planted * 3
