"""The voice encoder tells speakers apart, real ones too."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.likeness import SAME_SPEAKER, WIDTH, embed, likeness, profile
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError

ONE, TWO = [tuple("səlam"), tuple("ləʔaləm")], [tuple("dəhna"), tuple("nəw"), tuple("zare")]


def test_an_embedding_is_a_direction_and_does_not_mind_the_text() -> None:
    low, high = Formant(), Formant(FormantSettings(variant="f2"))
    one, two, other = embed(low.speak(ONE)), embed(low.speak(TWO)), embed(high.speak(ONE))
    assert one.shape == (WIDTH,)
    assert np.linalg.norm(one) == pytest.approx(1.0, abs=1e-5)
    assert likeness(one, one) == pytest.approx(1.0, abs=1e-5)
    assert likeness(one, two) > SAME_SPEAKER > likeness(one, other)
    assert likeness(embed(low.speak(ONE).gain(-15)), one) > 0.97


def test_silence_has_no_voice() -> None:
    with pytest.raises(AudioError, match="no voice"):
        embed(Wave.silence(1.0, 16_000))
    with pytest.raises(AudioError, match="no waves"):
        profile([])


def test_real_speakers_are_told_apart(shared: Path) -> None:
    """Same corpus, room and microphone; strong offset and all."""
    root = shared / "speech" / "alffa"
    if not (root / "metadata.tsv").is_file():
        pytest.skip("no ALFFA recordings beside the gold data")
    found: dict[str, list[Path]] = {}
    with (root / "metadata.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found.setdefault(row["speaker"], []).append(root / row["path"])
    speakers = {
        name: [Wave.load(path) for path in paths[:5]] for name, paths in found.items() if len(paths) >= 5
    }
    assert len(speakers) >= 5
    profiles = {name: profile(waves[:3]) for name, waves in speakers.items()}
    heard = {name: [embed(wave) for wave in waves[3:]] for name, waves in speakers.items()}
    same = [likeness(one, profiles[name]) for name, ones in heard.items() for one in ones]
    others = [
        likeness(one, profiles[other])
        for name, ones in heard.items()
        for other in speakers
        if other != name
        for one in ones
    ]
    assert np.mean(np.array(same) < SAME_SPEAKER) <= 0.05
    assert np.mean(np.array(others) < SAME_SPEAKER) >= 0.95
