"""Paths of xtts-api-server, for its clients (SillyTavern): only the address changes.

Settings such as a temperature or a folder of the other server are accepted and have no effect.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from dimts.server.middleware import request_context
from dimts.server.schema import SpeechRequest
from dimts.server.speech import SpeechService
from dimts.server.voices import all_voices


class XttsRequest(BaseModel):
    """A text to be spoken, in the form of xtts-api-server."""

    model_config = ConfigDict(extra="ignore")

    text: str = Field(min_length=1, description="Amharic text.", examples=["ሰላም ለዓለም።"])
    speaker_wav: str = Field(
        "", max_length=200, description="A voice of /speakers; `.wav` at its end is dropped."
    )
    language: str = Field("am", max_length=20, description="Without effect: everything is read as Amharic.")


class XttsSpeaker(BaseModel):
    """A voice, in the form of xtts-api-server."""

    name: str
    voice_id: str
    preview_url: str = ""


def add_xtts_api(app: FastAPI, service: SpeechService, responses: dict[int | str, dict[str, Any]]) -> None:
    """Add the paths to an app."""
    sound: Any = {
        200: {"content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}},
        **responses,
    }

    async def speak(text: str, voice: str, request: Request, *, stream: bool) -> Response:
        given = {
            "input": text,
            "voice": voice.removesuffix(".wav"),
            "response_format": "wav",
            "stream": stream,
        }
        body = SpeechRequest.model_validate(given)
        return await service.answer(body, request.scope, request.receive)

    @app.get("/speakers", summary="Voices, as xtts-api-server lists them", responses=responses)
    async def speakers(request: Request) -> list[XttsSpeaker]:
        return [XttsSpeaker(name=name, voice_id=name) for name in await names(request)]

    @app.get("/speakers_list", summary="Names of voices", responses=responses)
    async def names(request: Request) -> list[str]:
        first = service.registry.first.name
        owner = request_context(request.scope).owner
        return [row.name for row in all_voices(service.registry, owner) if row.model == first]

    @app.get("/languages", summary="The one language", responses=responses)
    async def languages() -> dict[str, dict[str, str]]:
        return {"languages": {"Amharic": "am"}}

    @app.post("/set_tts_settings", summary="Accepted, without effect", responses=responses)
    async def settings(body: dict[str, Any]) -> dict[str, str]:
        return {"message": "accepted, without effect"}

    @app.post("/tts_to_audio/", response_class=Response, summary="Text → a wav file", responses=sound)
    async def to_audio(body: XttsRequest, request: Request) -> Response:
        return await speak(body.text, body.speaker_wav, request, stream=False)

    @app.get("/tts_stream", response_class=Response, summary="Text → wav as it is made", responses=sound)
    async def stream(
        request: Request,
        text: Annotated[str, Query(min_length=1)],
        speaker_wav: Annotated[str, Query(max_length=200)] = "",
        language: Annotated[str, Query(max_length=20)] = "am",
    ) -> Response:
        return await speak(text, speaker_wav, request, stream=True)
