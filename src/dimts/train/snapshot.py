"""Save and load a run's state: written to a temporary folder, synced, then renamed, so that it is never
partial.

    checkpoints/step-000100/   weights, optimizer, average, extras.safetensors state.json
    checkpoints/best.json      name of the best snapshot, and its criterion

Tensors are stored in safetensors files, numbers in JSON: reading a checkpoint cannot execute code.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dimts.base.errors import CheckpointError, storage_error
from dimts.base.files import fingerprint, write_text
from dimts.train.fsdp import shard_like

WEIGHTS, OPTIMIZER, AVERAGE, EXTRAS = (
    f"{name}.safetensors" for name in ("weights", "optimizer", "average", "extras")
)
STATE = "state.json"
_BEST = "best.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a run needs to continue as if it had never stopped."""

    step: int
    """Optimizer steps taken."""
    weights: Mapping[str, torch.Tensor]
    """The trained parameters by name."""
    optimizer: Mapping[str, torch.Tensor]
    """State of all optimizers: "phase/" and the name that `optimizer_state` gives."""
    average: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """The moving average of the weights, if one is kept."""
    extras: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Other state tensors: buffers such as a codebook, discriminators."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: position in the data, early stopping, scaler."""


class Checkpoints:
    """The snapshots of a run: the last `keep` and the best."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, snapshot: Snapshot, best: float | None = None, by: str = "dev_loss") -> Path:
        """Write a snapshot atomically, then drop the oldest; with `best`, its value of `by`, it becomes the
        best.

        Raises DimtsError when the disk is full; earlier snapshots are unchanged.
        """
        final = self.folder / f"step-{snapshot.step:06d}"
        if not (final / STATE).is_file():
            self._write(snapshot, final)
        if best is not None:
            write_text(self.folder / _BEST, json.dumps({"step": snapshot.step, by: best}))
        self._prune()
        return final

    def _write(self, snapshot: Snapshot, final: Path) -> None:
        temporary = self.folder / f".{final.name}-{os.getpid()}"
        files = {
            WEIGHTS: snapshot.weights,
            OPTIMIZER: snapshot.optimizer,
            AVERAGE: snapshot.average,
            EXTRAS: snapshot.extras,
        }
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            with ThreadPoolExecutor() as pool:  # one file is synced and hashed while the next is written
                hashes, synced = {}, []
                for name, tensors in files.items():
                    if tensors:
                        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
                        save_file(plain, temporary / name)
                        synced.append(pool.submit(_sync, temporary / name))
                        hashes[name] = pool.submit(fingerprint, temporary / name)
                digests = {name: digest.result() for name, digest in sorted(hashes.items())}
                state = {"step": snapshot.step, "sha256": digests, **snapshot.numbers}
                (temporary / STATE).write_text(json.dumps(state), encoding="utf-8")
                _sync(temporary / STATE)
                for done in synced:
                    done.result()
            shutil.rmtree(final, ignore_errors=True)
            temporary.replace(final)
            _sync(self.folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            known = storage_error(error, final) if isinstance(error, OSError) else _as_storage(error, final)
            raise known or error from error

    def all(self) -> list[Path]:
        """Return the complete snapshots, oldest first."""
        return sorted(path for path in self.folder.glob("step-*") if (path / STATE).is_file())

    def last(self) -> Path | None:
        """Return the newest complete snapshot."""
        return self.all()[-1] if self.all() else None

    def best(self) -> Path | None:
        """Return the best snapshot, if one was evaluated."""
        try:
            step = json.loads((self.folder / _BEST).read_text(encoding="utf-8"))["step"]
        except (FileNotFoundError, ValueError, KeyError):
            return None
        path = self.folder / f"step-{step:06d}"
        return path if (path / STATE).is_file() else None

    def _prune(self) -> None:
        best = self.best()
        for path in self.all()[: -self.keep]:
            if path != best:
                shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(".step-*"):
            shutil.rmtree(path, ignore_errors=True)


def load(folder: Path) -> Snapshot:
    """Read a snapshot. CheckpointError when a file is missing or differs from what was written."""
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
        step, hashes = state.pop("step"), state.pop("sha256")
        tensors: dict[str, dict[str, torch.Tensor]] = {}
        for name, expected in hashes.items():
            if fingerprint(folder / name) != expected:
                raise CheckpointError("train.checkpoint_file_damaged", path=folder / name, folder=folder)
            tensors[name] = load_file(folder / name)
    except (FileNotFoundError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError("train.checkpoint_damaged", folder=folder, error=error) from error
    weights, optimizer, average, extras = (
        tensors.get(name, {}) for name in (WEIGHTS, OPTIMIZER, AVERAGE, EXTRAS)
    )
    return Snapshot(step, weights, optimizer, average, extras, state)


def trainable_parameters(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the trained parameters by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def load_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy stored parameters into the model; CheckpointError when they are not the trained ones."""
    own = trainable_parameters(model)
    if own.keys() != weights.keys() or any(own[name].shape != weights[name].shape for name in own):
        odd = sorted(own.keys() ^ weights.keys()) or [
            name for name in own if own[name].shape != weights[name].shape
        ]
        raise CheckpointError("train.checkpoint_belongs_another_model", odd=odd[0])
    for name, parameter in own.items():
        parameter.copy_(shard_like(weights[name], parameter))


@torch.no_grad()
def load_snapshot(model: torch.nn.Module, snapshot: Snapshot) -> None:
    """Load what a voice needs of a snapshot: the averaged weights if there are any, and the model's
    buffers."""
    load_weights(model, snapshot.average or snapshot.weights)
    state = model.state_dict()
    for name, value in snapshot.extras.items():
        if name in state:
            state[name].copy_(value)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return an optimizer's state as tensors named "parameter.entry" or "parameter.group.entry"; numbers
    become tensors."""
    found: dict[str, torch.Tensor] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            inner = {"": value}
            if isinstance(
                value, Mapping
            ):  # bitsandbytes; its tables are shared by all parameters, a file's are not
                inner = {f".{name}": torch.as_tensor(part).clone() for name, part in value.items()}
            found.update({f"{index}.{key}{name}": torch.as_tensor(part) for name, part in inner.items()})
    return found


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Restore what `optimizer_state` returned; hyperparameters stay those of the optimizer."""
    state: dict[int, dict[str, Any]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, tensor in tensors.items():
        index, *groups, key = name.split(".")
        place = state.setdefault(int(index), {})
        for group in groups:
            place = place.setdefault(group, {})
        if key == "step" and not tensor.is_floating_point():  # bitsandbytes counts in Python numbers
            place[key] = int(tensor)
        else:
            place[key] = shard_like(tensor, parameters[int(index)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _sync(path: Path) -> None:
    """Sync a file or folder to the disk (folders only where the system can)."""
    if path.is_dir() and os.name == "nt":
        return
    # Windows flushes only what could be written to
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _as_storage(error: SafetensorError, path: Path) -> Exception | None:
    """Return the system's error that safetensors wraps; its number is in the text."""
    text = str(error)
    for number in (28, 122, 30, 13):  # ENOSPC, EDQUOT, EROFS, EACCES
        if f"os error {number}" in text:
            return storage_error(OSError(number, text), path)
    return None
