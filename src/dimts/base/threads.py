"""Keep torch's number of threads where another library changes it.

OpenMP has one number of threads for each thread of the program, whichever library sets it. Numba and
CTranslate2 set it when they start, and torch then uses theirs: not the user's choice, and with sums that
differ in their last bit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def threads_kept() -> Iterator[None]:
    """Restore torch's number of threads after the block. Torch is not imported for it."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    try:
        yield
    finally:
        if torch and torch.get_num_threads() != before:
            torch.set_num_threads(before)
