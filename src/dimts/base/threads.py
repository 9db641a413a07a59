"""Torch's number of threads, kept where a library sets it for its own ends.

OpenMP holds one number for a thread of the program, whichever library asks. Numba and CTranslate2 set it when
they start, and torch then works with theirs: not what the user chose, and with sums that differ in their last
bit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def threads_kept() -> Iterator[None]:
    """Within, whatever may happen to the number; after it, torch has the one it had. Torch is not imported
    for it."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    try:
        yield
    finally:
        if torch and torch.get_num_threads() != before:
            torch.set_num_threads(before)
