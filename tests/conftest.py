"""Fixtures for all tests: where the gold data lies, and a home of one's own."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# A landing must not hang on luck: there the examples are the same every time; elsewhere they are new ones.
# Nor on speed, anywhere: a busy machine is no fault of the code.
hypothesis.settings.register_profile("everywhere", deadline=None)
hypothesis.settings.load_profile("everywhere")
hypothesis.settings.register_profile("landing", derandomize=True, deadline=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("landing")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of gold data and recordings beside the checkout; skips where it is absent."""
    folder = Path(os.environ.get("DIMTS_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no gold data at {folder} (set DIMTS_SHARED)")
    return folder


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names for the homes of all tests; pytest's own counter would list the folder for each of them."""
    root = tmp_path_factory.mktemp("homes")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def home(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh user home, cache and data folder for every test, so that nothing of the real
    ones is read or written."""
    folder = next(_homes)
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / ".cache"))
    monkeypatch.setenv("DIMTS_CACHE", str(folder / "dimts-cache"))
    monkeypatch.setenv("DIMTS_DATA", str(folder / "dimts-data"))
    return folder


@pytest.fixture(autouse=True)
def _threads_stay() -> Iterator[None]:
    """Whoever changes torch's number of threads puts it back: sums differ in the last bit by it, for tests to
    come."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    yield
    if before is not None:
        assert sys.modules["torch"].get_num_threads() == before, "the test left torch with other threads"
