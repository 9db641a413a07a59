"""Run requests for speech as jobs: a bounded number of threads that synthesise, and bytes passed to the event
loop.

    job = pool.take(work, …)            429 when all places are taken, 503 when the server is shutting down
    while data := await job.next(): …   bytes as they are made
    job.leave()                         in any case: frees its place and its decoding slots

The thread synthesises and waits where the client is slow; the event loop only forwards bytes.
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

_QUEUED_PIECES = 16
"""Pieces that may be queued for a slow client."""
_DECAY = 0.9
"""Weight of the past in the running mean of seconds per letter."""
_SECONDS_PER_LETTER = 0.05
"""Initial estimate of the seconds that a request takes per letter of its text."""

Work = Callable[["SpeechJob"], Iterator[bytes]]
"""Generator of a request's bytes, in its thread; calls `job.check()` between pieces."""


class JobCancelled(Exception):
    """The job was cancelled: the client left or stalled, it took too long, or the server shuts down."""


class SpeechJob:
    """One request being synthesised."""

    def __init__(self, pool: RequestPool, session: Session | None, owner: str, letters: int) -> None:
        self._pool, self.session, self.owner, self.letters = pool, session, owner, letters
        self.settings = pool.settings
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._free = threading.Semaphore(_QUEUED_PIECES)
        self._cancelled = threading.Event()
        self.closing = False
        """Whether no further sentence may begin."""
        self.begun = False
        """Whether any audio was made."""
        self.size: int | None = None
        """Bytes of the whole answer, where they are known before the first is sent."""
        self.why = ""
        """Why it was cancelled: "stalled", "timeout", "left" or "shutdown"; empty if it was not."""
        self.taken = time.monotonic()

    # In the thread

    def check(self) -> None:
        """Raise JobCancelled if the job was cancelled, for engines without a session, which raises by
        itself."""
        if self._cancelled.is_set() or (self.closing and self.session is None):
            raise JobCancelled

    def run(self, work: Work) -> None:
        """Run the work and pass its bytes on."""
        outcome: Exception | None = None
        try:
            for data in work(self):
                self.begun = True
                self._hand_over(data)
        except Exception as error:  # noqa: BLE001 (raised again where the bytes are awaited)
            outcome = error
        self._put(outcome)

    def _hand_over(self, data: bytes) -> None:
        if self._cancelled.is_set():
            raise JobCancelled
        if not self._free.acquire(timeout=self.settings.stall_seconds):
            self.why = self.why or "stalled"
            raise JobCancelled
        self._put(data)

    def _put(self, item: bytes | Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.put_nowait, item)
        except RuntimeError:  # the event loop has ended
            self._cancelled.set()

    # In the event loop

    async def next(self) -> bytes | None:
        """Return the next piece, None after the last. Raises what the work raised: DimtsError, JobCancelled,
        or a bug."""
        item = await self._ready.get()
        if isinstance(item, bytes):
            self._free.release()
            return item
        if item is not None:
            if _by_scheduler(item):
                raise JobCancelled from item
            raise item
        return None

    def finish_sentence(self) -> None:
        """Let the current sentence be the last."""
        self.closing = True
        self.why = self.why or "shutdown"
        if self.session is not None:
            self.session.finish()

    def leave(self, why: str = "") -> None:
        """Cancel the job, or clean up after its end."""
        self.why = self.why or why
        self._cancelled.set()
        self._free.release()
        if self.session is not None:
            self.session.cancel()
        self._pool.done(self)


class RequestPool:
    """The running jobs, up to a number in all and a number for each key."""

    def __init__(self, settings: ServeSettings, places_per_key: int) -> None:
        self.settings, self.places_per_key = settings, places_per_key
        self._threads = ThreadPoolExecutor(settings.places, thread_name_prefix="speech")
        self.jobs: set[SpeechJob] = set()
        self.stopping = False
        self._seconds_per_letter = _SECONDS_PER_LETTER

    def __len__(self) -> int:
        """Number of running jobs."""
        return len(self.jobs)

    def take(
        self, work: Work, session: Session | None = None, *, owner: str = "", letters: int = 1
    ) -> SpeechJob:
        """Start a job of a key's `owner`, for a text of so many letters.

        Raises ApiError: 503 when the server shuts down, 429 when all places, or all of this key, are taken.
        """
        if self.stopping:
            raise ApiError(503, Message("server.shutting_down"), headers={"retry-after": "5"})
        own = [job for job in self.jobs if job.owner == owner]
        if len(self.jobs) >= self.settings.places:
            raise self._full("server.queue_full", self.settings.places, self.jobs)
        if len(own) >= self.places_per_key:
            raise self._full("server.key_places_taken", self.places_per_key, own)
        job = SpeechJob(self, session, owner, letters)
        self.jobs.add(job)
        self._threads.submit(job.run, work)
        return job

    def _full(self, code: str, places: int, jobs: set[SpeechJob] | list[SpeechJob]) -> ApiError:
        seconds = self.seconds_until_free(jobs)
        return ApiError(
            429, Message(code, places=places, seconds=seconds), headers={"retry-after": str(seconds)}
        )

    def done(self, job: SpeechJob) -> None:
        """Free the place of a job that is over, however it ended."""
        if job in self.jobs:
            self.jobs.remove(job)
            if not job.why:
                rate = (time.monotonic() - job.taken) / max(job.letters, 1)
                self._seconds_per_letter = _DECAY * self._seconds_per_letter + (1 - _DECAY) * rate

    def seconds_until_free(self, jobs: set[SpeechJob] | list[SpeechJob] | None = None) -> int:
        """Estimate after how many seconds, at least 1, the first of `jobs` ends, from the letters of their
        texts.

        A job that is older than its estimate is assumed to need a tenth of its age more.
        """
        now = time.monotonic()
        left = [max(job.letters * self._seconds_per_letter - (now - job.taken), (now - job.taken) / 10)
                for job in (self.jobs if jobs is None else jobs)]  # fmt: skip
        return max(1, math.ceil(min(left, default=1.0)))

    def stop(self) -> None:
        """Accept no further job; cancel those whose first sentence still waits for a decoding slot."""
        self.stopping = True
        for job in list(self.jobs):
            if job.session is not None and not job.begun and not job.session.speaking:
                job.finish_sentence()

    def finish(self) -> None:
        """Let every job end after its current sentence."""
        for job in list(self.jobs):
            job.finish_sentence()

    def close(self, *, wait: bool = True) -> None:
        """Cancel the remaining jobs, and end the threads."""
        for job in list(self.jobs):
            job.leave("shutdown")
        self._threads.shutdown(wait=wait, cancel_futures=True)


def to_api_error(error: Exception, job: SpeechJob) -> ApiError | None:
    """Map the error that ended a job before its first byte to an HTTP error; None for a bug."""
    if isinstance(error, DimtsError):
        return error_response(error, param="input")
    if isinstance(error, JobCancelled):
        return ApiError(503, _reason(job), headers={"retry-after": "5"})
    return error if isinstance(error, ApiError) else None


def _by_scheduler(error: Exception) -> bool:
    """Whether the decoding scheduler ended the session, without importing torch."""
    scheduler = sys.modules.get("dimts.xtts.scheduler")
    return scheduler is not None and isinstance(error, scheduler.Cancelled)


def _reason(job: SpeechJob) -> Message:
    if job.why == "stalled":
        return Message("server.client_stalled", seconds=job.settings.stall_seconds)
    if job.why == "timeout":
        return Message("server.request_timeout", seconds=job.settings.request_seconds)
    return Message("server.client_left" if job.why == "left" else "server.shutting_down")
