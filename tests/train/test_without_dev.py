"""A run without dev clips is judged by the loss of training, and says so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest

from dimts.base.project import Project
from dimts.train import runs
from dimts.train.fine_tune import fine_tune
from dimts.train.settings import BatchSettings, StopSettings, TrainSettings
from dimts.xtts.load import load

pytestmark = pytest.mark.usefixtures("small_engine")
MakeProject = Callable[..., Project]
RUN = TrainSettings(steps=2, evaluate_every=1, batches=BatchSettings(seconds=4))


def test_nothing_is_called_dev_loss(make_project: MakeProject) -> None:
    run = fine_tune(make_project(clips=1, dev=0), RUN)
    evaluations = [line for line in runs.read_log(run.log) if line["kind"] == "evaluation"]
    assert [set(line) & {"dev_loss", "dev_loss_mel", "train_loss"} for line in evaluations] == [
        {"train_loss"}
    ] * 2
    assert run.dev_losses == ()
    assert run.bundle is not None
    assert "dev_loss" not in load(run.bundle).meta["metrics"]
    best = json.loads(next((run.folder / "checkpoints").glob("best*")).read_text("utf-8"))
    assert set(best) == {"step", "train_loss"}


@pytest.mark.slow
def test_the_end_names_the_loss_that_did_not_fall(make_project: MakeProject) -> None:
    stop = StopSettings(patience=1, minimum_gain=0.99)
    run = fine_tune(make_project(clips=1, dev=0), dataclasses.replace(RUN, steps=5, stop=stop))
    assert run.ended.code == "train.no_better_train_loss"
