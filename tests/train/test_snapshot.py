"""A snapshot is whole or not there; the best is never thrown away; damage is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from dimts.base.errors import CheckpointError
from dimts.train.snapshot import (
    STATE,
    WEIGHTS,
    Checkpoints,
    Snapshot,
    load,
    load_optimizer,
    load_weights,
    optimizer_state,
    trainable_parameters,
)


def _snapshot(step: int, value: float = 0.0) -> Snapshot:
    return Snapshot(
        step,
        {"w": torch.full((3,), value)},
        {"0.step": torch.tensor(1.0)},
        {},
        {"b": torch.ones(2)},
        {"epoch": 2},
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path, 2).save(_snapshot(7, 1.5))
    found = load(path)
    assert (found.step, found.numbers) == (7, {"epoch": 2})
    assert torch.equal(found.weights["w"], torch.full((3,), 1.5))
    assert torch.equal(found.extras["b"], torch.ones(2))
    assert not found.average


def test_the_last_are_kept_and_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    for step in range(1, 6):
        checkpoints.save(_snapshot(step), best=0.5 if step == 2 else None)
    assert [path.name for path in checkpoints.all()] == ["step-000002", "step-000004", "step-000005"]
    assert checkpoints.best() == tmp_path / "step-000002"
    assert checkpoints.last() == tmp_path / "step-000005"
    checkpoints.save(_snapshot(5), best=0.4)
    assert checkpoints.best() == tmp_path / "step-000005"


def test_a_half_written_folder_is_not_taken_for_a_snapshot(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(_snapshot(1))
    (tmp_path / ".step-000002-99").mkdir()
    (tmp_path / ".step-000002-99" / WEIGHTS).write_bytes(b"half")
    assert checkpoints.last() == tmp_path / "step-000001"
    checkpoints.save(_snapshot(3))
    assert not (tmp_path / ".step-000002-99").exists()


@pytest.mark.parametrize("name", [WEIGHTS, STATE])
def test_damage_is_noticed(tmp_path: Path, name: str) -> None:
    path = Checkpoints(tmp_path, 2).save(_snapshot(1))
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load(path)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match="damaged"):
        load(path)


def test_nothing_in_a_snapshot_is_pickled(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path, 2).save(_snapshot(1))
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}
    json.loads((path / STATE).read_text())


def test_an_optimizer_goes_on_as_if_it_had_never_stopped() -> None:
    torch.manual_seed(0)
    models = [nn.Linear(4, 3) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (torch.optim.AdamW(model.parameters(), lr=0.1) for model in models)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    for seed in range(3):
        step(models[0], first, seed)
    load_weights(
        models[1], {name: value.detach().clone() for name, value in trainable_parameters(models[0]).items()}
    )
    load_optimizer(second, {name: value.clone() for name, value in optimizer_state(first).items()})
    for model, optimizer in zip(models, (first, second), strict=True):
        step(model, optimizer, 9)
    assert torch.equal(models[0].weight, models[1].weight)


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(CheckpointError, match="another model or setting"):
        load_weights(nn.Linear(2, 2), {"weight": torch.zeros(2, 2)})
