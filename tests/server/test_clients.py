"""Real clients at their defaults, in a fresh environment of their own, pinned by hash: sound comes.

The environment is made from `clients/package-lock.json` by npm, which needs the network.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import serving

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(1200)]
CLIENTS = Path(__file__).parent / "clients"
MIN_BYTES = {"openai_npm.mjs": 2000, "vercel_ai.mjs": 2000}
"""The least that a second of speech takes: mp3 at 64 kbit/s."""


@pytest.fixture(scope="module")
def formant() -> Iterator[Any]:
    with serving() as found:
        yield found


def sound(*command: str | Path, cwd: Path) -> bytes:
    done = subprocess.run(list(map(str, command)), capture_output=True, cwd=cwd, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm clients, installed as the lock file says."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    for path in [*CLIENTS.glob("*.json"), *CLIENTS.glob("*.mjs")]:
        shutil.copy(path, folder)
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=600
    )
    return folder


@pytest.mark.parametrize("script", ["openai_npm.mjs", "vercel_ai.mjs"])
def test_npm_clients(formant: Any, node_modules: Path, script: str) -> None:
    assert len(sound("node", script, formant.address, cwd=node_modules)) > MIN_BYTES[script]
