"""Text against sound, without a recogniser: the right text lies nearer than a wrong one, in any voice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dimts.audio.level import high_pass
from dimts.audio.wave import Wave
from dimts.data.check import CheckSettings
from dimts.data.text_match import Matcher
from dimts.data.vad import detect_speech_in
from dimts.text.g2p.rules import Rules

LIMIT = CheckSettings().min_match


def phones(text: str) -> list[tuple[str, ...]]:
    return [word for word in Rules().phones(text.split()) if word]


def test_the_right_text_fits_and_another_does_not(speech: Any) -> None:
    matcher = Matcher()
    texts = [speech.sentence(index) for index in range(22, 40)]
    right, wrong = [], []
    for number, text in enumerate(texts):
        wave = speech.said(text, ("f2", "m3")[number % 2], 1.1).wave
        noisy = speech.room(wave, 0.0, 0.0, -45.0, number)
        right.append(matcher.match(noisy, phones(text)).nearness)
        other = next(
            one for one in texts[number::-1] + texts[number:] if not set(one.split()) & set(text.split())
        )
        wrong.append(matcher.match(noisy, phones(other)).nearness)
    usual = float(np.percentile(right, 75))
    assert min(right) > 0.4 * usual  # where the set draws its line: check.match_outliers
    assert max(wrong) < 0.3 * usual


def test_a_fit_is_told_from_a_misfit_in_real_speech(shared: Path) -> None:
    """Read news by many speakers against their own text and against a text of the same length."""
    folder = shared / "speech" / "alffa"
    rows = [
        line.split("\t") for line in (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()[1::7]
    ]
    waves, words = [], []
    for row in rows:
        wave = high_pass(Wave.load(folder / row[1]))
        activity = detect_speech_in(wave.samples, wave.rate)
        waves.append(wave.cut(activity.speech[0][0], activity.speech[-1][1]))
        words.append(phones(row[4]))
    lengths = np.array([sum(map(len, one)) for one in words])
    matcher = Matcher()
    right = [matcher.match(wave, one).score for wave, one in zip(waves, words, strict=True)]
    nearest = [int(np.argsort(np.abs(lengths - length))[1]) for length in lengths]
    nearest = [
        one if one != number else int(np.argsort(np.abs(lengths - lengths[number]))[0])
        for number, one in enumerate(nearest)
    ]
    wrong = [matcher.match(wave, words[other]).score for wave, other in zip(waves, nearest, strict=True)]
    assert np.mean(np.array(right) < LIMIT) <= 0.07
    assert np.mean(np.array(wrong) < LIMIT) >= 0.8
