"""Copy tensors of the host to a device without waiting for the device.

A copy from ordinary memory makes the host wait for all that the device was given before; from pinned memory
it is queued like a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy the tensor to `device`; on a CUDA card by way of pinned memory, without a wait."""
    device = torch.device(device)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def integers(values: Sequence[int], device: torch.device | str, dtype: torch.dtype = torch.int64) -> Tensor:
    """Copy integers [N] of the host to `device`, without a wait."""
    return to_device(torch.tensor(list(values), dtype=dtype), device)
