"""Routes of voices: list, upload and delete."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.concurrency import run_in_threadpool

from dimts.base.errors import SynthesisError
from dimts.base.messages import Message
from dimts.server.errors import ApiError, error_response
from dimts.server.middleware import request_context
from dimts.server.models import DEFAULT, LoadedModel, ModelRegistry
from dimts.server.schema import ConsentText, DeletedVoice, VoiceList, VoiceName, VoiceRow
from dimts.server.settings import ServeSettings
from dimts.server.voice_store import UploadedVoice, VoiceStore
from dimts.speak.consent import consent_text


def all_voices(registry: ModelRegistry, owner: str) -> list[VoiceRow]:
    """Return the voices of all models, and the uploads of the key `owner`."""
    built_in = [
        VoiceRow(id=voice, name=voice, model=name, kind=model.kind(voice))
        for name, model in registry.models.items()
        for voice in model.voices()
    ]
    return [*built_in, *map(_row, registry.store.all(owner) if registry.store else ())]


def add_voices(
    app: FastAPI, registry: ModelRegistry, settings: ServeSettings, responses: dict[int | str, dict[str, Any]]
) -> None:
    """Add the routes to an app."""
    one_at_a_time = asyncio.Semaphore(1)

    @app.get("/v1/voices", responses=responses, summary="All voices, and the ones you uploaded")
    async def voices(request: Request) -> VoiceList:
        return VoiceList(data=all_voices(registry, request_context(request.scope).owner))

    @app.post("/v1/voices", status_code=201, responses=responses, summary="Upload a voice")
    async def upload(
        request: Request,
        file: Annotated[
            UploadFile, File(description="A recording of one speaker, 6 to 30 s, any usual format.")
        ],
        name: Annotated[VoiceName, Form()],
        consent: Annotated[ConsentText, Form()],
        model: Annotated[str, Form(max_length=200)] = "",
    ) -> VoiceRow:
        """The recording becomes a voice and is not kept; the consent is stored with the voice."""
        context = request_context(request.scope)
        store, loaded = _store(registry), registry.model(model)
        name = name.strip()
        try:
            consent = consent_text(consent)
        except SynthesisError as error:
            raise error_response(error, "consent") from error
        _check_upload(name, loaded, store, context.owner, settings)
        data = await file.read()
        about = UploadedVoice(
            "", name, loaded.name, context.owner, consent, 0, hashlib.sha256(data).hexdigest()
        )
        async with one_at_a_time:
            made = await run_in_threadpool(_made, store, loaded, data, about, settings.max_reference_seconds)
        context.facts |= {"voice": made.id, "sha256": made.sha256}
        return _row(made)

    @app.delete("/v1/voices/{voice}", responses=responses, summary="Delete a voice you uploaded")
    async def delete(voice: str, request: Request) -> DeletedVoice:
        owner = request_context(request.scope).owner
        if registry.store is None or not registry.store.delete(voice, owner):
            if any(voice in model.voices() for model in registry.models.values()):
                raise ApiError(403, Message("server.builtin_voice_kept"))
            raise ApiError(404, Message("server.uploaded_voice_not_found"), param="voice")
        return DeletedVoice(id=voice)

    app.get("/v1/audio/voices", responses=responses, summary="The same as /v1/voices")(voices)


def _store(registry: ModelRegistry) -> VoiceStore:
    if registry.store is None:
        raise ApiError(403, Message("server.uploads_disabled"))
    return registry.store


def _check_upload(
    name: str, model: LoadedModel, store: VoiceStore, owner: str, settings: ServeSettings
) -> None:
    """Raise ApiError for a name or a number of voices that is not allowed."""
    if not name.isprintable() or not name:
        raise ApiError(400, Message("server.invalid_name"), param="name")
    if name == DEFAULT or name in model.voices() or store.find(name, model.name, owner):
        raise ApiError(400, Message("server.voice_exists", name=name), param="name")
    if sum(1 for _ in store.all(owner)) >= settings.voices_per_key:
        raise ApiError(403, Message("server.too_many_voices", voices=settings.voices_per_key))


def _made(
    store: VoiceStore, model: LoadedModel, data: bytes, about: UploadedVoice, max_seconds: float
) -> UploadedVoice:
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "upload"
        recording.write_bytes(data)
        return store.add(model.speaker, recording, about, max_seconds)


def _row(voice: UploadedVoice) -> VoiceRow:
    return VoiceRow(id=voice.id, name=voice.name, model=voice.model, kind="uploaded", created=voice.created,
                    consent=voice.consent)  # fmt: skip
