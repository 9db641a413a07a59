"""What both web servers need of ASGI 3: to be understood when they refuse a request that is still being sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_SECONDS = 10.0
"""How long a client may go on sending what nobody wants."""


def drain_request(receive: Receive, send: Send) -> Send:
    """A `send` that ends an answer only when the client has sent its whole request, or for ten seconds did not.

    Whoever closes a connection on which something is still coming resets it, and the client loses the answer with it.
    The answer goes out at once; what still comes is dropped.
    """

    async def sending(message: AsgiMessage) -> None:
        if message["type"] != "http.response.body" or message.get("more_body"):
            await send(message)
            return
        await send({**message, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                await _dropped(receive)
        await send({"type": "http.response.body", "body": b""})

    return sending


async def _dropped(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
