"""What the tests of the command line share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def helpers() -> ModuleType:
    """The maker of prepared projects of the training tests."""
    path = Path(__file__).parent.parent / "train" / "conftest.py"
    spec = importlib.util.spec_from_file_location("train_fixtures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
