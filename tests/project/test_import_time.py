"""Modules that `import dimts` and `dimts --help` must not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "numba",
    "torch", "numpy", "scipy", "matplotlib", "soundfile", "soxr", "av", "epitran", "panphon", "transphone",
    "pandas", "accelerate", "tokenizers", "safetensors", "huggingface_hub", "onnxruntime", "rich", "tqdm",
    "requests", "asyncio",
}  # fmt: skip
NEVER = {"transformers", "torchaudio", "TTS", "trainer"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules in sys.modules after `code` in a fresh interpreter."""
    script = (
        f"{code}\nimport sys\nprint('\\n'.join({{name.partition('.')[0] "
        f"for name in sys.modules}}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_import_dimts_is_light() -> None:
    loaded = loaded_by("import dimts")
    assert loaded & HEAVY == set()
    assert "typer" not in loaded


def test_help_is_light() -> None:
    assert loaded_by("from dimts.cli.main import main\nmain(['--help'])") & HEAVY == set()


def test_the_text_package_needs_the_standard_library_alone() -> None:
    loaded = loaded_by("import dimts\ndimts.normalise('ሰላም 10')")
    assert loaded & (HEAVY | {"typer"}) == set()


@pytest.mark.parametrize(
    "module", ["xtts.model", "xtts.checkpoint", "xtts.vocabulary", "train.trainer", "speak"]
)
def test_no_module_loads_a_peer(module: str) -> None:
    assert loaded_by(f"import dimts.{module}") & NEVER == set()
