"""Slow proofs: a run killed ten times ends as an unbroken one, a few clips are learnt by heart, two processes
do what one does."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.train import runs
from dimts.train.base_model import load_base
from dimts.train.collate import Collator
from dimts.train.dataset import load_training_set
from dimts.train.early_stopping import StopSettings
from dimts.train.fine_tune import fine_tune
from dimts.train.settings import BatchSettings, ReferenceSettings, ScheduleSettings, TrainSettings
from dimts.train.snapshot import Checkpoints
from dimts.xtts.generate import generate
from dimts.xtts.load import load
from dimts.xtts.sampling import GenerateSettings

MakeProject = Callable[..., Project]
NEVER = StopSettings(patience=0, divergence_rises=0)

_PROGRAM = """
import json, sys, torch
torch.set_num_threads(1)
from dimts.base.config import from_table
from dimts.base.project import Project
from dimts.train.fine_tune import fine_tune
from dimts.train.settings import TrainSettings
def on_progress(progress):
    if progress.stage == "train" and "loss" in progress.values:
        print(int(progress.done), flush=True)
fine_tune(Project.open(sys.argv[1]), from_table(TrainSettings, json.loads(sys.argv[2]), "train"), on_progress)
"""


def _fingerprints(project: Project) -> dict[str, str]:
    folder = next(project.runs.glob("2*"))
    last = Checkpoints(folder / "checkpoints", 9).last()
    assert last is not None
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(last.iterdir())}
    voice = next(project.voices.glob("*")) / "model.safetensors"
    found["voice"] = hashlib.sha256(voice.read_bytes()).hexdigest()
    lines = [
        {k: v for k, v in line.items() if "second" not in k} for line in runs.read_log(folder / "log.jsonl")
    ]
    found["log"] = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
    return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_kill_9_at_ten_random_steps_changes_nothing(make_project: MakeProject) -> None:
    table = {
        "steps": 30,
        "save_every": 2,
        "ema": 0.9,
        "batches": {"seconds": 4, "accumulate": 2},
        "stop": {"patience": 0, "divergence_rises": 0},
    }
    whole, broken = make_project("whole"), make_project("broken")
    command = [sys.executable, "-c", _PROGRAM]
    subprocess.run([*command, str(whole.root), json.dumps(table)], check=True, stdout=subprocess.DEVNULL)
    luck = random.Random(7)
    killed = 0
    for _ in range(10):
        running = subprocess.Popen(
            [*command, str(broken.root), json.dumps(table)], stdout=subprocess.PIPE, text=True
        )
        assert running.stdout is not None
        for seen, _line in enumerate(running.stdout, start=1):
            if seen >= luck.randint(2, 4):
                running.kill()
                break
        killed += running.wait() == -9
        running.stdout.close()
    assert killed == 10
    subprocess.run([*command, str(broken.root), json.dumps(table)], check=True, stdout=subprocess.DEVNULL)
    assert _fingerprints(broken) == _fingerprints(whole)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_clips_are_learnt_by_heart(make_project: MakeProject) -> None:
    project = make_project(clips=20, dev=0, seconds=0.8)
    settings = TrainSettings(
        steps=160,
        learning_rate=3e-3,
        dropout=0.0,
        weight_decay=0.0,
        save_every=1000,
        evaluate_every=1000,
        batches=BatchSettings(seconds=12),
        reference=ReferenceSettings(fixed=1),
        schedule=ScheduleSettings(warmup_steps=30),
        stop=NEVER,
    )
    run = fine_tune(project, settings)
    assert run.bundle is not None
    steps = [line for line in runs.read_log(run.log) if line["kind"] == "step"]
    assert steps[-1]["loss_mel"] < 0.2
    engine = load_base(project, settings, rows := Manifest.read(project.manifest), lambda _: None)
    data = load_training_set(project, settings, engine, rows, lambda _: None)
    model = load(run.bundle).model
    batcher = Collator(data.train, data.stores, settings.reference, settings.seed, True)
    right = total = 0
    greedy = GenerateSettings(sample=False, repetition_penalty=1.0, max_codes=120)
    for index, clip in enumerate(data.train):
        examples = batcher.examples(model, [index], 0)
        assert examples.latents is not None
        said = [step.code for step in generate(model.gpt, examples.latents, clip.ids, greedy)]
        wanted = examples.codes[0].tolist()
        right += sum(a == b for a, b in zip(said, wanted, strict=False))
        total += len(wanted)
    assert right / total > 0.9, f"{right} of {total} codes"
