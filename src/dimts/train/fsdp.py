"""Parameters whole on every process ↔ each a slice of them (FSDP2, torch's `fully_shard`).

    shard(model, device)       blocks of the trunk, and all else that learns, cut along their first axis
    whole(tensor), local(…)    the full tensor (all processes must ask), or this process's slice
    spread(value, like)        a full tensor, cut as `like` is; nothing is sent
    with gathered(model): …    whole for a while, e.g. to speak

Gradients and optimizer state lie sliced as the parameters do. Only the forward pass through the whole model
puts them together by itself, block by block. Timbre, vocoder, DVAE and a conditioning that does not learn run
apart from it, and stay whole. Source: https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from dimts.xtts.model import XTTS


def shard(model: XTTS, device: torch.device) -> None:
    """Cut the model's parameters among the processes of the default group, in place."""
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    heard = any(parameter.requires_grad for parameter in model.conditioning.parameters())
    sliced = ("gpt.", "conditioning.") if heard else ("gpt.",)
    apart = {parameter for name, parameter in model.named_parameters() if not name.startswith(sliced)}
    for block in model.gpt.trunk.blocks():
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, ignored_params=apart, reshard_after_forward=False)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` was here."""
    return isinstance(model, FSDPModule)


def reshard(model: nn.Module) -> None:
    """Slices again: after a forward pass without a backward pass the outermost parameters are still whole."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@contextmanager
def gather_state(model: nn.Module) -> Iterator[None]:
    """All parameters whole on every process for the length of a block; all processes must come here."""
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in parts:
        module.unshard()
    try:
        yield
    finally:
        reshard(model)


def full_tensor(tensor: Tensor) -> Tensor:
    """The full tensor; all processes must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local_tensor(tensor: Tensor) -> Tensor:
    """What this process holds of it, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def first_row(tensor: Tensor) -> int:
    """Which row of the full tensor is the first of this process's."""
    if not isinstance(tensor, DTensor):
        return 0
    rows, processes = tensor.shape[0], tensor.device_mesh.size()
    each = -(-rows // processes)  # torch.chunk's rule: ceil(rows / processes) each, the last what is left
    return min(tensor.device_mesh.get_local_rank() * each, rows)


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """A full tensor, the same on every process, cut as `like` is."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def held_bytes(model: nn.Module) -> int:
    """Bytes of parameters that this process holds."""
    return sum(local_tensor(parameter).numel() * parameter.element_size() for parameter in model.parameters())
