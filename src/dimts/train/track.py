"""Send training curves to TensorBoard, trackio or Weights & Biases, besides log.jsonl.

TensorBoard's files are in the run's folder; trackio keeps its own (`trackio show --project dimts`), on this
machine unless its settings name another; wandb sends the curves to its servers, or with WANDB_MODE=offline
keeps them in the run's folder. A resumed run continues its curves.
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
    """Raise MissingExtra if the library of `kind` is not installed; checked before any work, as it is used
    late."""
    if kind in _LIBRARIES and not has(kind):
        raise MissingExtra(kind, kind)


class Tracker:
    """Destination of the curves; none for kind "none"."""

    def __init__(self, kind: str, folder: Path, name: str) -> None:
        self.kind = kind
        self.written = 0
        """Number of values written so far."""
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
            with contextlib.redirect_stdout(sys.stderr):  # output of the library, not ours
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
        """Write the curves' values at `step`."""
        if self._writer is None:
            return
        self.written += len(values)
        if self.kind == "tensorboard":
            for key, value in values.items():
                self._writer.add_scalar(key, value, step)
        else:
            self._writer.log(values, step=step)

    def close(self) -> None:
        """Close the library's writer."""
        if self._writer is not None:
            with contextlib.redirect_stdout(sys.stderr):
                self._writer.close() if self.kind == "tensorboard" else self._writer.finish()
