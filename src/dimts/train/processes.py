"""One process or many, behind the few words the loop needs. Accelerate does the work (DDP, mixed precision).

Start several with `torchrun --nproc-per-node N -m dimts train PROJECT` (any Accelerate or torchrun set-up).
Sums are over all processes; files are written by the first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from dimts.base.errors import TrainingError
from dimts.train.plan import Machine

_MIXED = {"float32": "no", "bf16": "bf16", "fp16": "fp16"}
_KNOWN = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU}


class Processes:
    """This process among those of a run."""

    def __init__(self, precision: str, machine: Machine) -> None:
        if AcceleratorState._shared_state:  # a run before this one in the same Python, with another number type
            AcceleratorState._reset_state()
        self.accelerator = Accelerator(cpu=machine.device == "cpu", mixed_precision=_MIXED[precision])
        if self.accelerator.distributed_type not in _KNOWN:
            raise TrainingError(
                f"training by {self.accelerator.distributed_type.value} is not supported",
                "use DDP: torchrun --nproc-per-node N -m dimts train PROJECT",
            )

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self.accelerator.process_index)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.accelerator.num_processes)

    @property
    def main(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this one computes."""
        return torch.device(self.accelerator.device)

    def sum(self, *values: float) -> list[float]:
        """Each value, summed over all processes."""
        if self.count == 1:
            return list(values)
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        total: torch.Tensor = self.accelerator.reduce(torch.tensor(values, dtype=kind, device=self.device), "sum")
        return [float(value) for value in total]

    def any(self, wanted: bool) -> bool:
        """Whether any process wants it."""
        return self.sum(float(wanted))[0] > 0

    def wait(self) -> None:
        """Go on when all are here."""
        self.accelerator.wait_for_everyone()

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process runs the block, then the others, who find what it wrote."""
        with self.accelerator.main_process_first():
            yield

    def share(self, parts: Sequence[Any]) -> Sequence[Any]:
        """This process's parts of a step, one per forward pass."""
        return parts[self.rank :: self.count]
