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
from dimts.evaluate import synthetic_speech as lesson_room
from dimts.evaluate import train_recogniser as teaching
from dimts.evaluate.phone_labels import LABELS, features, phone_labels, word_labels
from dimts.evaluate.phone_network import Network, NetworkSpec
from dimts.evaluate.phone_recogniser import AlternativeScorer, PhoneRecogniser, Posteriors
from dimts.evaluate.sound import pitch
from dimts.evaluate.synthetic_speech import HELD_OUT_VARIANTS, SyntheticSpeechSettings, invent, lessons, taught_variants
from dimts.evaluate.train_recogniser import TrainRecogniserSettings, formant_rate, train_recogniser
from dimts.text.phones import inventory

SMALL = NetworkSpec(frontend_width=32, frontend_layers=1, frontend_heads=2, width=32, blocks=1)
"""A network that hears nothing, quickly."""
SPOKEN = st.lists(st.sampled_from(LABELS[1:]), min_size=1, max_size=5)


def noise(frames: int, seed: int) -> Posteriors:
    draw = torch.Generator().manual_seed(seed)
    return Posteriors(torch.randn(frames, len(LABELS), generator=draw).log_softmax(-1).numpy())


@settings(max_examples=40, deadline=None)
@given(SPOKEN, st.integers(12, 30), st.integers(0, 99))
def test_cost_is_that_of_ctc(spoken: list[str], frames: int, seed: int) -> None:
    heard = noise(frames, seed)
    numbers = torch.tensor([[LABELS.index(sign) for sign in spoken]])
    loss = torch.nn.functional.ctc_loss(
        torch.from_numpy(heard.chances)[:, None].double(),
        numbers,
        torch.tensor([frames]),
        torch.tensor([len(spoken)]),
        reduction="sum",
    )
    assert heard.cost(spoken) == pytest.approx(float(loss), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(SPOKEN, st.integers(12, 30), st.integers(0, 99))
def test_an_alignment_runs_forward_and_names_every_sign(spoken: list[str], frames: int, seed: int) -> None:
    placed = noise(frames, seed).align(spoken)
    assert [one.sign for one in placed] == spoken
    times = [time for one in placed for time in (one.start, one.end)]
    assert times == sorted(times)
    assert all(0.0 < one.chance <= 1.0 and one.end > one.start for one in placed)


def test_too_much_for_the_time_is_refused() -> None:
    heard = noise(3, 1)
    assert math.isinf(heard.cost(["a", "b", "a", "b"]))
    with pytest.raises(AudioError, match="too short"):
        heard.align(["a", "b", "a", "b"])
    with pytest.raises(AudioError, match="no label"):
        heard.cost(["q"])


def surely(said: list[str]) -> Posteriors:
    """Each sign heard for three frames, a blank after each, as good as surely."""
    numbers = [number for sign in said for number in [LABELS.index(sign)] * 3 + [0]]
    chances = np.full((len(numbers), len(LABELS)), 1e-4 / len(LABELS))
    chances[np.arange(len(numbers)), numbers] = 1.0 - 1e-4
    return Posteriors(np.log(chances).astype(np.float32))


def test_what_is_said_too_much_is_found_where_it_is() -> None:
    more = AlternativeScorer(surely(["s", "a", "b", "u", "s", "a", "m"]), ["s", "a", "m"]).besides()
    assert more.evidence > 40
    # what stands between s-a and m, or, the same, between nothing and s-a-m
    assert (more.place, more.said) in [(0, ("s", "a", "b", "u")), (2, ("b", "u", "s", "a")), (1, ("a", "b", "u", "s"))]
    nothing = AlternativeScorer(surely(["s", "a", "m"]), ["s", "a", "m"])
    assert abs(nothing.besides().evidence) < 1.0
    assert nothing.instead(0, 2).evidence < 1.0, "a right word is as good as anything"
    with pytest.raises(AudioError, match="too short"):
        AlternativeScorer(noise(3, 1), ["a", "b", "a", "b"])


def test_what_is_said_instead_of_a_word_is_found() -> None:
    ways = AlternativeScorer(surely(["s", "a", "b", "u", "m"]), ["s", "a", "l", "i", "k", "m"])
    other = ways.instead(2, 5)
    assert (other.place, other.said) == (2, ("b", "u"))
    assert other.evidence > 20
    assert other.evidence > ways.instead(0, 2).evidence + 10


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(LABELS[1:]), min_size=1, max_size=3), st.integers(7, 9), st.data())
def test_ways_are_the_best_of_all_stretches(spoken: list[str], frames: int, data: st.DataObject) -> None:
    heard = noise(frames, data.draw(st.integers(0, 99)))
    first = data.draw(st.integers(0, len(spoken)))
    last = data.draw(st.integers(first, len(spoken)))

    def chance(begin: int, end: int, signs: list[str]) -> float:
        if begin == end:
            return 0.0 if not signs else -math.inf
        return -Posteriors(heard.chances[begin:end]).cost(signs)

    def best(before: list[str], after: list[str]) -> float:
        return max(
            chance(0, start, before) + float(heard.chances[start:end].max(axis=1).sum()) + chance(end, frames, after)
            for start in range(frames + 1)
            for end in range(start, frames + 1)
        )

    ways, whole = AlternativeScorer(heard, spoken), -heard.cost(spoken)
    np.testing.assert_array_equal(ways.costs, heard.costs_of_beginnings(spoken))
    found = ways.instead(first, last).evidence
    assert found == pytest.approx(best(spoken[:first], spoken[last:]) - whole, rel=1e-5, abs=1e-5)
    places = max(best(spoken[:place], spoken[place:]) for place in range(len(spoken) + 1))
    assert ways.besides().evidence == pytest.approx(places - whole, rel=1e-5, abs=1e-5)


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
    assert np.abs(again.hear(wave).chances - recogniser.hear(wave).chances).max() < 0.2, "8 bits are enough"
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


def test_lessons_say_the_same_for_the_same_seed_and_never_in_a_held_out_voice() -> None:
    one, other = (next(lessons(random.Random(3), SyntheticSpeechSettings())) for _ in range(2))
    assert one[1] == other[1]
    assert not set(taught_variants()) & set(HELD_OUT_VARIANTS)
    words = invent(random.Random(1), SyntheticSpeechSettings())
    assert all(phone in inventory() for word in words for phone in word)


def test_a_broken_off_training_ends_as_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = teaching
    monkeypatch.setattr(room, "_SAVE_EVERY", 2)
    monkeypatch.setattr(room, "formant_rate", lambda recogniser, sentences: room.Edits(same=1))

    def heard(source: Any, number: int, rng: random.Random) -> tuple[np.ndarray, tuple[str, ...]]:
        draw = np.random.default_rng(number)  # some formant variants are noisy and never say a thing twice alike
        return draw.standard_normal((40, 80)).astype(np.float32), ("a", "b", "a")

    monkeypatch.setattr(room._Source, "_heard", heard)
    initial = PhoneRecogniser(Network(SMALL, len(LABELS)), {}).save(tmp_path / "initial.safetensors")
    settings = TrainRecogniserSettings(steps=4, batch=3, fresh=2, remembered=5, width=32, blocks=1)
    whole = train_recogniser(tmp_path / "whole.safetensors", None, settings, initial=initial)

    class Broken(Exception):
        pass

    def break_off(source: Any, number: int, rng: random.Random) -> tuple[np.ndarray, tuple[str, ...]]:
        if number >= 7:  # the fourth step's
            raise Broken
        return heard(source, number, rng)

    monkeypatch.setattr(room._Source, "_heard", break_off)
    with pytest.raises(Broken):
        train_recogniser(tmp_path / "broken.safetensors", None, settings, initial=initial)
    assert (tmp_path / "broken.part").exists()
    monkeypatch.setattr(room._Source, "_heard", heard)
    with pytest.raises(CheckpointError, match="other settings"):
        train_recogniser(tmp_path / "broken.safetensors", None, replace(settings, steps=5), initial=initial)
    again = train_recogniser(tmp_path / "broken.safetensors", None, settings, initial=initial)
    assert not (tmp_path / "broken.part").exists()
    begun = PhoneRecogniser.load(initial).network.state_dict()
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)
        if name.startswith("frontend."):
            assert torch.equal(tensor, begun[name]), "the frontend stays as it is"


def test_tempo_is_changed_within_and_nothing_is_lost() -> None:
    rise = np.linspace(0.0, 1.0, 300, dtype=np.float32)[:, None].repeat(80, axis=1)
    lengths = set()
    for seed in range(20):
        warped = teaching._hurry(random.Random(seed), rise, 10)
        lengths.add(len(warped))
        assert warped[0, 0] == 0.0
        assert warped[-1, 0] > 0.97
        assert (np.diff(warped[:, 0]) > 0).all(), "time runs forward"
    assert min(lengths) < 280 < 320 < max(lengths)
    assert teaching._hurry(random.Random(1), rise[:30], 10) is not None


def test_breath_takes_the_buzz_and_leaves_the_vowels() -> None:
    wave = Formant(FormantSettings()).speak([("s", "a", "l", "a", "m")]).resample(16_000)
    draw = np.random.default_rng(1)
    np.testing.assert_allclose(lesson_room._breathe(wave.samples, 16_000, 0.0, draw), wave.samples, atol=1e-5)
    breathed = Wave(lesson_room._breathe(wave.samples, 16_000, 1.0, draw), 16_000)
    assert np.isfinite(pitch(wave)).mean() > 2 * np.isfinite(pitch(breathed)).mean(), "hardly anything is voiced"
    both = features(wave), features(breathed)
    loud = both[0].max(axis=1) > both[0].max() - 0.5
    alike = np.corrcoef(both[0][loud].ravel(), both[1][loud].ravel())[0, 1]
    assert alike > 0.8, "the resonances are where they were"


def test_the_shipped_recogniser_hears_voices_it_was_not_taught_with() -> None:
    recogniser = PhoneRecogniser.load()
    assert formant_rate(recogniser, 12).rate < 0.15
    assert "formant" in recogniser.notes["trained_on"]
    assert "clips" not in recogniser.notes["trained_on"], "no corpus without a licence is in the shipped weights"
    assert not recogniser.knows_people
    assert PhoneRecogniser(recogniser.network, {"real_clips": 1}).knows_people
