"""Access middleware: request ids, keys, limits of size and number, and a line in the log for each request.

Without keys only this machine may use the server, and only by its own name: a page of another site in a
browser on this machine can neither address it by a name of its own, nor send forms to it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from dimts.base.http import (
    LOCAL_HOSTS,
    MEGABYTE,
    App,
    AsgiMessage,
    Receive,
    Scope,
    Send,
    access_fault,
    drain_request,
    headers_of,
    limit_body,
    with_headers,
)
from dimts.base.messages import Message
from dimts.server import log
from dimts.server.errors import ApiError, send_error
from dimts.server.jobs import RequestPool
from dimts.server.keys import Keys
from dimts.server.metrics import Metrics
from dimts.server.models import ModelRegistry
from dimts.server.rate_limit import RateLimit
from dimts.server.settings import ServeSettings

OPEN_PATHS = ("/health", "/docs", "/openapi.json")
"""Paths that need no key and are not limited."""
WEBSOCKET_PATH = "/v1/audio/speech/ws"
_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_EXPOSED = ("x-request-id", "retry-after", "x-dimts-model", "x-dimts-voice", "x-dimts-seed", "x-dimts-note")
_CONTEXT = "dimts.context"


@dataclass(slots=True)
class RequestContext:
    """Context of one request; the app adds fields for the log."""

    id: str
    owner: str = ""
    """Name of its key; "" where none is required."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Fields of its line in the log."""
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    complete: bool = False
    """Whether the answer was sent to its end."""


def request_context(scope: Scope) -> RequestContext:
    """Return the context that the middleware has put into a request's scope."""
    found: RequestContext = scope[_CONTEXT]
    return found


def internal_error(context: RequestContext) -> ApiError:
    """Return the error for a request that met a bug."""
    return ApiError(500, Message("server.internal_error", request=context.id))


class _Cors(CORSMiddleware):
    """Starlette's middleware, with refusals in the shape of all others."""

    def preflight_response(self, request_headers: Any) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        error = ApiError(answer.status_code, Message("base.foreign_origin"))
        headers = {"content-type": "application/json", "vary": answer.headers["vary"]}
        return Response(error.encoded()[0], error.status, headers)


class AccessMiddleware:
    """The ASGI application around the app."""

    def __init__(
        self, app: App, settings: ServeSettings, keys: Keys, metrics: Metrics, pool: RequestPool,
        registry: ModelRegistry,
    ) -> None:  # fmt: skip
        self.app, self.settings, self.keys, self.metrics = app, settings, keys, metrics
        self.pool, self.registry = pool, registry
        self.hosts = frozenset() if keys or settings.host not in LOCAL_HOSTS else frozenset(LOCAL_HOSTS)
        """Host names that requests may use; empty: any."""
        self._rate = RateLimit(settings.requests_per_minute)
        self._entry: App = self._http
        if settings.origins:
            self._entry = _Cors(
                self._http, allow_origins=settings.origins, allow_methods=("*",), allow_headers=("*",),
                expose_headers=_EXPOSED,
            )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] == "http":
            await self._entry(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        context = self._context(headers)
        # the app answers HEAD as GET; uvicorn leaves the body out
        scope = {**scope, _CONTEXT: context, **({"method": "GET"} if scope["method"] == "HEAD" else {})}

        async def sending(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
            async with asyncio.timeout(self.settings.stall_seconds):
                await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                context.complete = True

        answer = with_headers(sending, [(b"x-request-id", context.id.encode()), *_HEADERS])
        limit = self._limit(scope["path"])
        try:
            fault = self._fault(scope["path"], headers, context, limit)
            if fault is not None:
                await send_error(drain_request(receive, answer), fault)
            else:
                # FastAPI lets only its own exception through while it reads a body
                body = limit_body(receive, limit, lambda: HTTPException(413, _too_large(limit)))
                await self.app(scope, body, answer)
        except Exception as error:  # noqa: BLE001 (a bug: written down, and answered without its details)
            if context.status != 200:
                log.note("bug", level=logging.ERROR, error=error, request=context.id, path=_route(scope))
            if not context.status:
                await send_error(answer, internal_error(context))
            # too late for an error answer: the connection is aborted, so that the client notices
        finally:
            self._write_down(context, scope)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        context = self._context(headers)
        scope = {**scope, _CONTEXT: context}
        fault = self._fault(scope["path"], headers, context, self._limit(scope["path"]))
        if fault is None and scope["path"] != WEBSOCKET_PATH:
            fault = ApiError(404, Message("server.path_not_found"))
        try:
            if fault is not None:
                context.status = fault.status
                await _deny(scope, receive, send, fault)
            else:
                context.status = 101
                await self.app(scope, receive, send)
            context.complete = True
        finally:
            self._write_down(context, scope)

    def _context(self, headers: Mapping[str, str]) -> RequestContext:
        given = headers.get("x-request-id", "")
        return RequestContext(given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8))

    def _fault(
        self, path: str, headers: Mapping[str, str], context: RequestContext, limit: int
    ) -> ApiError | None:
        """Return why a request is refused; else store its key's owner in `context`."""
        if self.hosts and (fault := access_fault(headers, self.hosts, self.settings.origins)):
            return ApiError(*fault)
        if self.keys and path not in OPEN_PATHS:
            owner = self.keys.owner(headers.get("authorization", ""))
            if owner is None:
                return ApiError(
                    401, Message("server.invalid_api_key"), headers={"www-authenticate": "Bearer"}
                )
            context.owner = owner
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            return _too_large(limit)
        wait = 0.0 if path in OPEN_PATHS else self._rate.wait_seconds(context.owner, time.monotonic())
        if wait:
            seconds = math.ceil(wait)
            message = Message(
                "server.rate_limited", requests=self.settings.requests_per_minute, seconds=seconds
            )
            return ApiError(429, message, headers={"retry-after": str(seconds)})
        return None

    def _limit(self, path: str) -> int:
        upload = path.rstrip("/") in ("/v1/voices", "/v1/audio/voices")
        return int(
            MEGABYTE * (self.settings.max_upload_megabytes if upload else self.settings.max_body_megabytes)
        )

    def _write_down(self, context: RequestContext, scope: Scope) -> None:
        path, seconds = _route(scope), time.monotonic() - context.began
        self.metrics.requests.labels(path, str(context.status)).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        if path in OPEN_PATHS or path == "/metrics":
            return
        facts: dict[str, Any] = {"request": context.id, "path": path, "status": context.status}
        facts |= {
            "seconds": round(seconds, 4),
            **({"key": context.owner} if context.owner else {}),
            **context.facts,
        }
        if not context.complete:
            facts["whole"] = False
        log.note("request", **facts)


async def _deny(scope: Scope, receive: Receive, send: Send, error: ApiError) -> None:
    """Refuse a WebSocket with an HTTP error where the server supports it, else with 403."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    body, headers = error.encoded()
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _too_large(limit: int) -> ApiError:
    message = Message("server.request_too_large", megabytes=limit / MEGABYTE)
    return ApiError(413, message, headers={"connection": "close"})


def _route(scope: Scope) -> str:
    """Return the path as in the API, so that clients cannot fill log and metrics with paths of their own."""
    route = scope.get("route")
    return str(getattr(route, "path", "other"))
