"""Two voices at once: planted ones are found, one voice alone is not suspected."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.audio.level import high_pass
from dimts.audio.wave import Wave
from dimts.base.project import Project
from dimts.data.check import CheckSettings
from dimts.data.manifest import Manifest
from dimts.data.overlap import overlap_share
from dimts.data.prepare import prepare
from dimts.data.vad import detect_speech_in

LIMIT = CheckSettings().max_overlap_share


def mixed(one: Wave, other: Wave, share: float = 1.0, under_db: float = 0.0) -> Wave:
    """`one` with a share of its length spoken over by `other`, softer by some dB."""
    count = min(len(other.samples), round(share * len(one.samples)))
    over = other.samples[:count]
    gain = math.sqrt(np.mean(np.square(one.samples)) / np.mean(np.square(over))) * 10 ** (-under_db / 20)
    samples = one.samples.copy()
    samples[-count:] += np.float32(gain) * over
    return Wave(samples, one.rate)


def test_formant_voices_over_each_other(speech: Any) -> None:
    texts = [speech.sentence(index + 25) for index in range(12)]
    low = [speech.said(text, "m3").wave for text in texts]
    high = [speech.said(text, "f2").wave for text in texts]
    alone = [overlap_share(wave) for wave in (*low, *high)]
    both = [overlap_share(mixed(one, other)) for one, other in zip(low, [*high[1:], high[0]], strict=True)]
    assert max(alone) <= LIMIT
    assert min(both) > LIMIT


def test_what_is_too_short_or_silent_is_not_judged(speech: Any) -> None:
    assert math.isnan(overlap_share(speech.said(speech.sentence(2)).wave.cut(0.0, 0.5)))
    assert math.isnan(overlap_share(Wave.silence(3.0, 16_000)))


def test_a_clip_with_two_voices_is_set_aside(project: Project, corpus: Any, speech: Any) -> None:
    folder = corpus(4, first=25, variant="m3")
    path = folder / "audio" / "s026.wav"
    mixed(
        Wave.load(path), speech.said(speech.sentence(31), "f2").wave.resample(Wave.load(path).rate), 0.7
    ).save(path)
    prepare(project, [folder])
    rows = {row.name: row for row in Manifest.read(project.manifest)}
    assert "overlap" in rows["s026"].rejected_for
    assert [name for name, row in rows.items() if row.kept] == ["s025", "s027", "s028"]


def test_real_voices_over_each_other(shared: Path) -> None:
    """ALFFA, another speaker over all of a clip, as loud or 6 dB softer; the limit leaves single voices
    alone."""
    root = shared / "speech" / "alffa"
    if not (root / "metadata.tsv").is_file():
        pytest.skip("no ALFFA recordings beside the gold data")
    with (root / "metadata.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[::5]
    clips = []
    for row in rows:
        wave = high_pass(Wave.load(root / row["path"], 16_000))  # its offset drifts
        speech = detect_speech_in(wave.samples, wave.rate).speech
        clips.append((row["speaker"], wave.cut(speech[0][0], speech[-1][1])))
    alone = np.array([overlap_share(wave) for _, wave in clips])
    rng = np.random.default_rng(0)
    pairs = []
    for speaker, one in clips:
        others = [other for who, other in clips if who != speaker]
        pairs.append((one, others[int(rng.integers(len(others)))]))
    assert np.mean(alone > LIMIT) <= 0.02
    assert np.mean(np.array([overlap_share(mixed(*pair)) for pair in pairs]) > LIMIT) >= 0.75
    assert np.mean(np.array([overlap_share(mixed(*pair, 1.0, 6.0)) for pair in pairs]) > LIMIT) >= 0.65
