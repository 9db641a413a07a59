"""How the server bears many clients: errors, mixed-up sound, memory, first sound, and what happens when they
leave.

python benchmarks/serve.py [--seconds 300] [--clients 16]      prints one JSON line; all traffic stays on
127.0.0.1

A real `dimts serve` with the tiny size (random weights). Every job (text, voice, seed) is spoken alone first;
then all clients stream jobs at once, each as fast as it can, and every stream must equal its solo run to the
last byte. The peer of the throughput is the same server with one client. After that a third of the clients is
killed in the middle of their streams, the queue is filled, and SIGTERM comes while sentences are running.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

SENTENCES = (
    "ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ አገር ናት።", "ዋና ከተማዋ አዲስ አበባ ይባላል።", "ዛሬ ጠዋት ዝናብ ስለዘነበ መንገዱ ጭቃ ሆኗል።",
    "እንዴት ናችሁ?", "ሁላችንም ደህና ነን!", "ገበሬው ማሳውን በበሬ ያርሳል።", "በ2017 ዓ.ም 10 ብር ከፈለ።", "ወንዙ ሞልቶ ፈሰሰ።",
)  # fmt: skip
SLOTS, QUEUE = 16, 4
LONG = " ".join(SENTENCES * 40)
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Job:
    """One request."""

    text: str
    voice: str
    seed: int

    def body(self) -> bytes:
        """As it is sent."""
        row = {
            "input": self.text,
            "voice": self.voice,
            "seed": self.seed,
            "model": "tiny",
            "response_format": "pcm",
        }
        return json.dumps(row).encode()


@dataclass(frozen=True)
class CompletedRequest:
    """What came back."""

    digest: str
    bytes: int
    first_seconds: float
    """From the request to the first byte of sound."""
    seconds: float


def bundle(folder: Path) -> Path:
    """A bundle of the tiny size with random weights and two voices."""
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
    save_bundle(Bundle(model, words, {"settings": to_dict(FORMANT_FRONTEND)}, voices), folder / "tiny")
    return folder / "tiny"


class Server:
    """The process that is measured."""

    def __init__(self, model: Path) -> None:
        command = [sys.executable, "-m", "dimts", "serve", str(model), "--port", "0", "--slots", str(SLOTS)]
        self.process = subprocess.Popen(
            [*command, "--queue", str(QUEUE)], stderr=subprocess.PIPE, text=True, env={**os.environ}
        )
        self.lines: list[str] = []
        self.port = 0
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"serving at http://127\.0\.0\.1:(\d+) ", line):
                self.port = int(found[1])
                break
        threading.Thread(target=lambda: self.lines.extend(self.process.stderr or ()), daemon=True).start()

    def rss(self) -> float:
        """Resident memory in megabytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE

    def health(self) -> dict[str, object]:
        """What it says of itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/health")
        found: dict[str, object] = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def open(self, job: Job) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """A request whose answer has begun."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("POST", "/v1/audio/speech", job.body(), {"content-type": "application/json"})
        return connection, connection.getresponse()

    def ask(self, job: Job) -> CompletedRequest:
        """Send a request and read its whole answer. RuntimeError for anything but sound."""
        began = time.perf_counter()
        connection, answer = self.open(job)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.read()[:200]!r}")
        digest, count, first = hashlib.sha256(), 0, 0.0
        while piece := answer.read1(65_536):
            first = first or time.perf_counter() - began
            digest.update(piece)
            count += len(piece)
        connection.close()
        return CompletedRequest(digest.hexdigest(), count, first, time.perf_counter() - began)


def jobs(count: int) -> list[Job]:
    """Texts of one to four sentences, two voices, each with a seed of its own."""
    return [
        Job(
            " ".join(SENTENCES[(n + i) % len(SENTENCES)] for i in range(1 + n % 4)),
            ("abebe", "sara")[n % 2],
            n,
        )
        for n in range(count)
    ]


def soak(server: Server, known: dict[Job, str], clients: int, seconds: float) -> dict[str, object]:
    """All clients at once, for so long."""
    end, lock = time.perf_counter() + seconds, threading.Lock()
    turn = iter(range(10**9))
    completed: list[CompletedRequest] = []
    errors: list[str] = []
    mixed: list[int] = []
    memory: list[tuple[float, float]] = []

    def client() -> None:
        every = list(known)
        while time.perf_counter() < end:
            with lock:
                job = every[next(turn) * 7 % len(every)]
            try:
                found = server.ask(job)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                with lock:
                    errors.append(repr(error))
                continue
            with lock:
                completed.append(found)
                if found.digest != known[job]:
                    mixed.append(job.seed)

    def watch() -> None:
        began = time.perf_counter()
        while time.perf_counter() < end:
            memory.append((time.perf_counter() - began, server.rss()))
            time.sleep(1.0)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients + 1) as pool:
        for done in [pool.submit(watch), *(pool.submit(client) for _ in range(clients))]:
            done.result()
    took = time.perf_counter() - began
    firsts = sorted(one.first_seconds for one in completed)
    settled = [rss for at, rss in memory if at > 0.2 * seconds]
    third = max(1, len(settled) // 3)
    return {
        "clients": clients,
        "minutes": round(took / 60, 2),
        "streams": len(completed),
        "errors": len(errors),
        "first_errors": errors[:3],
        "unlike_solo": len(mixed),
        "first_sound_p50_ms": round(1000 * statistics.median(firsts)),
        "first_sound_p95_ms": round(1000 * firsts[int(0.95 * len(firsts))]),
        "speech_seconds_per_second": round(sum(one.bytes for one in completed) / 48_000 / took, 1),
        "rss_mb_early": round(statistics.mean(settled[:third]), 1),
        "rss_mb_late": round(statistics.mean(settled[-third:]), 1),
        "rss_mb_most": round(max(rss for _, rss in memory), 1),
    }


def kill_a_third(server: Server, clients: int = 15) -> dict[str, object]:
    """Connections closed in the middle of a stream; how long until their slots are free."""
    running = [server.open(Job(LONG, "abebe", n)) for n in range(clients)]
    for _, answer in running:
        answer.read1(1000)
    before = server.health()
    began = time.perf_counter()
    for connection, answer in running[::3]:
        answer.close()
        connection.close()
    freed = 0.0
    while time.perf_counter() - began < 30:
        if server.health()["requests"] == clients - len(running[::3]):
            freed = time.perf_counter() - began
            break
    slots = 0.0
    for connection, answer in running:
        answer.close()
        connection.close()
    while time.perf_counter() - began < 60:
        if server.health()["speaking"] == {"tiny": 0}:
            slots = time.perf_counter() - began
            break
    return {
        "requests_before": before["requests"],
        "killed": len(running[::3]),
        "free_after_ms": round(1000 * freed, 1),
        "all_gone_after_ms": round(1000 * slots, 1),
    }


def fill(server: Server) -> dict[str, object]:
    """More requests than places: whoever holds one reads nothing more, and the text is longer than any
    buffer."""
    with ThreadPoolExecutor(SLOTS + QUEUE) as pool:
        running = list(pool.map(lambda n: server.open(Job(LONG, "abebe", n)), range(SLOTS + QUEUE)))
    connection, answer = server.open(Job(SENTENCES[0], "abebe", 1))
    found = {"held": len(running), "status": answer.status, "retry_after": answer.getheader("retry-after")}
    connection.close()
    for other, body in running:
        body.close()
        other.close()
    while server.health()["requests"]:
        time.sleep(0.01)
    return found


def end(server: Server, known: dict[Job, str]) -> dict[str, object]:
    """SIGTERM while streams are running."""
    some = list(known)[3:16:4]  # the longest
    running = [(job, *server.open(job)) for job in some]
    began = time.perf_counter()
    server.process.send_signal(signal.SIGTERM)
    whole = sum(hashlib.sha256(answer.read()).hexdigest() == known[job] for job, _, answer in running)
    for _, connection, _ in running:
        connection.close()
    code = server.process.wait(120)
    return {"running": len(some), "finished_like_solo": whole, "exit_code": code,
            "seconds": round(time.perf_counter() - began, 2)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=24)
    chosen = parser.parse_args()
    every = jobs(chosen.jobs)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(bundle(Path(folder)))
        assert server.port, "".join(server.lines)
        try:
            repeatable = server.health()["repeatable"]
            server.ask(every[0])
            began = time.perf_counter()
            alone = {job: server.ask(job) for job in every}
            took = time.perf_counter() - began
            known = {job: found.digest for job, found in alone.items()}
            result: dict[str, object] = {
                "repeatable": repeatable,
                "alone_first_sound_p50_ms": round(
                    1000 * statistics.median(found.first_seconds for found in alone.values())
                ),
                "alone_speech_seconds_per_second": round(
                    sum(found.bytes for found in alone.values()) / 48_000 / took, 1
                ),
                **soak(server, known, chosen.clients, chosen.seconds),
            }
            print(json.dumps(result), file=sys.stderr, flush=True)
            result["killed"] = kill_a_third(server)
            result["full"] = fill(server)
            result["sigterm"] = end(server, known)
        finally:
            if server.process.poll() is None:
                server.process.kill()
            server.process.wait()
        result["bugs_in_log"] = sum('"level": "error"' in line for line in server.lines)
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
