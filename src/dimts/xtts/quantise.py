"""Quantise the weights of a model's GPT to 8 bits, for faster synthesis on a CPU.

Each output of a linear layer of the trunk keeps its weights as whole numbers of -127 .. 127 and one scale.
The layer runs in one of two ways:

    weight    inputs stay float32, weights are widened where they are used: closest to float32. With
              compiled steps (`cpu_decoder.py`) a step takes as long as reading the 8-bit weights does
    dynamic   inputs become 8-bit per call, products are integers: the faster one without compiled
              steps, and for many sentences at once

Embeddings, norms, heads, conditioning and vocoder are unchanged: they cost little and matter much. The
given model is not changed, and the new one shares all else with it; it cannot be trained or saved.

Source: absolute-maximum quantisation per output channel (Jacob et al., "Quantization and Training of Neural
Networks", 2018); the kernels of `dynamic` are torch's own (FBGEMM).
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dimts.base.errors import ConfigError
from dimts.base.plugins import nearest
from dimts.xtts import weights
from dimts.xtts.gpt import Conv1D
from dimts.xtts.model import XTTS

Way = Literal["dynamic", "weight"]
LIMIT = 127
"""Largest whole number a weight becomes."""


class DynamicInt8Conv1D(nn.Module):
    """Conv1D with 8-bit weights and inputs made 8-bit at each call."""

    def __init__(self, layer: Conv1D) -> None:
        super().__init__()
        codes, scale = whole_numbers(layer.weight)
        zero = torch.zeros(len(scale), dtype=torch.int64)
        with warnings.catch_warnings():
            # torch announces another place for quantised tensors; the packed kernel stays in torch.ops.
            warnings.filterwarnings("ignore", message=".*quantized.*", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*quantized.*", category=UserWarning)
            made = torch._make_per_channel_quantized_tensor(codes, scale.double(), zero, 0)
            self._packed = torch.ops.quantized.linear_prepack(made, layer.bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        out: Tensor = torch.ops.quantized.linear_dynamic(x.float(), self._packed, True)
        return out.to(x.dtype)


class WeightOnlyInt8Conv1D(nn.Module):
    """Conv1D with 8-bit weights that are widened where they are used; inputs stay float32."""

    codes: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, layer: Conv1D) -> None:
        super().__init__()
        codes, scale = whole_numbers(layer.weight)
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", layer.bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        y = F.linear(x.float(), self.codes.float())
        return y.mul_(self.scale).add_(self.bias).to(x.dtype)


WAYS: dict[str, type[nn.Module]] = {"dynamic": DynamicInt8Conv1D, "weight": WeightOnlyInt8Conv1D}


def whole_numbers(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a weight [in, out] to integers [out, in] int8 and scales [out], whose product is nearest to
    it."""
    rows = weight.detach().float().t()
    scale = (rows.abs().amax(dim=1) / LIMIT).clamp(min=torch.finfo(torch.float32).tiny)
    return (rows / scale[:, None]).round().to(torch.int8).contiguous(), scale


def quantise(model: XTTS, way: Way = "dynamic") -> XTTS:
    """Return a model with 8-bit weights in the trunk; everything else is shared with `model`.

    Raises ConfigError for an unknown way, adapters that are not merged, or a model that is not on a CPU.
    """
    if way not in WAYS:
        raise ConfigError("xtts.unknown_quantisation", way=way, nearest=nearest(way, WAYS))
    if model.device.type != "cpu":
        raise ConfigError("xtts.int8_needs_cpu", device=model.device.type)
    if any(isinstance(module, Conv1D) and module.adapter is not None for module in model.modules()):
        raise ConfigError("xtts.adapters_not_merged")
    made = weights.build_from(model.spec, model.state_dict(), "the model", dtype=None)
    for block in made.gpt.trunk.blocks():
        for part in (block.attn, block.mlp):
            for name, layer in list(part.named_children()):
                if isinstance(layer, Conv1D):
                    setattr(part, name, WAYS[way](layer))
    return made.requires_grad_(False)


def trunk_bytes(model: XTTS) -> int:
    """Return the bytes of the weights of the trunk's linear layers."""
    total = 0
    for module in model.gpt.trunk.modules():
        if isinstance(module, Conv1D):
            total += module.weight.numel() * module.weight.element_size()
        elif isinstance(module, WeightOnlyInt8Conv1D):
            total += module.codes.numel()
        elif isinstance(module, DynamicInt8Conv1D):
            packed: Any = torch.ops.quantized.linear_unpack(module._packed)
            total += packed[0].numel()
    return total
