"""Build the ASGI application: OpenAI's speech interface, voices, the front end as a service, state and
metrics.

app = build(registry, settings, keys)      an ASGI application; `app.pool` holds its jobs
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from dimts.base.errors import DimtsError
from dimts.base.messages import Message
from dimts.base.version import __version__
from dimts.server import page
from dimts.server.errors import ApiError, error_response
from dimts.server.jobs import RequestPool
from dimts.server.keys import Keys
from dimts.server.metrics import Metrics
from dimts.server.middleware import WEBSOCKET_PATH, AccessMiddleware, internal_error, request_context
from dimts.server.models import ModelRegistry
from dimts.server.schema import ErrorBody, Health, ModelList, ModelObject, SpeechRequest
from dimts.server.settings import ServeSettings
from dimts.server.speech import SpeechService
from dimts.server.texts import add_texts
from dimts.server.voices import add_voices
from dimts.server.websocket import SpeechConnection

_DESCRIPTIONS = {
    400: "Something in the request is wrong; the message says what, and the remedy.",
    401: "No API key, or an unknown one.",
    403: "Not allowed.",
    404: "Not found.",
    405: "Another method.",
    413: "Too large.",
    421: "The Host header names another machine.",
    429: "All places are taken, or too many requests a minute; Retry-After says when to ask again.",
    503: "Cannot be done now.",
}
_ALWAYS = (400, 401, 403, 413, 421, 429)
_SOUND = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in
          ("audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/wav", "audio/pcm")}  # fmt: skip


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors that a route may answer with, for its description."""
    return {
        one: {"model": ErrorBody, "description": _DESCRIPTIONS[one]} for one in sorted({*_ALWAYS, *statuses})
    }


def build(
    registry: ModelRegistry, settings: ServeSettings, keys: Keys, wyoming: socket.socket | None = None
) -> AccessMiddleware:
    """Build the application; `wyoming` is a socket to serve that protocol on. Its threads end with its
    lifespan."""
    pool = RequestPool(settings, _places_per_key(settings, keys))

    def gauges() -> Iterator[tuple[str, str, str, float]]:
        yield "requests_taken", "Requests being spoken or waiting", "", len(pool)
        yield "places", "Requests that are taken in at once", "", settings.places
        yield from registry.gauges()

    metrics = Metrics(gauges)
    for name, model in registry.models.items():
        model.on_phrase_fault = metrics.phrase_faults.labels(name).inc
        if model.scheduler is not None:
            model.scheduler.on_step = _step_observer(metrics, name)
    service = SpeechService(registry, pool, metrics, settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if wyoming is not None:
                from dimts.server.wyoming import listening

                await stack.enter_async_context(listening(service, wyoming))
            yield
        await run_in_threadpool(pool.close)
        await run_in_threadpool(registry.close)

    app = FastAPI(
        title="dimts",
        version=__version__,
        description="Amharic speech: OpenAI's interface, voices of your own, and the Amharic front end.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    _add_errors(app)
    _add_speech(app, service)
    _add_models(app, registry)
    add_voices(app, registry, settings, responses(404, 503))
    add_texts(app, registry, settings, responses(404))
    if settings.xtts_api:
        from dimts.server.xtts_api import add_xtts_api

        add_xtts_api(app, service, responses(404, 503))
    _add_state(app, registry, pool, settings, metrics)
    _describe(app, bool(keys))
    return AccessMiddleware(app, settings, keys, metrics, pool, registry)


def _places_per_key(settings: ServeSettings, keys: Keys) -> int:
    """Return the places of one key: by default half of all, so that it cannot lock out the others."""
    return settings.places_per_key or (
        max(1, settings.places // 2) if len(keys.hashes) > 1 else settings.places
    )


def _step_observer(metrics: Metrics, name: str) -> Callable[[float, int], None]:
    steps, codes = metrics.steps.labels(name), metrics.batched.labels(name)

    def observe(seconds: float, rows: int) -> None:
        steps.observe(seconds)
        codes.inc(rows)

    return observe


def _add_errors(app: FastAPI) -> None:
    def shown(error: ApiError) -> JSONResponse:
        return JSONResponse(error.body(), error.status, error.headers)

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> JSONResponse:
        return shown(error)

    @app.exception_handler(Exception)
    async def bug(request: Request, _: Exception) -> JSONResponse:  # raised again after this, for the log
        return shown(internal_error(request_context(request.scope)))

    @app.exception_handler(DimtsError)
    async def dimts_error(_: Request, error: DimtsError) -> JSONResponse:
        return shown(error_response(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return shown(_invalid(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        detail: Any = error.detail
        if isinstance(detail, ApiError):
            return shown(detail)
        if error.status_code == 404:
            message = Message("server.path_not_found")
        elif error.status_code == 405:
            message = Message("server.method_not_allowed", method=request.method)
        else:
            message = Message(
                "server.http_error", problem=str(error.detail).encode("utf-8", "replace").decode()
            )
        return shown(ApiError(error.status_code, message, headers=error.headers))


def _invalid(first: Any) -> ApiError:
    """Return the error for a field that pydantic refused, without the value, which may be long or binary."""
    if first["type"] == "json_invalid":
        return ApiError(400, Message("server.not_json", problem=str(first["ctx"]["error"])))
    if first["type"] == "unknown_field":
        field, known = (_printable(first["ctx"][name])[:80] for name in ("field", "nearest"))
        return ApiError(400, Message("server.unknown_field", field=field, nearest=known), param=field)
    field = _printable(
        ".".join(str(part) for part in first["loc"] if part not in ("body", "str", "VoiceId"))
    )[:80]
    problem = _printable(first["msg"])[:300]
    if not field:
        return ApiError(400, Message("server.invalid_body", problem=problem))
    return ApiError(400, Message("server.invalid_field", field=field, problem=problem), param=field)


def _printable(text: object) -> str:
    return str(text).encode("utf-8", "replace").decode()


def _add_speech(app: FastAPI, service: SpeechService) -> None:
    fields = {"data": {"type": "string"}, "event": {"type": "string"}}
    events = {"text/event-stream": {"schema": {"type": "object", "properties": fields, "required": ["data"]}}}

    @app.post(
        "/v1/audio/speech",
        response_class=Response,
        responses={
            200: {"content": {**_SOUND, **events}, "description": "The sound."},
            **responses(404, 503),
        },
        summary="Speak a text",
    )
    async def speech(body: SpeechRequest, request: Request) -> Response:
        return await service.answer(body, request.scope, request.receive)

    @app.websocket(WEBSOCKET_PATH)
    async def speech_in_pieces(socket: WebSocket) -> None:
        await SpeechConnection(socket, service).run()


def _add_models(app: FastAPI, registry: ModelRegistry) -> None:
    began = int(time.time())

    async def models() -> ModelList:
        return ModelList(data=[ModelObject(id=name, created=began) for name in registry.models])

    app.get("/v1/models", responses=responses(), summary="The models")(models)
    app.get("/v1/audio/models", responses=responses(), summary="The same as /v1/models")(models)

    @app.get("/v1/models/{model}", responses=responses(404), summary="One model")
    async def model(model: str) -> ModelObject:
        return ModelObject(id=registry.model(model).name, created=began)


def _add_state(
    app: FastAPI, registry: ModelRegistry, pool: RequestPool, settings: ServeSettings, metrics: Metrics
) -> None:
    @app.get(
        "/health",
        responses={503: {"model": Health, "description": "Shutting down."}},
        summary="State of the server",
    )
    async def health(response: Response) -> Health:
        schedulers = registry.schedulers()
        if pool.stopping:
            response.status_code = 503
        return Health(
            status="stopping" if pool.stopping else "ok",
            version=__version__,
            models=list(registry.models),
            requests=len(pool),
            places=settings.places,
            slots=settings.slots,
            speaking={name: one.speaking for name, one in schedulers.items()},
            waiting={name: one.waiting for name, one in schedulers.items()},
            repeatable={
                name: schedulers[name].repeatable if name in schedulers else True for name in registry.models
            },
        )

    @app.get(
        "/metrics",
        response_class=Response,
        summary="Metrics for Prometheus",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **responses()},
    )
    async def figures() -> Response:
        return Response(metrics.text(), media_type=metrics.media_type)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page.render(app.openapi()), headers={"content-security-policy": page.POLICY})


def _describe(app: FastAPI, keyed: bool) -> None:
    """Describe the key in the OpenAPI schema where one is needed, and leave out answers that never occur
    (422)."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = original()
            for path, item in schema["paths"].items():
                for operation in item.values():
                    operation["responses"].pop("422", None)
                    if keyed and path != "/health":
                        operation["security"] = [{"key": []}]
            for unused in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(unused, None)
            if keyed:
                schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
