"""The golden folder of coqui-tts's own answers (DIMTS_GOLDEN), our model loaded from it, and the table of
errors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

TOLERANCE = 1e-4
"""Largest error allowed, relative to the tensor's own largest value."""
_reached: dict[str, float] = {}


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden outputs; skips where it is absent."""
    repository = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("DIMTS_GOLDEN", repository.parent / "shared" / "golden"))
    if not (folder / "outputs.safetensors").is_file():
        pytest.skip(f"no golden outputs at {folder} (set DIMTS_GOLDEN)")
    return folder


@pytest.fixture(scope="session")
def expected(golden: Path) -> dict[str, Tensor]:
    """Golden tensors by name."""
    return load_file(golden / "outputs.safetensors")


@pytest.fixture(scope="session")
def notes(golden: Path) -> dict[str, Any]:
    """Golden scalars and settings."""
    content: dict[str, Any] = json.loads((golden / "outputs.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bundle(golden: Path) -> Any:
    """The golden checkpoint, loaded as any folder of coqui's is."""
    from dimts.xtts.coqui_checkpoint import load_coqui

    return load_coqui(golden, dvae=True)


@pytest.fixture
def model(bundle: Any) -> Iterator[Any]:
    """The golden model, without dropout and in evaluation mode, gradients cleared."""
    model = bundle.model
    model.eval()
    model.gpt.use_dropout(0.0)
    model.zero_grad(set_to_none=True)
    return model


@pytest.fixture(scope="session")
def wave(golden: Path) -> Tensor:
    """The golden reference recording, [1, T] at 22 050 Hz."""
    soundfile = pytest.importorskip("soundfile")
    samples, rate = soundfile.read(golden / "ref.wav", dtype="float32")
    assert rate == 22_050
    return torch.from_numpy(samples)[None]


@dataclass
class Same:
    """Compares with a golden tensor and notes the error reached."""

    expected: Mapping[str, Tensor]

    def __call__(self, name: str, found: Tensor, tolerance: float = TOLERANCE) -> None:
        wanted = self.expected[name]
        assert found.shape == wanted.shape, f"{name}: {tuple(found.shape)}, golden {tuple(wanted.shape)}"
        if not wanted.is_floating_point():
            assert torch.equal(found.to(wanted.dtype), wanted), name
            _reached[name] = 0.0
            return
        error = float((found.detach() - wanted).abs().max() / wanted.abs().max())
        note(name, error, tolerance)


def note(name: str, error: float, tolerance: float) -> None:
    """Keep an error for the table and hold it to its tolerance."""
    _reached[name] = max(error, _reached.get(name, 0.0))
    assert error <= tolerance, f"{name}: relative error {error:.2e} is above {tolerance:.0e}"


@pytest.fixture
def noted() -> Callable[[str, float, float], None]:
    """`note`, for errors that are no tensor's."""
    return note


@pytest.fixture
def same(expected: dict[str, Tensor]) -> Same:
    """Compare with a golden tensor by name."""
    return Same(expected)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the tolerance reached per stage."""
    if _reached:
        terminalreporter.section("parity: largest relative error per entry (0 = exact)")
        for name, error in sorted(_reached.items()):
            terminalreporter.write_line(f"{error:9.1e}  {name}")
