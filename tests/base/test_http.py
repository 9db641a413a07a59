"""Checks and limits of an HTTP server, over real connections: who may ask, who takes too long, who is still
sending."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import ConfigError
from dimts.base.http import (
    LOCAL_HOSTS,
    access_fault,
    bind,
    deadlines,
    drain_request,
    handshakes,
    header_value,
    limit_body,
    read_secrets,
    refusal_of,
    url_of,
)

uvicorn = pytest.importorskip("uvicorn")
SENT_LATER = 20_000_000
REFUSAL = refusal_of(b"{}", [(b"content-type", b"application/json"), (b"content-length", b"2")])


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
def served(app: Any, protocol: Any = "auto", sockets: Any = "none") -> Iterator[int]:
    sock = bind("127.0.0.1", 0)
    config = uvicorn.Config(app, lifespan="off", log_level="critical", http=protocol, ws=sockets)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        sock.close()


def sent_all(port: int) -> bool:
    """Whether a client can send what it announced after it has read the refusal, and is then let go in
    peace."""
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


def aborted(port: int, sent: bytes) -> bool:
    """Whether the server ends a connection on which nothing more comes after `sent`."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(sent)
        try:
            return client.recv(1000) == b""
        except ConnectionResetError:
            return True


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"


@pytest.mark.parametrize(
    "sent", [b"", HEAD, HEAD + b"\r\n12345"], ids=["nothing", "half a head", "half a body"]
)
def test_a_client_that_stops_sending_is_aborted(sent: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    with served(app, deadlines(0.3, 0.3, 60.0, REFUSAL)) as port:
        assert aborted(port, sent)


def test_a_client_that_stops_reading_is_aborted() -> None:
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2000):  # more than the system keeps for a connection
            await send({"type": "http.response.body", "body": b"\0" * 65536, "more_body": True})
        gone = await receive()
        assert gone["type"] == "http.disconnect"
        ended.set()

    with (
        served(app, deadlines(60.0, 60.0, 0.3, REFUSAL)) as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ended.wait(60)


def test_a_slow_client_that_goes_on_reading_gets_everything() -> None:
    size = 12_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]}
        )
        for _ in range(size // 60_000):
            await send({"type": "http.response.body", "body": b"\0" * 60_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with (
        served(app, deadlines(60.0, 60.0, 0.5, REFUSAL)) as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        taken, pause = 0, threading.Event()
        while piece := client.recv(1_000_000):
            taken += len(piece)
            pause.wait(0.05)
        assert taken > size


def all_of(port: int, sent: bytes) -> bytes:
    """What a server answers before it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(sent)
        answer = b""
        while piece := client.recv(1000):
            answer += piece
        return answer


async def silent(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"} if scope["type"] == "websocket" else {})


UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n",
        HEAD.replace(b"10", b"-1") + b"\r\n", UPGRADE + b"\r\n",
        UPGRADE + KEY.replace(b"13", b"12") + b"\r\n",
        UPGRADE + KEY + b"Content-Length: 3\r\n\r\nabc",
        UPGRADE + KEY + b"".join(b"X-%d: 1\r\n" % number for number in range(150)) + b"\r\n",
        UPGRADE + KEY + b"X: " + b"x" * 9000 + b"\r\n\r\n",
        UPGRADE + KEY + b"Sec-WebSocket-Extensions: ;;\r\n\r\n",
    ],
    ids=["tls", "header", "path", "length", "key", "version", "body", "headers", "long", "extensions"],
)  # fmt: skip
def test_what_is_no_request_is_refused_in_the_given_shape(sent: bytes) -> None:
    with served(silent, deadlines(60.0, 60.0, 60.0, REFUSAL), handshakes(REFUSAL)) as port:
        assert all_of(port, sent) == REFUSAL


def test_a_handshake_is_answered() -> None:
    with (
        served(silent, deadlines(60.0, 60.0, 60.0, REFUSAL), handshakes(REFUSAL)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60) as client,
    ):
        client.sendall(UPGRADE + KEY + b"\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 101 ")


def test_a_refusal_is_not_mixed_into_an_answer_that_has_begun() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    with (
        served(app, deadlines(60.0, 60.0, 60.0, REFUSAL)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while b"begun" not in answer:
            answer += client.recv(1000)
        client.sendall(b"\0 no request\r\n\r\n")
        with suppress(ConnectionResetError):
            while piece := client.recv(1000):
                answer += piece
        assert b" 400 " not in answer


class TooLarge(Exception):
    pass


def test_a_body_is_limited_whatever_its_header_says() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"12345", "more_body": True}

    async def read(limited: Any) -> None:
        while True:
            await limited()

    import asyncio

    with pytest.raises(TooLarge):
        asyncio.run(read(limit_body(receive, 12, TooLarge)))


@given(text=st.text())
def test_any_text_can_stand_in_a_header_and_comes_back(text: str) -> None:
    value = header_value(text, 10_000)
    assert re.fullmatch(r"[ -~]*", value)
    assert unquote(value) == text.encode("utf-8", "replace").decode()
    assert header_value(text, 20) == (value if len(value) <= 20 else value[:17] + "...")


@pytest.mark.parametrize(
    ("headers", "origins", "status"),
    [
        ({"host": "127.0.0.1:8000"}, (), None),
        ({"host": "[::1]:8000"}, (), None),
        ({"host": "evil.example:8000"}, (), 421),
        ({"host": "[::1"}, (), 421),
        ({}, (), 421),
        ({"host": "localhost:1", "origin": "http://localhost:1"}, (), None),
        ({"host": "localhost:1", "origin": "http://localhost:2"}, (), 403),
        ({"host": "localhost:1", "origin": "null"}, (), 403),
        ({"host": "localhost:1", "origin": "http://[x"}, (), 403),
        ({"host": "localhost:1", "origin": "https://app.example"}, ("https://app.example",), None),
        ({"host": "localhost:1", "origin": "https://app.example"}, ("*",), None),
    ],
)
def test_who_may_ask(headers: dict[str, str], origins: tuple[str, ...], status: int | None) -> None:
    fault = access_fault(headers, LOCAL_HOSTS, origins)
    assert (fault and fault[0]) == status


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "base.secrets_empty"), ("# no\n", "base.secrets_empty"), ("a\n", "base.secrets_line"),
     ("a:short\n", "base.secrets_line"), ("a b:long enough\n", "base.secrets_line"),
     ("a:long enough\na:long enough\n", "base.secrets_line")],
)  # fmt: skip
def test_a_wrong_file_of_secrets(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "secrets"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(ConfigError) as raised:
        read_secrets(path, 8)
    assert raised.value.code == code


@pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
def test_a_file_of_secrets_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text("# users\nsara:fedcba98\n\nabebe:with:colon\n", encoding="utf-8")
    path.chmod(0o600)
    assert read_secrets(path, 8) == {"sara": "fedcba98", "abebe": "with:colon"}
    path.chmod(0o640)
    with pytest.raises(ConfigError) as raised:
        read_secrets(path, 8)
    assert raised.value.code == "base.secrets_open_to_others"


def test_a_port_that_is_taken() -> None:
    with bind("127.0.0.1", 0) as sock, pytest.raises(ConfigError) as raised:
        bind("127.0.0.1", sock.getsockname()[1])
    assert raised.value.code == "base.cannot_listen"
    assert url_of("::1", 80) == "http://[::1]:80"
    assert url_of("0.0.0.0", 80) == "http://localhost:80"
