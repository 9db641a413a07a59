"""Make gradio's page once for each address it is asked at, and answer from memory afterwards.

Gradio copies the configuration of all components and fills its template at every opening, 0.1 s of processor
time each, and sends the 0.7 MB uncompressed. What comes out depends on the address alone: host, scheme and
path, as this page has no users of gradio's and no deep links.
"""

from __future__ import annotations

import asyncio
import gzip
from collections import OrderedDict
from dataclasses import dataclass, field

from dimts.base.http import App, AsgiMessage, Receive, Scope, Send

_KEPT = 16
"""Addresses kept; a page has one or two (localhost and 127.0.0.1, http and https)."""
_GZIP_LEVEL = 9
_OK = 200
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer of gradio's, whole."""

    headers: list[tuple[bytes, bytes]]
    """Without length and coding."""
    body: bytes
    zipped: bytes


@dataclass(slots=True)
class PageCache:
    """ASGI middleware around gradio's application of one language."""

    app: App
    paths: frozenset[str]
    """Paths below the root path that are answered from memory: the page and its configuration."""
    _kept: OrderedDict[Key, _Kept] = field(default_factory=OrderedDict)
    _making: dict[Key, asyncio.Lock] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] != "GET" or scope.get("query_string") or path not in self.paths:
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        key = (
            path, scope.get("root_path", ""), scope.get("scheme", "http"),
            headers.get(b"host", ""), headers.get(b"x-forwarded-proto", ""),
        )  # fmt: skip
        kept = self._kept.get(key)
        if kept is None:
            # of many who open it at the same moment one has it made; the others wait for that
            try:
                async with self._making.setdefault(key, asyncio.Lock()):
                    kept = self._kept.get(key) or await self._make(key, scope, receive, send)
            finally:
                self._making.pop(key, None)
        else:
            self._kept.move_to_end(key)
        if kept is not None:
            await _send(kept, "gzip" in headers.get(b"accept-encoding", ""), send)

    async def _make(self, key: Key, scope: Scope, receive: Receive, send: Send) -> _Kept | None:
        """Ask gradio; what is no success is passed on as it is, and None returned."""
        said: list[AsgiMessage] = []

        async def keep(message: AsgiMessage) -> None:
            said.append(message)

        plain = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
        await self.app({**scope, "headers": plain}, receive, keep)
        start = said[0]
        if start["status"] != _OK:
            for message in said:
                await send(message)
            return None
        dropped = {b"content-length", b"content-encoding"}
        body = b"".join(message.get("body", b"") for message in said[1:])
        kept = self._kept[key] = _Kept(
            [(name, value) for name, value in start["headers"] if name.lower() not in dropped],
            body,
            await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL),
        )
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return kept


async def _send(kept: _Kept, zipped: bool, send: Send) -> None:
    body = kept.zipped if zipped else kept.body
    coding = [(b"content-encoding", b"gzip")] if zipped else []
    own = [*coding, (b"vary", b"accept-encoding"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": _OK, "headers": [*kept.headers, *own]})
    await send({"type": "http.response.body", "body": body})
