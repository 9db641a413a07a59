"""Configure the optimizer: decay groups, learning rate schedule, row-wise learning rates, weight averages.

The groups are those of the published training of XTTS (its `AdamW` with betas .9/.96 and decay 0.01 on
weights): biases, LayerNorm and GroupNorm weights, and embeddings are not decayed; all else is, the
perceiver's `latents` and `gamma` included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import Any, Literal

import torch
from torch import nn

from dimts.base.errors import ConfigError, MissingExtra
from dimts.base.messages import Message
from dimts.base.plugins import has
from dimts.train.fsdp import first_row, full_tensor, local_tensor, shard_like
from dimts.train.settings import ScheduleSettings

Kernel = Literal["auto", "fused", "foreach", "loop", "8bit"]
BETAS = (0.9, 0.96)
EPSILON = 1e-8
_8BIT_ON_CPU = (0, 50)
"""Lowest version of bitsandbytes whose AdamW steps on processors, tested."""
_UNDECAYED_MODULES = (nn.Embedding, nn.LayerNorm, nn.GroupNorm)


def share_at(settings: ScheduleSettings, step: int, steps: int) -> float:
    """Return the share of the full learning rate at 0-based `step` of `steps`."""
    warmup = min(settings.warmup_steps, steps)
    if step < warmup:
        return (step + 1) / warmup
    if settings.shape == "constant" or steps <= warmup + 1:
        return 1.0
    way = min((step - warmup) / (steps - 1 - warmup), 1.0)
    fall = 1 - way if settings.shape == "linear" else 0.5 * (1 + math.cos(math.pi * way))
    return settings.final_share + (1 - settings.final_share) * fall


def decayed(model: nn.Module) -> set[str]:
    """Return the names of the parameters that weight decay applies to."""
    kept: set[str] = set()
    for prefix, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            if not name.endswith("bias") and not isinstance(module, _UNDECAYED_MODULES):
                kept.add(f"{prefix}.{name}" if prefix else name)
    return kept


def groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the trainable parameters as optimizer groups `decay` and `plain`, in the order of the model."""
    names = decayed(model)
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return [
        {
            "name": title,
            "weight_decay": decay,
            "params": [parameter for name, parameter in trained if (name in names) == inside],
        }
        for title, decay, inside in (("decay", weight_decay, True), ("plain", 0.0, False))
    ]


def choose_kernel(kernel: Kernel, device: str) -> tuple[Kernel, Message]:
    """Choose the AdamW implementation for `device`, with the reason. MissingExtra for 8bit without its
    wheel."""
    if kernel == "8bit":
        if not has("bitsandbytes"):
            raise MissingExtra(
                "bitsandbytes", "cuda", "train.optimizer = '8bit' stores Adam's averages in 8 bits"
            )
        if device == "cpu" and (have := _version("bitsandbytes")) < _8BIT_ON_CPU:
            version = ".".join(map(str, have))
            raise ConfigError("train.train_optimizer_bit_processor", version=version)
        return kernel, Message("train.asked_for")
    if kernel != "auto":
        return kernel, Message("train.asked_for")
    return "fused", Message("train.fused_is_fastest", device=device)


def _version(library: str) -> tuple[int, ...]:
    """Return the first two numbers of an installed library's version."""
    return tuple(int(part) for part in metadata.version(library).split(".")[:2])


def adamw(
    parameter_groups: list[dict[str, Any]],
    learning_rate: float,
    kernel: Kernel,
    betas: tuple[float, float] = BETAS,
) -> torch.optim.Optimizer:
    """Build AdamW with the given kernel (not "auto": see `choose_kernel`)."""
    if kernel == "8bit":
        import bitsandbytes  # type: ignore[import-not-found, unused-ignore]

        optimizer: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(
            parameter_groups, lr=learning_rate, betas=betas, eps=EPSILON
        )
        return optimizer
    return torch.optim.AdamW(
        parameter_groups,
        lr=learning_rate,
        betas=betas,
        eps=EPSILON,
        fused=kernel == "fused",
        foreach=kernel == "foreach",
    )


class EmbeddingRowLR:
    """Learning rates of vocabulary rows that differ from the rest, e.g. higher ones for new letters.

    AdamW's steps do not depend on the gradient's scale, so the step itself is scaled: `before` stores the
    values, `after` reduces or extends the step.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], old_rows: int, old_lr_scale: float, new_lr_scale: float
    ) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.old_rows, self.old_lr_scale, self.new_lr_scale = old_rows, old_lr_scale, new_lr_scale
        self._kept: list[torch.Tensor] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is scaled: all rows at the common rate."""
        return self.old_lr_scale == self.new_lr_scale == 1 or not self.parameters

    def before(self) -> None:
        """Store the values before the optimizer's step."""
        self._kept = (
            [] if self.idle else [local_tensor(parameter.detach()).clone() for parameter in self.parameters]
        )

    @torch.no_grad()
    def after(self) -> None:
        """Scale the step that was taken, row by row."""
        for parameter, kept in zip(self.parameters, self._kept, strict=False):
            own = local_tensor(parameter)
            scale = own.new_full((len(own),), self.new_lr_scale)
            scale[: max(0, self.old_rows - first_row(parameter))] = self.old_lr_scale
            scale = scale.view(-1, *[1] * (own.dim() - 1))
            own.copy_(kept + (own - kept) * scale)
        self._kept = []


class EMA:
    """Exponential moving average of the trained parameters: often a better voice than the last step."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
        self.steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Update the average from the model; the first steps count more, so that the initial weights fade."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        for name, parameter in model.named_parameters():
            if name in self.shadow:
                self.shadow[name].lerp_(parameter.detach(), 1 - decay)

    @torch.no_grad()
    def restore(self, shadow: Mapping[str, torch.Tensor], steps: int) -> None:
        """Restore a stored average."""
        for name, value in shadow.items():
            self.shadow[name].copy_(shard_like(value, self.shadow[name]))
        self.steps = steps

    @contextmanager
    def inside(self, model: nn.Module) -> Iterator[None]:
        """Use the averaged parameters in the model for the length of a block."""
        own = {
            name: parameter.detach().clone()
            for name, parameter in model.named_parameters()
            if name in self.shadow
        }
        _copy_into(model, self.shadow)
        try:
            yield
        finally:
            _copy_into(model, own)

    @torch.no_grad()
    def distance(self, model: nn.Module) -> float:
        """Return the norm of the difference between average and parameters, as a share of the parameters'
        norm."""
        apart = total = 0.0
        for name, parameter in model.named_parameters():
            if name in self.shadow:
                apart += float(full_tensor((self.shadow[name] - parameter).pow(2).sum()))
                total += float(full_tensor(parameter.pow(2).sum()))
        return math.sqrt(apart / total) if total else 0.0


@torch.no_grad()
def _copy_into(model: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    for name, parameter in model.named_parameters():
        if name in values:
            parameter.copy_(values[name])
