"""Steps → live curves of TensorBoard, trackio or Weights & Biases, besides log.jsonl. Absent ones are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dimts.base.plugins import need


class Tracker:
    """Where curves go; kind "none" is nowhere."""

    def __init__(self, kind: str, folder: Path, name: str) -> None:
        self.kind = kind
        self.written = 0
        """Values handed on so far."""
        self._writer: Any = None
        if kind == "tensorboard":
            self._writer = need("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(folder / "tensorboard"))
        elif kind in ("trackio", "wandb"):
            library = need(kind, kind)
            self._writer = library.init(project="dimts", name=name, dir=str(folder)) if kind == "wandb" else library
            if kind == "trackio":
                library.init(project="dimts", name=name)

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
            self._writer.close() if self.kind == "tensorboard" else self._writer.finish()
