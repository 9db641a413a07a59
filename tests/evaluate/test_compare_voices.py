"""Comparison of voices: synthesis, measurement, ranking, report, and resuming."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.evaluate.compare_voices import (
    CompareVoicesSettings,
    VoiceComparison,
    compare_voices,
    evaluate,
    find_voices,
)
from dimts.evaluate.measure import phrase_speaker
from dimts.evaluate.metrics import Edits
from dimts.evaluate.minimal_pairs import PAIRS, evaluate_pairs
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.rank import WEIGHTS, rank, sentence_score
from dimts.evaluate.sentences import SENTENCES
from dimts.evaluate.synthetic_speech import add_noise
from dimts.speak import Speaker, SynthesisedPhrase
from dimts.text.phones import LONG


class Overtrained:
    """A voice as it gets worse: more noise, ends that are swallowed, more and more often. 0 is a good one."""

    def __init__(self, speaker: Speaker, harm: float) -> None:
        self.speaker, self.harm, self.spoken = speaker, harm, 0

    def phrases(self, text: str, voice: Any = None) -> Iterator[SynthesisedPhrase]:
        self.spoken += 1
        draw = np.random.default_rng(len(text))
        for phrase in self.speaker.phrases(text):
            wave = phrase.wave
            if self.harm:
                wave = add_noise(wave, 24.0 - 18.0 * self.harm, draw)
            if draw.random() < self.harm * 0.7:
                wave = wave.cut(0.0, wave.seconds * 0.6)
            yield replace(phrase, wave=wave)


class Short:
    """A voice that says no consonant long."""

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker

    def phrases(self, text: str, voice: Any = None) -> Iterator[SynthesisedPhrase]:
        for phrase in self.speaker.phrases(text):
            flat = [[phone.removesuffix(LONG) for phone in word.phones] for word in phrase.phrase.words]
            wave = self.speaker.engine._at(1.0).speak(flat, phrase.phrase.mark)  # type: ignore[attr-defined]
            yield replace(phrase, wave=wave)


@pytest.fixture
def speaker() -> Speaker:
    return Speaker.load("formant")


@pytest.fixture
def project(tmp_path: Path, speaker: Speaker) -> Project:
    """A project whose speaker is the formant voice, with four held-out clips."""
    home = Project.create(tmp_path / "abebe", "[project]\nname = 'abebe'\n")
    rows = []
    for number, text in enumerate(SENTENCES[-4:]):
        phrase = next(iter(speaker.phrases(text)))
        phrase.wave.save(home.clips / f"{number}.wav")
        rows.append(
            Utterance(
                id=f"u{number}", path=f"clips/{number}.wav", text=text, phones=phrase.phrase.phones,
                seconds=phrase.wave.seconds, speaker="a", split="test", kept=True,
            )
        )  # fmt: skip
    Manifest.write(home.manifest, rows)
    return home


def run(project: Project, voices: dict[str, Any], sentences: int = 4) -> VoiceComparison:
    return compare_voices(
        project, voices, CompareVoicesSettings(most_sentences=sentences, quality=False, pairs=False)
    )


@pytest.mark.slow
def test_checkpoints_of_a_run_that_got_worse_are_ranked_in_order(project: Project, speaker: Speaker) -> None:
    harms = {"step-300": 0.6, "step-100": 0.0, "step-400": 1.0, "step-200": 0.3}
    found = run(project, {name: Overtrained(speaker, harm) for name, harm in harms.items()}, 10)
    assert [one.name for one in found.ranking.order] == ["step-100", "step-200", "step-300", "step-400"]
    assert found.ranking.best.name == "step-100"
    assert found.ranking.best.score.low > found.ranking.order[-1].score.high
    assert found.ranking.order[-1].fault_counts["noise"] >= 5
    results = json.loads(found.results.read_text(encoding="utf-8"))
    assert results["ranking"]["best"] == "step-100"
    assert len(results["sentences"]["step-400"]) == 10
    assert {"mcd_db", "per", "likeness", "faults", "recognised"} <= set(results["sentences"]["step-400"][0])
    compared = [one["mcd_db"] for one in results["sentences"]["step-100"] if one["mcd_db"] is not None]
    assert len(compared) == 4, "one for each clip that has a recording"
    assert max(compared) < 0.5, "the recording is this very voice"
    page = found.report.read_text(encoding="utf-8")
    assert "step-100 ranks first" in page
    assert "score of 100" not in page, "the recogniser does not know these voices"
    assert results["ranking"]["order"][0]["score"] is None
    assert page.count("<audio") >= 6 * 4  # the worst six in four voices, some with the recording
    assert "https://" not in page.replace("https://www.w3.org", "").replace("https://matplotlib.org", "")


def test_alike_voices_are_not_called_apart(project: Project, speaker: Speaker) -> None:
    found = run(project, {"one": Overtrained(speaker, 0.0), "same": Overtrained(speaker, 0.0)})
    assert found.ranking.probability == 0.5
    assert not found.ranking.clear
    assert any(line.code == "evaluate.lead_not_clear" for line in found.ranking.reasons)


def test_what_was_spoken_is_not_spoken_again_until_the_voice_changes(
    project: Project, speaker: Speaker
) -> None:
    voice = Overtrained(speaker, 0.0)
    settings = CompareVoicesSettings(most_sentences=3, quality=False, pairs=False)
    first = compare_voices(project, {"a": voice}, settings, fingerprints={"a": "weights 1"})
    assert voice.spoken == 3
    again = compare_voices(project, {"a": voice}, settings, fingerprints={"a": "weights 1"})
    assert voice.spoken == 3
    assert [one.examined.recognised for one in again.measured["a"]] == [
        one.examined.recognised for one in first.measured["a"]
    ]
    compare_voices(project, {"a": voice}, settings, fingerprints={"a": "weights 2"})
    assert voice.spoken == 6


def test_minimal_pairs_distinguish_a_voice_with_length_from_one_without(speaker: Speaker) -> None:
    recogniser = PhoneRecogniser.load()
    whole = evaluate_pairs(phrase_speaker(speaker), recogniser)
    flat = evaluate_pairs(
        phrase_speaker(Short(speaker)), recogniser, [pair for pair in PAIRS if pair.contrast == "length"]
    )
    assert sum(one.distinguished for one in whole) >= 19
    assert sum(sum(one.correct) for one in whole) >= 36
    assert sum(sum(one.correct) for one in flat) <= len(flat) + 2, (
        "of each pair only the short one is recognised"
    )
    with pytest.raises(DataError, match="no single place"):
        evaluate_pairs(phrase_speaker(speaker), recogniser, frame="አሁን በል።")


def test_a_transcriber_gives_raw_and_amharic_aware_errors_side_by_side(
    project: Project, speaker: Speaker
) -> None:
    def transcribe(wave: Wave) -> str:
        return "ሠላም"

    settings = CompareVoicesSettings(most_sentences=1, quality=False, pairs=False)
    found = compare_voices(project, {"a": speaker}, settings, sentences=["ሰላም።"], transcribe=transcribe)
    one = found.measured["a"][0]
    assert (one.cer.count, one.amharic_cer.count) == (2, 0)
    assert one.as_dict()["amharic_cer"] == 0.0
    assert "cer" in found.ranking.best.figures


def test_which_voices_there_are(project: Project) -> None:
    with pytest.raises(ConfigError, match="no voices"):
        find_voices(project)
    for name in ("b", "a", "a-coqui", "c-coqui"):
        (project.voices / name).mkdir(parents=True)
    assert list(find_voices(project)) == ["a", "b", "c-coqui"]
    assert find_voices(project, ["formant"]) == {"formant": "formant"}
    assert list(find_voices(project, ["x/step-1", "y/step-1", "z"])) == ["x/step-1", "y/step-1", "z"]


def test_the_formant_voice_through_evaluate(project: Project) -> None:
    settings = CompareVoicesSettings(most_sentences=3, quality=True, pairs=False)
    found = evaluate(project, ["formant"], settings)
    assert found.ranking.best.name == "formant"
    assert found.ranking.best.figures["quality"].count == 3
    assert found.ranking.best.score.mean > 70
    assert any(line.code == "evaluate.only_voice" for line in found.ranking.reasons)
    assert len(found.recordings) >= 1
    assert any(remark.code == "evaluate.recogniser_untrained" for remark in found.remarks), (
        "the user is informed"
    )
    assert "train-recogniser" in found.report.read_text(encoding="utf-8")


def test_an_xtts_voice_that_only_makes_noise_is_measured_too(project: Project) -> None:
    """A tiny engine with random weights, as a run's first checkpoint: nothing of it may be infinite in the
    JSON."""
    import torch

    from dimts.base.config import to_dict
    from dimts.speak import FORMANT_FRONTEND
    from dimts.text.frontend import MARKS
    from dimts.text.phones import inventory
    from dimts.xtts.checkpoint import Bundle, save_bundle
    from dimts.xtts.model import XTTS
    from dimts.xtts.spec import SPECS
    from dimts.xtts.vocabulary import Vocabulary
    from dimts.xtts.voice import clone

    words = Vocabulary.for_phones(list(inventory()), marks=sorted({*MARKS.values(), "?", "!"}))
    spec = replace(SPECS["tiny"], text_ids=words.size, start_text=words.start, stop_text=words.stop)
    model = XTTS.build(spec, 1, dvae=False)
    voice = clone(model, [torch.randn(44_100, generator=torch.Generator().manual_seed(1)) * 0.1], name="a")
    note = {"settings": to_dict(FORMANT_FRONTEND)}
    save_bundle(Bundle(model, words, note, {"a": voice}, {"name": "tiny"}), project.voices / "tiny")
    settings = CompareVoicesSettings(most_sentences=2, quality=False, pairs=False)
    found = evaluate(project, [str(project.voices / "tiny"), "formant"], settings)
    assert [one.name for one in found.ranking.order] == ["formant", "tiny"]
    assert found.ranking.order[1].figures["per"].mean > 0.6
    results = json.loads(found.results.read_text(encoding="utf-8"))
    assert all(one["faults"] for one in results["sentences"]["tiny"])


def test_a_ranking_needs_the_same_sentences(project: Project, speaker: Speaker) -> None:
    found = run(project, {"a": Overtrained(speaker, 0.0)})
    measured = list(found.measured["a"])
    with pytest.raises(DataError, match="same sentences"):
        rank({"a": measured, "b": measured[1:]})
    with pytest.raises(DataError, match="same sentences"):
        rank({})
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert all(0.0 <= sentence_score(one) <= 100.0 for one in measured)


def test_unintelligible_speech_gains_nothing_from_quality_or_likeness(
    project: Project, speaker: Speaker
) -> None:
    one = run(project, {"a": Overtrained(speaker, 0.0)}).measured["a"][0]

    def score_of(wrong: int, likeness: float) -> float:
        errors = Edits(hits=100 - wrong, substitutions=wrong)
        return sentence_score(
            replace(one, examined=replace(one.examined, errors=errors, likeness=likeness, issues=()))
        )

    assert score_of(90, 0.9) == score_of(90, 0.6), "unintelligible speech has no speaker"
    assert score_of(30, 0.9) > score_of(30, 0.6)
    assert score_of(10, 0.6) > score_of(65, 0.6) > score_of(90, 0.9)
