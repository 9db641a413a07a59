"""What bfloat16 is worth on this processor is measured, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dimts.train import number_type
from dimts.train.number_type import bf16_speedup, processor_name


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    number_type._cached.cache_clear()


@pytest.fixture
def kept(home: Path) -> Path:
    """The file of the cache folder."""
    return home / "dimts-cache" / "number-types.json"


def test_it_is_measured_once_and_draws_no_random_number(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.get_rng_state()
    found = bf16_speedup()
    assert found > 0
    assert torch.equal(torch.get_rng_state(), state)
    number_type._cached.cache_clear()
    monkeypatch.setattr(number_type, "_measure", lambda: pytest.fail("measured again"))
    assert bf16_speedup() == found
    key = next(iter(json.loads(kept.read_text("utf-8"))))
    assert processor_name() in key
    assert torch.__version__ in key


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "fast"}', "\x00"])
def test_a_damaged_cache_is_measured_anew(kept: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.parent.mkdir()
    kept.write_text(content, "utf-8")
    monkeypatch.setattr(number_type, "_measure", lambda: 3.0)
    assert bf16_speedup() == 3.0
    assert 3.0 in json.loads(kept.read_text("utf-8")).values()


def test_a_cache_that_cannot_be_written_stops_nothing(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.parent.write_text("a file where the folder should be", "utf-8")
    monkeypatch.setattr(number_type, "_measure", lambda: 2.0)
    assert bf16_speedup() == 2.0


def test_the_processor_has_a_name(tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nmodel name\t: Intel(R) Xeon(R) 6\n", "utf-8")
    assert processor_name(listed) == "Intel(R) Xeon(R) 6"
    assert processor_name(tmp_path / "none")
