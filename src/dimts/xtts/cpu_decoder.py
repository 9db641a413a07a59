"""Compile the decoding steps of a GPT on a CPU into one function: `compile_decoder(gpt)` makes `Decoder` use
it.

A step of a sentence is bound by memory: the 378 million weights of the official size are read once a code.
Layer by layer, torch reaches half of the memory's bandwidth (its matrix-vector product, and some 750 small
operations a step). Compiled into one function (`cpu_decoder_kernel.py`, Numba), a step takes hardly longer
than reading the weights does.

Weights are laid out as [layers, out, in] once, and the model's own parameters become views of that, so
nothing is held twice. A decoder of one sentence sums each row by itself; one of several takes rows four at a
time, and the result of a row is the same to the last bit whatever the other rows.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.base.plugins import has, require
from dimts.base.threads import threads_kept
from dimts.xtts.gpt import GPT, Conv1D, KVCache, TransformerBlock

_COMPILED = threading.Lock()
"""Lock for one step at a time: not every threading layer of Numba allows two."""
log = logging.getLogger(__name__)


def refusal(gpt: GPT) -> Message | None:
    """Return why this GPT's steps cannot be compiled here; None where they can."""
    if not has("numba"):
        return Message("xtts.numba_missing")
    device = gpt.mel_head.weight.device.type
    if device != "cpu":
        return Message("xtts.compiled_cpu_only", device=device)
    for block in gpt.trunk.blocks():
        for layer in _layers(block):
            if isinstance(layer, Conv1D):
                if layer.adapter is not None and not layer.adapter.merged:
                    return Message("xtts.adapters_not_merged")
                if layer.weight.dtype != torch.float32:
                    return Message(
                        "xtts.compiled_weight_type", found=str(layer.weight.dtype).removeprefix("torch.")
                    )
            elif not hasattr(layer, "codes"):
                return Message("xtts.compiled_packed_weights", layer=type(layer).__name__)
    return None


def compile_decoder(gpt: GPT) -> None:
    """Let decoders of `gpt` take compiled steps. The GPT can then synthesise, and not be trained.

    Raises ConfigError where that cannot be, MissingExtra without Numba.
    """
    require("numba", "fast")
    reason = refusal(gpt)
    if reason:
        raise ConfigError("xtts.cannot_compile", reason=reason)
    gpt.compiled = CompiledDecoder(gpt)


class CompiledDecoder:
    """The trunk's weights in the layout of compiled steps."""

    def __init__(self, gpt: GPT) -> None:
        blocks = gpt.trunk.blocks()
        first = _layers(blocks[0])
        self._weights = [_joined([_layers(block)[kind] for block in blocks]) for kind in range(len(first))]
        with torch.no_grad():
            self._norms = torch.stack(
                [
                    torch.stack((b.ln_1.weight, b.ln_1.bias, b.ln_2.weight, b.ln_2.bias)).detach().float()
                    for b in blocks
                ]
            )  # [layers, 4, D]
            self._biases = torch.stack(
                [torch.cat([part.bias for part in _layers(b)]).float() for b in blocks]
            )
            self._scales = torch.stack([torch.cat([_scale(part) for part in _layers(b)]) for b in blocks])
        self._eps = float(blocks[0].ln_1.eps)
        self._head = gpt.mel_head
        self._arrays = [t.detach().numpy() for t in (self._norms, self._biases, self._scales, *self._weights)]
        self._heads = gpt.spec.heads
        self.steps = 0
        """Number of steps taken."""

    def trunk(self, x: Tensor, cache: KVCache) -> Tensor:
        """One token [R, D] of each of the first R slots through all layers: [R, D], before the last norm."""
        rows = x.shape[0]
        together = cache.slots > 1
        filled = _filled(x, together)
        layers = len(self._arrays[0])
        recorder = cache.recorder
        spans = np.array(recorder.spans[:rows] if recorder else [(0, 0)] * rows, np.int64).reshape(rows, 2)
        attention = np.zeros((rows, layers, self._heads, 2), np.float32)
        lengths = np.array(cache.lengths[:rows], np.int64)
        keys, values = cache.by_head()
        with _COMPILED, _Threads() as kernel:
            cached = (keys.numpy(), values.numpy(), lengths)
            kernel.trunk(filled, rows, together, self._eps, *self._arrays, *cached, spans, attention)
        if recorder is not None:
            recorder.set(torch.from_numpy(attention).flatten(1, 2))
        self.steps += 1
        return torch.from_numpy(filled[:rows])

    def logits(self, states: Tensor, slots: int) -> Tensor:
        """States [R, D] → logits of the codes [R, V]."""
        filled = _filled(states, slots > 1)
        out = np.empty((len(filled), self._head.weight.shape[0]), np.float32)
        weight, bias = self._head.weight.detach().numpy(), self._head.bias.detach().numpy()
        with _COMPILED, _Threads() as kernel:
            kernel.head(filled, weight, bias, slots > 1, out)
        return torch.from_numpy(out[: len(states)])


class _Threads:
    """The compiled functions, with as many threads as torch; logs when they have to be compiled first."""

    ready = False

    def __enter__(self) -> ModuleType:
        numba = require("numba", "fast")
        kernel = importlib.import_module("dimts.xtts.cpu_decoder_kernel")
        with threads_kept():
            numba.set_num_threads(max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)))
        if not _Threads.ready and not any(
            Path(kernel.trunk.stats.cache_path).glob("cpu_decoder_kernel.trunk*.nbi")
        ):
            log.warning("%s", Message("xtts.compiling_decoder"))
        return kernel

    def __exit__(self, *_: object) -> None:
        _Threads.ready = True


def _filled(x: Tensor, together: bool) -> np.ndarray:
    """Copy x [R, D]; with `together` followed by zeros up to a multiple of four rows."""
    rows = x.shape[0] + (-x.shape[0]) % 4 if together else x.shape[0]
    out = np.zeros((rows, x.shape[1]), np.float32)
    out[: x.shape[0]] = x.detach().numpy()
    return out


def _layers(block: TransformerBlock) -> tuple[Any, ...]:
    return block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj


def _scale(layer: Any) -> Tensor:
    """Return the factor of a product's outputs: [out]."""
    scale: Tensor | None = getattr(layer, "scale", None)
    return torch.ones_like(layer.bias) if scale is None else scale.float()


def _joined(layers: Sequence[Any]) -> Tensor:
    """Join the weights of one kind of layer as [layers, out, in]; each layer's own becomes a view of them."""
    eight_bit = hasattr(layers[0], "codes")
    with torch.no_grad():
        if eight_bit:
            whole = torch.stack([layer.codes for layer in layers])
        else:
            whole = torch.stack([layer.weight.t() for layer in layers]).contiguous()
    for layer, own in zip(layers, whole, strict=True):
        if eight_bit:
            layer.codes = own
        else:
            layer.weight = nn.Parameter(own.t(), requires_grad=False)
    return whole
