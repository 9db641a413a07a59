"""Synthesise speech for requests: choose model, voice and settings, run a job, and stream the answer."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.responses import Response

from dimts.audio.encode import STREAMED, AudioEncoder
from dimts.audio.wave import Wave
from dimts.base.errors import SynthesisError
from dimts.base.http import Receive, Scope, Send, header_value
from dimts.base.messages import Message
from dimts.server import log
from dimts.server.errors import ApiError
from dimts.server.jobs import JobCancelled, RequestPool, SpeechJob, to_api_error
from dimts.server.metrics import Metrics
from dimts.server.middleware import RequestContext, request_context
from dimts.server.models import LoadedModel, ModelRegistry
from dimts.server.schema import SpeechRequest
from dimts.server.settings import ServeSettings
from dimts.speak import RATE, Speaker
from dimts.text.phrases import breaths

T = TypeVar("T")
BLOCK_BYTES = 1 << 16
"""Bytes passed to the connection at once: a client must read them within `stall_seconds`."""
_MEMORY_BYTES = 8_000_000
"""Size beyond which complete audio is stored on disk until it is sent."""
_SHORT_LETTERS = 160
"""A text of the formant voice up to this length (some 20 s of speech, made in about 0.3 s) is finished before
its first byte is sent, so that wav and flac have their true length: many readers of flac refuse a file
without one."""
_LENGTH_IN_HEADER = ("wav", "flac")
_MIN_SECONDS_PER_LETTER = 0.05
"""Least seconds per spoken letter, to refuse a text before synthesis."""
_LETTERS_OF_A_PAUSE, _PAUSE_SECONDS = 7, 60.0
"""The shortest mark for the longest pause: [ቆይታ60]."""


@dataclass(frozen=True, slots=True)
class SpeechTask:
    """One request for speech: model, voice and settings."""

    text: str
    form: str
    whole: bool
    model: LoadedModel
    voice_name: str
    speaker: Speaker
    voice: Any
    session: Any
    notes: tuple[Message, ...]
    """Fields of the request without effect."""

    @property
    def headers(self) -> dict[str, str]:
        """Return headers that name what was used."""
        found = {
            "x-dimts-model": quote(self.model.name),
            "x-dimts-voice": quote(self.voice_name),
            "x-dimts-seed": str(self.speaker.settings.seed),
            "x-accel-buffering": "no",
        }
        if self.notes:
            found["x-dimts-note"] = header_value("; ".join(note.line("en") for note in self.notes))
        return found


class SpeechRecord:
    """Figures of one request for the log and for Prometheus."""

    def __init__(self, metrics: Metrics, model: str, context: RequestContext) -> None:
        self._metrics, self._model, self._context = metrics, model, context
        self.seconds = 0.0
        self._ended = False

    def add(self, wave: Wave) -> None:
        """Count some audio."""
        if not self.seconds and len(wave.samples):
            waited = time.monotonic() - self._context.began
            self._context.facts["first_sound_seconds"] = round(waited, 4)
            self._metrics.first_sound.labels(self._model).observe(waited)
        self.seconds += wave.seconds

    def end(self, how: str) -> None:
        """Record how it ended; once."""
        if self._ended:
            return
        self._ended = True
        self._context.facts |= {"ended": how, "speech_seconds": round(self.seconds, 3)}
        self._metrics.ended.labels(self._model, how).inc()
        self._metrics.spoken.labels(self._model).inc(self.seconds)


class SpeechService:
    """Answer requests for speech of any protocol."""

    def __init__(
        self, registry: ModelRegistry, pool: RequestPool, metrics: Metrics, settings: ServeSettings
    ) -> None:
        self.registry, self.pool, self.metrics, self.settings = registry, pool, metrics, settings

    def utterance(self, body: SpeechRequest, owner: str) -> SpeechTask:
        """Resolve the names in a request of the key `owner`. Raises ApiError for unknown ones or a text that
        is too long."""
        model = self.registry.model(body.model)
        check_length(body.input, self.settings)
        chosen = self.registry.voice(
            model, body.voice if isinstance(body.voice, str) else body.voice.id, owner
        )
        notes = [chosen.note] if chosen.note is not None else []
        used = model.tempo(body.speed) / model.speaker.settings.rate
        if abs(used - body.speed) > 1e-9:
            notes.append(Message("server.speed_limited", speed=body.speed, used=used))
        if fields := body.without_effect():
            notes.append(Message("server.fields_without_effect", fields=tuple(fields)))
        session = model.session()
        speaker, voice = model.speaker_for(
            chosen.voice, session, speed=body.speed, seed=body.seed, whole=not body.stream
        )
        return SpeechTask(
            body.input,
            body.response_format,
            not body.stream,
            model,
            chosen.name,
            speaker,
            voice,
            session,
            tuple(notes),
        )

    def begin(
        self, task: SpeechTask, owner: str, context: RequestContext, encoder: AudioEncoder | None = None
    ) -> tuple[SpeechJob, SpeechRecord]:
        """Start a job for an utterance; `encoder` may continue over several. Raises ApiError as
        `RequestPool.take` does."""
        record = SpeechRecord(self.metrics, task.model.name, context)
        context.facts |= {"model": task.model.name, "voice": task.voice_name, "letters": len(task.text),
                          "format": task.form, "stream": not task.whole}  # fmt: skip
        if self.settings.log_text:
            context.facts["text"] = task.text
        limit = self.settings.max_speech_seconds

        def work(job: SpeechJob) -> Iterator[bytes]:
            _check_pauses(task, limit)
            waves = _counted(_waves(task, job), limit, record)
            if task.whole:
                pieces = _whole(job, waves, task.form)
            elif encoder is not None:
                pieces = _encoded(job, waves, encoder, finish=False)
            else:
                pieces = _streamed(job, waves, task)
            yield from pieces

        job = self.pool.take(work, task.session, owner=owner, letters=len(task.text))
        self.metrics.letters.labels(task.model.name).inc(len(task.text))
        return job, record

    async def answer(self, body: SpeechRequest, scope: Scope, receive: Receive) -> Response:
        """Return the HTTP answer once its first audio exists. Raises ApiError before any of it is sent."""
        context = request_context(scope)
        task = self.utterance(body, context.owner)
        job, record = self.begin(task, context.owner, context)
        first = await self.first(job, record, receive)
        headers = task.headers
        pieces = self.pieces(first, job)
        if body.stream_format == "sse":
            pieces, media_type = _events(pieces, len(body.input), record), "text/event-stream"
        else:
            media_type = STREAMED[body.response_format]
            if job.size is not None:
                headers["content-length"] = str(job.size)
        return SpeechResponse(pieces, job, record, headers, media_type)

    async def first(
        self, job: SpeechJob, record: SpeechRecord, receive: Receive | None = None
    ) -> bytes | None:
        """Return the first bytes of a job. Raises ApiError, and frees its place, if there are none in
        time."""
        seconds = min(self.settings.first_sound_seconds, self.settings.request_seconds)
        waiting = asyncio.wait_for(job.next(), seconds)
        try:
            return await (waiting if receive is None else until_disconnect(waiting, receive))
        except BaseException as error:
            raise self._refusal(error, job, record) from error

    def _refusal(self, error: BaseException, job: SpeechJob, record: SpeechRecord) -> BaseException:
        if isinstance(error, TimeoutError):
            job.leave("timeout")
            record.end("timeout")
            message = Message("server.first_sound_timeout", seconds=self.settings.first_sound_seconds)
            return ApiError(503, message, headers={"retry-after": str(self.pool.seconds_until_free())})
        if isinstance(error, ClientDisconnected):
            job.leave("left")
            record.end("left")
            return ApiError(499, Message("server.client_left"))  # for the log only
        job.leave("" if isinstance(error, Exception) else "left")
        known = to_api_error(error, job) if isinstance(error, Exception) else None
        record.end(job.why or ("refused" if known else "bug"))
        return known or error

    async def pieces(self, first: bytes | None, job: SpeechJob) -> AsyncIterator[bytes]:
        """Yield all bytes of a job in blocks of `BLOCK_BYTES` at most. Raises JobCancelled when it takes too
        long."""
        deadline = job.taken + self.settings.request_seconds
        piece = first
        while piece is not None:
            for start in range(0, len(piece), BLOCK_BYTES):
                yield piece[start : start + BLOCK_BYTES]
            try:
                piece = await asyncio.wait_for(job.next(), max(deadline - time.monotonic(), 0.001))
            except TimeoutError:
                job.leave("timeout")
                raise JobCancelled from None


def check_length(text: str, settings: ServeSettings) -> None:
    """Raise ApiError (400) for a text that is too long."""
    if len(text) > settings.max_letters:
        message = Message("server.text_too_long", letters=len(text), max_letters=settings.max_letters)
        raise ApiError(400, message, param="input")


class SpeechResponse(Response):
    """An answer that is sent while it is made; synthesis stops as soon as the client leaves."""

    def __init__(
        self, pieces: AsyncIterator[bytes], job: SpeechJob, record: SpeechRecord, headers: dict[str, str],
        media_type: str,
    ) -> None:  # fmt: skip
        self._pieces, self._job, self._record = pieces, job, record
        self.status_code, self.background, self.media_type = 200, None, media_type
        self.init_headers(headers)
        self.raw_headers = [
            pair for pair in self.raw_headers if pair[0] != b"content-length" or pair[1] != b"0"
        ]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the answer (ASGI 3). Raises the error that ended it early, so that the connection is aborted
        too."""
        how = "done"
        try:
            await until_disconnect(self._send(send), receive)
        except (ClientDisconnected, asyncio.CancelledError, OSError) as error:
            how = self._job.why or "left"
            if isinstance(error, asyncio.CancelledError | TimeoutError):
                how = self._job.why = "stalled" if isinstance(error, TimeoutError) else how
                raise
        except JobCancelled:
            how = self._job.why or "ended"
            raise
        except ApiError:
            how = "too_long"
            raise
        except Exception as error:
            how = "failed"
            log.note("speech failed", level=logging.ERROR, error=error, request=request_context(scope).id)
            raise
        finally:
            self._job.leave()
            self._record.end(how)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        size = self._job.size if "content-length" in self.headers else None
        sent = 0
        async for piece in self._pieces:
            sent += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": sent != size})
            if sent == size:  # the client may leave now
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class ClientDisconnected(Exception):
    """The client has closed the connection."""


async def until_disconnect(doing: Awaitable[T], receive: Receive) -> T:
    """Return the result of `doing`; if the client leaves first, `doing` is cancelled. Raises
    ClientDisconnected."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    work, leaving = asyncio.ensure_future(doing), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise ClientDisconnected
    finally:
        for task in (work, leaving):
            task.cancel()
        await asyncio.gather(work, leaving, return_exceptions=True)


def _check_pauses(task: SpeechTask, limit: float) -> None:
    """Raise ApiError (400) for a text whose pauses and letters must take longer than `limit` seconds."""
    if len(task.text) * _PAUSE_SECONDS / _LETTERS_OF_A_PAUSE <= limit:
        return
    frontend, rate, seconds = task.speaker.frontend, task.speaker.settings.rate, 0.0
    for breath in breaths(task.text, frontend.normaliser, frontend.settings.phrases):
        seconds += (breath.pause_seconds + len(breath.spoken) * _MIN_SECONDS_PER_LETTER) / rate
        if seconds > limit:
            raise _too_long(limit)


def _too_long(limit: float) -> ApiError:
    return ApiError(400, Message("server.speech_too_long", seconds=limit), param="input")


def _waves(task: SpeechTask, job: SpeechJob) -> Iterator[Wave]:
    """Yield the waves of an utterance: streamed, or phrase by phrase where a failed phrase may be retried."""
    if not task.whole:
        yield from task.speaker.stream(task.text, task.voice)
        return
    for phrase in task.speaker.phrases(task.text, task.voice):
        yield phrase.wave
        yield phrase.silence
        job.check()


def _counted(waves: Iterable[Wave], limit: float, record: SpeechRecord) -> Iterator[Wave]:
    """Yield the waves, counted; raises ApiError (400) beyond `limit` seconds, and SynthesisError if there are
    none."""
    for wave in waves:
        record.add(wave)
        if record.seconds > limit:
            raise _too_long(limit)
        if len(wave.samples):
            yield wave
    if not record.seconds:
        raise SynthesisError("server.nothing_spoken")


def _streamed(job: SpeechJob, waves: Iterator[Wave], task: SpeechTask) -> Iterator[bytes]:
    """Yield bytes as they are final; a short text of the formant voice is finished first."""
    if task.form in _LENGTH_IN_HEADER and task.model.formant and len(task.text) <= _SHORT_LETTERS:
        yield from _whole(job, waves, task.form)
        return
    yield from _encoded(job, waves, AudioEncoder(task.form, RATE), finish=True)


def _encoded(
    job: SpeechJob, waves: Iterator[Wave], encoder: AudioEncoder, *, finish: bool
) -> Iterator[bytes]:
    begun = False
    try:
        for wave in waves:
            begun = True
            if data := encoder.push(wave):
                yield data
            job.check()
    except Exception:
        if job.closing and begun and finish:  # the last sentence, to its last frame
            yield encoder.finish()
        raise
    if finish and (data := encoder.finish()):
        yield data


def _whole(job: SpeechJob, waves: Iterator[Wave], form: str) -> Iterator[bytes]:
    """Yield all bytes once the whole is encoded, with its length in `job.size`; large ones are stored on
    disk."""
    with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as file:
        encoder = AudioEncoder(form, RATE, file)  # type: ignore[arg-type]
        for wave in waves:
            encoder.push(wave)
            job.check()
        encoder.finish()
        job.size = file.seek(0, 2)
        file.seek(0)
        while data := file.read(BLOCK_BYTES):
            yield data


async def _events(pieces: AsyncIterator[bytes], letters: int, record: SpeechRecord) -> AsyncIterator[bytes]:
    """Yield server-sent events as in OpenAI's interface: deltas in base64, then the usage."""
    try:
        async for piece in pieces:
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    except (JobCancelled, ApiError) as error:
        shown = error if isinstance(error, ApiError) else ApiError(503, Message("server.stream_broken"))
        yield _event({"type": "error", "error": shown.body()["error"]})
        raise
    usage = {"input_tokens": letters, "output_tokens": round(record.seconds * 1000), "total_tokens": 0}
    usage["total_tokens"] = usage["input_tokens"] + usage["output_tokens"]
    yield _event({"type": "speech.audio.done", "usage": usage})


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()
