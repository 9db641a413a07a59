"""Several processes do what one does, whether each has all weights or a slice; launchers as people type
them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dimts.base.errors import ConfigError
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.train import runs
from dimts.train.fine_tune import FineTuneResult, fine_tune
from dimts.train.settings import BatchSettings, TrainSettings
from dimts.train.snapshot import Checkpoints
from dimts.xtts.load import load

pytestmark = [pytest.mark.usefixtures("small_engine"), pytest.mark.timeout(1800)]
MakeProject = Callable[..., Project]

_PROGRAM = """
import dataclasses, json, os, sys, torch
torch.set_num_threads(1)
from dimts.base.config import from_table
from dimts.base.project import Project
from dimts.train.fine_tune import fine_tune
from dimts.train.settings import TrainSettings
from dimts.xtts.spec import SPECS
SPECS["tiny"] = dataclasses.replace(SPECS["tiny"], layers=2, width=64, vocoder_channels=16, dvae_hidden=16)
def on_progress(progress):
    if progress.message is not None:
        print(progress.message.code, flush=True)
    if progress.done == int(sys.argv[3]) and "loss" in progress.values:
        os._exit(7)  # a power cut
fine_tune(Project.open(sys.argv[1]), from_table(TrainSettings, json.loads(sys.argv[2]), "train"), on_progress)
"""
ONE = TrainSettings(steps=4, dropout=0.0, save_every=2, batches=BatchSettings(seconds=16))
HALVES: dict[str, Any] = {"steps": 4, "dropout": 0.0, "save_every": 2, "batches": {"seconds": 8}}
"""The same steps, shared by two."""


def _two(project: Project, table: dict[str, Any], cut_at: int = 0) -> subprocess.CompletedProcess[str]:
    program = project.root / "program.py"
    program.write_text(_PROGRAM)
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *(str(program), str(project.root), json.dumps(table), str(cut_at)),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=900,
        capture_output=True,
        text=True,
        check=False,
    )


def _folder(project: Project) -> runs.RunFolder:
    (root,) = project.runs.glob("2*")
    return runs.RunFolder(root)


def _losses(project: Project) -> list[float]:
    return [line["loss"] for line in runs.read_log(_folder(project).log) if line["kind"] == "step"]


def _last(folder: Path) -> Path:
    last = Checkpoints(folder / "checkpoints", 9).last()
    assert last is not None
    return last


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FineTuneResult]:
    """Runs of one process, by what learns."""
    return {}


def _alone(alone: dict[str, FineTuneResult], make_project: MakeProject, parts: str) -> FineTuneResult:
    if parts not in alone:
        alone[parts] = fine_tune(make_project("alone"), dataclasses.replace(ONE, trainable=parts, ema=0.9))  # type: ignore[arg-type]
    return alone[parts]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sharding", "parts", "more"),
    [
        ("off", "full", {}),
        ("full", "full", {"sample_every": 2, "old_rows_lr_scale": 1.0}),
        ("full", "lora", {"checkpointing": "on"}),
    ],
)
def test_two_processes_do_what_one_does(
    make_project: MakeProject,
    alone: dict[str, FineTuneResult],
    sharding: str,
    parts: str,
    more: dict[str, Any],
) -> None:
    wanted = _alone(alone, make_project, parts)
    project = make_project("two")
    done = _two(project, {**HALVES, "sharding": sharding, "trainable": parts, "ema": 0.9, **more})
    assert done.returncode == 0, done.stderr[-3000:]
    assert _losses(project) == pytest.approx(list(wanted.losses), abs=1e-5)
    found = _folder(project)
    assert json.loads((found.root / "plan.json").read_text())["processes"] == 2
    for name in ("weights", "optimizer", "average"):  # whole, whoever held them
        theirs, ours = (
            load_file(_last(root) / f"{name}.safetensors") for root in (wanted.folder, found.root)
        )
        assert theirs.keys() == ours.keys()
        assert all(theirs[key].shape == ours[key].shape for key in theirs)
    assert wanted.bundle is not None
    state = load(next(project.voices.glob("*"))).model.state_dict()
    own = load(wanted.bundle).model.state_dict()
    assert state.keys() == own.keys()
    assert (
        max(float((state[key] - own[key]).abs().max()) for key in own if torch.is_floating_point(own[key]))
        < 2e-3
    )
    facts = {fact["option"]: fact for fact in json.loads((found.root / "options.json").read_text())["facts"]}
    alone_bytes, held = (
        int(line.split(" bytes")[0].replace(",", ""))
        for line in (_effect(wanted, "sharding"), facts["sharding"]["effect"])
    )
    cut = ("gpt.", "conditioning.") if parts == "full" else ("gpt.",)
    shared = sum(value.nbytes for key, value in own.items() if key.startswith(cut))
    assert alone_bytes - held == pytest.approx(0 if sharding == "off" else shared / 2, rel=0.1)
    if more.get("sample_every"):
        assert len(list(found.samples.glob("*.wav"))) == 2


def _effect(run: FineTuneResult, option: str) -> str:
    return next(fact.effect.text("en") for fact in run.options if fact.option == option)


@pytest.mark.slow
def test_a_run_of_slices_and_a_run_of_one_process_go_on_with_each_other(
    make_project: MakeProject, alone: dict[str, FineTuneResult]
) -> None:
    wanted = list(_alone(alone, make_project, "full").losses)
    halves = {**HALVES, "sharding": "full", "ema": 0.9}
    one = dataclasses.replace(ONE, ema=0.9, batches=BatchSettings(seconds=8, accumulate=2))

    first_two = make_project("first-two")
    assert _two(first_two, halves, cut_at=3).returncode != 0
    told: list[Progress] = []
    run = fine_tune(first_two, one, told.append)
    assert any(progress.message is not None and progress.message.code == "train.goes_on" for progress in told)
    assert list(run.losses) == pytest.approx(wanted, abs=1e-5)
    assert run.steps == 4

    first_one = make_project("first-one")

    def cut(progress: Progress) -> None:
        if progress.done == 3 and "loss" in progress.values:
            raise _PowerCut

    with pytest.raises(_PowerCut):
        fine_tune(first_one, one, cut)
    done = _two(first_one, halves)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "train.goes_on" in done.stdout
    assert _losses(first_one) == pytest.approx(wanted, abs=1e-5)


class _PowerCut(Exception):
    """Ends a run in the middle."""


def test_slices_need_somebody_to_share_with(make_project: MakeProject) -> None:
    with pytest.raises(ConfigError, match="there is one"):
        fine_tune(make_project(), dataclasses.replace(ONE, sharding="full"))


@pytest.mark.slow
def test_slices_and_compiled_layers_are_refused_together(make_project: MakeProject) -> None:
    done = _two(make_project(), {**HALVES, "sharding": "full", "compile": True})
    assert done.returncode != 0
    assert "train.compile with slices has not been seen to give the losses of one process" in done.stderr


def _launch(project: Project, *launcher: str) -> subprocess.CompletedProcess[str]:
    accelerate = Path(sys.executable).with_name("accelerate")
    settings = ("--set", "train.batches.seconds=4", "--set", "train.save_every=1")
    return subprocess.run(
        [
            str(accelerate),
            "launch",
            *launcher,
            "-m",
            "dimts",
            "train",
            str(project.root),
            "--steps",
            "2",
            *settings,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=900,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "sharded"), [(("--multi_gpu",), False), (("--use_fsdp", "--fsdp_version", "2"), True)]
)
def test_accelerate_launch_starts_what_it_says(
    make_project: MakeProject, launcher: tuple[str, ...], sharded: bool
) -> None:
    project = make_project()
    done = _launch(project, *launcher, "--num_processes", "2", "--mixed_precision", "no")
    assert done.returncode == 0, done.stderr[-3000:]
    plan = json.loads((_folder(project).root / "plan.json").read_text())
    assert (plan["processes"], plan["sharded"]) == (2, sharded)


@pytest.mark.slow
def test_accelerate_launch_that_starts_one_process_for_two_is_found_out(make_project: MakeProject) -> None:
    project = make_project()
    done = _launch(project, "--cpu", "--num_processes", "2")
    assert done.returncode != 0
    assert "asked for 2 processes and started one" in done.stderr
    assert "torchrun --nproc-per-node 2" in done.stderr
    assert not project.runs.exists() or not list(project.runs.glob("2*"))
    alone = _launch(project, "--cpu", "--num_processes", "1")
    assert alone.returncode == 0, alone.stderr[-3000:]
