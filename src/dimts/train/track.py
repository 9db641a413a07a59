"""Steps → live curves of TensorBoard, trackio or Weights & Biases, besides log.jsonl. Absent ones are named.

TensorBoard's files lie in the run's folder; trackio keeps its own (`trackio show --project dimts`), on this
machine unless its own settings name another; wandb sends what it is told to its servers, or with
WANDB_MODE=offline keeps it in the run's folder. A run that is gone on with goes on with its curve.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from dimts.base.errors import MissingExtra
from dimts.base.plugins import has, require

_PROJECT = "dimts"
_LIBRARIES = ("tensorboard", "trackio", "wandb")


def require_tracker(kind: str) -> None:
    """MissingExtra if the library of `kind` is not installed; looked up before any work, as it is used
    late."""
    if kind in _LIBRARIES and not has(kind):
        raise MissingExtra(kind, kind)


class Tracker:
    """Where curves go; kind "none" is nowhere."""

    def __init__(self, kind: str, folder: Path, name: str) -> None:
        self.kind = kind
        self.written = 0
        """Values handed on so far."""
        self._writer: Any = None
        if kind == "tensorboard":
            self._writer = require("torch.utils.tensorboard", "tensorboard").SummaryWriter(
                str(folder / "tensorboard")
            )
        elif kind == "wandb":
            self._writer = require("wandb", "wandb").init(
                project=_PROJECT, name=name, id=name, resume="allow", dir=str(folder)
            )
        elif kind == "trackio":
            library = require("trackio", "trackio")
            with contextlib.redirect_stdout(
                sys.stderr
            ):  # it has something to say, which is no result of ours
                library.init(
                    project=_PROJECT,
                    name=name,
                    resume="allow",
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
            self._writer = library

    def write(self, step: int, values: dict[str, float]) -> None:
        """The curves' values at `step`."""
        if self._writer is None:
            return
        self.written += len(values)
        if self.kind == "tensorboard":
            for key, value in values.items():
                self._writer.add_scalar(key, value, step)
        else:
            self._writer.log(values, step=step)

    def close(self) -> None:
        """All is written."""
        if self._writer is not None:
            with contextlib.redirect_stdout(sys.stderr):
                self._writer.close() if self.kind == "tensorboard" else self._writer.finish()
