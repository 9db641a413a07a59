"""A step waits for the device once a phase, when all of it is queued: to read what is logged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from dimts.base.project import Project
from dimts.train.fine_tune import fine_tune
from dimts.train.settings import BatchSettings, ReferenceSettings, SyntheticSettings, TrainSettings
from dimts.train.stages.gpt import GptStage
from dimts.train.trainer import Trainer
from tests.syncs import SyncCounter

pytestmark = pytest.mark.usefixtures("small_engine")
MakeProject = Callable[..., Project]
RUN = TrainSettings(
    steps=3, save_every=100, evaluate_every=100, batches=BatchSettings(seconds=4, accumulate=2)
)
PADDED = BatchSettings(seconds=4, packing=False)
READ = "tolist at trainer.py:_read"


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> SyncCounter:
    """Counts in every step but the first, which is watched, and outside of the making of batches."""
    counter = SyncCounter(monkeypatch)
    step, batch = Trainer.step, GptStage.batch

    def counted_step(trainer: Trainer, *args: Any, watched: bool, **options: Any) -> dict[str, Any]:
        counter.counting = not watched
        try:
            with counter:
                return step(trainer, *args, watched=watched, **options)
        finally:
            counter.counting = False

    def uncounted_batch(stage: GptStage, *args: Any) -> Any:
        with counter.paused():
            return batch(stage, *args)

    monkeypatch.setattr(Trainer, "step", counted_step)
    monkeypatch.setattr(GptStage, "batch", uncounted_batch)
    return counter


def test_the_counter_sees_every_way_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = SyncCounter(monkeypatch)
    numbers = torch.arange(3.0)
    ways: list[Callable[[], object]] = [
        lambda: float(numbers[0]),
        lambda: int(numbers[0]),
        lambda: bool(numbers[0]),
        lambda: numbers[0].item(),
        numbers.tolist,
        numbers.cpu,
        numbers.numpy,
        lambda: numbers[numbers > 1],
        lambda: numbers.nonzero(),
        lambda: numbers.new_tensor([1.0]),
        lambda: torch.equal(numbers, numbers),
    ]
    for number, way in enumerate(ways):
        counter.counting, counter.places = True, []
        with counter:
            way()
        counter.counting = False
        assert counter.places, number
    with counter:
        numbers.sum() + numbers.new_full((1,), 2.0)
    assert len(counter.places) == 1, "and nothing else"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"trainable": "lora"}, marks=pytest.mark.slow),
        pytest.param({"freeze_conditioning": True}, marks=pytest.mark.slow),
        pytest.param({"reference": ReferenceSettings(mask="own", pad=False)}, marks=pytest.mark.slow),
        pytest.param({"loss_chunk": 16, "checkpointing": "on", "ema": 0.9}, marks=pytest.mark.slow),
        pytest.param(
            {"batches": BatchSettings(seconds=4, packing=False), "attention": "eager"}, marks=pytest.mark.slow
        ),
        {"synthetic": SyntheticSettings(share=0.5), "guided_attention": 1.0},
    ],
    ids=[
        "full",
        "lora",
        "frozen",
        "crops masked",
        "chunks, checkpoints, averages",
        "padded, eager",
        "guided",
    ],
)
def test_a_step_reads_the_device_once(
    make_project: MakeProject, syncs: SyncCounter, changes: dict[str, Any]
) -> None:
    fine_tune(make_project(), dataclasses.replace(RUN, **changes))
    assert syncs.places == [READ] * (RUN.steps - 1), "one for each step that is not watched"


def test_a_step_that_is_not_finite_is_left_out_by_the_device(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and averages after a step with a NaN are, bit for bit, those before it."""
    losses, moved, decided = GptStage.losses, [], []
    states: list[dict[str, torch.Tensor]] = []

    def poisoned(stage: GptStage, *args: Any) -> Any:
        terms = losses(stage, *args)
        if stage.stats.steps == 1:
            terms["mel"] = dataclasses.replace(terms["mel"], mean=terms["mel"].mean * math.nan)
        return terms

    step, chosen = Trainer.step, Trainer._step_if_finite

    def kept(trainer: Trainer, *args: Any, **options: Any) -> Any:
        before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        average = {} if trainer.average is None else {k: v.clone() for k, v in trainer.average.shadow.items()}
        values = step(trainer, *args, **options)
        after = trainer.model.state_dict()
        same = all(torch.equal(before[name], after[name]) for name in before)
        shadow = trainer.average.shadow if trainer.average is not None else {}
        moved.append((not same, any(not torch.equal(average[name], shadow[name]) for name in shadow)))
        states.append(after)
        return values

    def noted(trainer: Trainer, *args: Any) -> None:
        decided.append(True)
        chosen(trainer, *args)

    monkeypatch.setattr(GptStage, "losses", poisoned)
    monkeypatch.setattr(Trainer, "step", kept)
    monkeypatch.setattr(Trainer, "_step_if_finite", noted)
    run = fine_tune(make_project(), dataclasses.replace(RUN, ema=0.9))
    assert len(decided) == RUN.steps, "the device decides"
    assert moved == [(True, True), (False, False), (True, True)]
    assert math.isnan(run.losses[1])
    assert math.isfinite(run.losses[2])


def test_the_fused_step_is_that_of_a_host_that_looks_first(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses, norms and weights are the same, bit for bit, as with the step taken after reading."""
    runs = []
    for decides in (True, False):
        with monkeypatch.context() as patch:
            if not decides:
                patch.setattr(Trainer, "_device_decides", lambda trainer: False)
            runs.append(fine_tune(make_project(name=f"decides-{decides}"), RUN))
    assert runs[0].losses == runs[1].losses
    assert runs[0].dev_losses == runs[1].dev_losses
