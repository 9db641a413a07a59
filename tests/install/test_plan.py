"""Plans of installation for machines one would meet on Linux, Windows and macOS, as pure functions."""

from __future__ import annotations

import dataclasses

import pytest

from dimts.base.errors import ConfigError
from dimts.base.extras import EXTRAS
from dimts.install.host import HostInfo, NvidiaCard, read_cards
from dimts.install.plan import INDEX, PURPOSES, choose_build, index_of, plan_install, without_index

GIB = 1 << 30
LINUX = HostInfo("Linux", "x86_64", (3, 11), 64, 50 * 10**9)
WINDOWS = dataclasses.replace(LINUX, system="Windows", arch="AMD64")
MACOS = dataclasses.replace(LINUX, system="Darwin", arch="arm64")
INTEL_MAC = dataclasses.replace(MACOS, arch="x86_64")


def card(driver: int, capability: tuple[int, int], gib: int = 24) -> NvidiaCard:
    return NvidiaCard("card", (driver, 10), gib * GIB, capability)


@pytest.mark.parametrize(
    ("driver", "capability", "linux", "windows", "note"),
    [
        (580, (9, 0), "cu130", "cu130", "install.build_for_card"),
        (580, (12, 0), "cu130", "cu130", "install.build_for_card"),
        (580, (7, 5), "cu130", "cu130", "install.build_for_card"),
        (580, (7, 0), "cu126", "cu126", "install.build_for_old_card"),
        (580, (6, 1), "cu126", "cu126", "install.build_for_old_card"),
        (572, (12, 0), "cu128", "cu128", "install.build_for_card"),
        (560, (12, 0), "cpu", "cpu", "install.driver_too_old"),
        (550, (8, 6), "cu126", "cu126", "install.build_for_card"),
        (526, (7, 5), "cu126", "cpu", None),
        (470, (8, 0), "cpu", "cpu", "install.driver_too_old"),
        (470, (0, 0), "cpu", "cpu", "install.driver_too_old"),
        (580, (3, 7), "cpu", "cpu", "install.card_too_old"),
    ],
)
def test_the_build_of_torch_follows_driver_and_card(
    driver: int, capability: tuple[int, int], linux: str, windows: str, note: str | None
) -> None:
    for host, expected in ((LINUX, linux), (WINDOWS, windows)):
        build, notes = choose_build(dataclasses.replace(host, card=card(driver, capability)))
        assert build == expected
        assert note is None or [one.code for one in notes] == [note]


@pytest.mark.parametrize(
    ("host", "build", "index", "extras"),
    [
        (LINUX, "cpu", f"{INDEX}cpu", ["formant", "speak", "fast", "fetch", "train", "evaluate"]),
        (WINDOWS, "cpu", f"{INDEX}cpu", ["formant", "speak", "fast", "fetch", "train", "evaluate"]),
        (MACOS, "pypi", "", ["formant", "speak", "fast", "fetch", "train", "evaluate"]),
        (
            dataclasses.replace(WINDOWS, card=card(580, (8, 6), 8)),
            "cu130",
            f"{INDEX}cu130",
            ["formant", "speak", "fetch", "train", "evaluate", "cuda"],
        ),
        (
            dataclasses.replace(LINUX, card=card(580, (9, 0), 80)),
            "cu130",
            f"{INDEX}cu130",
            ["formant", "speak", "fetch", "train", "evaluate"],
        ),
    ],
)
def test_the_plan_of_each_system(host: HostInfo, build: str, index: str, extras: list[str]) -> None:
    plan = plan_install(host, ["speak", "train"], "0.2.0")
    assert plan.build == build
    assert plan.items[0].name == "torch", "torch comes first, from its own index"
    assert plan.items[0].index == index
    assert list(plan.extras) == extras
    assert [item.requirements for item in plan.items[1:]] == [(f"dimts[{name}]==0.2.0",) for name in extras]
    assert plan.missing == plan.items
    assert plan.bytes == sum(item.bytes for item in plan.items)
    assert [call.index for call in plan.calls] == [index, ""], "torch, then all the rest at once"
    assert plan.calls[1].requirements == tuple(f"dimts[{name}]==0.2.0" for name in extras)
    for message in (*plan.notes, *(item.brings for item in plan.items)):
        assert message.text("en") != message.text("am")


def test_the_attention_kernel_of_a_card_is_named() -> None:
    for capability, code in (
        ((9, 0), "install.attention_by_flash"),
        ((7, 5), "install.attention_by_sdpa_on_card"),
    ):
        plan = plan_install(dataclasses.replace(LINUX, card=card(580, capability)), ["train"], "0.2.0")
        assert code in [note.code for note in plan.notes]
    assert "install.attention_by_sdpa" in [
        note.code for note in plan_install(MACOS, ["train"], "0.2.0").notes
    ]


@pytest.mark.parametrize(
    ("there", "wanted", "stays"),
    [
        ("cpu", LINUX, True),
        ("cu126", LINUX, True),
        ("pypi", MACOS, True),
        ("cpu", dataclasses.replace(LINUX, card=card(580, (8, 0))), False),
        ("cu128", dataclasses.replace(LINUX, card=card(580, (8, 0))), False),
        ("cu130", dataclasses.replace(LINUX, card=card(580, (8, 0))), True),
        ("pypi", dataclasses.replace(LINUX, card=card(580, (8, 0))), True),
        ("pypi", dataclasses.replace(WINDOWS, card=card(580, (8, 0))), False),
        ("cu128", dataclasses.replace(LINUX, card=card(550, (8, 0))), True),
    ],
)
def test_a_torch_that_does_as_well_stays(there: str, wanted: HostInfo, stays: bool) -> None:
    host = dataclasses.replace(wanted, torch=f"2.13.0+{there}", torch_build=there)
    assert plan_install(host, ["speak"], "0.2.0").items[0].installed is stays


def test_a_build_that_is_asked_for_replaces_another() -> None:
    host = dataclasses.replace(LINUX, torch="2.13.0+cpu", torch_build="cpu")
    plan = plan_install(host, ["speak"], "0.2.0", "xpu")
    assert plan.build == "xpu"
    assert plan.items[0].index == f"{INDEX}xpu"
    assert not plan.items[0].installed
    assert plan_install(host, ["speak"], "0.2.0", "cpu").items[0].installed


def test_what_is_there_is_not_planned_again() -> None:
    host = dataclasses.replace(
        LINUX, torch="2.13.0+cpu", torch_build="cpu", extras=frozenset(EXTRAS) - {"train"}
    )
    assert [item.name for item in plan_install(host, ["train"], "0.2.0").missing] == ["train"]


def test_without_pytorchs_index_the_torch_of_pypi_takes_its_place() -> None:
    plan = without_index(plan_install(LINUX, ["speak"], "0.2.0"), LINUX)
    assert plan.items[0].index == ""
    assert plan.notes[-1].code == "install.index_out_of_reach"
    assert plan.bytes > plan_install(LINUX, ["speak"], "0.2.0").bytes, "on Linux it brings CUDA"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        (INTEL_MAC, "install.no_torch_for_intel_mac"),
        (dataclasses.replace(WINDOWS, bits=32), "install.python_of_32_bits"),
        (dataclasses.replace(LINUX, managed=True), "install.externally_managed"),
        (dataclasses.replace(LINUX, has_pip=False), "install.no_pip"),
    ],
)
def test_where_nothing_can_be_installed_the_reason_is_given(host: HostInfo, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_install(host, ["speak"], "0.2.0")
    assert caught.value.code == code
    assert caught.value.message.remedy("am")


@pytest.mark.parametrize(
    ("purpose", "build", "code"), [("sing", "auto", "purpose"), ("speak", "rocm", "build")]
)
def test_unknown_words_are_refused(purpose: str, build: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_install(LINUX, [purpose], "0.2.0", build)
    assert caught.value.code == f"install.unknown_{code}"


def test_each_purpose_names_extras_that_there_are() -> None:
    for purpose, extras in PURPOSES.items():
        assert set(extras) <= set(EXTRAS), purpose
        assert list(plan_install(LINUX, [purpose], "0.2.0").extras), "each has a size and a text"


def test_the_listing_of_the_driver_is_read() -> None:
    found = read_cards("NVIDIA GeForce RTX 3060, 551.23, 12288, 8.6\nTesla T4, 551.23, 15360, 7.5\n")
    assert found == NvidiaCard("NVIDIA GeForce RTX 3060", (551, 23), 12288 << 20, (8, 6))
    assert read_cards("Quadro K2000, 390.157, 1998, [N/A]\n") == NvidiaCard(
        "Quadro K2000", (390, 157), 1998 << 20, (0, 0)
    )
    assert (
        read_cards("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n") is None
    )
    assert read_cards("") is None


def test_the_index_of_a_version_is_known() -> None:
    assert index_of("torch==2.13.0+cu126") == f"{INDEX}cu126"
    assert index_of("torch==2.13.0") == index_of("numpy==2.1+local") == ""
