"""The recogniser: its sums are CTC's, its times run forward, its file comes back as it was."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, CheckpointError
from dimts.evaluate import synthetic_speech
from dimts.evaluate import train_recogniser as training
from dimts.evaluate.phone_labels import LABELS, features, phone_labels, word_labels
from dimts.evaluate.phone_network import Network, NetworkSpec
from dimts.evaluate.phone_recogniser import AlternativeScorer, PhoneRecogniser, Posteriors
from dimts.evaluate.sound import pitch
from dimts.evaluate.synthetic_speech import (
    HELD_OUT_VARIANTS,
    SyntheticSpeechSettings,
    random_words,
    synthetic_utterances,
    training_variants,
)
from dimts.evaluate.train_recogniser import TrainRecogniserSettings, formant_per, train_recogniser
from dimts.text.phones import inventory

SMALL = NetworkSpec(frontend_width=32, frontend_layers=1, frontend_heads=2, width=32, blocks=1)
"""A small untrained network."""
SPOKEN = st.lists(st.sampled_from(LABELS[1:]), min_size=1, max_size=5)


def noise(frames: int, seed: int) -> Posteriors:
    draw = torch.Generator().manual_seed(seed)
    return Posteriors(torch.randn(frames, len(LABELS), generator=draw).log_softmax(-1).numpy())


@settings(max_examples=40, deadline=None)
@given(SPOKEN, st.integers(12, 30), st.integers(0, 99))
def test_cost_is_that_of_ctc(spoken: list[str], frames: int, seed: int) -> None:
    posteriors = noise(frames, seed)
    numbers = torch.tensor([[LABELS.index(sign) for sign in spoken]])
    loss = torch.nn.functional.ctc_loss(
        torch.from_numpy(posteriors.log_probs)[:, None].double(),
        numbers,
        torch.tensor([frames]),
        torch.tensor([len(spoken)]),
        reduction="sum",
    )
    assert posteriors.nll(spoken) == pytest.approx(float(loss), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(SPOKEN, st.integers(12, 30), st.integers(0, 99))
def test_an_alignment_runs_forward_and_names_every_sign(spoken: list[str], frames: int, seed: int) -> None:
    placed = noise(frames, seed).align(spoken)
    assert [one.label for one in placed] == spoken
    times = [time for one in placed for time in (one.start, one.end)]
    assert times == sorted(times)
    assert all(0.0 < one.probability <= 1.0 and one.end > one.start for one in placed)


def test_more_labels_than_frames_are_refused() -> None:
    posteriors = noise(3, 1)
    assert math.isinf(posteriors.nll(["a", "b", "a", "b"]))
    with pytest.raises(AudioError, match="too short"):
        posteriors.align(["a", "b", "a", "b"])
    with pytest.raises(AudioError, match="no label"):
        posteriors.nll(["q"])


def confident(labels: list[str]) -> Posteriors:
    """Posteriors near 1: each label for three frames, then a blank."""
    numbers = [number for label in labels for number in [LABELS.index(label)] * 3 + [0]]
    log_probs = np.full((len(numbers), len(LABELS)), 1e-4 / len(LABELS))
    log_probs[np.arange(len(numbers)), numbers] = 1.0 - 1e-4
    return Posteriors(np.log(log_probs).astype(np.float32))


def test_an_insertion_is_found_at_its_position() -> None:
    more = AlternativeScorer(confident(["s", "a", "b", "u", "s", "a", "m"]), ["s", "a", "m"]).insertion()
    assert more.evidence > 40
    # what stands between s-a and m, or, the same, between nothing and s-a-m
    assert (more.position, more.labels) in [
        (0, ("s", "a", "b", "u")),
        (2, ("b", "u", "s", "a")),
        (1, ("a", "b", "u", "s")),
    ]
    nothing = AlternativeScorer(confident(["s", "a", "m"]), ["s", "a", "m"])
    assert abs(nothing.insertion().evidence) < 1.0
    assert nothing.substitution(0, 2).evidence < 1.0, "a right word is as good as anything"
    with pytest.raises(AudioError, match="too short"):
        AlternativeScorer(noise(3, 1), ["a", "b", "a", "b"])


def test_a_substituted_word_is_found() -> None:
    scorer = AlternativeScorer(confident(["s", "a", "b", "u", "m"]), ["s", "a", "l", "i", "k", "m"])
    other = scorer.substitution(2, 5)
    assert (other.position, other.labels) == (2, ("b", "u"))
    assert other.evidence > 20
    assert other.evidence > scorer.substitution(0, 2).evidence + 10


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(LABELS[1:]), min_size=1, max_size=3), st.integers(7, 9), st.data())
def test_scores_are_the_maximum_over_all_stretches(
    spoken: list[str], frames: int, data: st.DataObject
) -> None:
    posteriors = noise(frames, data.draw(st.integers(0, 99)))
    first = data.draw(st.integers(0, len(spoken)))
    last = data.draw(st.integers(first, len(spoken)))

    def log_prob(begin: int, end: int, labels: list[str]) -> float:
        if begin == end:
            return 0.0 if not labels else -math.inf
        return -Posteriors(posteriors.log_probs[begin:end]).nll(labels)

    def best(before: list[str], after: list[str]) -> float:
        return max(
            log_prob(0, start, before)
            + float(posteriors.log_probs[start:end].max(axis=1).sum())
            + log_prob(end, frames, after)
            for start in range(frames + 1)
            for end in range(start, frames + 1)
        )

    scorer, whole = AlternativeScorer(posteriors, spoken), -posteriors.nll(spoken)
    np.testing.assert_array_equal(scorer.prefix_nlls, posteriors.prefix_nlls(spoken))
    found = scorer.substitution(first, last).evidence
    assert found == pytest.approx(best(spoken[:first], spoken[last:]) - whole, rel=1e-5, abs=1e-5)
    places = max(best(spoken[:place], spoken[place:]) for place in range(len(spoken) + 1))
    assert scorer.insertion().evidence == pytest.approx(places - whole, rel=1e-5, abs=1e-5)


def test_every_phone_can_be_written() -> None:
    assert all(sign in LABELS for phone in inventory() for sign in phone_labels([phone]))
    assert phone_labels(["kʼʷː", "a"]) == ("kʼː", "w", "a")
    assert word_labels([("ʔ", "a", "l", "ə"), ("s", "ə", "ʔ", "a", "t")]) == [
        ("a", "l", "ə"),
        ("s", "ə", "ʔ", "a", "t"),
    ]


def test_features_do_not_depend_on_level_offset_or_rate() -> None:
    wave = Formant(FormantSettings()).speak([("s", "ə", "l", "a", "m")])
    plain = features(wave)
    assert np.abs(features(wave.gain(-20)) - plain).max() < 0.02
    assert np.abs(features(Wave(wave.samples + np.float32(0.1), wave.rate))[3:-3] - plain[3:-3]).mean() < 0.05
    with pytest.raises(AudioError, match="too short"):
        features(Wave.silence(0.02, 16_000))


def test_padding_changes_nothing() -> None:
    torch.manual_seed(1)
    network = Network(replace(SMALL, blocks=2), len(LABELS)).eval()
    mels = torch.randn(1, 41, 80)
    alone = network(mels, torch.tensor([41]))
    padded = network(torch.cat((mels, torch.randn(1, 30, 80)), dim=1), torch.tensor([41]))
    torch.testing.assert_close(padded[:, : alone.shape[1]], alone, atol=1e-5, rtol=1e-4)


def test_a_recogniser_survives_its_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    recogniser = PhoneRecogniser(Network(SMALL, len(LABELS)), {"trained_on": "nothing"})
    again = PhoneRecogniser.load(recogniser.save(tmp_path / "one.safetensors"))
    assert again.notes == {"trained_on": "nothing"}
    wave = Formant(FormantSettings()).speak([("s", "ə", "l", "a", "m")])
    assert np.abs(again.recognise(wave).log_probs - recogniser.recognise(wave).log_probs).max() < 0.2, (
        "8 bits are enough"
    )
    twice = PhoneRecogniser.load(again.save(tmp_path / "two.safetensors")).network.state_dict()
    for name, tensor in again.network.state_dict().items():
        assert torch.equal(twice[name], tensor), name


def test_files_that_are_no_recogniser(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(CheckpointError, match="no recogniser at"):
        PhoneRecogniser.load(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="is no recogniser"):
        PhoneRecogniser.load(tmp_path / "bad.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="another version"):
        PhoneRecogniser.load(tmp_path / "other.safetensors")


def test_synthetic_utterances_follow_their_seed_and_use_no_held_out_voice() -> None:
    one, other = (next(synthetic_utterances(random.Random(3), SyntheticSpeechSettings())) for _ in range(2))
    assert one[1] == other[1]
    assert not set(training_variants()) & set(HELD_OUT_VARIANTS)
    words = random_words(random.Random(1), SyntheticSpeechSettings())
    assert all(phone in inventory() for word in words for phone in word)


def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_SAVE_EVERY", 2)
    monkeypatch.setattr(training, "_ALIGNER_WAVES", 20)
    monkeypatch.setattr(training, "_ALIGNER_MIXTURES", 1)
    monkeypatch.setattr(training, "formant_per", lambda recogniser, sentences: training.Edits(hits=1))

    def features_of(source: Any, number: int, rng: random.Random) -> tuple[np.ndarray, tuple[str, ...]]:
        draw = np.random.default_rng(number)  # some formant variants are not deterministic
        return draw.standard_normal((40, 80)).astype(np.float32), ("a", "b", "a")

    monkeypatch.setattr(training._Source, "_features", features_of)
    initial = PhoneRecogniser(Network(SMALL, len(LABELS)), {}).save(tmp_path / "initial.safetensors")
    settings = TrainRecogniserSettings(steps=4, batch=3, new_per_step=2, buffer_size=5, width=32, blocks=1)
    whole = train_recogniser(tmp_path / "whole.safetensors", None, settings, initial=initial)

    class Broken(Exception):
        pass

    def break_off(source: Any, number: int, rng: random.Random) -> tuple[np.ndarray, tuple[str, ...]]:
        if number >= 7:  # the fourth step's
            raise Broken
        return features_of(source, number, rng)

    monkeypatch.setattr(training._Source, "_features", break_off)
    with pytest.raises(Broken):
        train_recogniser(tmp_path / "broken.safetensors", None, settings, initial=initial)
    assert (tmp_path / "broken.part").exists()
    monkeypatch.setattr(training._Source, "_features", features_of)
    with pytest.raises(CheckpointError, match="other settings"):
        train_recogniser(tmp_path / "broken.safetensors", None, replace(settings, steps=5), initial=initial)
    again = train_recogniser(tmp_path / "broken.safetensors", None, settings, initial=initial)
    assert not (tmp_path / "broken.part").exists()
    begun = PhoneRecogniser.load(initial).network.state_dict()
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)
        if name.startswith("frontend."):
            assert torch.equal(tensor, begun[name]), "the frontend stays as it is"


def test_time_warping_varies_the_tempo_and_keeps_everything() -> None:
    rise = np.linspace(0.0, 1.0, 300, dtype=np.float32)[:, None].repeat(80, axis=1)
    lengths = set()
    for seed in range(20):
        warped = training._warp_time(random.Random(seed), rise, 10)
        lengths.add(len(warped))
        assert warped[0, 0] == 0.0
        assert warped[-1, 0] > 0.97
        assert (np.diff(warped[:, 0]) > 0).all(), "time runs forward"
    assert min(lengths) < 280 < 320 < max(lengths)
    assert training._warp_time(random.Random(1), rise[:30], 10) is not None


def test_aspiration_removes_voicing_and_keeps_the_formants() -> None:
    wave = Formant(FormantSettings()).speak([("s", "a", "l", "a", "m")]).resample(16_000)
    draw = np.random.default_rng(1)
    np.testing.assert_allclose(
        synthetic_speech._add_aspiration(wave.samples, 16_000, 0.0, draw), wave.samples, atol=1e-5
    )
    whispered = Wave(synthetic_speech._add_aspiration(wave.samples, 16_000, 1.0, draw), 16_000)
    assert np.isfinite(pitch(wave)).mean() > 2 * np.isfinite(pitch(whispered)).mean(), (
        "hardly anything is voiced"
    )
    both = features(wave), features(whispered)
    loud = both[0].max(axis=1) > both[0].max() - 0.5
    alike = np.corrcoef(both[0][loud].ravel(), both[1][loud].ravel())[0, 1]
    assert alike > 0.8, "the resonances are where they were"


def test_the_shipped_recogniser_recognises_unseen_formant_voices() -> None:
    recogniser = PhoneRecogniser.load()
    assert formant_per(recogniser, 12).rate < 0.15
    assert "formant" in recogniser.notes["trained_on"]
    assert "clips" not in recogniser.notes["trained_on"], (
        "no corpus without a licence is in the shipped weights"
    )
    assert not recogniser.trained_on_recordings
    assert PhoneRecogniser(recogniser.network, {"real_clips": 1}).trained_on_recordings
