"""The Wyoming protocol (Home Assistant): text to speech over TCP, by the package `wyoming`.

Whole texts (`synthesize`) and texts that come in pieces (`synthesize-start`, `-chunk`, `-stop`) are answered
with 24 kHz PCM, the latter sentence by sentence. The protocol knows no keys: it listens on this machine only
by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator
from typing import Any

from dimts.audio.encode import AudioEncoder
from dimts.base.errors import DimtsError
from dimts.base.plugins import require
from dimts.base.version import __version__
from dimts.server.errors import ApiError
from dimts.server.jobs import JobCancelled
from dimts.server.schema import SpeechRequest
from dimts.server.sentences import SentenceBuffer
from dimts.server.speech import SpeechService
from dimts.server.websocket import SentenceQueue
from dimts.speak import RATE

_HOME = "https://github.com/dimts/dimts"
_FORMAT = {"rate": RATE, "width": 2, "channels": 1}
_WITH_TEXT = ("synthesize", "synthesize-chunk")
_MAX_EVENT_BYTES = 1 << 20
"""Longest line, data or payload of an event in bytes; a longer one ends the connection."""


@contextlib.asynccontextmanager
async def listening(service: SpeechService, sock: socket.socket) -> AsyncIterator[None]:
    """Serve the protocol on a listening socket while the block runs."""
    clients: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (asyncio runs it in one)
        clients.add(task)
        task.add_done_callback(clients.discard)
        await _Client(service, reader, writer).run()

    server = await asyncio.start_server(serve, sock=sock, limit=_MAX_EVENT_BYTES)
    try:
        yield
    finally:
        server.close()
        for task in list(clients):
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


class _BoundedReader:
    """A stream reader that takes no more than `_MAX_EVENT_BYTES` at once."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readline(self) -> bytes:
        """Return a line. Raises ValueError for one that is too long."""
        return await self._reader.readline()

    async def readexactly(self, size: int) -> bytes:
        """Return `size` bytes. Raises ValueError for too many, IncompleteReadError at the end."""
        if size > _MAX_EVENT_BYTES:
            raise ValueError("too long")
        return await self._reader.readexactly(size)


class _Client:
    """One connection."""

    def __init__(
        self, service: SpeechService, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._service, self._reader, self._writer = service, _BoundedReader(reader), writer
        self._id = secrets.token_hex(8)
        self._buffer = SentenceBuffer()
        self._voice = ""
        self._streaming = False
        """Whether the current text comes in pieces."""
        self._started = False
        """Whether `audio-start` was sent for the current text."""

    async def run(self) -> None:
        """Answer events until the client leaves, is idle, or sends an invalid event."""
        try:
            while (event := await self._read()) is not None:
                await self._answer(*event)
        except (TimeoutError, OSError, ValueError, JobCancelled):
            return  # it left, stalled, or does not speak the protocol
        finally:
            if self._writer.transport.get_write_buffer_size():
                self._writer.transport.abort()
            self._writer.close()

    async def _read(self) -> tuple[str, Any, str] | None:
        """Return type, text and name of the voice of the next event; None at the end and for an event that
        cannot be read. Raises ValueError for one with fields of other types."""
        events: Any = require("wyoming.event", "wyoming")
        try:
            async with asyncio.timeout(self._service.settings.idle_seconds):
                event = await events.async_read_event(self._reader)
        except (EOFError, KeyError, TypeError, AttributeError, RecursionError):
            return None  # the package expects an object with a type
        if event is None:
            return None
        data = event.data or {}
        if not isinstance(data, dict):
            raise ValueError("not an event")
        text, voice = data.get("text"), data.get("voice") or {}
        name = voice.get("name") or "" if isinstance(voice, dict) else None
        if not isinstance(name, str) or (event.type in _WITH_TEXT and not isinstance(text, str)):
            raise ValueError("not an event")
        return event.type, text, name

    async def _answer(self, kind: str, text: str, voice: str) -> None:
        if kind == "describe":
            await self._write("info", self._info())
        elif kind == "synthesize":
            if self._streaming:
                return  # the whole text once more, for servers that cannot take it in pieces
            self._voice = voice
            await self._speak([text])
            await self._stop()
        elif kind == "synthesize-start":
            self._buffer, self._voice, self._streaming = SentenceBuffer(), voice, True
        elif kind == "synthesize-chunk":
            if len(self._buffer) + len(text) > self._service.settings.max_letters:
                raise ValueError("too long")
            await self._speak(self._buffer.push(text))
        elif kind == "synthesize-stop":
            await self._speak(self._buffer.flush())
            await self._stop()
            self._voice, self._streaming = "", False
            await self._write("synthesize-stopped", {})

    async def _speak(self, sentences: list[str]) -> None:
        for sentence in filter(str.strip, sentences):
            queue = SentenceQueue(self._service, self._id, "", "wyoming")
            model, _, voice = self._voice.partition("/")
            encoder = AudioEncoder("pcm", RATE)
            try:
                given = {"input": sentence, "model": model, "voice": voice, "response_format": "pcm"}
                body = SpeechRequest.model_validate(given)
                async for piece in queue.speak(body, encoder):
                    if not self._started:
                        self._started = True
                        await self._write("audio-start", _FORMAT)
                    await self._write("audio-chunk", _FORMAT, piece)
            except (ApiError, DimtsError) as error:
                await self._write("error", {"text": error.message.line(), "code": error.message.code})

    async def _stop(self) -> None:
        if not self._started:
            await self._write("audio-start", _FORMAT)
        self._started = False
        await self._write("audio-stop", {})

    def _info(self) -> dict[str, Any]:
        made_by = {"name": "dimts", "url": _HOME}
        about = {"attribution": made_by, "installed": True, "version": __version__}
        voices = [
            {"name": f"{name}/{voice}", "description": f"{name}, {voice}", "languages": ["am"], **about}
            for name, model in self._service.registry.models.items()
            for voice in model.voices()
        ]
        program = {"name": "dimts", "description": "Amharic speech", "voices": voices, **about}
        return {"tts": [program | {"supports_synthesize_streaming": True}]}

    async def _write(self, kind: str, data: dict[str, Any], payload: bytes | None = None) -> None:
        events: Any = require("wyoming.event", "wyoming")
        async with asyncio.timeout(self._service.settings.stall_seconds):
            await events.async_write_event(events.Event(kind, data, payload), self._writer)
