"""The faulty backends of tests/fakes.py, as a module."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def fakes(repository: Path) -> Iterator[ModuleType]:
    """tests/fakes.py; whatever hangs there is let go at the end."""
    spec = importlib.util.spec_from_file_location("dimts_fakes", repository / "tests" / "fakes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["dimts_fakes"] = module
    spec.loader.exec_module(module)
    yield module
    module.Hangs.over.set()
    module.HangsAtStart.over.set()
