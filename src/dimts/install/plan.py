"""Plan an installation: which build of torch and which extras suit a machine and a purpose. Nothing is
detected or changed here.

Builds of torch by CUDA version, and the cards each has kernels for: the support matrix of PyTorch 2.11 and
later (RELEASE.md of pytorch/pytorch). Least drivers: NVIDIA's CUDA release notes (525 on Linux and 528 on
Windows for CUDA 12, 570 for 12.8 with a Blackwell card, 580 for CUDA 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.install.host import HostInfo, NvidiaCard

Purpose = Literal["speak", "train", "serve", "page"]
PURPOSES: dict[str, tuple[str, ...]] = {
    "speak": ("formant", "speak", "fetch"),
    "train": ("formant", "speak", "fetch", "train", "evaluate"),
    "serve": ("formant", "speak", "fetch", "serve"),
    "page": ("g2p", "formant", "speak", "fetch", "train", "evaluate", "ui"),
}
"""Extras for each purpose."""
BUILDS = ("auto", "cpu", "cu126", "cu128", "cu130", "xpu", "pypi")
"""Builds of torch; "pypi" is pip's default."""
INDEX = "https://download.pytorch.org/whl/"
"""Address of PyTorch's own package indexes, one below it for each build."""

_MEGABYTE = 1_000_000
_TORCH_BYTES = {
    "cpu": 760, "cu126": 4900, "cu128": 5600, "cu130": 4200, "xpu": 3500, "pypi": 760,
}  # fmt: skip
_PYPI_ON_LINUX = 4200
"""Megabytes on disk of torch with the libraries of CUDA that it includes; CPU measured, others estimated."""
_EXTRA_BYTES = {
    "formant": 350, "speak": 130, "fast": 215, "fetch": 35, "train": 150, "evaluate": 105, "serve": 60,
    "ui": 250,
    "g2p": 110, "cuda": 200,
}  # fmt: skip
"""Megabytes on disk besides torch and the extras before it, measured on Linux."""
_BRINGS = {
    "formant": "install.brings_formant",
    "speak": "install.brings_speak",
    "fast": "install.brings_fast",
    "fetch": "install.brings_fetch",
    "train": "install.brings_train",
    "evaluate": "install.brings_evaluate",
    "serve": "install.brings_serve",
    "ui": "install.brings_ui",
    "g2p": "install.brings_g2p",
    "cuda": "install.brings_cuda",
}
_ORDER = tuple(_BRINGS)
_SMALL_CARD = 12 << 30
_TURING, _BLACKWELL = (7, 5), (10, 0)
_ARM = ("arm64", "aarch64", "ARM64")


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One item to install, and its purpose."""

    name: str
    requirements: tuple[str, ...]
    """Requirements in pip's syntax."""
    index: str
    """Address of the package index; empty for pip's default."""
    bytes: int
    """Approximate size on disk in bytes."""
    brings: Message
    installed: bool
    """Whether it is installed already."""


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """Items to install, in order, with notes on the decisions."""

    build: str
    """Build of torch."""
    items: tuple[PlanItem, ...]
    notes: tuple[Message, ...]

    @property
    def missing(self) -> tuple[PlanItem, ...]:
        """Items that are not installed yet."""
        return tuple(item for item in self.items if not item.installed)

    @property
    def calls(self) -> tuple[PlanItem, ...]:
        """Calls of pip, in order: torch by itself, as it has an index of its own, then all the rest at once,
        so that it is resolved as a whole."""
        rest = [item for item in self.missing if not item.index and item.name != "torch"]
        alone = [item for item in self.missing if item not in rest]
        if not rest:
            return tuple(alone)
        together = PlanItem(
            "dimts[" + ",".join(item.name for item in rest) + "]",
            tuple(requirement for item in rest for requirement in item.requirements),
            "",
            sum(item.bytes for item in rest),
            rest[0].brings,
            False,
        )
        return (*alone, together)

    @property
    def bytes(self) -> int:
        """Approximate additional bytes on disk."""
        return sum(item.bytes for item in self.missing)

    @property
    def extras(self) -> tuple[str, ...]:
        """Extras of dimts in the plan, including the installed ones."""
        return tuple(item.name for item in self.items if item.name != "torch")


def plan_install(host: HostInfo, purposes: Sequence[str], version: str, build: str = "auto") -> InstallPlan:
    """Plan the installation of dimts `version` on `host` for `purposes`. ConfigError where it is impossible.

    `build` chooses the build of torch instead of the card.
    """
    for name, known, code in (
        *((purpose, tuple(PURPOSES), "install.unknown_purpose") for purpose in purposes),
        (build, BUILDS, "install.unknown_build"),
    ):
        if name not in known:
            raise ConfigError(code, name=name, known=known)
    _refuse(host)
    torch_build, notes = (
        choose_build(host) if build == "auto" else (build, [Message("install.build_asked", name=build)])
    )
    wanted = {extra for purpose in purposes for extra in PURPOSES[purpose]}
    if torch_build in ("cpu", "pypi"):
        wanted.add("fast")
    small = host.card is not None and host.card.memory_bytes < _SMALL_CARD
    if small and torch_build.startswith("cu") and "train" in wanted:
        wanted.add("cuda")
    notes += _kernel_notes(host, torch_build)
    items = [_torch(host, torch_build, chosen=build != "auto")]
    for extra in _ORDER:
        if extra in wanted:
            requirement = f"dimts[{extra}]=={version}"
            size = _EXTRA_BYTES[extra] * _MEGABYTE
            items.append(
                PlanItem(extra, (requirement,), "", size, Message(_BRINGS[extra]), extra in host.extras)
            )
    return InstallPlan(torch_build, tuple(items), tuple(notes))


def choose_build(host: HostInfo) -> tuple[str, list[Message]]:
    """Choose the build of torch for the card and driver, with the reasons."""
    if host.system == "Darwin":
        return "pypi", [Message("install.build_for_macos")]
    if host.card is None:
        return "cpu", [Message("install.no_nvidia_card")]
    return _cuda_build(host.card, host.system)


def _cuda_build(card: NvidiaCard, system: str) -> tuple[str, list[Message]]:
    oldest = 528 if system == "Windows" else 525
    shown = ".".join(map(str, card.driver))
    driver = card.driver[0] if card.driver else 0
    if driver < oldest or card.capability < (5, 0):
        code = "install.driver_too_old" if driver < oldest else "install.card_too_old"
        return "cpu", [Message(code, card=card.name, driver=shown, needed=oldest)]
    if card.capability < _TURING:
        return "cu126", [Message("install.build_for_old_card", card=card.name, build="cu126")]
    if driver >= 580:
        return "cu130", [Message("install.build_for_card", card=card.name, driver=shown, build="cu130")]
    if card.capability >= _BLACKWELL:
        if driver < 570:
            return "cpu", [Message("install.driver_too_old", card=card.name, driver=shown, needed=570)]
        return "cu128", [Message("install.build_for_card", card=card.name, driver=shown, build="cu128")]
    return "cu126", [Message("install.build_for_card", card=card.name, driver=shown, build="cu126")]


def without_index(plan: InstallPlan, host: HostInfo) -> InstallPlan:
    """Return the plan with pip's default torch, for where PyTorch's own index cannot be reached."""
    items = tuple(
        _torch(host, "pypi", chosen=False) if item.name == "torch" and not item.installed else item
        for item in plan.items
    )
    return InstallPlan(
        "pypi", items, (*plan.notes, Message("install.index_out_of_reach", index=INDEX + plan.build))
    )


def index_of(version: str) -> str:
    """Return the package index of a torch version with a build; empty for one without."""
    build = version.partition("+")[2]
    return INDEX + build if build in BUILDS else ""


def _refuse(host: HostInfo) -> None:
    if not host.has_pip:
        raise ConfigError("install.no_pip")
    if host.managed:
        raise ConfigError("install.externally_managed")
    if host.bits != 64:
        raise ConfigError("install.python_of_32_bits")
    if host.system == "Darwin" and host.arch not in _ARM:
        raise ConfigError("install.no_torch_for_intel_mac")


def _torch(host: HostInfo, build: str, *, chosen: bool) -> PlanItem:
    """Plan torch in the build that suits; an installed one is kept where it is equivalent."""
    index = "" if build == "pypi" else INDEX + build
    there = host.torch_build
    fits = bool(there) and (there == build or (not chosen and _does_as_well(there, build, host.system)))
    size = _PYPI_ON_LINUX if build == "pypi" and host.system == "Linux" else _TORCH_BYTES[build]
    brings = Message("install.brings_torch", build=build)
    return PlanItem("torch", ("torch",), index, size * _MEGABYTE, brings, fits)


def _does_as_well(there: str, build: str, system: str) -> bool:
    """Whether an installed build is equivalent to the planned one; PyPI's is one for CUDA 13 on Linux
    alone."""
    if build in ("cpu", "pypi") or (there == "pypi" and system == "Linux" and build == "cu130"):
        return True
    return there.startswith("cu") and there[:4] >= build[:4]


def _kernel_notes(host: HostInfo, build: str) -> list[Message]:
    """Return notes on the attention kernel that will run with this build."""
    if not build.startswith("cu") or host.card is None:
        return [Message("install.attention_by_sdpa")]
    if host.card.capability >= (8, 0):
        return [Message("install.attention_by_flash", card=host.card.name)]
    return [Message("install.attention_by_sdpa_on_card", card=host.card.name)]
