"""Measure on this processor what bfloat16 is worth to training: no list of processors decides it.

A product of training (a linear layer forward and backward under autocast) is timed in float32 and in
bfloat16. Units such as AMX make bfloat16 several times as fast; without them it is emulated and slower. The
answer is kept in the cache folder for this processor, version of torch and number of threads.
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
from functools import lru_cache
from pathlib import Path

from dimts.base.errors import DimtsError
from dimts.base.files import write_text
from dimts.base.user_folders import cache_folder

WORTHWHILE = 1.25
"""Least speed-up at which "auto" takes bfloat16: the rest of a step gains nothing."""
_ROWS, _WIDTH = 128, 768
_ROUNDS = 3
_HOPELESS = 0.5
"""Speed-up after one round below which no further round is taken."""
_FILE = "number-types.json"


def bf16_speedup() -> float:
    """Return how many times as fast as in float32 a product of training is in bfloat16 on this processor.

    Takes some tenths of a second at the first call on a machine, then reads the cache. A cache that cannot
    be read or written is no error.
    """
    import torch

    key = f"{processor_name()} | torch {torch.__version__} | {torch.get_num_threads()} threads"
    return _cached(key, cache_folder() / _FILE)


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model of the processor as the system names it."""
    try:
        lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


@lru_cache(maxsize=8)
def _cached(key: str, file: Path) -> float:
    kept = _read(file)
    if key not in kept:
        kept[key] = round(_measure(), 2)
        with contextlib.suppress(OSError, DimtsError):  # a cache; the next call measures again
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return kept[key]


def _read(file: Path) -> dict[str, float]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: float(value) for key, value in found.items() if isinstance(value, int | float) and value > 0}


def _measure() -> float:
    """Time the product in both types, alternating, and compare the fastest rounds."""
    import torch
    from torch.nn import functional

    with torch.random.fork_rng(devices=[]):
        x = torch.randn(_ROWS, _WIDTH, requires_grad=True)
        weight = torch.randn(_WIDTH, _WIDTH, requires_grad=True)
    fastest = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for number in range(_ROUNDS + 1):  # the first round prepares kernels and counts for nothing
        for kind in fastest:
            started = time.perf_counter()
            with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
                y = functional.linear(x, weight)
            torch.autograd.grad(y.float().sum(), (x, weight))
            if number:
                fastest[kind] = min(fastest[kind], time.perf_counter() - started)
        if number and fastest[torch.float32] < _HOPELESS * fastest[torch.bfloat16]:
            break
    return fastest[torch.float32] / fastest[torch.bfloat16]
