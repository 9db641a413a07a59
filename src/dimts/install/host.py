"""Detect system, Python, driver and card with the standard library alone, as torch may not be installed
yet."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from dimts.base.extras import EXTRAS
from dimts.base.plugins import has

_QUERY = "--query-gpu=name,driver_version,memory.total,compute_cap"
_QUERY_SECONDS = 20.0
_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class NvidiaCard:
    """A CUDA card as its driver describes it."""

    name: str
    driver: tuple[int, ...]
    """Version of the driver, such as (580, 65, 6)."""
    memory_bytes: int
    capability: tuple[int, int]
    """Compute capability; (0, 0) where the driver is too old to name it."""


@dataclass(frozen=True, slots=True)
class HostInfo:
    """Properties of the machine that the choice of libraries depends on."""

    system: str
    """Linux, Windows or Darwin."""
    arch: str
    """Architecture of the running Python: x86_64, aarch64, arm64; Windows writes AMD64."""
    python: tuple[int, int]
    bits: int
    """Size of an address in bits: 32 or 64."""
    free_bytes: int
    """Free bytes on the disk that libraries are installed on."""
    card: NvidiaCard | None = None
    torch: str = ""
    """Version of the installed torch, with its build: "2.13.0+cpu"; empty where there is none."""
    torch_build: str = ""
    """cpu, cu126, xpu, …; "pypi" where the version does not name one."""
    extras: frozenset[str] = frozenset()
    """Extras of dimts whose libraries are all installed."""
    has_pip: bool = True
    managed: bool = False
    """Whether the system forbids pip to install here (PEP 668)."""


def look() -> HostInfo:
    """Detect the present machine and Python."""
    torch = _version("torch")
    return HostInfo(
        system=platform.system(),
        arch=platform.machine(),
        python=(sys.version_info.major, sys.version_info.minor),
        bits=8 * struct.calcsize("P"),
        free_bytes=shutil.disk_usage(sysconfig.get_path("purelib")).free,
        card=_nvidia(),
        torch=torch,
        torch_build=(torch.partition("+")[2] or "pypi") if torch else "",
        extras=installed_extras(),
        has_pip=has("pip"),
        managed=_managed(),
    )


def installed_extras() -> frozenset[str]:
    """Return the extras of dimts whose libraries are all installed."""
    return frozenset(extra for extra in EXTRAS if _whole(extra))


def read_cards(listing: str) -> NvidiaCard | None:
    """Parse the first card in the output of `nvidia-smi --format=csv,noheader,nounits`; None for anything
    else."""
    for line in listing.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) < 4 or not fields[1][:1].isdigit():
            continue
        major, _, minor = fields[3].partition(".")
        known = major.isdigit() and minor.isdigit()
        driver = tuple(int(part) for part in fields[1].split(".") if part.isdigit())
        memory = int(fields[2]) * _MEBIBYTE if fields[2].isdigit() else 0
        return NvidiaCard(fields[0], driver, memory, (int(major), int(minor)) if known else (0, 0))
    return None


def _nvidia() -> NvidiaCard | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 (a list of our own words, no shell)
            [program, _QUERY, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_QUERY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read_cards(done.stdout)


def _whole(extra: str) -> bool:
    group = EXTRAS[extra]
    return all(has(library) for library in group.libraries) and all(_whole(inner) for inner in group.includes)


def _managed() -> bool:
    inside = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    return not inside and (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").exists()


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""
