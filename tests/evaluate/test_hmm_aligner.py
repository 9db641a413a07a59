"""Borders of phones are found where they are, and lengths are with_thresholds by them."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, CheckpointError, ConfigError
from dimts.evaluate import error_injection, train_recogniser
from dimts.evaluate.gemination import GeminationScorer
from dimts.evaluate.hmm_aligner import HMMAligner
from dimts.evaluate.phone_labels import AlignedPhone, phone_labels, viterbi_path, word_labels
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.synthetic_speech import SyntheticSpeechSettings, random_words
from tests.evaluate.injected import sentences, spelt


@pytest.fixture(scope="module")
def shipped() -> HMMAligner:
    return PhoneRecogniser.load().aligner


@pytest.fixture(scope="module")
def own() -> HMMAligner:
    """Trained on one formant voice from a flat start, without boundaries."""
    rng, voice = random.Random(4), Formant(FormantSettings(variant="m3"))
    utterances = [random_words(rng, SyntheticSpeechSettings()) for _ in range(60)]
    return HMMAligner.fit(
        [(voice.speak(words, "።"), [phone_labels(word) for word in words]) for words in utterances]
    )


def off(aligner: HMMAligner, variant: str, count: int) -> np.ndarray:
    """Differences in seconds between boundaries of the aligner and those of the synthesiser."""
    found = []
    for words in sentences()[:count]:
        spoken = Formant(FormantSettings(variant=variant)).speak_timed(words, "።")
        aligned = error_injection.align_recording(spoken.wave, words, aligner)
        for ours, theirs in zip(aligned.times, spoken.times, strict=True):
            found += [one[1] - other[1] for one, other in zip(ours[:-1], theirs[:-1], strict=True)]
    return np.array(found)


@pytest.mark.parametrize("variant", ["m3", "linda", "klatt2"])
def test_borders_in_voices_it_was_not_trained_on(shipped: HMMAligner, variant: str) -> None:
    beside = np.abs(off(shipped, variant, 6))
    assert np.median(beside) <= 0.010
    assert np.mean(beside <= 0.020) > 0.85


def test_boundaries_are_learnt_from_a_flat_start(own: HMMAligner) -> None:
    """Without supervision all boundaries may be late by the same amount."""
    beside = off(own, "m3", 6)
    assert np.mean(np.abs(beside - np.median(beside)) <= 0.025) > 0.8


def test_a_phone_and_its_long_twin_share_their_states(own: HMMAligner) -> None:
    """A long and a short consonant have the same boundaries: they differ in duration alone."""
    wave = Formant(FormantSettings(variant="m3")).speak([("s", "ə", "mː", "a", "n")])
    one, other = own.align(wave, [("s", "ə", "mː", "a", "n")]), own.align(wave, [("s", "ə", "m", "a", "n")])
    assert [(place.start, place.end) for place in one] == [(place.start, place.end) for place in other]


def test_segments_follow_each_other(shipped: HMMAligner) -> None:
    words = spelt(sentences()[3])
    wave = Formant(FormantSettings(variant="m3")).speak(words, "።")
    placed = shipped.align(wave, words)
    assert [one.label for one in placed] == [sign for word in words for sign in word]
    assert all(one.end - one.start >= 0.03 - 1e-9 for one in placed)
    assert all(one.end <= other.start + 1e-9 for one, other in itertools.pairwise(placed))
    assert placed[-1].end <= wave.seconds + 0.01


def test_what_it_refuses(shipped: HMMAligner) -> None:
    with pytest.raises(AudioError, match="too short"):
        shipped.align(Wave(np.ones(2400, np.float32), 24_000), [("s", "ə", "l", "a", "m")])
    with pytest.raises(AudioError, match="no label"):
        shipped.align(Wave(np.ones(24_000, np.float32), 24_000), [("q",)])
    with pytest.raises(ConfigError, match="no speech"):
        HMMAligner.fit([])
    tensors = shipped.tensors()
    with pytest.raises(CheckpointError, match="another version"):
        HMMAligner.from_tensors(tensors | {"means": tensors["means"][:-1]}, shipped.gemination)


def test_it_comes_back_from_the_recognisers_file(own: HMMAligner, tmp_path: Path) -> None:
    recogniser = PhoneRecogniser(PhoneRecogniser.load().network, {}, own)
    again = PhoneRecogniser.load(recogniser.save(tmp_path / "one.safetensors")).aligner
    assert again.gemination == own.gemination
    for name, tensor in again.tensors().items():
        np.testing.assert_array_equal(tensor, own.tensors()[name])
    bare = PhoneRecogniser.load(PhoneRecogniser(recogniser.network, {}).save(tmp_path / "bare.safetensors"))
    with pytest.raises(CheckpointError, match="how long a phone is"):
        _ = bare.aligner


def brute(steps: np.ndarray, skip: np.ndarray) -> float:
    """The best sum of all paths, one by one."""
    frames, count = steps.shape
    paths = {(state,): steps[0, state] for state in range(min(2, count))}
    for at in range(1, frames):
        longer = {}
        for path, value in paths.items():
            for step in (0, 1, 2):
                to = path[-1] + step
                if to < count and (step < 2 or skip[to]):
                    longer[(*path, to)] = value + steps[at, to]
        paths = longer
    return max((value for path, value in paths.items() if path[-1] >= count - 2), default=-math.inf)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 10_000))
def test_the_likeliest_path_is_the_best_of_all(frames: int, count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    steps, skip = draw.standard_normal((frames, count)), draw.random(count) < 0.5
    skip[:2] = False
    best = brute(steps, skip)
    if not math.isfinite(best):
        with pytest.raises(AudioError, match="too short"):
            viterbi_path(steps, skip)
        return
    path = viterbi_path(steps, skip)
    assert path[0] in (0, 1)
    assert path[-1] >= count - 2
    assert all(
        step in (0, 1) or (step == 2 and skip[to]) for step, to in zip(np.diff(path), path[1:], strict=True)
    )
    assert steps[np.arange(frames), path].sum() == pytest.approx(best)


# --- lengths ---------------------------------------------------------------------------------------


def timed(seconds: list[tuple[str, float]]) -> list[AlignedPhone]:
    at, out = 0.0, []
    for sign, lasts in seconds:
        out.append(AlignedPhone(sign, at, at + lasts, 1.0))
        at += lasts
    return out


def reading(draw: np.random.Generator, tempo: float, halved: float = 1.0) -> list[AlignedPhone]:
    """A made-up sentence of a speaker whose long consonants last 150 ms give or take a quarter, short ones 80
    ms."""
    spread = lambda: float(np.exp(draw.normal(0.0, 0.25)))  # noqa: E731
    out = []
    for _ in range(5):
        out += [("l", 0.08 * tempo * spread()), ("ə", 0.07 * tempo * spread())]
        out += [(draw.choice(["mː", "sː"]), 0.15 * tempo * spread() * halved), ("a", 0.09 * tempo * spread())]
    return timed(out)


def test_halved_durations_are_distinguished_from_full_ones_at_any_tempo() -> None:
    draw = np.random.default_rng(1)
    lengths = GeminationScorer.fit([reading(draw, float(np.exp(draw.normal(0, 0.2)))) for _ in range(80)])
    assert lengths.spread == pytest.approx(0.25, abs=0.05)
    assert lengths.tempo_slope > 0.5
    for tempo in (0.7, 1.0, 1.4):
        whole = [sum(lengths.evidence(reading(draw, tempo)).values()) for _ in range(60)]
        halved = [sum(lengths.evidence(reading(draw, tempo, 0.5)).values()) for _ in range(60)]
        assert np.mean(np.array(whole) > 0) <= 0.05
        assert np.mean(np.array(halved) > 0) >= 0.95


def test_the_last_label_and_short_ones_are_not_scored() -> None:
    draw = np.random.default_rng(2)
    lengths = GeminationScorer.fit([reading(draw, 1.0) for _ in range(10)])
    sentence = timed([("s", 0.1), ("ə", 0.1), ("mː", 0.05), ("a", 0.1), ("tː", 0.01)])
    assert list(lengths.evidence(sentence)) == [2]
    assert all(abs(value) <= 3.0 for value in lengths.evidence(sentence).values()), "one alone is no proof"
    with pytest.raises(ConfigError, match="too few"):
        GeminationScorer.fit([sentence])


# --- training on a project ----------------------------------------------------------------------


def test_too_few_recordings_keep_the_initial_aligner(shipped: HMMAligner) -> None:
    initial = PhoneRecogniser.load()
    assert train_recogniser._fit_aligner(initial, object(), [], 1)[0] is initial.aligner  # type: ignore[arg-type]
    assert "too few" in train_recogniser._fit_aligner(initial, object(), [], 1)[1].text("en")  # type: ignore[arg-type]


def test_words_of_a_phrase_are_located_phone_by_phone(shipped: HMMAligner) -> None:
    words = [("ʔ", "a", "b", "ə", "t"), ("kʷ", "a", "s")]
    wave = Formant(FormantSettings(variant="m3")).speak(words)
    found = error_injection.align_recording(wave, words, shipped)
    assert [len(word) for word in found.times] == [5, 3]
    assert found.times[0][0] == (0.0, 0.0), "ʔ before a vowel takes no time"
    assert [sign for word in word_labels(words) for sign in word].count("w") == 1
    start, end = found.times[1][0]
    assert end > start
