"""Real clients at their defaults, each in a fresh environment of its own, pinned by hash: sound comes.

`clients/NAME.txt` pins the packages of a Python client, `clients/package-lock.json` those of the npm ones;
a NAME.txt names the command that wrote it. Installing them needs the network. A script in `clients/` uses its
package as the package's own documentation does: SCRIPT ADDRESS FILE TEXT; the sound goes to FILE, the number
of pieces in which it came to standard output.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dimts.base.http import bind

from .conftest import serving

np = pytest.importorskip("numpy")
soundfile = pytest.importorskip("soundfile")
pytest.importorskip("wyoming")

pytestmark = [pytest.mark.slow, pytest.mark.network]
CLIENTS = Path(__file__).parent / "clients"
TEXT = "ሰላም ለዓለም። ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ አገር ናት። እንዴት ናችሁ?"
RATE = 24_000
MAX_PADDING_SECONDS = 0.2
"""Most silence that an mp3 encoder or a client adds."""
MIN_CORRELATION = 0.95
"""Least correlation of what a client got with the sound as it was made; mp3 has 0.99."""


class Served(NamedTuple):
    """A server of the formant voice."""

    http: str
    wyoming: str
    sound: Any
    """What it speaks for TEXT, as samples."""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
    with serving("--wyoming", str(port)) as server, server.client() as client:
        pcm = client.post("/v1/audio/speech", json={"input": TEXT, "response_format": "pcm"}).content
        sound = np.frombuffer(pcm, "<i2") / 32768
        yield Served(server.address, f"tcp://127.0.0.1:{port}", sound)


def pieces_of(program: list[str], address: str, folder: Path, expected: Any) -> int:
    """In how many pieces a client got the sound; fails unless it is the sound that was expected."""
    file = folder / "sound"
    done = subprocess.run([*program, address, str(file), TEXT], capture_output=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    samples, rate = soundfile.read(file)
    assert (rate, samples.ndim) == (RATE, 1)
    assert 0 <= len(samples) - len(expected) <= MAX_PADDING_SECONDS * RATE
    assert correlation(samples, expected) > MIN_CORRELATION
    return int(json.loads(done.stdout.splitlines()[-1])["pieces"])


def correlation(one: Any, other: Any) -> float:
    """Normalised correlation of two signals at the lag where it is greatest; 1 for equal ones."""
    size = len(one) + len(other)
    products = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
    return float(products.max() / (np.linalg.norm(one) * np.linalg.norm(other)))


@pytest.fixture(scope="module")
def _index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where no package index can be reached."""
    command = [sys.executable, "-m", "pip", "--retries", "0", "download", "--quiet", "--no-deps", "wyoming"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path_factory.mktemp("index"), check=False)
    if done.returncode:
        pytest.skip(f"no package index can be reached: {done.stderr.decode()[-300:]}")


@pytest.fixture
def python(request: pytest.FixtureRequest, _index: None, tmp_path: Path) -> Iterator[list[str]]:
    """The command that starts a client in an environment with its packages alone."""
    name: str = request.param
    folder = tmp_path / "environment"
    venv.create(folder, symlinks=True)
    interpreter = folder / "bin/python"
    install = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet"]
    install += ["--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes"]
    subprocess.run([*install, "-r", str(CLIENTS / f"{name}.txt")], check=True)
    yield [str(interpreter), "-I", str(CLIENTS / f"{name}_python.py")]
    shutil.rmtree(folder)


@pytest.mark.parametrize("python", ["openai", "pipecat", "livekit"], indirect=True)
def test_python_clients_that_stream(served: Served, python: list[str], tmp_path: Path) -> None:
    assert pieces_of(python, served.http, tmp_path, served.sound) > 1


@pytest.mark.parametrize("python", ["litellm"], indirect=True)
def test_python_clients_that_take_the_whole(served: Served, python: list[str], tmp_path: Path) -> None:
    assert pieces_of(python, served.http, tmp_path, served.sound) == 1


@pytest.mark.parametrize("python", ["wyoming"], indirect=True)
def test_wyoming(served: Served, python: list[str], tmp_path: Path) -> None:
    assert pieces_of(python, served.wyoming, tmp_path, served.sound) > 1


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm clients, installed as the lock file says."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    for path in [*CLIENTS.glob("*.json"), *CLIENTS.glob("*.mjs")]:
        shutil.copy(path, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.mark.parametrize(("script", "streams"), [("openai_npm.mjs", True), ("vercel_ai.mjs", False)])
def test_npm_clients(served: Served, node_modules: Path, tmp_path: Path, script: str, streams: bool) -> None:
    pieces = pieces_of(["node", str(node_modules / script)], served.http, tmp_path, served.sound)
    assert (pieces > 1) is streams
