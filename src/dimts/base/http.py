"""Common parts of the HTTP servers: a socket, secret files, checks of Host and Origin, limits of size and
time.

    sock = bind(host, port)
    access_fault(headers, LOCAL_HOSTS)        why a request from another site's page is refused, else None
    limit_body(receive, max_bytes, error)     ASGI: raise `error()` once a body is larger
    deadlines(head, body, stall, refusal)     a uvicorn protocol that aborts clients which do not send or read
    handshakes(refusal)                       a uvicorn protocol that refuses wrong WebSocket handshakes

The checks are not Starlette's TrustedHostMiddleware, which answers in plain text, does not check
Origin and closes the connection on a client that is still sending. For CORS Starlette's own middleware is
used.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from dimts.base.errors import ConfigError
from dimts.base.messages import Message

Scope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
"""Names of this machine in requests from itself."""
MEGABYTE = 1_000_000
_DRAIN_SECONDS = 10.0
"""How long a client may continue to send a body that is not read."""
_NAME = re.compile(r"[^\s:]{1,64}")


def bind(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; port 0 takes one that is free. Raises ConfigError if it cannot
    listen."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise ConfigError(
            "base.cannot_listen", host=host, port=port, error=error.strerror or error
        ) from error
    return sock


def url_of(host: str, port: int) -> str:
    """Return the address to open on this machine: `http://HOST:PORT`, with brackets for IPv6."""
    shown = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104 (only compared)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def read_secrets(path: Path, min_letters: int) -> dict[str, str]:
    """Read a file with a `name:secret` a line; `#` begins a comment line.

    Raises ConfigError for a file that is unreadable, readable by others, empty, or has a wrong line: a name
    twice, a name with white space, a secret of less than `min_letters` letters.
    """
    try:
        text, mode = path.read_text(encoding="utf-8"), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("base.secrets_unreadable", path=path, error=error) from error
    if os.name == "posix" and mode & 0o077:
        raise ConfigError("base.secrets_open_to_others", path=path)
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, sign, secret = line.strip().partition(":")
        if not sign or not _NAME.fullmatch(name) or name in found or len(secret) < min_letters:
            raise ConfigError("base.secrets_line", path=path, number=number, letters=min_letters)
        found[name] = secret
    if not found:
        raise ConfigError("base.secrets_empty", path=path)
    return found


def same_secret(given: str, expected: str) -> bool:
    """Compare two secrets in a time that does not depend on where they differ."""
    return hmac.compare_digest(
        given.encode("utf-8", "surrogateescape"), expected.encode("utf-8", "surrogateescape")
    )


def header_value(text: str, max_letters: int = 1000) -> str:
    """Return text of any origin as the value of an HTTP header: at most so many letters of printable ASCII.

    Every other character, and "%" itself, is percent-encoded (RFC 3986), as a control character ends the
    connection without an answer.
    """
    coded = "".join(c if " " <= c <= "~" and c != "%" else quote(c, errors="replace") for c in text)
    return coded if len(coded) <= max_letters else coded[: max_letters - 3] + "..."


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers of an ASGI scope: lower-case name → value; the last of several counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def access_fault(
    headers: Mapping[str, str], hosts: Collection[str], origins: Collection[str] = ()
) -> tuple[int, Message] | None:
    """Return why a request is refused: its Host names another machine (421), its Origin is another site
    (403).

    `hosts` are the names that may be asked for, none: any; `origins` are sites that may ask beside the
    server's own pages, "*": all. A page of a foreign site could otherwise read a server that listens on
    127.0.0.1 only (DNS rebinding), or send forms to it.
    """
    if hosts and _parts(headers.get("host", "")).hostname not in hosts:
        return 421, Message("base.wrong_host")
    origin = headers.get("origin", "")
    if (
        origin
        and "*" not in origins
        and origin not in origins
        and _parts(origin).netloc != headers.get("host", "")
    ):
        return 403, Message("base.foreign_origin")
    return None


def with_headers(send: Send, headers: Iterable[tuple[bytes, bytes]]) -> Send:
    """Return a `send` that adds headers to the answer."""
    added = tuple(headers)

    async def sending(message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sending


def limit_body(receive: Receive, max_bytes: int, error: Callable[[], Exception]) -> Receive:
    """Return a `receive` that raises `error()` once a body exceeds `max_bytes`, whatever its header
    announced."""
    taken = 0

    async def receiving() -> AsgiMessage:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if taken > max_bytes:
            raise error()
        return message

    return receiving


def drain_request(receive: Receive, send: Send) -> Send:
    """Return a `send` that ends an answer when the client has sent its whole request, or ten seconds later.

    When a connection is closed while data arrives, it is reset, and the client loses the answer with it. The
    answer is sent at once; the rest of the request is dropped.
    """

    async def sending(message: AsgiMessage) -> None:
        if message["type"] != "http.response.body" or message.get("more_body"):
            await send(message)
            return
        await send({**message, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await _dropped(receive)
        await send({"type": "http.response.body", "body": b""})

    return sending


def refusal_of(body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a whole answer of status 400, after which the connection is closed, as it is sent (RFC 9112)."""
    lines = (b"%b: %b\r\n" % header for header in (*headers, (b"connection", b"close")))
    return b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (b"".join(lines), body)


def deadlines(
    head_seconds: float, body_seconds: float, stall_seconds: float, refusal: bytes
) -> type[asyncio.Protocol]:
    """Return a protocol for uvicorn's `http` option that aborts clients which take too long.

    A request's head must arrive within `head_seconds`, its body within `body_seconds`; a client that reads
    nothing of an answer for `stall_seconds` is aborted. uvicorn by itself waits without end in each case.
    What is no HTTP gets `refusal` (see `refusal_of`).
    """
    limits = {"head": head_seconds, "body": body_seconds}

    class DeadlineProtocol(_refusing(refusal)):  # type: ignore[misc]
        """One connection, with a timer while a request comes in and one while an answer waits."""

        _reading: asyncio.TimerHandle | None = None
        _state: tuple[str, Any] | None = None
        _writing: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect("head")

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.transport.get_protocol() is not self:  # upgraded to a WebSocket
                self._expect("")
            elif self.cycle is None or self.cycle.response_complete:
                self._expect("head")
            else:
                self._expect("body" if self.cycle.more_body else "")

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._expect("")
            if self._writing is not None:
                self._writing.cancel()

        def on_response_complete(self) -> None:
            self._expect("")
            super().on_response_complete()
            if self.transport.is_closing():
                self._watch_writing()

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self._watch_writing()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._watch_writing()

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._writing is not None:
                self._writing.cancel()

        def _expect(self, part: str) -> None:
            state = (part, self.cycle) if part else None
            if state == self._state:
                return
            if self._reading is not None:
                self._reading.cancel()
            self._state = state
            self._reading = self.loop.call_later(limits[part], self.transport.abort) if part else None

        def _watch_writing(self) -> None:
            if self._writing is not None:
                self._writing.cancel()
            waiting = self.transport.get_write_buffer_size()
            self._writing = (
                self.loop.call_later(stall_seconds, self._abort_stalled, waiting) if waiting else None
            )

        def _abort_stalled(self, before: int) -> None:
            if self.transport.get_write_buffer_size() >= before:
                self.transport.abort()
            else:
                self._watch_writing()

    return DeadlineProtocol


def _refusing(refusal: bytes) -> Any:
    """Return uvicorn's protocol with another answer to what is no HTTP; none after another has begun, as it
    would be taken for a part of that."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    class RefusingProtocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
        """One connection."""

        def send_400_response(self, msg: str) -> None:
            del msg
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering and self.cycle.response_started:
                self.transport.abort()
                return
            self.transport.write(refusal)
            self.transport.close()

    return RefusingProtocol


def handshakes(refusal: bytes) -> type[asyncio.Protocol]:
    """Return a protocol for uvicorn's `ws` option that sends `refusal` (see `refusal_of`) to requests for a
    WebSocket that are no handshake by RFC 6455.

    uvicorn by itself answers some of them in plain text, and others never: with a body, with more than 128
    headers, with one of more than 8192 bytes.
    """
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    class HandshakeProtocol(WebSocketsSansIOProtocol):
        """One connection after a request for a WebSocket."""

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self.handshake_initiated and self.conn.handshake_exc is not None:
                self._refuse()

        def handle_connect(self, event: Any) -> None:
            if self.conn.accept(event).status_code == 101:
                super().handle_connect(event)
            else:
                self._refuse()

        def _refuse(self) -> None:
            self.handshake_initiated = self.handshake_complete = self.close_sent = True
            self.transport.write(refusal)
            self.transport.close()

    return HandshakeProtocol


def _parts(address: str) -> Any:
    """Return a Host or Origin header in parts; empty parts for what is no address."""
    try:
        return urlsplit(address if "//" in address else f"//{address}")
    except ValueError:
        return urlsplit("")


async def _dropped(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
