"""/v1/audio/speech/ws: text in pieces in, sound by sentence out, over one WebSocket; may be interrupted at
any time.

client → {"type": "session.update", "voice": "abebe", "response_format": "pcm"} fields of /v1/audio/speech
         {"type": "input.append", "text": "ሰላም። እንዴ"}             a piece of text
         {"type": "input.done"}                                   speak the rest; more may follow
         {"type": "cancel"}                                       stop, and drop what waits
server → {"type": "session.updated", …}, {"type": "sentence", "text": …}, bytes of audio, {"type": "done"},
         {"type": "cancelled"}, {"type": "error", "error": {…}}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from dimts.audio.encode import AudioEncoder
from dimts.base.errors import DimtsError
from dimts.base.http import header_value
from dimts.base.messages import Message
from dimts.server import log
from dimts.server.errors import ApiError, error_response
from dimts.server.jobs import JobCancelled, SpeechJob
from dimts.server.middleware import WEBSOCKET_PATH, RequestContext, request_context
from dimts.server.schema import SpeechRequest
from dimts.server.sentences import SentenceBuffer
from dimts.server.speech import SpeechService
from dimts.speak import RATE

_RETRY_SECONDS = 0.2
"""Seconds between two attempts to get a place while all are taken."""
_CLOSE_SECONDS = 1.0
_EXPECTED = (WebSocketDisconnect, TimeoutError, OSError, RuntimeError)
"""Errors that mean a client has left: cleanly, idle or stalled, by a broken connection, or closed while
sending."""
_DONE = ""
"""Marks the end of an input in the queue of sentences."""


class SentenceQueue:
    """Sentences of one client, spoken one after the other, each in a job of its own, with one encoder.

    Shared by the protocols whose text arrives in pieces.
    """

    def __init__(self, service: SpeechService, request: str, owner: str, path: str) -> None:
        self.service, self.owner = service, owner
        self._request, self._path = request, path
        self._job: SpeechJob | None = None

    async def speak(self, body: SpeechRequest, encoder: AudioEncoder) -> AsyncIterator[bytes]:
        """Yield the bytes of one sentence. Raises ApiError, JobCancelled if it was interrupted."""
        task = self.service.utterance(body, self.owner)
        context = RequestContext(self._request, self.owner)
        deadline = time.monotonic() + self.service.settings.first_sound_seconds
        while True:
            try:
                job, record = self.service.begin(task, self.owner, context, encoder)
                break
            except ApiError as error:
                if error.status != 429 or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)
        self._job = job
        how = "left"
        try:
            first = await self.service.first(job, record)
            async for piece in self.service.pieces(first, job):
                yield piece
            how = "done"
        except JobCancelled:
            how = job.why or "cancelled"
            raise
        except ApiError:
            how = "refused"
            raise
        finally:
            job.leave()
            record.end(how)
            self._job = None
            log.note("sentence", request=self._request, path=self._path, **context.facts)

    def interrupt(self) -> None:
        """Stop the sentence at work."""
        if self._job is not None:
            self._job.leave("cancelled")


class SpeechConnection:
    """One WebSocket: a task that reads events, and one that speaks their text."""

    def __init__(self, socket: WebSocket, service: SpeechService) -> None:
        self.socket, self.service = socket, service
        context = request_context(socket.scope)
        self._queue = SentenceQueue(service, context.id, context.owner, WEBSOCKET_PATH)
        self._fields: dict[str, Any] = {"response_format": "pcm", "stream": True}
        self._buffer = SentenceBuffer()
        self._sentences: deque[str] = deque()
        self._changed = asyncio.Event()
        self._speaking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve the connection until the client leaves, errs in the protocol, or is idle."""
        await self.socket.accept()
        tasks = [asyncio.create_task(self._read_all()), asyncio.create_task(self._speak_all())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._queue.interrupt()
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError, OSError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.socket.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, _EXPECTED):
                raise outcome

    async def _read_all(self) -> None:
        while True:
            async with asyncio.timeout(self.service.settings.idle_seconds):
                message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                await self._take(message.get("text"))
            except ApiError as error:
                await self._send(error.body() | {"type": "error"})

    async def _take(self, text: str | None) -> None:
        """Act on one event. Raises ApiError for one that is wrong; the connection goes on."""
        try:
            event = json.loads(text or "")
            kind, fields = event.pop("type"), event
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise ApiError(400, Message("server.not_an_event")) from error
        if kind == "session.update":
            notes = self._update(fields)
            noted = {"note": header_value("; ".join(note.line("en") for note in notes))} if notes else {}
            await self._send({"type": "session.updated", **noted, **self._fields})
        elif kind == "input.append":
            piece = fields.get("text")
            if not isinstance(piece, str) or not _is_unicode(piece):
                raise ApiError(400, Message("server.not_an_event"), param="text")
            waiting = len(self._buffer) + sum(map(len, self._sentences)) + len(piece)
            if waiting > self.service.settings.max_letters:
                message = Message(
                    "server.text_too_long", letters=waiting, max_letters=self.service.settings.max_letters
                )
                raise ApiError(400, message, param="text")
            self._add(self._buffer.push(piece))
        elif kind == "input.done":
            self._add([*self._buffer.flush(), _DONE])
        elif kind == "cancel":
            await self._cancel()
        else:
            raise ApiError(400, Message("server.not_an_event"), param="type")

    def _update(self, fields: dict[str, Any]) -> tuple[Message, ...]:
        """Change fields of the session; return notes on what has no effect, which is not kept. Raises
        ApiError for a wrong one at once."""
        changed = {**self._fields, **fields, "stream": True, "stream_format": "audio"}
        body = _request(changed, "ሰ")
        notes = self.service.utterance(body, self._queue.owner).notes
        kept = set(SpeechRequest.model_fields) - {"input", *body.without_effect()}
        self._fields = {name: value for name, value in changed.items() if name in kept}
        return notes

    def _add(self, sentences: list[str]) -> None:
        self._sentences.extend(sentences)
        self._changed.set()

    async def _cancel(self) -> None:
        self._sentences.clear()
        self._buffer.flush()
        self._queue.interrupt()
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.gather(self._speaking, return_exceptions=True)
        await self._send({"type": "cancelled"})

    async def _speak_all(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._speaking = asyncio.create_task(self._speak_waiting())
            (outcome,) = await asyncio.gather(self._speaking, return_exceptions=True)
            self._speaking = None
            if isinstance(outcome, Exception):
                raise outcome

    async def _speak_waiting(self) -> None:
        """Speak what waits; the encoder is new after every `input.done`."""
        encoder: AudioEncoder | None = None
        while self._sentences:
            sentence, fields = self._sentences.popleft(), self._fields
            try:
                if sentence == _DONE:
                    if encoder is not None and (rest := encoder.finish()):
                        await self._send(rest)
                    encoder = None
                    await self._send({"type": "done"})
                    continue
                body = _request(fields, sentence)
                encoder = encoder or AudioEncoder(body.response_format, RATE)
                await self._send({"type": "sentence", "text": sentence})
                async for piece in self._queue.speak(body, encoder):
                    await self._send(piece)
            except JobCancelled:
                return
            except DimtsError as error:
                await self._send(error_response(error).body() | {"type": "error"})
            except ApiError as error:
                await self._send(error.body() | {"type": "error"})
            while not self._sentences and encoder is not None:  # the encoder waits for the rest of this input
                await self._changed.wait()
                self._changed.clear()

    async def _send(self, content: dict[str, Any] | bytes) -> None:
        async with asyncio.timeout(self.service.settings.stall_seconds):
            if isinstance(content, bytes):
                await self.socket.send_bytes(content)
            else:
                await self.socket.send_text(json.dumps(content, ensure_ascii=False))


def _request(fields: dict[str, Any], text: str) -> SpeechRequest:
    try:
        return SpeechRequest.model_validate({**fields, "input": text})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        problem = first["msg"][:300]
        raise ApiError(
            400, Message("server.invalid_field", field=field, problem=problem), param=field
        ) from error


def _is_unicode(text: str) -> bool:
    """Whether a text can be written at all: half a surrogate pair, which JSON lets through, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
