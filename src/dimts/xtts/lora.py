"""Low-rank adapters of the trunk's layers: a few megabytes to train, save, exchange or merge.

    attach(model, LoraSettings(rank=16), seed=1)   each layer adds x A B · alpha / rank; B is zero at first
    ... train parameters(model) ...
    save(model, "abebe.lora"); swap(model, "abebe.lora"); swap(model, None)
    merge(model); unmerge(model)                   merge into the weights, and restore them exactly
    merge(model, keep=False)                       merge permanently, for export

The state of a model with adapters has their tensors beside the known ones; `detach` or `merge(keep=False)`
first to save it as a checkpoint. Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models"
(2021).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dimts.base.errors import CheckpointError, ConfigError
from dimts.xtts import weights
from dimts.xtts.gpt import Conv1D
from dimts.xtts.model import XTTS
from dimts.xtts.recompute import LinearParams

TARGETS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
"""Layers of a block that can have an adapter."""
_META = "dimts_lora"


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Size and place of adapters."""

    rank: int = 16
    """Width of the bottleneck."""
    alpha: float = 32.0
    """Strength: an adapter's update is multiplied by alpha / rank."""
    dropout: float = 0.0
    """Dropout of an adapter's input in training."""
    targets: tuple[str, ...] = ("attn.c_attn", "attn.c_proj")
    """Layers of each block, of attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError("xtts.lora_rank_too_small", rank=self.rank)
        if not 0 <= self.dropout < 1:
            raise ConfigError("xtts.lora_dropout_out_of_range", dropout=self.dropout)
        if not self.targets or (unknown := sorted(set(self.targets) - set(TARGETS))):
            wrong = unknown[0] if self.targets else "nothing"
            raise ConfigError("xtts.unknown_lora_target", target=wrong, targets=tuple(TARGETS))


class Adapter(nn.Module):
    """x → dropout(x) A B · alpha / rank, with A [in, rank] random and B [rank, out] zero at first."""

    def __init__(self, layer: Conv1D, settings: LoraSettings, generator: torch.Generator | None) -> None:
        super().__init__()
        inputs, outputs = layer.weight.shape
        start = torch.randn(inputs, settings.rank, generator=generator) / math.sqrt(inputs)
        self.down = nn.Parameter(start.to(layer.weight))
        self.up = nn.Parameter(layer.weight.new_zeros(settings.rank, outputs))
        self.scale = settings.alpha / settings.rank
        self.dropout = settings.dropout
        self.original: Tensor | None = None
        """The layer's weight before merging, kept so that unmerging is exact."""
        self.merged = False

    def linear_params(self, weight: Tensor, bias: Tensor) -> LinearParams:
        """Return the parameters of layer and adapter together."""
        return LinearParams(weight, bias, self.down, self.up, self.scale)

    def delta(self) -> Tensor:
        """Return the adapter's update of the layer's weight, [in, out]."""
        return self.down @ self.up * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        return F.dropout(x, self.dropout, self.training) @ self.down @ self.up * self.scale


def layers(model: XTTS) -> Iterator[tuple[str, Conv1D]]:
    """Yield (name, layer) of every layer that can have an adapter."""
    for index, block in enumerate(model.gpt.trunk.blocks()):
        for target in TARGETS:
            yield f"{index}.{target}", block.get_submodule(target)  # type: ignore[misc]


def adapters(model: XTTS) -> dict[str, Adapter]:
    """Return the attached adapters by name."""
    return {name: layer.adapter for name, layer in layers(model) if isinstance(layer.adapter, Adapter)}


def parameters(model: XTTS) -> list[nn.Parameter]:
    """Return the trainable parameters: A and B of every adapter."""
    return [parameter for adapter in adapters(model).values() for parameter in adapter.parameters()]


def strength(model: XTTS) -> float:
    """Return the norm of the adapters' updates over the norm of their layers' weights; 0.0 without
    adapters."""
    added = weight = 0.0
    with torch.no_grad():
        for _, layer in layers(model):
            if isinstance(layer.adapter, Adapter) and not layer.adapter.merged:
                added += float(layer.adapter.delta().square().sum())
                weight += float(layer.weight.square().sum())
    return math.sqrt(added / weight) if weight else 0.0


def attach(model: XTTS, settings: LoraSettings | None = None, seed: int = 1) -> None:
    """Attach new adapters to the chosen layers; the model's outputs do not change until they are trained.

    The layers' weights stay trainable or frozen as they are. Raises ConfigError if there are adapters
    already.
    """
    settings = settings or LoraSettings()
    if adapters(model):
        raise ConfigError("xtts.adapters_attached")
    generator = torch.Generator().manual_seed(seed)
    for name, layer in layers(model):
        if name.split(".", 1)[1] in settings.targets:
            layer.adapter = Adapter(layer, settings, generator)
            layer.adapter.train(model.training)


def detach(model: XTTS) -> None:
    """Remove all adapters; merged ones are unmerged first."""
    unmerge(model)
    for _, layer in layers(model):
        layer.adapter = None


@torch.no_grad()
def merge(model: XTTS, *, keep: bool = True) -> None:
    """Merge adapters into the weights, so that synthesis costs nothing extra.

    With `keep`, the old weights are kept so that `unmerge` is exact; without, the adapters are removed.
    """
    for _, layer in layers(model):
        adapter = layer.adapter
        if not isinstance(adapter, Adapter):
            continue
        if not adapter.merged:
            adapter.original, adapter.merged = layer.weight.detach().clone(), True
            layer.weight.copy_(layer.weight + adapter.delta())
        if not keep:
            layer.adapter = None


@torch.no_grad()
def unmerge(model: XTTS) -> None:
    """Take merged adapters out of the weights again, bit for bit."""
    for adapter_layer in (layer for _, layer in layers(model) if isinstance(layer.adapter, Adapter)):
        adapter = adapter_layer.adapter
        if isinstance(adapter, Adapter) and adapter.merged and adapter.original is not None:
            adapter_layer.weight.copy_(adapter.original)
            adapter.original, adapter.merged = None, False


def save(
    model: XTTS, path: Path | str, settings: LoraSettings, extra: Mapping[str, Tensor] | None = None
) -> None:
    """Write adapters (and `extra` tensors under our names, e.g. rows of new tokens) apart from the model."""
    found = adapters(model)
    if not found:
        raise CheckpointError("xtts.no_adapters_to_save")
    state: weights.State = {f"extra.{name}": value for name, value in (extra or {}).items()}
    for name, adapter in found.items():
        state.update({f"{name}.{part}": value for part, value in adapter.named_parameters()})
    meta = {"settings": asdict(settings), "spec": model.spec.as_dict()}
    weights.write_safetensors(path, state, {_META: json.dumps(meta, sort_keys=True)})


def swap(model: XTTS, path: Path | str | None) -> dict[str, Tensor]:
    """Exchange a model's adapters for those of a file (None: for none); returns the file's extra tensors.

    Raises CheckpointError, with the model's adapters as they were, if the file is for another size or
    damaged.
    """
    if path is None:
        detach(model)
        return {}
    state, meta = _read(Path(path))
    settings = LoraSettings(**{**meta["settings"], "targets": tuple(meta["settings"]["targets"])})
    fresh: dict[str, Adapter] = {}
    for name, layer in layers(model):
        if name.split(".", 1)[1] not in settings.targets:
            continue
        adapter = Adapter(layer, settings, None)
        own = {part: state.get(f"{name}.{part}") for part in ("down", "up")}
        for part, parameter in adapter.named_parameters():
            value = own[part]
            if value is None or value.shape != parameter.shape or not torch.isfinite(value).all():
                found = None if value is None else str(list(value.shape))
                raise CheckpointError(
                    "xtts.adapter_does_not_fit",
                    path=path,
                    name=name,
                    part=part,
                    found=found or "—",
                    expected=str(list(parameter.shape)),
                )
        with torch.no_grad():
            for part, parameter in adapter.named_parameters():
                parameter.copy_(own[part])  # type: ignore[arg-type]
        fresh[name] = adapter.train(model.training)
    detach(model)
    for name, layer in layers(model):
        if name in fresh:
            layer.adapter = fresh[name]
    return {key.removeprefix("extra."): value for key, value in state.items() if key.startswith("extra.")}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {})[_META])
            return {key: file.get_tensor(key) for key in file.keys()}, meta  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError("xtts.no_adapters_in_file", path=path, reason=error) from error
