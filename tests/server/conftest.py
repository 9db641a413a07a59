"""Real server processes, and a tiny model for them to speak with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("torch")
httpx = pytest.importorskip("httpx")

TEXT = "ሰላም ለዓለም። እንዴት ናችሁ?"
READY = re.compile(r"serving at (http://\S+) ")


@dataclass
class Server:
    """A server that runs in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    lines: list[str]
    reading: threading.Thread = field(repr=False, default_factory=threading.Thread)

    def client(self, **more: Any) -> Any:
        """An HTTP client for it."""
        return httpx.Client(base_url=self.address, timeout=120, trust_env=False, **more)

    def openai(self, key: str = "none", **more: Any) -> Any:
        """OpenAI's own client."""
        openai = pytest.importorskip("openai")
        return openai.OpenAI(base_url=f"{self.address}/v1", api_key=key, max_retries=0, **more)

    def health(self) -> dict[str, Any]:
        with self.client() as client:
            found: dict[str, Any] = client.get("/health").json()
            return found

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for its health until something holds; fails when it never does."""
        for _ in range(600):
            found = self.health()
            if holds(found):
                return found
            threading.Event().wait(0.05)
        raise AssertionError(f"never came to be: {found}")

    def log(self) -> list[dict[str, Any]]:
        """The lines of its log so far."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def end(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(300)
        self.reading.join(10)
        return code


@contextmanager
def serving(*arguments: str | Path) -> Iterator[Server]:
    """`dimts serve` with these arguments, on a port that is free."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dimts", "serve", *map(str, arguments), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    lines: list[str] = []
    address = ""
    for line in process.stderr:
        lines.append(line)
        if found := READY.search(line):
            address = found[1]
            break
    server = Server(process, address, lines)
    server.reading = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
    server.reading.start()
    try:
        assert address, "".join(lines)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        server.reading.join(10)
        process.stderr.close()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice bundle with a tiny engine of random weights and two voices."""
    import torch

    from dimts.base.config import to_dict
    from dimts.speak import FORMANT_FRONTEND
    from dimts.text.frontend import MARKS
    from dimts.text.phones import inventory
    from dimts.xtts.checkpoint import Bundle, save_bundle
    from dimts.xtts.model import XTTS
    from dimts.xtts.spec import SPECS
    from dimts.xtts.vocabulary import Vocabulary
    from dimts.xtts.voice import clone

    words = Vocabulary.for_phones(list(inventory()), marks=sorted({*MARKS.values(), "?", "!"}))
    spec = replace(SPECS["tiny"], text_ids=words.size, start_text=words.start, stop_text=words.stop)
    model = XTTS.build(spec, 1, dvae=False)
    noise = torch.Generator().manual_seed(1)
    voices = {
        name: clone(model, [torch.randn(44_100, generator=noise) * 0.1], name=name)
        for name in ("abebe", "sara")
    }
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_bundle(
        Bundle(model, words, {"settings": to_dict(FORMANT_FRONTEND)}, voices, {"name": "tiny voice"}), folder
    )
    return folder


@pytest.fixture(scope="session")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the tiny model and the formant voice, for every test that leaves it as it was."""
    folder = tmp_path_factory.mktemp("voices")
    with serving(
        bundle, "--voices-folder", folder, "--slots", "4", "--set", "serve.max_letters=2000"
    ) as found:
        yield found
