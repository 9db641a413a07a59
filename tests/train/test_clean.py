"""A voice from any checkpoint, and the disk freed of what is no longer needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from dimts.base.errors import CheckpointError, TrainingError
from dimts.base.project import Project
from dimts.cli.main import main
from dimts.train.clean import plan_cleaning
from dimts.train.export_snapshots import export_checkpoint, find_run
from dimts.train.fine_tune import PAUSED, fine_tune
from dimts.train.settings import BatchSettings, DvaeStageSettings, TrainSettings
from dimts.train.snapshot import Checkpoints
from dimts.train.snapshot import load as load_snapshot
from dimts.xtts.load import load

pytestmark = pytest.mark.usefixtures("small_engine")
MakeProject = Callable[..., Project]
SHORT = TrainSettings(
    steps=4,
    save_every=1,
    keep=4,
    batches=BatchSettings(seconds=4),
    dvae=DvaeStageSettings(autoencoder_steps=1),
)


def test_a_voice_is_made_from_any_checkpoint(make_project: MakeProject) -> None:
    project = make_project()
    run = fine_tune(project, dataclasses.replace(SHORT, stage="dvae"))
    folder = find_run(project)
    voice = export_checkpoint(project, folder, 3)
    assert voice == project.voices / "project-step-000003"
    bundle = load(voice, dvae=True)
    assert (bundle.meta["steps"], bundle.meta["stages"]) == (3, ["dvae"])
    wanted = load_snapshot(run.folder / "checkpoints" / "step-000003").extras["dvae.codebook.embed"]
    assert bundle.model.dvae is not None
    assert bundle.model.dvae.codebook.embed.equal(wanted)
    with pytest.raises(CheckpointError, match="no checkpoint of step 9") as error:
        export_checkpoint(project, folder, 9)
    assert "1, 2, 3, 4" in str(error.value)


def test_cleaning_leaves_the_best_checkpoint_and_all_that_explains_a_run(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project()
    first, second = (fine_tune(project, SHORT, new=True) for _ in range(2))
    best = Checkpoints(second.folder / "checkpoints", 1).best()
    plan = plan_cleaning(project)
    assert plan.bytes > 0
    assert all(path.is_dir() for path, _ in plan.folders)
    assert main(["train", "clean", str(project.root)]) == 0  # nobody answers: nothing is removed
    assert plan_cleaning(project).bytes == plan.bytes
    assert main(["train", "clean", str(project.root), "--yes"]) == 0
    assert "MB" in capsys.readouterr().err
    assert Checkpoints(first.folder / "checkpoints", 1).all() == []
    assert Checkpoints(second.folder / "checkpoints", 1).all() == [best]
    assert all((run.folder / "options.json").is_file() for run in (first, second))
    assert not plan_cleaning(project).folders
    with pytest.raises(TrainingError, match="negative"):
        plan_cleaning(project, keep=-1)


def test_a_run_that_has_not_ended_is_left_alone(make_project: MakeProject) -> None:
    project = make_project()

    def pause(progress: object) -> None:
        if getattr(progress, "values", None) and getattr(progress, "done", 0) == 2:
            (next(project.runs.glob("2*")) / "pause").touch()

    assert fine_tune(project, SHORT, pause).ended.code == PAUSED
    assert not plan_cleaning(project, keep=0).folders
