"""The listening test: blind, whole, and its analysis finds what raters were made to feel."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.level import loudness_lufs
from dimts.audio.wave import Wave
from dimts.base.errors import DataError, ProjectError
from dimts.evaluate.listening_test import ListeningTest, analyse, make

SENTENCES = 8


@pytest.fixture
def voices(tmp_path: Path) -> dict[str, Path]:
    """Three voices with eight short sentences each; sentence 8 is missing in one."""
    found = {}
    for name, variant in (("old", ""), ("new", "f2"), ("third", "m3")):
        folder = tmp_path / "spoken" / name
        for number in range(SENTENCES):
            wave = Formant(FormantSettings(variant=variant)).speak([("s", "ə", "l", "a", "m")]).gain(-number)
            if not (name == "third" and number == SENTENCES - 1):
                wave.save(folder / f"s{number}.wav")
        found[name] = folder
    texts = {f"s{number}": f"ሰላም </script> {number}" for number in range(SENTENCES)}
    (tmp_path / "spoken" / "sentences.json").write_text(json.dumps(texts), encoding="utf-8")
    return found


def data_of(kit: ListeningTest) -> dict[str, Any]:
    page = kit.page.read_text(encoding="utf-8")
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    assert found is not None
    content: dict[str, Any] = json.loads(found.group(1))
    return content


def test_the_kit_is_blind_and_stands_alone(tmp_path: Path, voices: dict[str, Path]) -> None:
    kit = make(voices, tmp_path / "kit", "ab", title="ድምፅ <1>")
    data = data_of(kit)
    assert kit.trials == len(data["trials"]) == (SENTENCES - 1) * 3
    page = kit.page.read_text(encoding="utf-8")
    assert not re.search(r"https?://", page), "nothing is fetched"
    for name in voices:
        assert name not in json.dumps(data)
    sounds = {path.stem for path in (tmp_path / "kit" / "sounds").iterdir()}
    assert {name for trial in data["trials"] for name in trial["sounds"]} == sounds
    assert kit.key.parent == tmp_path, "the key lies beside the kit, not in it"
    assert data["trials"][0]["text"].startswith("ሰላም </script>"), "a text cannot end the script"
    assert "{{" not in page
    loud = [loudness_lufs(Wave.load(path)) for path in sorted((tmp_path / "kit" / "sounds").iterdir())]
    assert max(loud) - min(loud) < 1.0, "the louder one would be liked better"


def test_every_voice_has_each_sentence_once(tmp_path: Path, voices: dict[str, Path]) -> None:
    kit = make(voices, tmp_path / "kit", "mos", most_sentences=4)
    key = json.loads(kit.key.read_text(encoding="utf-8"))
    places = sorted((one["voice"], one["sentence"]) for one in key["sounds"].values())
    assert len(places) == len(set(places)) == 12
    assert {len([1 for voice, _ in places if voice == name]) for name in voices} == {4}


def test_what_cannot_be_asked(tmp_path: Path, voices: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="too few"):
        make({"old": voices["old"]}, tmp_path / "kit", "ab")
    with pytest.raises(DataError, match="no folder"):
        make({"old": tmp_path / "nowhere"}, tmp_path / "kit")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="in common"):
        make({"old": voices["old"], "empty": tmp_path / "empty"}, tmp_path / "kit")
    make(voices, tmp_path / "kit")
    with pytest.raises(ProjectError, match="already"):
        make(voices, tmp_path / "kit")


def rate(kit: ListeningTest, folder: Path, raters: int, feel: dict[str, float], seed: int) -> list[Path]:
    """Simulated raters: each with a taste of their own, each sentence with a difficulty, and chance."""
    draw = np.random.default_rng(seed)
    data, key = data_of(kit), json.loads(kit.key.read_text(encoding="utf-8"))["sounds"]
    hard = {one["sentence"]: draw.normal(0, 0.3) for one in key.values()}
    taste = {(rater, voice): draw.normal(0, 0.3) for rater in range(raters) for voice in feel}
    paths = []
    for rater in range(raters):
        answers: list[dict[str, Any]] = []
        mood = draw.normal(0, 0.4)
        for trial in data["trials"]:
            sounds = trial["sounds"][::-1] if draw.random() < 0.5 else trial["sounds"]
            worth = [
                feel[key[name]["voice"]]
                + taste[rater, key[name]["voice"]]
                + hard[key[name]["sentence"]]
                + mood
                + draw.normal(0, 0.5)
                for name in sounds
            ]
            if data["ask"] == "mos":
                answers.append({"sounds": sounds, "score": int(np.clip(round(worth[0]), 1, 5))})
            else:
                even = abs(worth[0] - worth[1]) < 0.2
                choice = "none" if even else ("first" if worth[0] > worth[1] else "second")
                answers.append({"sounds": sounds, "choice": choice})
        path = folder / f"{seed}-{rater}.json"
        content = {"kind": data["kind"], "test": data["test"], "rater": f"r{rater}", "answers": answers}
        path.write_text(json.dumps(content), encoding="utf-8")
        paths.append(path)
    return paths


def test_simulated_raters_give_back_the_difference(tmp_path: Path, voices: dict[str, Path]) -> None:
    kit = make(voices, tmp_path / "kit", "mos")
    paths = rate(kit, tmp_path, 14, {"old": 2.7, "new": 3.5, "third": 2.7}, seed=1)
    found = analyse(kit.key, paths)
    assert found.raters == 14
    gain = found.differences["old", "new"]
    assert gain.low < -0.8 < gain.high
    assert gain.high < 0, "the difference is clear"
    even = found.differences["old", "third"]
    assert even.low < 0 < even.high
    assert max(found.scores, key=lambda name: found.scores[name].mean) == "new"
    assert any("clear" in line for line in map(str, found.messages()))


def test_simulated_intervals_cover_the_truth(tmp_path: Path, voices: dict[str, Path]) -> None:
    """95 % of the time, through files and analysis; a middle score, so that the ends of the scale cut
    nothing."""
    del voices["third"]
    kit = make(voices, tmp_path / "kit", "mos")
    hits, runs = 0, 60
    for seed in range(runs):
        found = analyse(kit.key, rate(kit, tmp_path, 8, {"old": 2.75, "new": 3.25}, seed=seed))
        gain = found.differences["old", "new"]
        hits += gain.low <= -0.5 <= gain.high
    assert hits / runs >= 0.90  # 95 % less two standard errors of 60 runs


def test_comparisons_find_the_better_whatever_side_it_stood_on(
    tmp_path: Path, voices: dict[str, Path]
) -> None:
    kit = make(voices, tmp_path / "kit", "ab")
    found = analyse(kit.key, rate(kit, tmp_path, 12, {"old": 3.0, "new": 4.0, "third": 3.0}, seed=2))
    assert found.differences["old", "new"].high < 0
    assert found.differences["new", "third"].low > 0
    assert found.scores["new"].mean > 0.7
    assert found.as_dict()["differences"]["old - new"]["mean"] < 0


def test_files_that_do_not_belong_are_named(tmp_path: Path, voices: dict[str, Path]) -> None:
    kit = make(voices, tmp_path / "kit", "mos")
    paths = rate(kit, tmp_path, 2, {"old": 3, "new": 3, "third": 3}, seed=1)
    other = make(voices, tmp_path / "other", "mos", seed=2)
    with pytest.raises(DataError, match="another test"):
        analyse(other.key, paths)
    with pytest.raises(DataError, match="no answers"):
        analyse(kit.key, [])
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"broken\.json"):
        analyse(kit.key, [broken])
    content = json.loads(paths[0].read_text(encoding="utf-8"))
    content["answers"][0]["score"] = 9
    paths[0].write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match="9"):
        analyse(kit.key, paths)


def test_a_rater_who_answers_twice_counts_once(tmp_path: Path, voices: dict[str, Path]) -> None:
    kit = make(voices, tmp_path / "kit", "mos")
    paths = rate(kit, tmp_path, 2, {"old": 3, "new": 3, "third": 3}, seed=1)
    again = tmp_path / "again.json"
    content = json.loads(paths[0].read_text(encoding="utf-8"))
    content["answers"] = content["answers"][:3]
    again.write_text(json.dumps(content), encoding="utf-8")
    assert analyse(kit.key, [*paths, again]).raters == 2
    assert analyse(kit.key, [*paths, again]).scores == analyse(kit.key, paths).scores
