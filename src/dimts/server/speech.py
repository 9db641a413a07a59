"""POST /v1/audio/speech: a request → its speaker, a place at the desk, and sound that flows while it is made."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from dimts.audio.encode import STREAMED, AudioEncoder
from dimts.audio.wave import FORMATS, Wave, join
from dimts.base.errors import SynthesisError
from dimts.base.messages import Message
from dimts.server import log
from dimts.server.errors import ApiError
from dimts.server.jobs import JobCancelled, RequestPool, SpeechJob, answer
from dimts.server.metrics import Metrics
from dimts.server.middleware import RequestContext, request_context
from dimts.server.models import ModelRegistry
from dimts.server.schema import SpeechRequest
from dimts.server.settings import ServeSettings
from dimts.speak import RATE, Speaker

T = TypeVar("T")
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Speaking:
    """Answers requests for speech."""

    def __init__(self, house: ModelRegistry, desk: RequestPool, metrics: Metrics, settings: ServeSettings) -> None:
        self.house, self.desk, self.metrics, self.settings = house, desk, metrics, settings

    async def answer(self, body: SpeechRequest, request: Request) -> Response:
        """The answer, whose first sound is there already. Raises Refused and DimtsError before any of it is sent."""
        visit = request_context(request.scope)
        served = self.house.model(body.model)
        if len(body.input) > self.settings.max_letters:
            message = Message("server.text_too_long", letters=len(body.input), max_letters=self.settings.max_letters)
            raise ApiError(400, message, param="input")
        wished = body.voice if isinstance(body.voice, str) else body.voice.id
        called, voice = self.house.voice(served, wished, visit.owner)
        guest = served.loop.guest() if served.loop is not None else None
        whole = not body.stream
        speaker, chosen = served.speaking(voice, guest, speed=body.speed, seed=body.seed, whole=whole)
        sent = _Sent(self.metrics, served.name, visit)

        def work(speech: SpeechJob) -> Iterator[bytes]:
            make = _whole if whole else _streamed
            for wave, data in make(speech, speaker, body.input, chosen, body.response_format):
                sent.sound(wave)
                if data:
                    yield data

        visit.facts |= {"model": served.name, "voice": called, "letters": len(body.input), "format":
                        body.response_format, "stream": body.stream}  # fmt: skip
        if self.settings.log_text:
            visit.facts["text"] = body.input
        speech = self.desk.take(guest, work)
        self.metrics.letters.labels(served.name).inc(len(body.input))
        deadline = speech.taken + self.settings.request_seconds
        try:
            first = await _unless_left(
                asyncio.wait_for(speech.next(), min(self.settings.first_sound_seconds, self.settings.request_seconds)),
                request.receive,
            )
        except BaseException as error:
            raise self._given_up(error, speech, sent) from error
        headers = {
            "x-dimts-model": quote(served.name),
            "x-dimts-voice": quote(called),
            "x-dimts-seed": str(speaker.settings.seed),
        }
        if body.instructions:
            headers["x-dimts-note"] = Message("server.instructions_ignored").text("en")
        pieces = self._pieces(first, speech, deadline)
        if body.stream_format == "sse":
            pieces, media_type = _events(pieces, len(body.input), sent), "text/event-stream"
        else:
            media_type = STREAMED[body.response_format]
        if whole and body.stream_format == "audio":
            headers["content-length"] = str(len(first or b""))
        return _Flowing(pieces, speech, sent, headers, media_type)

    def _given_up(self, error: BaseException, speech: SpeechJob, sent: _Sent) -> BaseException:
        """The refusal of a request that has heard nothing yet; its place is free."""
        if isinstance(error, TimeoutError):
            speech.leave("timeout")
            sent.end("timeout")
            message = Message("server.first_sound_timeout", seconds=self.settings.first_sound_seconds)
            return ApiError(503, message, headers={"retry-after": str(self.desk.retry_after())})
        if isinstance(error, _Left):
            speech.leave("left")
            sent.end("left")
            return ApiError(499, Message("server.client_left"))  # nobody reads it but the log
        speech.leave("" if isinstance(error, Exception) else "left")
        known = answer(error, speech) if isinstance(error, Exception) else None
        sent.end(speech.why or ("refused" if known else "bug"))
        return known or error

    async def _pieces(self, first: bytes | None, speech: SpeechJob, deadline: float) -> AsyncIterator[bytes]:
        piece = first
        while piece is not None:
            yield piece
            try:
                piece = await asyncio.wait_for(speech.next(), max(deadline - time.monotonic(), 0.001))
            except TimeoutError:
                speech.leave("timeout")
                raise JobCancelled from None


class _Sent:
    """What was sent of one request, for the log and the figures."""

    def __init__(self, metrics: Metrics, model: str, visit: RequestContext) -> None:
        self._metrics, self._model, self._visit = metrics, model, visit
        self.seconds = 0.0
        self._ended = False

    def sound(self, wave: Wave) -> None:
        """Some sound was made."""
        if not self.seconds:
            waited = time.monotonic() - self._visit.began
            self._visit.facts["first_sound_seconds"] = round(waited, 4)
            self._metrics.first_sound.labels(self._model).observe(waited)
        self.seconds += wave.seconds

    def end(self, how: str) -> None:
        """It is over."""
        if self._ended:
            return
        self._ended = True
        self._visit.facts |= {"ended": how, "speech_seconds": round(self.seconds, 3)}
        self._metrics.ended.labels(self._model, how).inc()
        self._metrics.spoken.labels(self._model).inc(self.seconds)


class _Flowing(Response):
    """An answer that is sent while it is made, and stops being made as soon as nobody takes it."""

    def __init__(
        self, pieces: AsyncIterator[bytes], speech: SpeechJob, sent: _Sent, headers: dict[str, str], media_type: str
    ) -> None:
        self._pieces, self._speech, self._sent = pieces, speech, sent
        self.status_code, self.background, self.media_type = 200, None, media_type
        self.init_headers(headers)
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length" or pair[1] != b"0"]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it (ASGI 3). Raises what broke it off, so that the connection is broken off too."""
        how = "done"
        try:
            await _unless_left(self._send(send), receive)
        except (_Left, asyncio.CancelledError, OSError) as error:
            how = self._speech.why or "left"
            if isinstance(error, asyncio.CancelledError):
                raise
        except JobCancelled:
            how = self._speech.why or "ended"
            raise
        except Exception as error:
            how = "failed"
            log.note("speech failed", level=logging.ERROR, error=error, request=request_context(scope).id)
            raise
        finally:
            self._speech.leave()
            self._sent.end(how)

    async def _send(self, send: _Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Left(Exception):
    """The client has gone."""


async def _unless_left(doing: Awaitable[T], receive: _Receive) -> T:
    """The result of `doing`, unless the client goes first: then `doing` is cancelled and _Left raised."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    work, leaving = asyncio.ensure_future(doing), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise _Left
    finally:
        for task in (work, leaving):
            task.cancel()
        await asyncio.gather(work, leaving, return_exceptions=True)


def _streamed(speech: SpeechJob, speaker: Speaker, text: str, voice: Any, form: str) -> Iterator[tuple[Wave, bytes]]:
    """Each wave as it is made, and the bytes that are certain with it."""
    encoder = AudioEncoder(form, RATE)
    said = False
    try:
        for wave in speaker.stream(text, voice):
            said = True
            yield wave, encoder.push(wave)
            speech.check()
    except Exception:
        if speech.closing and said:  # the last sentence, to its last frame
            yield Wave.silence(0.0, RATE), encoder.finish()
        raise
    if not said:
        raise SynthesisError("server.nothing_spoken")
    yield Wave.silence(0.0, RATE), encoder.finish()


def _whole(speech: SpeechJob, speaker: Speaker, text: str, voice: Any, form: str) -> Iterator[tuple[Wave, bytes]]:
    """All of it at once, with a header that says how long it is."""
    pieces: list[Wave] = []
    for said in speaker.perform(text, voice):
        pieces += [said.wave, Wave.silence(said.pause, RATE)]
        speech.check()
    wave = join(pieces)
    if not len(wave.samples):
        raise SynthesisError("server.nothing_spoken")
    if form in FORMATS and form in ("wav", "flac"):
        yield wave, wave.encode(form)
        return
    encoder = AudioEncoder(form, RATE)
    yield wave, encoder.push(wave) + encoder.finish()


async def _events(pieces: AsyncIterator[bytes], letters: int, sent: _Sent) -> AsyncIterator[bytes]:
    """Server-sent events as OpenAI's clients know them: deltas in base64, then what it took."""
    try:
        async for piece in pieces:
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    except JobCancelled:
        yield _event({"type": "error", "error": ApiError(503, Message("server.stream_broken")).body()["error"]})
        raise
    usage = {"input_tokens": letters, "output_tokens": round(sent.seconds * 1000), "total_tokens": 0}
    usage["total_tokens"] = usage["input_tokens"] + usage["output_tokens"]
    yield _event({"type": "speech.audio.done", "usage": usage})


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()
