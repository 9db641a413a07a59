"""A real run of the tiny engine, trained for too long: `dimts evaluate --run` ranks its snapshots as they
deserve."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from dimts.base.errors import CheckpointError
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.evaluate.sentences import SENTENCES
from dimts.speak import Speaker
from dimts.text.frontend import Frontend, FrontendSettings
from dimts.train.early_stopping import StopSettings
from dimts.train.export_snapshots import export_snapshots, find_run
from dimts.train.fine_tune import FineTuneResult, fine_tune
from dimts.train.runs import read_log
from dimts.train.settings import ScheduleSettings, TrainSettings
from tests.cli.test_evaluate import command


def project_of(root: Path, sentences: int) -> Project:
    """The formant voice says so many sentences; every eighth is for judging, and the one after it for
    testing."""
    home = Project.create(root, "[project]\nname = 'over'\n")
    rng, speaker = random.Random(3), Speaker.load("formant")
    words = [word for text in SENTENCES for word in text.strip("።?").split()]
    texts = [*SENTENCES, *(" ".join(rng.sample(words, 4)) + "።" for _ in range(sentences))][:sentences]
    rng.shuffle(texts)
    frontend = Frontend(home.settings("text", FrontendSettings))
    rows = []
    for number, text in enumerate(texts):
        wave, phrases = speaker.say(text), list(frontend(text))
        wave.save(home.clips / f"{number}.wav")
        rows.append(
            Utterance(
                id=f"u{number}",
                path=f"clips/{number}.wav",
                text=text,
                seconds=wave.seconds,
                speaker="a",
                kept=True,
                phones=" # ".join(phrase.phones for phrase in phrases),
                spelling=" ".join(phrase.spelling for phrase in phrases),
                split="dev" if number % 8 == 0 else "test" if number % 8 == 1 else "train",
            )
        )
    Manifest.write(home.manifest, rows)
    return home


def overtrain(home: Project, steps: int, every: int) -> FineTuneResult:
    settings = TrainSettings(
        steps=steps, evaluate_every=every, save_every=10_000, keep=100, dropout=0.0,
        schedule=ScheduleSettings(shape="constant"), stop=StopSettings(patience=0, divergence_rises=0),
    )  # fmt: skip
    return fine_tune(home, settings)


@pytest.mark.slow
def test_every_snapshot_of_a_run_becomes_a_voice(tmp_path: Path) -> None:
    home = project_of(tmp_path / "over", 10)
    with pytest.raises(CheckpointError, match="no run"):
        find_run(home)
    overtrain(home, 4, 2)
    run = find_run(home)
    with pytest.raises(CheckpointError, match="no run 'first'"):
        find_run(home, "first")
    assert find_run(home, run.root.name) == run
    made = export_snapshots(home, run)
    assert list(made) == ["step-000002", "step-000004"]
    when = [path.stat().st_mtime_ns for path in made.values()]
    assert [path.stat().st_mtime_ns for path in export_snapshots(home, run).values()] == when, (
        "not written again"
    )
    code, out = command(home.root, "--run", "last", "--limit", "2", "--no-quality", "--json")
    assert code == 0
    order = json.loads(out)["order"]
    assert {one["name"] for one in order} == set(made)
    assert all(0.5 < one["figures"]["nll"]["mean"] < 2.0 for one in order)
    page = (home.root / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Loss</h2>" in page


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_snapshots_of_an_overtrained_run_are_ranked_in_the_right_order(tmp_path: Path) -> None:
    """By the run's own dev clips its loss falls, turns and climbs; evaluation sees other clips, and must
    agree."""
    home = project_of(tmp_path / "over", 64)
    run = overtrain(home, 480, 60)
    judged = {
        f"step-{line['step']:06d}": (line["train_loss"], line["dev_loss_mel"])
        for line in read_log(run.log)
        if line["kind"] == "evaluation"
    }
    names = list(judged)
    right = sorted(names, key=lambda name: judged[name][1])
    best = names.index(right[0])
    assert 0 < best < len(names) // 2, "it got better first"
    assert judged[names[-1]][1] > 1.3 * judged[right[0]][1], "it was trained far too long"
    assert judged[names[-1]][0] < 0.1 * judged[right[0]][0], "while it learnt its clips by heart"
    (home.root / "one.txt").write_text("ሰላም ለዓለም።\n", encoding="utf-8")
    command(home.root, "--run", "last", "--sentences", home.root / "one.txt", "--limit", "17", "--no-quality")
    results = json.loads((home.root / "evaluation" / "results.json").read_text(encoding="utf-8"))
    ranked = [one["name"] for one in results["ranking"]["order"]]
    assert sorted(ranked) == sorted(names)
    for place, better in enumerate(ranked):
        for worse in ranked[place + 1 :]:
            assert judged[better][1] < 1.02 * judged[worse][1], (
                better,
                worse,
                "closer ones may change places",
            )
    assert ranked[0] == right[0]
    assert ranked[-1] == right[-1]
