"""One process or many behind one interface for the loop. Accelerate does the work (DDP, mixed precision).

    torchrun --nproc-per-node N -m dimts train PROJECT
    accelerate launch --multi_gpu --num_processes N -m dimts train PROJECT    whole weights in every process
    accelerate launch --use_fsdp --num_processes N -m dimts train PROJECT     sharded weights (train.sharding)

Sums are over all processes; the first one writes files. Sharding is torch's own (`fsdp.py`), on cards and on
processors alike, as Accelerate's FSDP falls back to DDP on the latter.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, gather_object

from dimts.base.errors import ConfigError, TrainingError
from dimts.base.messages import Message
from dimts.train.capabilities import MachineInfo
from dimts.train.fsdp import full_tensor

_MIXED = {"float32": "no", "bf16": "bf16", "fp16": "fp16"}
_KNOWN = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU}
_FSDP = "ACCELERATE_USE_FSDP"
_LAUNCHERS = ("accelerate", "accelerate-launch", "launch")


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """Position of a worker in a cluster."""

    cluster: str
    """Name of the cluster."""
    machine: str
    """The cluster's name for this machine."""
    restarts: int
    """How often the workers were restarted."""


class Processes:
    """This process among those of a run.

    Raises ConfigError for sharding with a single process, TrainingError for a launcher that started fewer
    processes than requested, or processes of another kind than can train here.
    """

    def __init__(
        self,
        precision: str,
        machine: MachineInfo,
        sharding: Literal["off", "full"] = "off",
        place: ClusterInfo | None = None,
    ) -> None:
        if (
            AcceleratorState._shared_state
        ):  # left by an earlier run in the same process, with another number type
            AcceleratorState._reset_state()
        launched_sharded = os.environ.get(_FSDP, "").lower() in ("1", "true")
        with _without(_FSDP):
            self.accelerator = Accelerator(cpu=machine.device == "cpu", mixed_precision=_MIXED[precision])
        if self.accelerator.distributed_type not in _KNOWN:
            raise TrainingError(
                "train.distributed_type_unsupported", distributed_type=self.accelerator.distributed_type.value
            )
        if self.count == 1 and (asked := _processes_asked_for()) > 1:
            raise TrainingError("train.accelerate_started_one", asked=asked)
        self.place = place
        """Position in a cluster, if there is one."""
        self.sharded = sharding == "full" or launched_sharded
        """Whether parameters are sharded over the processes."""
        self.sharded_why = Message("train.asked_for" if sharding == "full" else "train.asked_of_accelerate")
        if self.sharded and self.count == 1:
            raise ConfigError("train.train_sharding_full_shares")
        if self.sharded and precision == "fp16":
            raise ConfigError("train.train_sharding_full_fp16")

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self.accelerator.process_index)

    @property
    def count(self) -> int:
        """Number of processes."""
        return int(self.accelerator.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return torch.device(self.accelerator.device)

    def sum(self, *values: float) -> list[float]:
        """Sum each value over all processes."""
        if self.count == 1:
            return list(values)
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        total: torch.Tensor = self.accelerator.reduce(
            torch.tensor(values, dtype=kind, device=self.device), "sum"
        )
        return [float(value) for value in total]

    def any(self, wanted: bool) -> bool:
        """Whether `wanted` is true on any process."""
        return self.sum(float(wanted))[0] > 0

    def whole(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gather full tensors on the first process; others get none. Collective when parameters are
        sharded."""
        found = {}
        for name, tensor in tensors.items():
            full = full_tensor(tensor.detach())
            if self.main:
                found[name] = full.cpu() if self.sharded else full
        return found

    def machines(self) -> int:
        """Return on how many machines of the cluster the processes run; collective. 0 outside a cluster."""
        if self.place is None:
            return 0
        return len(set(gather_object([self.place.machine])))

    def wait(self) -> None:
        """Wait until all processes have called this."""
        self.accelerator.wait_for_everyone()

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """Run the block on the first process, then on the others, which find what it wrote."""
        with self.accelerator.main_process_first():
            yield

    def share(self, parts: Sequence[Any]) -> Sequence[Any]:
        """Return this process's parts of a step, one per forward pass."""
        return parts[self.rank :: self.count]


@contextlib.contextmanager
def _without(name: str) -> Iterator[None]:
    """Hide an environment variable from the block."""
    kept = os.environ.pop(name, None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ[name] = kept


def _processes_asked_for() -> int:
    """Return `--num_processes` if `accelerate launch` started this process alone; else 1.

    The launcher sets no environment variable for it, so its command line is read.
    """
    if "ACCELERATE_USE_CPU" not in os.environ or "WORLD_SIZE" in os.environ:
        return 1
    import psutil

    try:
        words = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        return 1
    if not any(os.path.basename(word) in _LAUNCHERS or "accelerate.commands" in word for word in words[:4]):
        return 1
    for at, word in enumerate(words):
        name, sign, value = word.partition("=")
        if name in ("--num_processes", "--num-processes"):
            value = value if sign else words[at + 1]
            return int(value) if value.isdigit() else 1
    return 1
