"""This machine and the settings → what can run here: attention kernel, number type, and why not the others.

Nothing is chosen in silence: a Choice names what was refused and for which reason. Asking for what
cannot run is an error with that reason, unless `train.attention_fallback` allows the next best.
Rules: FlashAttention 2 runs on CUDA cards from compute capability 8.0, in fp16 or bf16, with heads of
at most 256 that are a multiple of 8 (its README); xformers' memory-efficient kernel on CUDA cards.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from dimts.base.errors import ConfigError
from dimts.base.plugins import has
from dimts.xtts.attention import FLASH_CAPABILITY, FLASH_MAX_HEAD, VARLEN, Kind, has_varlen

Precision = Literal["float32", "bf16", "fp16"]
KINDS: tuple[Kind, ...] = ("flash", "sdpa", "xformers", "eager")
"""Fastest first; xformers stands behind SDPA, which has the same kernel built in since torch 2.0."""
_HEAD_MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """What a run has to work with."""

    device: Literal["cpu", "cuda", "mps"]
    name: str
    """Of the card or the processor."""
    system: str
    """Linux, Windows, Darwin."""
    memory_bytes: int
    """Of the card, or free memory of the machine when there is none."""
    capability: tuple[int, int] = (0, 0)
    """Compute capability of a CUDA card."""
    cards: int = 0
    cores: int = 1
    wheels: frozenset[str] = frozenset()
    """Of the libraries that matter here, those that are installed."""

    @classmethod
    def look(cls) -> MachineInfo:
        """The machine this runs on."""
        import psutil

        wheels = frozenset(name for name in ("flash_attn", "xformers", "bitsandbytes") if has(name))
        wheels |= {VARLEN} if has_varlen() else frozenset()
        cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else psutil.cpu_count()
        if torch.cuda.is_available():
            card = torch.cuda.get_device_properties(0)
            return cls(
                "cuda",
                card.name,
                platform.system(),
                card.total_memory,
                (card.major, card.minor),
                torch.cuda.device_count(),
                cores or 1,
                wheels,
            )
        device: Literal["cpu", "mps"] = "mps" if torch.backends.mps.is_available() else "cpu"
        free = psutil.virtual_memory().available
        return cls(
            device, platform.processor() or platform.machine(), platform.system(), free, (0, 0), 0, cores, wheels
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """What will run, why, and what was refused for which reason."""

    name: str
    why: str
    refused: Mapping[str, str]

    def __str__(self) -> str:
        refused = "; ".join(f"not {name}: {reason}" for name, reason in self.refused.items())
        return f"{self.name} ({self.why}{'; ' + refused if refused else ''})"


def obstacle(kind: str, machine: MachineInfo, precision: Precision, head_size: int) -> str:
    """Why attention `kind` cannot run here; "" if it can."""
    if kind in ("eager", "sdpa"):
        return ""
    wheel = {"flash": "flash_attn", "xformers": "xformers"}[kind]
    if machine.device != "cuda":
        where = {"Darwin": "macOS has none", "Windows": "none is visible on this Windows"}.get(
            machine.system, "none here"
        )
        return f"needs a CUDA card, {where}"
    if kind == "flash" and machine.capability < FLASH_CAPABILITY:
        have = ".".join(map(str, machine.capability))
        return f"needs compute capability 8.0 (Ampere), {machine.name} has {have}"
    if precision == "float32":
        return "needs train.precision bf16 or fp16" if kind == "flash" else _missing(wheel, machine)
    if head_size % _HEAD_MULTIPLE or (kind == "flash" and head_size > FLASH_MAX_HEAD):
        return f"needs heads of a multiple of {_HEAD_MULTIPLE} up to {FLASH_MAX_HEAD}, these are {head_size}"
    return _missing(wheel, machine)


def plan_attention(
    asked: str, machine: MachineInfo, precision: Precision, head_size: int, *, fallback: bool = False
) -> Choice:
    """The attention kernel that will run. ConfigError when the one asked for cannot, unless `fallback`."""
    refused: dict[str, str] = {kind: why for kind in KINDS if (why := obstacle(kind, machine, precision, head_size))}
    usable = [kind for kind in KINDS if kind not in refused]
    if asked == "auto":
        return Choice(usable[0], "the fastest that can run here", refused)
    if asked not in refused:
        return Choice(asked, "asked for", {})
    if fallback:
        return Choice(usable[0], f"{asked} was asked for, train.attention_fallback is on", {asked: refused[asked]})
    raise ConfigError("train.train_attention_run", asked=asked, refused=refused[asked], usable=usable[0])


def plan_precision(asked: str, machine: MachineInfo) -> Choice:
    """The number type of the forward pass. ConfigError for one the device has not."""
    refused: dict[str, str] = {}
    if machine.device == "cpu":
        refused["fp16"] = "processors train in fp16 neither fast nor stably"
    if machine.device == "cuda" and machine.capability < FLASH_CAPABILITY:
        refused["bf16"] = f"{machine.name} has no bf16 units (compute capability below 8.0)"
    if asked in refused:
        other = "fp16" if machine.device == "cuda" else "bf16"
        raise ConfigError("train.train_precision", asked=asked, refused=refused[asked], other=other)
    if asked != "auto":
        return Choice(asked, "asked for", {})
    if machine.device == "cuda" and "bf16" not in refused:
        return Choice("bf16", "this card has it: twice as fast, half the activations", {})
    return Choice("float32", "the safe choice on this device", refused)


def _missing(wheel: str, machine: MachineInfo) -> str:
    if wheel in machine.wheels or (wheel == "flash_attn" and VARLEN in machine.wheels):  # torch's own kernel
        return ""
    return f"{wheel} is not installed: pip install {wheel.replace('_', '-')}"
