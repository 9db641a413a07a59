"""Before the app: a name for every request, who it is from, how large it may be; and a line in the log after it.

Without keys only this machine may come in, and only by its own name: a page of another site that a browser on this
machine has open can neither ask for it by a name of its own, nor send forms to it.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException

from dimts.base.http import App, AsgiMessage, Receive, Scope, Send, drain_request
from dimts.base.messages import Message
from dimts.server import log
from dimts.server.errors import ApiError
from dimts.server.jobs import RequestPool
from dimts.server.keys import Keys
from dimts.server.metrics import Metrics
from dimts.server.models import ModelRegistry
from dimts.server.settings import LOCAL, MEGABYTE, ServeSettings

OPEN = ("/health", "/docs", "/openapi.json")
"""What may be read without a key: that the server lives, and what it understands."""
_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


@dataclass(slots=True)
class RequestContext:
    """One request, as the door sees it; the app adds what the log should know."""

    id: str
    owner: str = ""
    """Name of its key; "" where none is needed."""
    facts: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    whole: bool = False
    """Whether the answer was sent to its end."""


class AccessMiddleware:
    """The ASGI application around the app."""

    def __init__(
        self, app: App, settings: ServeSettings, keys: Keys, metrics: Metrics, desk: RequestPool, house: ModelRegistry
    ) -> None:
        self.app, self.settings, self.keys, self.metrics = app, settings, keys, metrics
        self.desk, self.house = desk, house
        self.names = frozenset() if keys or settings.host not in LOCAL else frozenset(LOCAL)
        """Host names by which it may be asked for; empty: any."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        wished = headers.get("x-request-id", "")
        visit = RequestContext(wished if _REQUEST_ID.fullmatch(wished) else secrets.token_hex(8))
        scope["dimts.visit"] = visit

        async def sending(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                own = [(b"x-request-id", visit.id.encode()), *_HEADERS]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                visit.whole = True

        limit = self._limit(scope["path"])
        try:
            refused = self._refused(scope, headers, visit, limit)
            if refused is not None:
                await reply(drain_request(receive, sending), refused)
            else:
                await self.app(scope, _limited(receive, limit), sending)
        except Exception as error:  # noqa: BLE001 (a bug of ours: written down, and told without its details)
            if visit.status != 200:
                log.note("bug", level=logging.ERROR, error=error, request=visit.id, path=_known(scope))
            if not visit.status:
                await reply(sending, bug(visit))
            # else too late for an answer: the connection is broken off, so that nobody takes it for whole
        finally:
            self._write_down(visit, scope)

    def _refused(self, scope: Scope, headers: Mapping[str, str], visit: RequestContext, limit: int) -> ApiError | None:
        """Why a request goes no further; else `visit` knows who it is from."""
        host = urlsplit(f"//{headers.get('host', '')}").hostname if _plain(headers.get("host", "")) else ""
        if self.names and host not in self.names:
            return ApiError(421, Message("server.wrong_host"))
        origin = headers.get("origin", "")
        if self.names and origin and (not _plain(origin) or urlsplit(origin).netloc != headers.get("host", "")):
            return ApiError(403, Message("server.foreign_origin"))
        if self.keys and scope["path"] not in OPEN:
            owner = self.keys.owner(headers.get("authorization", ""))
            if owner is None:
                return ApiError(401, Message("server.invalid_api_key"), headers={"www-authenticate": "Bearer"})
            visit.owner = owner
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            return _too_large(limit)
        return None

    def _limit(self, path: str) -> int:
        large = path.rstrip("/") == "/v1/voices"
        return int(MEGABYTE * (self.settings.max_upload_megabytes if large else self.settings.max_body_megabytes))

    def _write_down(self, visit: RequestContext, scope: Scope) -> None:
        path, seconds = _known(scope), time.monotonic() - visit.began
        self.metrics.requests.labels(path, str(visit.status)).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        if path in OPEN or path == "/metrics":
            return
        facts: dict[str, Any] = {"request": visit.id, "path": path, "status": visit.status}
        facts |= {"seconds": round(seconds, 4), **({"key": visit.owner} if visit.owner else {}), **visit.facts}
        if not visit.whole:
            facts["whole"] = False
        log.note("request", **facts)


def request_context(scope: Scope) -> RequestContext:
    """What the door knows of a request."""
    found: RequestContext = scope["dimts.visit"]
    return found


def bug(visit: RequestContext) -> ApiError:
    """What is said of an error of ours."""
    return ApiError(500, Message("server.internal_error", request=visit.id))


async def reply(send: Send, refused: ApiError) -> None:
    """Send a refusal."""
    body = json.dumps(refused.body(), ensure_ascii=False).encode("utf-8", "replace")
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
    await send(
        {
            "type": "http.response.start",
            "status": refused.status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _too_large(limit: int) -> ApiError:
    message = Message("server.request_too_large", megabytes=limit / MEGABYTE)
    return ApiError(413, message, headers={"connection": "close"})


def _limited(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def counting() -> AsgiMessage:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise HTTPException(413, _too_large(limit))  # FastAPI lets only this kind through
        return message

    return counting


def _known(scope: Scope) -> str:
    """The path as it stands in the API, so that nobody can fill log and figures with paths of their own."""
    route = scope.get("route")
    return str(getattr(route, "path", "other"))


def _plain(text: str) -> bool:
    """Whether a header can be taken apart as an address."""
    try:
        urlsplit(text if "//" in text else f"//{text}")
    except ValueError:
        return False
    return True
