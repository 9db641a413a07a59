"""Measure the effect of each option; `option_report.py` makes a table of it at the end of every run.

A `Probe` hooks into the model: it counts the trunk's input (always) and, during one step, each kernel that
runs, each tensor kept for the backward pass and each parameter that changes. No row of the table is guessed
from the settings; an option without an effect says "ignored" and why.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from dimts.train.base_model import TrainableModel
from dimts.train.fsdp import full_tensor, is_sharded, local_tensor
from dimts.xtts.model import XTTS

_PROBABILITY_DIMENSIONS = 4
"""Attention probabilities are [B, H, T, T]; all other tensors with dropout have fewer dimensions."""
_SAMPLED = 4096
"""Values of each parameter whose change is measured."""
_ATTENTION = (
    "scaled_dot_product",
    "flash_attn",
    "flash_fwd",
    "varlen_attn",
    "efficient_attention",
    "memory_efficient",
)
_STEPPERS = ("_fused_adamw", "_foreach_addcdiv", "addcdiv", "optimizer_update_8bit")


def graphs_made() -> int:
    """Return how many graphs torch.compile has made in this process; it makes them at the first call."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo else 0


@dataclass(slots=True)
class Probe:
    """Measurements of a run."""

    real_tokens: int = 0
    """Tokens the trunk computed in training."""
    fed_tokens: int = 0
    """Positions it computed for them, padding included."""
    forwards: int = 0
    conditioning_runs: int = 0
    """Rows the conditioning encoder computed in training steps."""
    conditioning_frames: int = 0
    """Mel frames of those rows, padding included."""
    dvae_runs: int = 0
    """Calls of the DVAE during training steps; the cache keeps it at 0."""
    saved_bytes: Counter[str] = field(default_factory=Counter)
    """Bytes kept for the backward pass by number type, in the probed step."""
    kernels: Counter[str] = field(default_factory=Counter)
    """Calls by operation, in the probed step."""
    largest_logits: int = 0
    """Most rows of code logits that existed at once in the probed step."""
    moved: dict[str, float] = field(default_factory=dict)
    """Root mean square change by parameter in the probed step, over a sample of its values."""
    moved_rows: tuple[float, float] = (0.0, 0.0)
    """Root mean square change of the text embedding's rows: those of the base, those added."""
    dropped: Counter[tuple[float, bool]] = field(default_factory=Counter)
    """Dropout calls in the probed step by (share dropped, of attention probabilities?)."""
    smoothing_gap: float = 0.0
    """Change of the probed step's code loss by label smoothing."""
    _hooks: list[Any] = field(default_factory=list)

    def attach(self, model: XTTS) -> None:
        """Attach hooks to the model; `detach` removes them."""
        self._hooks = [
            model.gpt.trunk.register_forward_pre_hook(self._on_trunk),
            model.conditioning.encoder.register_forward_pre_hook(self._on_conditioning),
        ]
        if model.dvae is not None:
            self._hooks.append(model.dvae.encoder.register_forward_pre_hook(self._on_dvae))

    def detach(self) -> None:
        """Remove all hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _on_trunk(self, trunk: nn.Module, given: tuple[Any, ...]) -> None:
        if trunk.training:
            x, rows = given
            self.real_tokens += rows.total
            self.fed_tokens += x.shape[0] * x.shape[1]
            self.forwards += 1

    def _on_conditioning(self, encoder: nn.Module, given: tuple[Any, ...]) -> None:
        if encoder.training:
            rows = given[1]
            self.conditioning_runs += len(rows.lengths)
            self.conditioning_frames += rows.total

    def _on_dvae(self, encoder: nn.Module, given: tuple[Any, ...]) -> None:
        self.dvae_runs += 1

    @contextlib.contextmanager
    def watch(self, module: nn.Module, engine: TrainableModel) -> Iterator[None]:
        """Probe one step of `module`: kernels, tensors kept, parameters changed."""
        model, old_rows = engine.model, engine.old_rows
        self.saved_bytes.clear()
        self.kernels.clear()
        before = {name: _sample(p).clone() for name, p in model.named_parameters() if p.requires_grad}
        table = model.gpt.text_embedding.weight
        old_table = table.detach().clone() if table.requires_grad else None
        whole = (*model.parameters(), *module.parameters())
        own = {local_tensor(parameter).untyped_storage().data_ptr() for parameter in whole}
        seen: set[int] = set()
        hooks = [
            module.register_forward_pre_hook(_adding_to(own))
            for module in model.modules()
            if is_sharded(module)
        ]

        def pack(tensor: Tensor) -> Tensor:
            pointer = tensor.untyped_storage().data_ptr()
            if pointer not in own and pointer not in seen:
                seen.add(pointer)
                kind = str(tensor.dtype).removeprefix("torch.")
                self.saved_bytes[kind] += tensor.untyped_storage().nbytes()
            return tensor

        # What torch.compile meets under a dispatch mode it would leave alone for the rest of the run.
        compiled = any(module._compiled_call_impl is not None for module in model.modules())
        stance = torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext()
        with stance, saved_tensors_hooks(pack, lambda tensor: tensor), _Kernels(self, model.spec.audio_ids):
            yield
        for hook in hooks:
            hook.remove()
        parameters = dict(model.named_parameters())
        for name, old in before.items():
            change = (_sample(parameters[name]) - old).pow(2)
            self.moved[name] = float(change.mean()) ** 0.5 if change.numel() else 0.0
        if old_table is not None:
            rows = full_tensor((model.gpt.text_embedding.weight.detach() - old_table).pow(2))
            parts = [
                float(part.mean().sqrt()) if len(part) else 0.0 for part in (rows[:old_rows], rows[old_rows:])
            ]
            self.moved_rows = (parts[0], parts[1])

    @property
    def padding_share(self) -> float:
        """Share of the trunk's positions that were padding, 0 to 1."""
        return 1 - self.real_tokens / self.fed_tokens if self.fed_tokens else 0.0

    @property
    def attention_kernel(self) -> str:
        """Name in torch of the attention kernel that ran; empty where matmul and softmax were written out."""
        names = [
            name
            for name in self.kernels
            if any(part in name for part in _ATTENTION) and "backward" not in name
        ]
        return ", ".join(sorted(names))

    @property
    def optimizer_kernel(self) -> str:
        """Name of the optimizer kernel that ran; empty for none."""
        for name in _STEPPERS:
            if any(name in kernel for kernel in self.kernels):
                return name
        return ""

    def as_dict(self) -> Mapping[str, Any]:
        """Return the measurements for JSON."""
        return {
            "padding_share": self.padding_share,
            "saved_bytes": dict(self.saved_bytes),
            "attention_kernel": self.attention_kernel,
            "optimizer_kernel": self.optimizer_kernel,
            "dvae_runs": self.dvae_runs,
            "conditioning_runs": self.conditioning_runs,
            "conditioning_frames": self.conditioning_frames,
        }


def _sample(parameter: Tensor) -> Tensor:
    """Return at most _SAMPLED values of this process's part of a parameter, evenly spread, as copies are
    large."""
    flat = local_tensor(parameter.detach()).flatten()
    return flat[:: max(1, -(-len(flat) // _SAMPLED))]


def _adding_to(own: set[int]) -> Callable[[nn.Module, Any], None]:
    """Return a hook that adds the parameters which a sharded module has gathered for its forward pass."""

    def add(module: nn.Module, given: Any) -> None:
        own.update(local_tensor(parameter).untyped_storage().data_ptr() for parameter in module.parameters())

    return add


class _Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts every operation, and the most rows of logits over `audio_ids` entries."""

    def __init__(self, probe: Probe, audio_ids: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.probe, self.audio_ids = probe, audio_ids

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.probe.kernels[name] += 1
        if name in ("bernoulli_", "bernoulli") and len(args) > 1 and isinstance(args[1], float):
            self.probe.dropped[round(1 - args[1], 4), args[0].dim() == _PROBABILITY_DIMENSIONS] += 1
        if name == "lt" and args[0].dtype == torch.int16:  # how `lean.draw` draws on a processor
            self.probe.dropped[round((args[1] + (1 << 15)) / (1 << 16), 4), False] += 1
        if name == "_log_softmax" and out.shape[-1] == self.audio_ids:
            self.probe.largest_logits = max(self.probe.largest_logits, out.shape[0])
        return out
