"""Torch's number of threads outlasts a library that sets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dimts.base.threads import threads_kept


def test_the_number_is_put_back_whatever_happens_within() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    with threads_kept():
        torch.set_num_threads(before + 1)
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), threads_kept():
        raise KeyError(torch.set_num_threads(before + 1))
    assert torch.get_num_threads() == before


def test_torch_is_not_imported_for_it() -> None:
    code = """
import sys
from dimts.base.threads import threads_kept

with threads_kept():
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
