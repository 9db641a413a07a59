"""A refusal is heard by a client that is still sending, over a real connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dimts.base.http import drain_request

uvicorn = pytest.importorskip("uvicorn")
SENT_LATER = 20_000_000


def refusing(hear_out: bool) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        send = drain_request(receive, send) if hear_out else send
        fields = [(b"content-length", b"9"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": fields})
        await send({"type": "http.response.body", "body": b"too large"})

    return app


@contextmanager
def served(app: Any) -> Iterator[int]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        sock.close()


def sent_all(port: int) -> bool:
    """Whether a client can send what it announced after it has read the refusal, and is then let go in peace."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SENT_LATER)
        answer = b""
        while not answer.endswith(b"too large"):
            answer += client.recv(1000)
        assert answer.startswith(b"HTTP/1.1 413")
        try:
            client.sendall(b"\0" * SENT_LATER)
            return client.recv(1000) == b""
        except ConnectionError:
            return False


@pytest.mark.parametrize("hear_out", [True, False])
def test_a_refusal_ends_when_the_request_has_ended(hear_out: bool) -> None:
    with served(refusing(hear_out)) as port:
        assert sent_all(port) == hear_out
