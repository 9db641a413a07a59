"""The planner against machines one would meet: what runs, what is refused, and with which reason."""

from __future__ import annotations

import dataclasses

import pytest

from dimts.base.errors import ConfigError
from dimts.train.capabilities import (
    KINDS,
    PRECISIONS,
    MachineInfo,
    capability_table,
    obstacle,
    plan_attention,
    plan_precision,
)
from dimts.xtts.kernel_limits import VARLEN

GIGABYTE = 10**9
LAPTOP = MachineInfo("cpu", "x86_64", "Linux", 8 * GIGABYTE, cores=2)
T4 = MachineInfo(
    "cuda", "Tesla T4", "Linux", 16 * GIGABYTE, (7, 5), 1, 4, frozenset({"flash_attn", "xformers"})
)
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
    assert plan_attention("flash", A10, "fp16", 64).why.code == "train.asked_for"


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
def test_flash_is_refused_with_the_reason(
    machine: MachineInfo, precision: str, head: int, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        plan_attention("flash", machine, precision, head)  # type: ignore[arg-type]
    choice = plan_attention("flash", machine, precision, head, fallback=True)  # type: ignore[arg-type]
    assert choice.name == "sdpa"
    assert reason in choice.refused["flash"].text("en")
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
    assert plan_precision("auto", dataclasses.replace(LAPTOP, bf16_speedup=1.1)).name == "float32"
    assert plan_precision("auto", dataclasses.replace(LAPTOP, bf16_speedup=1.3)).name == "bf16"
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
    assert (machine.bf16_speedup > 0) is (machine.device == "cpu")
    precision = plan_precision("auto", machine)
    assert plan_attention("auto", machine, precision.name, 64).name in KINDS  # type: ignore[arg-type]


def card(name: str, capability: tuple[int, int]) -> MachineInfo:
    return MachineInfo("cuda", name, "Linux", 40 * GIGABYTE, capability, 1, 8, frozenset({VARLEN}))


DEVICES = {
    "sm_75": card("Tesla T4", (7, 5)),
    "sm_80": card("NVIDIA A100", (8, 0)),
    "sm_90": card("NVIDIA H100", (9, 0)),
    "mps": dataclasses.replace(LAPTOP, device="mps", wheels=frozenset({VARLEN})),
    "xpu": dataclasses.replace(LAPTOP, device="xpu", name="Intel Arc A770", wheels=frozenset({VARLEN})),
    "cpu": dataclasses.replace(LAPTOP, wheels=frozenset({VARLEN}), bf16_speedup=0.05),
    "cpu with AMX": dataclasses.replace(LAPTOP, wheels=frozenset({VARLEN}), bf16_speedup=4.5),
}
PRECISION_REASONS = {
    "sm_75": ("train.float32_is_safe", "train.no_bf16_units", "train.fp16_needs_scaling"),
    "sm_80": ("train.float32_is_slower", "train.bf16_on_this_card", "train.fp16_needs_scaling"),
    "sm_90": ("train.float32_is_slower", "train.bf16_on_this_card", "train.fp16_needs_scaling"),
    "mps": ("train.float32_is_safe", "train.not_run_on_such_a_device", "train.not_run_on_such_a_device"),
    "xpu": ("train.float32_is_safe", "train.not_run_on_such_a_device", "train.not_run_on_such_a_device"),
    "cpu": ("train.float32_is_safe", "train.bf16_measured_slower", "train.no_fp16_on_processors"),
    "cpu with AMX": (
        "train.float32_measured_slower",
        "train.bf16_measured_faster",
        "train.no_fp16_on_processors",
    ),
}
"""Device → the codes for float32, bf16 and fp16."""
FLASH_REASONS = {
    "sm_75": "train.card_too_old_for_flash",
    "sm_80": "train.fastest_here",
    "sm_90": "train.fastest_here",
    "mps": "train.no_cuda_on_macos",
    "xpu": "train.no_cuda_on_intel",
}
NO_CARD = {
    "Linux": "train.no_cuda_here",
    "Windows": "train.no_cuda_on_windows",
    "Darwin": "train.no_cuda_on_macos",
}
IMPOSSIBLE = {("sm_75", "Darwin"), ("sm_80", "Darwin"), ("sm_90", "Darwin"), ("xpu", "Darwin"),
              ("mps", "Linux"), ("mps", "Windows"), ("cpu with AMX", "Darwin")}  # fmt: skip


@pytest.mark.parametrize("system", ["Linux", "Windows", "Darwin"])
@pytest.mark.parametrize("device", DEVICES)
def test_each_kernel_and_number_type_on_each_machine(device: str, system: str) -> None:
    if (device, system) in IMPOSSIBLE:
        pytest.skip("no such machine is made")
    rows = {row.name: row for row in capability_table(dataclasses.replace(DEVICES[device], system=system))}
    assert set(rows) == {*PRECISIONS, *KINDS}
    assert tuple(rows[name].why.code for name in PRECISIONS) == PRECISION_REASONS[device]
    flash = device in ("sm_80", "sm_90")
    bf16 = flash or device == "cpu with AMX"
    assert rows["bf16"].chosen is bf16
    assert rows["float32"].chosen is not bf16
    assert rows["float32"].runs
    assert rows["bf16"].runs is (device != "sm_75")
    assert rows["fp16"].runs is (not device.startswith("cpu"))
    assert rows["flash"].why.code == FLASH_REASONS.get(device, NO_CARD[system])
    assert rows["flash"].chosen is rows["flash"].runs is flash
    assert rows["sdpa"].runs
    assert rows["sdpa"].chosen is not flash
    assert rows["sdpa"].why.code == ("train.slower_than" if flash else "train.fastest_here")
    assert rows["eager"].why.code == "train.slower_than"
    expected = (
        "train.wheel_missing" if device.startswith("sm_") else FLASH_REASONS.get(device, NO_CARD[system])
    )
    assert rows["xformers"].why.code == expected
    assert not rows["xformers"].runs
    assert all(row.why.text("en") and row.why.text("am") != row.why.text("en") for row in rows.values())


def test_xformers_stands_behind_sdpa_where_it_is_installed() -> None:
    row = next(row for row in capability_table(T4) if row.name == "xformers")
    assert row.runs
    assert not row.chosen
    assert row.why.code == "train.slower_than"


def test_a_choice_is_written_with_what_was_refused() -> None:
    written = str(plan_attention("auto", LAPTOP, "float32", 64))
    assert written.startswith("sdpa (the fastest that can run here; not flash: needs a CUDA card")
    assert str(plan_precision("float32", LAPTOP)) == "float32 (asked for)"
