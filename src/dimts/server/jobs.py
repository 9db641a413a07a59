"""Requests for speech → threads that speak, bytes that flow: a bounded number of them, each with its own end.

    speech = desk.take(...)             429 when all places are taken, 503 when the server is going down
    async for data in speech: send      bytes as they are made
    speech.leave()                      whatever happens: its slots are free at once

The thread makes the sound and waits where the client is slow; the event loop only hands bytes on.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dimts.base.errors import DimtsError
from dimts.base.messages import Message
from dimts.server.errors import ApiError, error_response
from dimts.server.settings import ServeSettings

if TYPE_CHECKING:
    from dimts.xtts.scheduler import Session

_BLOCKS = 16
"""Pieces that may wait for a slow client."""
_MEMORY = 0.9
"""How much of the usual length of a request is remembered from one to the next."""

Work = Callable[["SpeechJob"], Iterator[bytes]]
"""Makes the bytes of a request, in its thread; asks `speech.check()` between pieces."""


class JobCancelled(Exception):
    """The speech was given up: the client left or stalled, it took too long, or the server goes down."""


class SpeechJob:
    """One request being spoken."""

    def __init__(self, desk: RequestPool, guest: Session | None) -> None:
        self._desk, self.guest, self.settings = desk, guest, desk.settings
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._room = threading.Semaphore(_BLOCKS)
        self._gone = threading.Event()
        self.closing = False
        """No further sentence may begin."""
        self.begun = False
        """Whether some sound was made."""
        self.why = ""
        """Why it was cancelled: "stalled", "timeout", "left" or "shutdown"; empty if it was not."""
        self.taken = time.monotonic()

    # In the thread

    def check(self) -> None:
        """Raise Ended if nobody wants the rest. Asked between sentences where there is no loop that would know."""
        if self._gone.is_set() or (self.closing and self.guest is None):
            raise JobCancelled

    def run(self, work: Work) -> None:
        """Do the work and hand its bytes over."""
        outcome: Exception | None = None
        try:
            for data in work(self):
                self.begun = True
                self._hand_over(data)
        except Exception as error:  # noqa: BLE001 (raised again where the bytes are awaited)
            outcome = error
        self._tell(outcome)

    def _hand_over(self, data: bytes) -> None:
        if self._gone.is_set():
            raise JobCancelled
        if not self._room.acquire(timeout=self._desk.settings.stall_seconds):
            self.why = self.why or "stalled"
            raise JobCancelled
        self._tell(data)

    def _tell(self, item: bytes | Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.put_nowait, item)
        except RuntimeError:  # the event loop has ended: nobody listens
            self._gone.set()

    # In the event loop

    async def next(self) -> bytes | None:
        """The next piece, None after the last. Raises what the work raised: DimtsError, Ended, or a bug."""
        item = await self._ready.get()
        if isinstance(item, bytes):
            self._room.release()
            return item
        if item is not None:
            if _by_scheduler(item):
                raise JobCancelled from item
            raise item
        return None

    def last(self) -> None:
        """Let the sentence at work be the last."""
        self.closing = True
        self.why = self.why or "shutdown"
        if self.guest is not None:
            self.guest.last()

    def leave(self, why: str = "") -> None:
        """Give it up, or put it away when it is over."""
        self.why = self.why or why
        self._gone.set()
        self._room.release()
        if self.guest is not None:
            self.guest.leave()
        self._desk.done(self)


class RequestPool:
    """Takes requests in, up to a number; knows who is being served."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self._pool = ThreadPoolExecutor(settings.places, thread_name_prefix="speech")
        self.taken: set[SpeechJob] = set()
        self.stopping = False
        self._usual_seconds = 2.0

    def __len__(self) -> int:
        """Requests being served."""
        return len(self.taken)

    def take(self, guest: Session | None, work: Work) -> SpeechJob:
        """Begin a request. Refused: 429 when it is full, 503 when it goes down."""
        if self.stopping:
            raise ApiError(503, Message("server.shutting_down"), headers={"retry-after": "5"})
        if len(self.taken) >= self.settings.places:
            seconds = self.retry_after()
            raise ApiError(
                429,
                Message("server.queue_full", places=self.settings.places, seconds=seconds),
                headers={"retry-after": str(seconds)},
            )
        speech = SpeechJob(self, guest)
        self.taken.add(speech)
        self._pool.submit(speech.run, work)
        return speech

    def done(self, speech: SpeechJob) -> None:
        """A request is over, however it ended."""
        if speech in self.taken:
            self.taken.remove(speech)
            seconds = time.monotonic() - speech.taken
            self._usual_seconds = _MEMORY * self._usual_seconds + (1 - _MEMORY) * seconds

    def retry_after(self) -> int:
        """Seconds after which a place should be free, whole and at least 1."""
        return max(1, math.ceil(self._usual_seconds / max(self.settings.slots, 1)))

    def stop(self) -> None:
        """Take nobody in any more; whose first sentence still waits for a slot is sent away."""
        self.stopping = True
        for speech in list(self.taken):
            if speech.guest is not None and not speech.begun and not speech.guest.speaking:
                speech.last()

    def finish(self) -> None:
        """Let every request end with the sentence it is saying."""
        for speech in list(self.taken):
            speech.last()

    def close(self, *, wait: bool = True) -> None:
        """Give up what is left, and end the threads."""
        for speech in list(self.taken):
            speech.leave("shutdown")
        self._pool.shutdown(wait=wait, cancel_futures=True)


def answer(error: Exception, speech: SpeechJob) -> ApiError | None:
    """What a client is told that has heard nothing yet; None for a bug of ours."""
    if isinstance(error, DimtsError):
        return error_response(error, param="input")
    if isinstance(error, JobCancelled):
        return ApiError(503, _cancelled(speech), headers={"retry-after": "5"})
    return error if isinstance(error, ApiError) else None


def _by_scheduler(error: Exception) -> bool:
    """Whether the decoding scheduler ended the session, without importing torch to ask."""
    scheduler = sys.modules.get("dimts.xtts.scheduler")
    return scheduler is not None and isinstance(error, scheduler.Cancelled)


def _cancelled(speech: SpeechJob) -> Message:
    settings = speech.settings
    if speech.why == "stalled":
        return Message("server.client_stalled", seconds=settings.stall_seconds)
    if speech.why == "timeout":
        return Message("server.request_timeout", seconds=settings.request_seconds)
    return Message("server.client_left" if speech.why == "left" else "server.shutting_down")
