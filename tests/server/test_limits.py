"""Clients that stall, send half a request, or want too much: their places come free, and others are
served."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from dimts.server.rate_limit import WINDOW_SECONDS, RateLimit

from .conftest import serving

LONG = "ሰላም ለዓለም። " * 1400
PAUSES = "ሰላም [pause 60s] " * 70


@pytest.fixture(scope="module")
def strict() -> Iterator[Any]:
    """A server of the formant voice that waits for nobody long."""
    limits = {"stall_seconds": 1, "head_seconds": 5, "body_seconds": 5}
    with serving(*(f"--set=serve.{name}={value}" for name, value in limits.items())) as found:
        yield found


def post(server: Any, body: dict[str, Any], *, sent: int | None = None) -> socket.socket:
    """A connection on which a speech request was sent, or its first `sent` bytes, and nothing is read."""
    at, data = urlsplit(server.address), json.dumps(body).encode()
    head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: {at.netloc}\r\ncontent-type: application/json\r\n"
    connection = socket.create_connection((at.hostname, at.port), timeout=60)
    connection.sendall((f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)[:sent])
    return connection


def ended(connection: socket.socket) -> bool:
    """Whether the server ends a connection, whatever it sent before."""
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionError:
        return True
    return True


def test_a_client_that_never_reads_loses_its_place(strict: Any) -> None:
    with post(strict, {"input": LONG, "response_format": "wav", "speed": 0.5}):
        strict.until(lambda _: any(line.get("letters") == len(LONG) for line in strict.log()))
        assert strict.health()["requests"] == 0
    assert next(line for line in strict.log() if line.get("letters") == len(LONG))["ended"] == "stalled"


@pytest.mark.parametrize("sent", [0, 30, 150])
def test_half_a_request_is_not_waited_for(strict: Any, sent: int) -> None:
    with ExitStack() as stack:
        connections = [
            stack.enter_context(post(strict, {"input": "ሰላም" * 30}, sent=sent)) for _ in range(100)
        ]
        assert all(map(ended, connections))
    assert strict.health()["requests"] == 0


@pytest.mark.parametrize("stream", [True, False])
def test_sound_without_end_is_refused_before_any_is_made(strict: Any, stream: bool) -> None:
    with strict.client() as client:
        answer = client.post("/v1/audio/speech", json={"input": PAUSES, "stream": stream})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "speech_too_long")


def test_a_long_whole_is_kept_on_disk() -> None:
    import psutil

    with serving("--set=serve.max_letters=20000") as server:
        process = psutil.Process(server.process.pid)
        with server.client() as client:
            client.post("/v1/audio/speech", json={"input": "ሰላም ለዓለም።"})
            before = process.memory_info().rss
            answer = client.post(
                "/v1/audio/speech",
                json={"input": "ሰላም [pause 60s] " * 50, "stream": False, "response_format": "pcm"},
            )
        assert len(answer.content) > 140_000_000
        assert process.memory_info().rss - before < 100_000_000


@pytest.fixture
def two_keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("abebe:0123456789abcdef\nsara:fedcba9876543210\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_one_key_cannot_shut_out_another(two_keys: Path) -> None:
    at = {name: {"authorization": f"Bearer {key}"}
          for name, key in (("abebe", "0123456789abcdef"), ("sara", "fedcba9876543210"))}  # fmt: skip
    with serving("--api-key-file", two_keys, "--slots", "2", "--queue", "2") as server, ExitStack() as stack:
        client = stack.enter_context(server.client())
        body = {"input": LONG, "response_format": "pcm"}
        for _ in range(2):  # half of the four places
            stack.enter_context(client.stream("POST", "/v1/audio/speech", json=body, headers=at["abebe"]))
        refused = client.post("/v1/audio/speech", json=body, headers=at["abebe"])
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "key_places_taken")
        assert int(refused.headers["retry-after"]) >= 1
        taken = client.post("/v1/audio/speech", json={"input": "ሰላም"}, headers=at["sara"])
        assert taken.status_code == 200


def test_requests_a_minute() -> None:
    with serving("--set=serve.requests_per_minute=3") as server, server.client() as client:
        answers = [client.get("/v1/models") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= WINDOW_SECONDS
        assert client.get("/health").status_code == 200


def test_the_wait_of_a_limited_key_is_exact() -> None:
    limit = RateLimit(2)
    assert [limit.wait_seconds("a", now) for now in (0.0, 10.0, 20.0)] == [0.0, 0.0, 40.0]
    assert limit.wait_seconds("b", 20.0) == 0.0
    assert limit.wait_seconds("a", 59.9) == pytest.approx(0.1)
    assert limit.wait_seconds("a", 60.0) == 0.0


@pytest.mark.parametrize("route", ["normalise", "phones"])
def test_a_text_that_takes_too_long_to_read_is_given_up(route: str) -> None:
    with serving("--set=serve.max_read_seconds=0.000001") as hasty:
        answer = httpx.post(f"{hasty.address}/v1/{route}", json={"input": "በ2017 ዓ.ም\n" * 50}, timeout=60)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "text_takes_too_long"
