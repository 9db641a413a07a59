"""Memory of a server: what is freed between blocks that stay is given back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dimts.server import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc only")

# Blocks of 4 kB from malloc; every 64th stays, so that no heap shrinks by itself.
HOLES = """
import ctypes, os
from pathlib import Path
from dimts.server import memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = [libc.malloc(4096) for _ in range(50_000)]
for block in blocks:
    ctypes.memset(block, 1, 4096)
full = resident()
for number, block in enumerate(blocks):
    if number % 64:
        libc.free(block)
holes = resident()
{give}
print(full - holes, holes - resident())
"""


@pytest.mark.parametrize("give", ["memory.trim()", "pass"])
def test_holes_are_given_back(give: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", HOLES.replace("{give}", give)], capture_output=True, text=True, check=True
    )
    by_itself, given = (float(number) for number in run.stdout.split())
    assert by_itself < 20  # of 205 MB: glibc keeps them
    assert (given > 150) == (give != "pass")


def test_one_thread_a_process() -> None:
    first = memory.limit_heaps()
    assert first is not None
    assert first.is_alive()
    assert memory.limit_heaps() is first
