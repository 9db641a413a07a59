"""What is computed once is not computed again: real steps of the loop under torch's profiler, with the clips
away."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.train.base_model import load_base
from dimts.train.fine_tune import FineTuneResult, fine_tune
from dimts.train.latent_cache import LatentCache
from dimts.train.runs import read_log
from dimts.train.settings import BatchSettings, ReferenceSettings, TrainSettings

pytestmark = pytest.mark.usefixtures("small_engine")
MakeProject = Callable[..., Project]
FULL = TrainSettings(
    steps=6,
    dropout=0.0,
    save_every=100,
    evaluate_every=100,
    batches=BatchSettings(seconds=4),
    sample_text="ሰላም",
)
FIXED = dataclasses.replace(FULL, freeze_conditioning=True, reference=ReferenceSettings(fixed=2))
_DVAE = ("convolution", "conv1d", "mkldnn_convolution", "argmin", "cdist", "interpolate", "upsample")
"""Operations of the DVAE and of resampling; the trunk and the conditioning have none of them."""
_SPECTRUM = "aten::_fft_r2c"
_CONDITIONING = "aten::native_group_norm"
"""The conditioning encoder has the only group norms."""


def _profiled(project: Project, settings: TrainSettings) -> tuple[FineTuneResult, Counter[str]]:
    """A run, and how often each operation ran from the third step to the fifth, while the sound files were
    away."""
    watch = profile(activities=[ProfilerActivity.CPU])
    away = project.root / "away"

    def on_progress(progress: Progress) -> None:
        if progress.stage != "train" or "loss" not in progress.values:
            return
        if progress.done == 2:
            project.clips.rename(away)
            watch.start()
        if progress.done == 5:
            watch.stop()
            away.rename(project.clips)

    run = fine_tune(project, settings, on_progress)
    return run, Counter({entry.key: entry.count for entry in watch.key_averages()})


def _clips_of(run: FineTuneResult) -> int:
    return sum(
        line["clips"] for line in read_log(run.log) if line["kind"] == "step" and 3 <= line["step"] <= 5
    )


def test_steps_from_the_cache_do_no_dvae_work(make_project: MakeProject) -> None:
    run, ran = _profiled(make_project(), FULL)
    assert ran["aten::addmm"] > 0
    assert [name for name in ran if any(part in name for part in _DVAE)] == []
    assert ran[_SPECTRUM] == _clips_of(run)  # of each new crop, and of nothing else
    assert ran[_CONDITIONING] > 0
    assert any(str(fact.effect) == "0 DVAE runs in 6 steps" for fact in run.options)


@pytest.mark.parametrize("parts", ["full", "lora"])
def test_a_frozen_conditioning_hears_a_fixed_crop_once(make_project: MakeProject, parts: str) -> None:
    settings = dataclasses.replace(FIXED, trainable=parts)  # type: ignore[arg-type]
    project = make_project()
    told: list[Progress] = []
    run, ran = _profiled(project, settings)
    assert ran["aten::addmm"] > 0
    for idle in (_SPECTRUM, _CONDITIONING):
        assert ran[idle] == 0
    assert [name for name in ran if any(part in name for part in _DVAE)] == []
    facts = {fact.option: fact for fact in run.options}
    assert facts["reference.fixed"].effect.parameters["encoded"] == 0
    if parts == "full":
        assert str(facts["freeze_conditioning"].applied) == "yes: latents read from the cache"

    # the next run finds them, whatever else of its settings differs
    fine_tune(project, dataclasses.replace(settings, learning_rate=1e-4), told.append)
    assert [progress for progress in told if progress.stage == "latents"] == []
    assert len(list(project.codes.glob("latents-*/shard-*"))) == 2  # those of training, and of judging

    # and the losses are those of latents computed at every step
    fresh = make_project("fresh")
    for settled in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not settled:
                patch.setattr("dimts.train.collate.Collator.keeps", lambda self, epoch: False)
            losses = fine_tune(fresh, settings, new=True).losses
        assert losses == pytest.approx(run.losses, abs=1e-5)


def test_a_frozen_conditioning_with_new_crops_says_that_it_must_listen(make_project: MakeProject) -> None:
    project = make_project()
    settings = dataclasses.replace(FULL, freeze_conditioning=True)
    run, ran = _profiled(project, settings)
    assert ran[_CONDITIONING] > 0
    frozen = next(fact for fact in run.options if fact.option == "freeze_conditioning")
    assert frozen.applied.parameters["how"].code == "train.latents_of_new_crops"
    assert frozen.effect.parameters["crops"] > 0
    assert "computed at every step" in (run.folder / "plan.json").read_text()


def test_another_conditioning_and_other_crops_are_heard_anew(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project()
    rows = Manifest.read(project.manifest)
    engines = [
        load_base(project, dataclasses.replace(FIXED, seed=seed), rows, lambda _: None, write=False)
        for seed in (0, 1)
    ]
    first, second = (LatentCache.of(project, engine.model) for engine in engines)
    assert first.shards.folder != second.shards.folder
    assert first.keep({"a.0-9": lambda: torch.ones(32, 4), "a.1-9": lambda: torch.zeros(32, 4)}) == 2
    again = LatentCache.of(project, engines[0].model)
    assert again.keep({"a.0-9": lambda: torch.zeros(32, 4), "a.0-8": lambda: torch.zeros(32, 4)}) == 1
    assert float(again["a.0-9"].sum()) == 32 * 4
    assert "a.0-9" not in LatentCache.of(project, engines[1].model).shards
    with torch.no_grad():
        engines[0].model.conditioning.encoder.init.weight[0, 0] += 1e-3
    assert "a.0-9" not in LatentCache.of(project, engines[0].model).shards
