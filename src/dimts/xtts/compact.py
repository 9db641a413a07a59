"""Store weights in less than half the bytes: matrices as grouped 8-bit integers, all else as bfloat16.

    write_safetensors(path, shrink(state))          float32 → int8 and bfloat16
    expand(state)                                   what was stored → float32, under the same names

A matrix [rows, n] is cut into groups of GROUP neighbours in a row; each group is stored as whole numbers of
−127 .. 127 and one float16 scale, under the matrix's name and that name with SCALE. Reading a file that holds
such matrices gives float32 again, so that nothing else knows of it (`weights.read`).

Source: absolute-maximum quantisation in groups, as in Dettmers et al., "8-bit Optimizers via Block-wise
Quantization" (2022).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

GROUP = 64
"""Neighbouring weights with one scale."""
SCALE = ".int8_scale"
"""Suffix of the name of a matrix's scales."""
_LIMIT = 127
_SMALLEST = 4096
"""Matrices of fewer elements stay bfloat16."""


def shrink(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as they are stored; those that are not floating point are unchanged."""
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        if not value.is_floating_point():
            out[key] = value
        elif value.dim() == 2 and value.numel() >= _SMALLEST and value.shape[1] % GROUP == 0:
            groups = value.float().view(len(value), -1, GROUP)
            scale = (groups.abs().amax(dim=2) / _LIMIT).clamp(min=2.0**-24).half()
            whole = (groups / scale.float()[..., None]).round().clamp(-_LIMIT, _LIMIT)
            out[key], out[key + SCALE] = whole.to(torch.int8).view(value.shape), scale
        else:
            out[key] = value.bfloat16()
    return out


def expand(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors expanded to float32; those that were not shrunk are unchanged."""
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith(SCALE):
            continue
        scale = state.get(key + SCALE)
        if scale is None:
            out[key] = value
        else:
            out[key] = (value.view(*scale.shape, -1).float() * scale.float()[..., None]).view(value.shape)
    return out
