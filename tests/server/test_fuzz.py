"""20 000 requests, raw connections and WebSocket frames at random: no error of ours, no memory that grows."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import serving

websockets = pytest.importorskip("websockets")

ROUNDS = int(os.environ.get("DIMTS_FUZZ_ROUNDS", "20000"))
"""Requests, raw connections and WebSocket frames together."""
WARM = 0.25
"""Share of the rounds after which memory may not grow any more."""
SLACK_BYTES = 64 << 20
TEXTS = (
    "ሰላም", "ሰላም ለዓለም። እንዴት ናችሁ?", "", " ", "\n" * 50, "Firefox", "😀", "በ2017 ዓ.ም 10 ብር", "\u0000", "\ud800",
    "a" * 3000,
    "[pause 60s]" * 40, "<speak>ሰላም<break time='9s'/></speak>", "<speak><prosody rate='9%'>ሰ", "/səlam/",
    "፼" * 200,
    "ሰ\u0301\u0302" * 30, "١٢٣ ሰላም", "9" * 400, "ሰላም\u202eለዓለም", "&lt;&amp;&#x10ffff;", "ሀ" * 1999,
    "a/b/c/" * 99,
)  # fmt: skip
SPOKEN = ("ሰላም", "ሰላም ለዓለም። እንዴት ናችሁ?", "Firefox", "በ2017 ዓ.ም 10 ብር")
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**63, -(2**70), 1e308, -0.0, 0.25, 4.0, 4.01, "", "mp3", "wav", "pcm",
    "flac", "opus", "aac",
    "alloy", "default", "formant", "tiny", "tts-1-hd-2026-01-01", "am", "../../etc/passwd", "\u0000", [], {},
    [1], {"id": "sara"},
    {"id": 3}, "sse", "audio", *TEXTS[:6],
)  # fmt: skip
FIELDS = (
    "input", "model", "voice", "response_format", "speed", "stream", "stream_format", "seed", "language",
    "instructions", "user",
    "lang_code", "text", "inptu", "speaker_wav", "ድምፅ", "a" * 300,
)  # fmt: skip
PATHS = (
    "/v1/audio/speech", "/v1/audio/speech", "/v1/audio/speech", "/v1/normalise", "/v1/phones", "/v1/voices",
    "/v1/voices/sara",
    "/v1/voices/%00", "/v1/voices/..%2f..%2fetc", "/v1/models", "/v1/models/tiny", "/v1/models/nothing",
    "/v1/audio/voices",
    "/v1/audio/models", "/health", "/metrics", "/openapi.json", "/docs", "/", "/v1/audio/speech/ws", "/%ff",
    "/a" * 400,
    "/v1//audio/speech", "/favicon.ico",
)  # fmt: skip
METHODS = ("GET",) * 6 + ("POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")
EVENTS = ("session.update", "input.append", "input.done", "cancel", "interrupt", "", "ሰላም")


def body(chance: random.Random) -> bytes:
    """A body: JSON of a request with odd fields, or anything."""
    kind = chance.random()
    if kind > 0.6:  # one that is answered
        form, model = (
            chance.choice(("mp3", "wav", "pcm", "flac", "opus", "aac")),
            chance.choice(("formant", "tiny")),
        )
        return json.dumps({"input": chance.choice(SPOKEN), "response_format": form, "model": model}).encode()
    if kind < 0.1:
        return chance.randbytes(chance.randrange(200))
    if kind < 0.15:
        return chance.choice(
            (
                b"[" * 5000,
                b'{"input":',
                b"null",
                b'"\xff"',
                b"NaN",
                b'{"input": "\\ud800"}',
                b"\xef\xbb\xbf{}",
            )
        )
    fields = {chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.randrange(5))}
    if chance.random() < 0.8:
        fields["input"] = chance.choice(TEXTS)
    return json.dumps(fields, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def request(chance: random.Random) -> bytes:
    """The bytes of an HTTP request, sensible or not."""
    content = body(chance)
    path = chance.choice(PATHS)
    posted = path.startswith(("/v1/audio/speech", "/v1/normalise", "/v1/phones")) and chance.random() < 0.85
    method = "POST" if posted else chance.choice(METHODS)
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines.append(chance.choice(("Content-Type: application/json",) * 5 + (
        "Content-Type: multipart/form-data; boundary=x", "Content-Type: text/plain",
        "Content-Type: \u00ff")))  # fmt: skip
    length = len(content) if chance.random() < 0.95 else chance.choice((-1, 0, 10**12, "x"))
    lines.append(f"Content-Length: {length}")
    if chance.random() < 0.1:
        lines.append(chance.choice((
            "Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: websocket", "Range: bytes=0-",
            "X: " + "y" * 9000,
            "Origin: http://evil.example", "Authorization: Bearer x", "Accept-Encoding: gzip",
            "Content-Encoding: gzip")))  # fmt: skip
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def answer_to(port: int, sent: bytes, patience: float) -> bytes:
    """What the server answers; b"" where it closes without a word. The client leaves after half a request."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(patience)
            found = b""
            while piece := client.recv(65536):
                found += piece
        except (ConnectionError, TimeoutError):
            return b""
        return found


def http(port: int, chance: random.Random, seen: Counter[int]) -> None:
    sent = request(chance)
    if chance.random() < 0.05:
        sent = (
            sent[: chance.randrange(len(sent))]
            if chance.random() < 0.5
            else chance.randbytes(chance.randrange(1, 300))
        )
    found = answer_to(port, sent, 60.0)
    status = re.match(rb"HTTP/1\.1 (\d{3})", found)
    code = int(status[1]) if status else 0
    seen[code] += 1
    assert code < 500 or (code == 503 and b"retry-after" in found.lower()), (sent[:2000], found[:2000])
    assert b"Traceback" not in found


async def frames(address: str, chance: random.Random, count: int, seen: Counter[int]) -> None:
    """One connection with so many frames; leaves without a goodbye now and then."""
    async with websockets.connect(address.replace("http", "ws") + "/v1/audio/speech/ws") as connection:
        reading = asyncio.create_task(_read(connection, seen))
        for _ in range(count):
            event: Any = {"type": chance.choice(EVENTS), chance.choice(FIELDS): chance.choice(VALUES)}
            if chance.random() < 0.6:
                event["text"] = chance.choice(TEXTS)
            raw = json.dumps(event)
            if chance.random() < 0.1:
                raw = chance.choice(("", "{", "[]", "null", "\u0000", "1e999", '{"type": 3}'))
            try:
                await connection.send(chance.randbytes(20) if chance.random() < 0.05 else raw)
            except websockets.ConnectionClosed:
                break
            seen[1] += 1
        reading.cancel()
        if connection.close_code is not None:
            assert connection.close_code != 1011, connection.close_reason  # 1011: an internal error


async def _read(connection: Any, seen: Counter[int]) -> None:
    async for message in connection:
        if isinstance(message, str):
            event = json.loads(message)
            seen[2] += 1
            assert event.get("error", {}).get("type") != "server_error", event


def memory(process: int) -> int:
    """Resident bytes of a process and of its children."""
    psutil = pytest.importorskip("psutil")
    main = psutil.Process(process)
    return sum(one.memory_info().rss for one in (main, *main.children(recursive=True)))


@pytest.mark.slow
def test_no_error_of_ours_and_flat_memory(bundle: Path, tmp_path: Path) -> None:
    chance = random.Random(7)
    seen: Counter[int] = Counter()
    with serving(bundle, "--voices-folder", tmp_path / "voices", "--set", "serve.max_letters=2000") as server:
        port = int(server.address.rpartition(":")[2])
        done, warm = 0, 0
        while done < ROUNDS:
            if chance.random() < 0.02:
                count = chance.randrange(1, 60)
                asyncio.run(frames(server.address, chance, count, seen))
                done += count
            else:
                http(port, chance, seen)
                done += 1
            if not warm and done >= WARM * ROUNDS:
                warm = memory(server.process.pid)
        server.until(lambda health: health["requests"] == 0)
        after = memory(server.process.pid)
        faults = [line for line in server.log() if line.get("status", 0) >= 500]
        assert server.end() == 0
    print(dict(seen), f"{warm >> 20} MiB → {after >> 20} MiB")
    assert not [line for line in faults if line["status"] != 503]
    assert after - warm < SLACK_BYTES
    assert seen[200] > ROUNDS / 100
