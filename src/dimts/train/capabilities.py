"""Choose attention kernel and number type for this machine and these settings, with reasons for the others.

Nothing is chosen in silence: a Choice names what was refused and for which reason, and `capability_table`
lists all of it. Asking for what cannot run is an error with that reason, unless `train.attention_fallback`
allows the next best. Rules: FlashAttention 2 runs on CUDA cards from compute capability 8.0, in fp16 or bf16,
with heads of at most 256 that are a multiple of 8 (its README); xformers' memory-efficient kernel on CUDA
cards. Devices of Apple (mps) and Intel (xpu) are planned by what torch and Accelerate document; nothing was
measured there. torch is imported only to look at the machine, so that a plan can be made before it is
installed.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.base.plugins import has
from dimts.train.number_type import WORTHWHILE, bf16_speedup
from dimts.xtts.kernel_limits import FLASH_CAPABILITY, FLASH_MAX_HEAD, HEAD_MULTIPLE, VARLEN, Kind

Precision = Literal["float32", "bf16", "fp16"]
Device = Literal["cpu", "cuda", "mps", "xpu"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bf16", "fp16")
KINDS: tuple[Kind, ...] = ("flash", "sdpa", "xformers", "eager")
"""Fastest first; xformers is behind SDPA, which has the same kernel built in since torch 2.0."""
HEAD_WIDTH = 64
"""Head size of XTTS v2: width 1024 over 16 heads."""


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """The hardware and software a run can use."""

    device: Device
    name: str
    """Name of the card or the processor."""
    system: str
    """Linux, Windows, Darwin."""
    memory_bytes: int
    """Memory of the card, or free memory of the machine when there is none."""
    capability: tuple[int, int] = (0, 0)
    """Compute capability of a CUDA card."""
    cards: int = 0
    cores: int = 1
    wheels: frozenset[str] = frozenset()
    """Names of the relevant libraries that are installed."""
    bf16_speedup: float = 0.0
    """How many times as fast as in float32 a product of training is in bfloat16 on this processor, measured;
    0: not measured."""

    @classmethod
    def look(cls) -> MachineInfo:
        """Detect the present machine."""
        import psutil
        import torch

        from dimts.xtts.attention import has_varlen

        wheels = frozenset(name for name in ("flash_attn", "xformers", "bitsandbytes") if has(name))
        wheels |= {VARLEN} if has_varlen() else frozenset()
        cores = (
            len(psutil.Process().cpu_affinity())
            if hasattr(psutil.Process, "cpu_affinity")
            else psutil.cpu_count()
        )
        system = platform.system()
        if torch.cuda.is_available():
            card = torch.cuda.get_device_properties(0)
            capability, cards = (card.major, card.minor), torch.cuda.device_count()
            return cls("cuda", card.name, system, card.total_memory, capability, cards, cores or 1, wheels)
        if torch.xpu.is_available():
            intel = torch.xpu.get_device_properties(0)
            cards = torch.xpu.device_count()
            return cls("xpu", intel.name, system, intel.total_memory, (0, 0), cards, cores or 1, wheels)
        device: Device = "mps" if torch.backends.mps.is_available() else "cpu"
        free = psutil.virtual_memory().available
        name = platform.processor() or platform.machine()
        speedup = bf16_speedup() if device == "cpu" else 0.0
        return cls(device, name, system, free, (0, 0), 0, cores or 1, wheels, speedup)


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice, its reason, and the refused alternatives with theirs."""

    name: str
    why: Message
    refused: Mapping[str, Message]

    @property
    def message(self) -> Message:
        """Return choice, reasons and refusals as one message."""
        refused = [
            Message("train.not_chosen", name=name, reason=reason) for name, reason in self.refused.items()
        ]
        code = "train.choice_and_refused" if refused else "train.choice"
        return Message(code, name=self.name, why=self.why, **({"refused": refused} if refused else {}))

    def __str__(self) -> str:
        return self.message.text("en")  # as it is written into plans and reports


def obstacle(kind: str, machine: MachineInfo, precision: Precision, head_size: int) -> Message | None:
    """Return why attention `kind` cannot run here; None if it can."""
    if kind in ("eager", "sdpa"):
        return None
    if machine.device != "cuda":
        return _no_cuda(machine)
    if kind == "flash" and machine.capability < FLASH_CAPABILITY:
        return Message(
            "train.card_too_old_for_flash", card=machine.name, found=".".join(map(str, machine.capability))
        )
    if kind == "flash" and precision == "float32":
        return Message("train.flash_needs_16_bit")
    if head_size % HEAD_MULTIPLE or (kind == "flash" and head_size > FLASH_MAX_HEAD):
        return Message(
            "train.head_width_refused", multiple=HEAD_MULTIPLE, limit=FLASH_MAX_HEAD, found=head_size
        )
    wheel = {"flash": "flash_attn", "xformers": "xformers"}[kind]
    if wheel in machine.wheels or (kind == "flash" and VARLEN in machine.wheels):  # torch's own kernel
        return None
    return Message("train.wheel_missing", library=wheel, package=wheel.replace("_", "-"))


def _no_cuda(machine: MachineInfo) -> Message:
    """Return why a CUDA kernel cannot run on another device."""
    if machine.device == "mps" or machine.system == "Darwin":
        return Message("train.no_cuda_on_macos")
    if machine.device == "xpu":
        return Message("train.no_cuda_on_intel", card=machine.name)
    return (
        Message("train.no_cuda_on_windows") if machine.system == "Windows" else Message("train.no_cuda_here")
    )


def plan_attention(
    asked: str, machine: MachineInfo, precision: Precision, head_size: int, *, fallback: bool = False
) -> Choice:
    """Choose the attention kernel. ConfigError when the requested one cannot run, unless `fallback`."""
    refused: dict[str, Message] = {
        kind: why for kind in KINDS if (why := obstacle(kind, machine, precision, head_size))
    }
    usable = [kind for kind in KINDS if kind not in refused]
    if asked == "auto":
        return Choice(usable[0], Message("train.fastest_here"), refused)
    if asked not in refused:
        return Choice(asked, Message("train.asked_for"), {})
    if fallback:
        return Choice(usable[0], Message("train.attention_fell_back", asked=asked), {asked: refused[asked]})
    raise ConfigError("train.train_attention_run", asked=asked, refused=refused[asked], usable=usable[0])


def precision_obstacle(precision: str, machine: MachineInfo) -> Message | None:
    """Return why a model cannot be trained in `precision` here; None if it can."""
    if precision == "fp16" and machine.device == "cpu":
        return Message("train.no_fp16_on_processors")
    if precision == "bf16" and machine.device == "cuda" and machine.capability < FLASH_CAPABILITY:
        return Message("train.no_bf16_units", card=machine.name)
    return None


def plan_precision(asked: str, machine: MachineInfo) -> Choice:
    """Choose the number type of the forward pass. ConfigError for one that the device lacks."""
    refused: dict[str, Message] = {
        name: why for name in PRECISIONS if (why := precision_obstacle(name, machine))
    }
    if asked in refused:
        other = "fp16" if machine.device == "cuda" else "bf16"
        raise ConfigError("train.train_precision", asked=asked, refused=refused[asked], other=other)
    if asked != "auto":
        return Choice(asked, Message("train.asked_for"), {})
    on_cpu = machine.device == "cpu"
    faster = machine.bf16_speedup >= WORTHWHILE if on_cpu else machine.device == "cuda"
    chosen: Precision = "bf16" if faster and "bf16" not in refused else "float32"
    if chosen == "float32":
        why = Message("train.float32_is_safe")
    elif on_cpu:
        why = Message("train.bf16_measured_faster", times=f"{machine.bf16_speedup:.1f}")
    else:
        why = Message("train.bf16_on_this_card")
    others = [name for name in PRECISIONS if name != chosen]
    return Choice(chosen, why, {name: refused.get(name) or _passed_over(name, machine) for name in others})


def _passed_over(precision: Precision, machine: MachineInfo) -> Message:
    """Return why "auto" does not choose a number type that could be requested."""
    if precision == "float32":
        return Message(
            "train.float32_is_slower" if machine.device == "cuda" else "train.float32_measured_slower"
        )
    if machine.device == "cuda":
        return Message("train.fp16_needs_scaling")
    if machine.device != "cpu":
        return Message("train.not_run_on_such_a_device", device=machine.device)
    if not machine.bf16_speedup:
        return Message("train.bf16_not_measured")
    return Message("train.bf16_measured_slower", times=f"{machine.bf16_speedup:.2g}")


@dataclass(frozen=True, slots=True)
class CapabilityRow:
    """Availability of one kernel or number type on one machine."""

    group: Literal["attention", "precision"]
    name: str
    runs: bool
    """Whether it can be requested."""
    chosen: bool
    """Whether "auto" chooses it."""
    why: Message
    """Why it is chosen, not chosen, or unavailable."""


def capability_table(machine: MachineInfo, head_size: int = HEAD_WIDTH) -> tuple[CapabilityRow, ...]:
    """List every number type and attention kernel on `machine`: which "auto" chooses, and why not the
    others."""
    precision = plan_precision("auto", machine)
    rows = [
        CapabilityRow(
            "precision",
            name,
            precision_obstacle(name, machine) is None,
            name == precision.name,
            precision.why if name == precision.name else precision.refused[name],
        )
        for name in PRECISIONS
    ]
    attention = plan_attention("auto", machine, precision.name, head_size)  # type: ignore[arg-type]
    for kind in KINDS:
        why = attention.why if kind == attention.name else attention.refused.get(kind)
        passed = Message("train.slower_than", faster=attention.name)
        runs = kind not in attention.refused
        rows.append(CapabilityRow("attention", kind, runs, kind == attention.name, why or passed))
    return tuple(rows)
