"""Measure memory and operations of a training step without data, for any model size.

Nothing is estimated from formulas: the step of the loop runs under torch's fake tensors, which have shapes
but no data, while every storage is counted from allocation to release. So checkpointing, adapters, packing
and kernels have their actual cost, and a model of 440 M parameters is traced in seconds on a laptop.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from dimts.train.optim import EMA, adamw, groups
from dimts.train.settings import TrainSettings
from dimts.xtts.loss import LossSettings
from dimts.xtts.mel import CONDITIONING
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.spec import LATENTS, MEL_BANDS, MEL_HOP, Spec

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class BatchShape:
    """Sizes of one clip that determine its cost."""

    text_ids: int
    codes: int
    seconds: float
    reference_seconds: float


@dataclass(frozen=True, slots=True)
class StepCost:
    """Cost of one step in bytes and operations."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """Bytes allocated at the peak besides weights, gradients and optimizer state: activations and
    temporaries."""
    peak: int
    flops: int
    optimizers: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the state of each optimizer by its name, where a step has several."""

    @property
    def megabytes(self) -> dict[str, float]:
        """The bytes in MiB, by name."""
        names = ("weights", "gradients", "optimizer", "activations", "peak")
        return {name: getattr(self, name) / MEBIBYTE for name in names}


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of live storages."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: Any = WeakIdKeyDictionary()
        self.live = self.peak = 0

    def see(self, tensor: Tensor) -> None:
        """Count a tensor's storage once, until it is released."""
        storage = tensor.untyped_storage()
        if storage in self.known:
            return
        size = storage.nbytes()
        self.known[storage] = size
        self.live += size
        weakref.finalize(storage, self._gone, size)
        self.peak = max(self.peak, self.live)

    def _gone(self, size: int) -> None:
        self.live -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.see(leaf)
        return out


def cost_of(
    spec: Spec, settings: TrainSettings, parts: Sequence[Sequence[BatchShape]], attention: str, precision: str
) -> StepCost:
    """Return the cost of one optimizer step over `parts` (a forward pass each) on one device, without
    data."""
    from dimts.train.base_model import configure

    settings = replace(settings, compile=False)
    mixed = {"bf16": torch.bfloat16, "fp16": torch.bfloat16}.get(precision)
    with FakeTensorMode():
        model = XTTS(spec)
        configure(model, settings, attention if attention in ("eager", "sdpa") else "sdpa")
        model.train()
        optimizer = adamw(groups(model, settings.weight_decay), 1e-3, "fused")
        meter = Meter()
        for tensor in (*model.parameters(), *model.buffers()):
            meter.see(tensor)
        weights = meter.live
        average = EMA(model, settings.ema) if settings.ema else None
        for tensor in average.shadow.values() if average else ():
            meter.see(tensor)
        with meter:
            before = meter.live
            _step(model, optimizer, settings, parts, mixed)
            optimizer_bytes = meter.live - before
            meter.peak = 0
            counter = FlopCounterMode(display=False)
            with counter:
                _step(model, optimizer, settings, parts, mixed)
    gradients = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    rest = meter.peak - weights - gradients - optimizer_bytes
    return StepCost(
        weights, gradients, optimizer_bytes, max(rest, 0), meter.peak, int(counter.get_total_flops())
    )


def _step(
    model: XTTS,
    optimizer: torch.optim.Optimizer,
    settings: TrainSettings,
    parts: Sequence[Sequence[BatchShape]],
    mixed: torch.dtype | None,
) -> None:
    """Take one step as `Trainer` does."""
    wanted = LossSettings(label_smoothing=settings.label_smoothing, chunk_tokens=settings.loss_chunk)
    for part in parts:
        examples = _examples(model, settings, part)
        with torch.autocast("cpu", mixed or torch.bfloat16, enabled=mixed is not None):
            total = model(examples, wanted).total
        total.backward()
        del total, examples
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    nn.utils.clip_grad_norm_(parameters, settings.clip_norm or 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _examples(model: XTTS, settings: TrainSettings, part: Sequence[BatchShape]) -> Examples:
    spec = model.spec
    rate, most = spec.input_rate, round(settings.reference.max_seconds * spec.input_rate)
    crops = [most if settings.reference.pad else round(shape.reference_seconds * rate) for shape in part]
    frames = [max(samples, CONDITIONING.transform) // MEL_HOP + 1 for samples in crops]
    mel = latents = None
    if settings.frozen_conditioning and settings.reference.fixed:  # kept beside the codes
        latents = torch.zeros(len(part), LATENTS, spec.width)
    else:
        mel = torch.zeros(len(part), MEL_BANDS, max(frames))
    lengths = None if settings.reference.pad or mel is None else frames
    if settings.frozen_conditioning and mel is not None:
        with torch.no_grad():
            latents, mel = model.conditioning(mel, lengths), None
    return Examples(
        torch.zeros(len(part), max(shape.text_ids for shape in part), dtype=torch.int64),
        [shape.text_ids for shape in part],
        torch.zeros(len(part), max(shape.codes for shape in part), dtype=torch.int64),
        [shape.codes for shape in part],
        mel=mel,
        mel_lengths=None if mel is None else lengths,
        latents=latents,
    )
