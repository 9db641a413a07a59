"""The planner against machines one would meet: what runs, what is refused, and with which reason."""

from __future__ import annotations

import dataclasses

import pytest

from dimts.base.errors import ConfigError
from dimts.train.capabilities import KINDS, MachineInfo, obstacle, plan_attention, plan_precision
from dimts.xtts.attention import VARLEN

GIGABYTE = 10**9
LAPTOP = MachineInfo("cpu", "x86_64", "Linux", 8 * GIGABYTE, cores=2)
T4 = MachineInfo("cuda", "Tesla T4", "Linux", 16 * GIGABYTE, (7, 5), 1, 4, frozenset({"flash_attn", "xformers"}))
A10 = MachineInfo("cuda", "NVIDIA A10", "Linux", 24 * GIGABYTE, (8, 6), 1, 8, frozenset({"flash_attn"}))
BARE = dataclasses.replace(A10, wheels=frozenset())
WINDOWS = dataclasses.replace(LAPTOP, system="Windows")
MAC = dataclasses.replace(LAPTOP, device="mps", system="Darwin")


@pytest.mark.parametrize("machine", [LAPTOP, WINDOWS, MAC, T4, BARE])
def test_auto_falls_to_sdpa_never_to_an_error(machine: MachineInfo) -> None:
    choice = plan_attention("auto", machine, "float32", 64)
    assert choice.name == "sdpa"
    assert "flash" in choice.refused


def test_flash_runs_where_everything_fits() -> None:
    assert plan_attention("auto", A10, "bf16", 64).name == "flash"
    assert plan_attention("flash", A10, "fp16", 64).why == "asked for"


@pytest.mark.parametrize(
    ("machine", "precision", "head", "reason"),
    [
        (LAPTOP, "bf16", 64, "CUDA card"),
        (MAC, "bf16", 64, "macOS"),
        (WINDOWS, "bf16", 64, "Windows"),
        (T4, "fp16", 64, "compute capability 8.0"),
        (A10, "float32", 64, "bf16 or fp16"),
        (A10, "bf16", 320, "heads"),
        (A10, "bf16", 60, "heads"),
        (BARE, "bf16", 64, "pip install flash-attn"),
    ],
)
def test_flash_is_refused_with_the_reason(machine: MachineInfo, precision: str, head: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        plan_attention("flash", machine, precision, head)  # type: ignore[arg-type]
    choice = plan_attention("flash", machine, precision, head, fallback=True)  # type: ignore[arg-type]
    assert choice.name == "sdpa"
    assert reason in choice.refused["flash"]
    assert "attention_fallback" in str(choice)


def test_flash_needs_no_wheel_where_torch_has_the_kernel() -> None:
    own = dataclasses.replace(BARE, wheels=frozenset({VARLEN}))
    assert plan_attention("auto", own, "bf16", 64).name == "flash"
    assert plan_attention("auto", own, "float32", 64).name == "sdpa"
    assert plan_attention("auto", dataclasses.replace(own, capability=(7, 5)), "fp16", 64).name == "sdpa"


def test_xformers_needs_its_wheel_and_a_card() -> None:
    assert plan_attention("xformers", T4, "float32", 64).name == "xformers"
    with pytest.raises(ConfigError, match="pip install xformers"):
        plan_attention("xformers", A10, "bf16", 64)
    with pytest.raises(ConfigError, match="CUDA"):
        plan_attention("xformers", LAPTOP, "float32", 64)


def test_eager_and_sdpa_run_everywhere() -> None:
    for machine in (LAPTOP, WINDOWS, MAC, T4, A10, BARE):
        assert not obstacle("eager", machine, "float32", 13)
        assert not obstacle("sdpa", machine, "float32", 13)


def test_precision_follows_the_device() -> None:
    assert plan_precision("auto", A10).name == "bf16"
    assert plan_precision("auto", T4).name == "float32"
    assert plan_precision("auto", LAPTOP).name == "float32"
    assert plan_precision("bf16", LAPTOP).name == "bf16"
    assert plan_precision("fp16", T4).name == "fp16"
    with pytest.raises(ConfigError, match="fp16"):
        plan_precision("fp16", LAPTOP)
    with pytest.raises(ConfigError, match="bf16"):
        plan_precision("bf16", T4)


def test_looking_at_this_machine_gives_something_that_can_train() -> None:
    machine = MachineInfo.look()
    assert machine.memory_bytes > 0
    assert machine.cores >= 1
    precision = plan_precision("auto", machine)
    assert plan_attention("auto", machine, precision.name, 64).name in KINDS  # type: ignore[arg-type]
