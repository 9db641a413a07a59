"""Routes of the front end: text → spoken form, and text → phones with reasons."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from dimts.base.messages import Message
from dimts.server.errors import ApiError
from dimts.server.models import ModelRegistry
from dimts.server.schema import NormalisedResponse, PhonesResponse, TextRequest
from dimts.server.settings import ServeSettings
from dimts.server.speech import check_length
from dimts.text.frontend import Frontend, Phrase
from dimts.text.phones import WORD_MARK

T = TypeVar("T")
_AT_ONCE = 2
"""Texts processed at once: this is pure Python, so that more would only alternate."""


def add_texts(
    app: FastAPI, registry: ModelRegistry, settings: ServeSettings, responses: dict[int | str, dict[str, Any]]
) -> None:
    """Add the routes to an app."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def read(body: TextRequest, reading: Callable[[Frontend, Callable[[], None]], T]) -> tuple[str, T]:
        model = registry.model(body.model)
        check_length(body.input, settings)
        async with turns:
            return model.name, await run_in_threadpool(
                reading, model.speaker.frontend, _deadline(settings.max_read_seconds)
            )

    @app.post("/v1/normalise", responses=responses, summary="Written text → spoken form")
    async def normalise(body: TextRequest) -> NormalisedResponse:
        def reading(frontend: Frontend, check: Callable[[], None]) -> str:
            lines = []
            for line in body.input.split("\n"):  # no reading reaches across a line
                lines.append(frontend.normaliser.spoken(line))
                check()
            return "\n".join(lines)

        name, text = await read(body, reading)
        return NormalisedResponse(model=name, text=text)

    @app.post("/v1/phones", responses=responses, summary="Text → IPA phones, and why")
    async def phones(body: TextRequest) -> PhonesResponse:
        def reading(frontend: Frontend, check: Callable[[], None]) -> list[list[Phrase]]:
            lines: list[list[Phrase]] = []
            for line in body.input.split("\n"):
                lines.append([])
                for phrase in frontend(line):
                    lines[-1].append(phrase)
                    check()
            return lines

        name, lines = await read(body, reading)
        text = "\n".join(f" {WORD_MARK} ".join(filter(None, (one.phones for one in line))) for line in lines)
        return PhonesResponse(
            model=name, phones=text, phrases=[one.as_dict() for line in lines for one in line]
        )


def _deadline(seconds: float) -> Callable[[], None]:
    """Return a check that raises ApiError (400) once `seconds` have passed."""
    end = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > end:
            raise ApiError(400, Message("server.text_takes_too_long", seconds=seconds), param="input")

    return check
