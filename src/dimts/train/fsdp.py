"""Shard parameters over the processes, and gather them (FSDP2, torch's `fully_shard`).

    shard(model, device)              shard the trunk's blocks, and all else that is trained, on dimension 0
    full_tensor(t), local_tensor(t)   the full tensor (collective), or this process's shard
    shard_like(value, like)           shard a full tensor as `like` is; nothing is sent
    with gather_state(model): …       full parameters for the block, e.g. to synthesise

Gradients and optimizer state are sharded as the parameters are. Only the forward pass through the whole model
gathers them by itself, block by block. Speaker encoder, vocoder, DVAE and a frozen conditioning run apart
from it, and stay whole. Source: https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
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
    """Shard the model's parameters over the processes of the default group, in place."""
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    trained = any(parameter.requires_grad for parameter in model.conditioning.parameters())
    sliced = ("gpt.", "conditioning.") if trained else ("gpt.",)
    apart = {parameter for name, parameter in model.named_parameters() if not name.startswith(sliced)}
    for block in model.gpt.trunk.blocks():
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, ignored_params=apart, reshard_after_forward=False)


def is_sharded(model: nn.Module) -> bool:
    """Whether the model was sharded by `shard`."""
    return isinstance(model, FSDPModule)


def reshard(model: nn.Module) -> None:
    """Reshard the outermost parameters, which are still gathered after a forward pass without a backward
    pass."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@contextmanager
def gather_state(model: nn.Module) -> Iterator[None]:
    """Gather all parameters on every process for the length of a block; collective."""
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in parts:
        module.unshard()
    try:
        yield
    finally:
        reshard(model)


def full_tensor(tensor: Tensor) -> Tensor:
    """Return the full tensor; collective."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local_tensor(tensor: Tensor) -> Tensor:
    """Return this process's shard, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def first_row(tensor: Tensor) -> int:
    """Return the index in the full tensor of the first row of this process's shard."""
    if not isinstance(tensor, DTensor):
        return 0
    rows, processes = tensor.shape[0], tensor.device_mesh.size()
    each = -(-rows // processes)  # torch.chunk's rule: ceil(rows / processes) each, the last what is left
    return min(tensor.device_mesh.get_local_rank() * each, rows)


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """Shard a full tensor, the same on every process, as `like` is."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def held_bytes(model: nn.Module) -> int:
    """Return the bytes of parameters that this process holds."""
    return sum(local_tensor(parameter).numel() * parameter.element_size() for parameter in model.parameters())
