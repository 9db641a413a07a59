"""Runs as they go on a card with FlashAttention, by stand-ins: bf16 in the trunk, float32 where nothing
casts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from dimts.base.project import Project
from dimts.train import capabilities
from dimts.train.fine_tune import fine_tune
from dimts.train.settings import BatchSettings, TrainSettings
from dimts.xtts.load import load
from tests.kernels import FakeFlash, FakeVarlen, use_kernels

pytestmark = pytest.mark.usefixtures("small_engine")
MakeProject = Callable[..., Project]
RUN = TrainSettings(
    steps=3,
    save_every=2,
    sample_every=2,
    attention="flash",
    precision="bf16",
    batches=BatchSettings(seconds=4),
)


@pytest.mark.parametrize(
    "changes",
    [{}, {"trainable": "lora"}, {"freeze_conditioning": True}, {"attention_dropout": 0.1}],
    ids=["full", "lora", "frozen conditioning", "dropout of probabilities"],
)
def test_a_run_with_flash_ends_with_a_voice(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    monkeypatch.setattr(capabilities, "obstacle", lambda kind, *_: "" if kind != "xformers" else "not here")
    use_kernels(monkeypatch)
    project = make_project()
    settings = dataclasses.replace(RUN, **changes)  # type: ignore[arg-type]
    run = fine_tune(project, settings)
    assert run.steps == 3
    assert (FakeFlash.calls if "attention_dropout" in changes else FakeVarlen.calls) > 0
    assert run.bundle is not None
    assert load(run.bundle).voices
