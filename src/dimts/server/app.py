"""The routes: OpenAI's speech interface, voices, the front end as a service, health and figures.

app = build(house, settings, keys)      an ASGI application; `app.desk` is where its requests are
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, File, Form, Request, UploadFile
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
from dimts.server.middleware import AccessMiddleware, bug, request_context
from dimts.server.models import ModelRegistry
from dimts.server.schema import (
    ConsentText,
    Deleted,
    ErrorBody,
    Health,
    ModelList,
    ModelObject,
    NormalisedResponse,
    Phones,
    SpeechRequest,
    TextRequest,
    VoiceList,
    VoiceName,
    VoiceRow,
)
from dimts.server.settings import ServeSettings
from dimts.server.speech import Speaking
from dimts.server.voice_store import Uploaded

T = TypeVar("T")

_TOLD = {
    400: "Something in the request is wrong; the message says what, and the remedy.",
    401: "No API key, or none that is known.",
    403: "Not allowed.",
    404: "No such thing.",
    405: "Another method.",
    413: "Too large.",
    421: "Asked for by another name.",
    429: "All places are taken; Retry-After says when to ask again.",
    503: "Cannot be done now.",
}
_ANY = (400, 401, 403, 413, 421)
_SOUND = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in
          ("audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/wav", "audio/pcm")}  # fmt: skip


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody, "description": _TOLD[status]} for status in sorted({*_ANY, *statuses})}


def build(house: ModelRegistry, settings: ServeSettings, keys: Keys) -> AccessMiddleware:
    """The application. Its loops and threads end with its lifespan."""
    desk = RequestPool(settings)

    def gauges() -> Any:
        yield "requests_taken", "Requests being spoken or waiting", "", len(desk)
        yield "places", "Requests that are taken in at once", "", settings.places
        yield from house.gauges()

    metrics = Metrics(gauges)
    for name, served in house.models.items():
        served.cuts = metrics.cut.labels(name).inc
        if served.loop is not None:
            served.loop.watch = _watch(metrics, name)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(desk.close)
        await run_in_threadpool(house.close)

    app = FastAPI(
        title="dimts",
        version=__version__,
        description="Amharic speech: OpenAI's interface, voices of your own, and the Amharic front end.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    _errors(app)
    _speech(app, house, Speaking(house, desk, metrics, settings))
    _lists(app, house)
    _voices(app, house, settings)
    _texts(app, house, settings)
    _state(app, house, desk, settings, metrics)
    _schema(app, bool(keys))
    return AccessMiddleware(app, settings, keys, metrics, desk, house)


def _watch(metrics: Metrics, name: str) -> Callable[[float, int], None]:
    steps, codes = metrics.steps.labels(name), metrics.batched.labels(name)

    def watch(seconds: float, rows: int) -> None:
        steps.observe(seconds)
        codes.inc(rows)

    return watch


def _errors(app: FastAPI) -> None:
    def shown(refused: ApiError) -> JSONResponse:
        return JSONResponse(refused.body(), refused.status, refused.headers)

    @app.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> JSONResponse:
        return shown(error)

    @app.exception_handler(Exception)
    async def ours(request: Request, _: Exception) -> JSONResponse:  # raised again after this, for the door to log
        return shown(bug(request_context(request.scope)))

    @app.exception_handler(DimtsError)
    async def dimts(_: Request, error: DimtsError) -> JSONResponse:
        return shown(error_response(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # never what was sent: it may be long, or no text at all
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if part not in ("body", "str", "VoiceId")]
        field = ".".join(place).encode("utf-8", "replace").decode()[:80] or None
        if first["type"] == "json_invalid":
            return shown(ApiError(400, Message("server.not_json", problem=str(first["ctx"]["error"]))))
        problem = first["msg"].encode("utf-8", "replace").decode()[:300]
        if first["type"] == "extra_forbidden":
            message = Message("server.unknown_field", field=field, known=tuple(SpeechRequest.model_fields))
        elif field:
            message = Message("server.invalid_field", field=field, problem=problem)
        else:
            message = Message("server.invalid_body", problem=problem)
        return shown(ApiError(400, message, param=field, code=first["type"]))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.detail, ApiError):
            return shown(error.detail)
        if error.status_code == 404:
            message = Message("server.path_not_found")
        elif error.status_code == 405:
            message = Message("server.method_not_allowed", method=request.method)
        else:
            message = Message("server.http_error", problem=str(error.detail).encode("utf-8", "replace").decode())
        return shown(ApiError(error.status_code, message, headers=error.headers))


def _speech(app: FastAPI, house: ModelRegistry, speaking: Speaking) -> None:
    fields = {"data": {"type": "string"}, "event": {"type": "string"}}
    events = {"text/event-stream": {"schema": {"type": "object", "properties": fields, "required": ["data"]}}}

    @app.post(
        "/v1/audio/speech",
        response_class=Response,
        responses={200: {"content": {**_SOUND, **events}, "description": "The sound."}, **_problems(404, 429, 503)},
        summary="Speak a text",
    )
    async def speech(body: SpeechRequest, request: Request) -> Response:
        return await speaking.answer(body, request)


def _lists(app: FastAPI, house: ModelRegistry) -> None:
    began = int(time.time())

    @app.get("/v1/models", responses=_problems(), summary="What speaks here")
    async def models() -> ModelList:
        return ModelList(data=[ModelObject(id=name, created=began) for name in house.models])

    @app.get("/v1/models/{model}", responses=_problems(404), summary="One of them")
    async def model(model: str) -> ModelObject:
        return ModelObject(id=house.model(model).name, created=began)


def _voices(app: FastAPI, house: ModelRegistry, settings: ServeSettings) -> None:
    listening = asyncio.Semaphore(1)

    @app.get("/v1/voices", responses=_problems(), summary="All voices, and the ones you uploaded")
    async def voices(request: Request) -> VoiceList:
        own = [
            VoiceRow(id=voice, name=voice, model=name, kind=served.kind(voice))
            for name, served in house.models.items()
            for voice in served.names()
        ]
        uploaded = house.shelf.all(request_context(request.scope).owner) if house.shelf else ()
        return VoiceList(data=[*own, *map(_row, uploaded)])

    @app.post("/v1/voices", status_code=201, responses=_problems(404, 503), summary="Upload a voice")
    async def upload(
        request: Request,
        file: Annotated[UploadFile, File(description="A recording of one speaker, 6 to 30 s, any usual format.")],
        name: Annotated[VoiceName, Form()],
        consent: Annotated[ConsentText, Form()],
        model: Annotated[str, Form(max_length=200)] = "",
    ) -> VoiceRow:
        """The recording becomes a voice and is not kept; the consent is, with the voice."""
        if house.shelf is None:
            raise ApiError(403, Message("server.uploads_disabled"))
        served, owner = house.model(model), request_context(request.scope).owner
        consent, name = consent.strip(), name.strip()
        if not name.isprintable() or not name:
            raise ApiError(400, Message("server.invalid_name"), param="name")
        if len(consent) < 10:
            raise ApiError(400, Message("server.consent_too_short"), param="consent")
        if name in served.names() or house.shelf.find(name, served.name, owner):
            raise ApiError(400, Message("server.voice_exists", name=name), param="name")
        data = await file.read()
        about = Uploaded("", name, served.name, owner, consent, 0, _sha256(data))
        async with listening:
            made = await run_in_threadpool(_listened, house, served, data, about, settings.max_reference_seconds)
        request_context(request.scope).facts |= {"voice": made.id, "sha256": made.sha256}
        return _row(made)

    @app.delete("/v1/voices/{voice}", responses=_problems(404), summary="Delete a voice you uploaded")
    async def delete(voice: str, request: Request) -> Deleted:
        if house.shelf is None or not house.shelf.delete(voice, request_context(request.scope).owner):
            if any(voice in served.names() for served in house.models.values()):
                raise ApiError(403, Message("server.builtin_voice_kept"))
            raise ApiError(404, Message("server.uploaded_voice_not_found"), param="voice")
        return Deleted(id=voice)


def _listened(house: ModelRegistry, served: Any, data: bytes, about: Uploaded, max_seconds: float) -> Uploaded:
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "upload"
        recording.write_bytes(data)
        assert house.shelf is not None  # noqa: S101 (asked for before)
        return house.shelf.add(served.speaker, recording, about, max_seconds)


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _row(one: Uploaded) -> VoiceRow:
    return VoiceRow(id=one.id, name=one.name, model=one.model, kind="uploaded", created=one.created,
                    consent=one.consent)  # fmt: skip


def _texts(app: FastAPI, house: ModelRegistry, settings: ServeSettings) -> None:
    turns = asyncio.Semaphore(2)  # reading is pure Python: more at once would only take turns

    async def read(body: TextRequest, reading: Callable[[Any], T]) -> tuple[str, T]:
        served = house.model(body.model)
        check_text(body.input, settings)
        async with turns:
            return served.name, await run_in_threadpool(reading, served.speaker.frontend)

    @app.post("/v1/normalise", responses=_problems(404), summary="Written text → spoken form")
    async def normalise(body: TextRequest) -> NormalisedResponse:
        name, text = await read(body, lambda frontend: frontend.normaliser.spoken(body.input))
        return NormalisedResponse(model=name, text=text)

    @app.post("/v1/phones", responses=_problems(404), summary="Text → IPA phones, and why")
    async def phones(body: TextRequest) -> Phones:
        from dimts.text.frontend import phones_of_line

        def reading(frontend: Any) -> tuple[str, list[dict[str, Any]]]:
            lines = "\n".join(phones_of_line(frontend, line) for line in body.input.split("\n"))
            return lines, [phrase.as_dict() for phrase in frontend(body.input)]

        name, (lines, phrases) = await read(body, reading)
        return Phones(model=name, phones=lines, phrases=phrases)


def check_text(text: str, settings: ServeSettings) -> None:
    """Refused (400) for a text that is too long."""
    if len(text) > settings.max_letters:
        message = Message("server.text_too_long", letters=len(text), max_letters=settings.max_letters)
        raise ApiError(400, message, param="input")


def _state(app: FastAPI, house: ModelRegistry, desk: RequestPool, settings: ServeSettings, metrics: Metrics) -> None:
    @app.get("/health", responses={503: {"model": Health, "description": "Going down."}}, summary="How it is")
    async def health(response: Response) -> Health:
        loops = house.loops()
        if desk.stopping:
            response.status_code = 503
        return Health(
            status="stopping" if desk.stopping else "ok",
            version=__version__,
            models=list(house.models),
            requests=len(desk),
            places=settings.places,
            slots=settings.slots,
            speaking={name: loop.speaking for name, loop in loops.items()},
            waiting={name: loop.waiting for name, loop in loops.items()},
            repeatable={name: loops[name].repeatable if name in loops else True for name in house.models},
        )

    @app.get("/metrics", response_class=Response, summary="Figures for Prometheus",
             responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **_problems()})  # fmt: skip
    async def figures() -> Response:
        return Response(metrics.text(), media_type=metrics.media_type)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page.render(app.openapi()), headers={"content-security-policy": page.POLICY})


def _schema(app: FastAPI, keyed: bool) -> None:
    """The OpenAPI description, without the answers that never come (422), with the key where one is needed."""
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
