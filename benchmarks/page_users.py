"""How soon the page answers when many people use it at once.

python benchmarks/page_users.py [--users 20] [--seconds 30] [--language am]

Each user does what an open page does: it loads the page, waits for its events, asks `/pulse` each second, and
every three seconds has a sentence read (the button *Read*). Users are programs, not browsers: twenty browsers
would need more processors than the server that is measured. Seconds until the answer of each kind of request:
median, 95th percentile, worst. One JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from page import free_port, listened

READ_SECONDS = 3.0
PATIENCE_SECONDS = 120.0
SENTENCES = ("ሰላም ለዓለም። ዛሬ እንዴት ናችሁ?", "በ2017 ዓ.ም 3,500 ተማሪዎች ተመረቁ።", "ገበሬው ማሳውን በበሬ ያርሳል።")


class User:
    """One open page."""

    def __init__(
        self, client: httpx.AsyncClient, language: str, number: int, taken: dict[str, list[float]]
    ) -> None:
        self.client, self.base, self.number, self.taken = client, f"/{language}", number, taken
        self.session = f"user{number:04d}"
        self.waiting: dict[str, asyncio.Future[None]] = {}

    async def timed(self, kind: str, asked: Any) -> Any:
        """Wait for an answer and note how long it took."""
        start = time.perf_counter()
        found = await asked
        self.taken[kind].append(time.perf_counter() - start)
        return found

    async def config(self) -> dict[str, Any]:
        """Return what the page is built from; a browser finds it in the page."""
        return dict((await self.client.get(f"{self.base}/config")).raise_for_status().json())

    async def open(self, event: int) -> None:
        """Load the page and have it filled."""
        (await self.timed("page", self.client.get(f"{self.base}/"))).raise_for_status()
        await self.timed("filled", self.press(event, ["abebe", ""]))

    async def events(self) -> None:
        """Follow the stream of events until an answer is there, and say which; a browser keeps it open."""
        address = f"{self.base}/gradio_api/queue/data?session_hash={self.session}"
        async with self.client.stream("GET", address) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                if message["msg"] == "process_completed":
                    assert message["success"], message
                    self.waiting.pop(message["event_id"]).set_result(None)
                    return

    async def press(self, event: int, data: list[str]) -> None:
        """Cause an event and wait until its answer is there."""
        body = {"data": data, "fn_index": event, "session_hash": self.session, "trigger_id": None}
        joined = await self.client.post(f"{self.base}/gradio_api/queue/join", json=body)
        name = joined.raise_for_status().json()["event_id"]
        self.waiting[name] = done = asyncio.get_running_loop().create_future()
        await asyncio.gather(self.events(), done)

    async def read(self, event: int) -> None:
        """Press *Read*."""
        await self.press(event, ["abebe", SENTENCES[self.number % len(SENTENCES)]])

    async def use(self, seconds: float, event: int) -> None:
        """Use the page for a while."""
        end = time.monotonic() + seconds
        await asyncio.sleep(READ_SECONDS * self.number / 20)  # people do not press at the same moment
        pressed = 0.0
        while time.monotonic() < end:
            await self.timed("pulse", self.client.get("/pulse?project=abebe"))
            if time.monotonic() - pressed > READ_SECONDS:
                pressed = time.monotonic()
                await self.timed("read", self.read(event))
            await asyncio.sleep(1.0)


def event_of(config: dict[str, Any], button: str) -> int:
    """Number of the handler behind a button; of "load" the one that chooses the project."""
    ids = {one["props"].get("elem_id"): one["id"] for one in config["components"]}
    for one in config["dependencies"]:
        names = [name for _, name in one["targets"]]
        opened = (
            button == "load" and names == ["load"] and one["backend_fn"] and ids["tabs"] in one["outputs"]
        )
        if opened or [ids.get(button), "click"] in map(list, one["targets"]):
            return int(one["id"])
    raise SystemExit(f"the page has no {button}")


async def measured(address: str, language: str, users: int, seconds: float) -> dict[str, list[float]]:
    """Seconds of every answer, by kind of request."""
    taken: dict[str, list[float]] = defaultdict(list)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_SECONDS, limits=limits) as client:
        while (await client.get(f"/ready/{language}")).status_code != 200:
            await asyncio.sleep(0.2)
        people = [User(client, language, number, taken) for number in range(users)]
        first = User(client, language, users, defaultdict(list))
        config = await first.config()
        opening, event = event_of(config, "load"), event_of(config, "text-read")
        await first.open(opening)
        await first.read(event)  # tables and models are loaded once
        await asyncio.gather(*(one.open(opening) for one in people))
        await asyncio.gather(*(one.use(seconds, event) for one in people))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--language", choices=("am", "en"), default="am")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, port = Path(folder), free_port()
        new = [sys.executable, "-m", "dimts", "new", str(home / "abebe")]
        subprocess.run(new, check=True, capture_output=True)
        command = [sys.executable, "-m", "dimts", "web", str(home), "--port", str(port)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            listened(port)
            address = f"http://127.0.0.1:{port}"
            taken = asyncio.run(measured(address, given.language, given.users, given.seconds))
        finally:
            process.terminate()
            process.wait()
    table = {}
    for kind, seconds in taken.items():
        median, most, worst = np.round(np.quantile(seconds, (0.5, 0.95, 1.0)), 3).tolist()
        table[kind] = {"median": median, "95th": most, "worst": worst, "count": len(seconds)}
    print(json.dumps({"cores": os.cpu_count(), "users": given.users, "seconds": given.seconds, **table}))


if __name__ == "__main__":
    main()
