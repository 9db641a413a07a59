"""Process recordings on several cores; results are returned in the order of the recordings.

A worker is a process of its own with one front end; Ctrl-C is for the parent, which ends its workers. On
several machines the workers are Ray's (`cluster`), with the same order of work and of results.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from dimts.base.errors import DataError
from dimts.base.files import fingerprint
from dimts.data.context import Context, PrepareTools
from dimts.data.manifest import Utterance
from dimts.data.process import process_recording, work_key
from dimts.data.recording import Recording

_context: Context | None = None
_tools: PrepareTools | None = None
_done: frozenset[str] = frozenset()


Note = Callable[[str, Sequence[Utterance]], None]
"""Called with the work key and the rows of a recording as soon as it is done."""


def map_ordered(
    recordings: Sequence[Recording], done: Mapping[str, list[Utterance]], context: Context, note: Note
) -> Iterator[tuple[str, list[Utterance]]]:
    """Yield (work key, rows) of each recording in order; rows of `done` as they are, the others noted when
    done."""
    keys = frozenset(done)
    if context.settings.jobs == 1 or len(recordings) < 2:
        start(context, keys)
        for recording in recordings:
            key, rows = work(recording)
            if rows is not None:
                note(key, rows)
            yield key, done[key] if rows is None else rows
        return
    yield from _spread(recordings, done, context, note)


Result = tuple[str, list[Utterance] | None]
"""Work key of a recording, and its rows unless they are known."""
AHEAD = 4
"""Recordings handed out for each worker, so that none waits."""
Job = TypeVar("Job")


class Workers(Protocol[Job]):
    """Processes that recordings are handed to."""

    def capacity(self) -> int:
        """Number of recordings that they work on at a time, now."""
        ...

    def submit(self, recording: Recording) -> Job:
        """Hand out a recording; what is returned can be hashed."""
        ...

    def ready(self, jobs: set[Job]) -> Iterable[Job]:
        """Wait until some of the jobs are done, and say which."""
        ...

    def result(self, job: Job) -> Result:
        """The work key and rows of a job that is done. DataError for a worker that was lost."""
        ...


def in_order(
    recordings: Sequence[Recording],
    done: Mapping[str, list[Utterance]],
    workers: Workers[Job],
    note: Note,
) -> Iterator[tuple[str, list[Utterance]]]:
    """What `map_ordered` gives, by workers."""
    waiting: deque[Job] = deque()
    open_: set[Job] = set()  # not yet noted
    results: dict[Job, Result] = {}
    rest = iter(recordings)
    while True:
        for recording in itertools.islice(rest, max(0, workers.capacity() * AHEAD - len(waiting))):
            waiting.append(workers.submit(recording))
            open_.add(waiting[-1])
        if not waiting:
            return
        for job in workers.ready(open_):  # also those behind a recording that takes longer
            results[job] = key, rows = workers.result(job)
            if rows is not None:
                note(key, rows)
            open_.discard(job)
        while waiting and waiting[0] not in open_:
            key, rows = results.pop(waiting.popleft())
            yield key, done[key] if rows is None else rows


class _Processes:
    """Workers of this machine."""

    def __init__(self, pool: ProcessPoolExecutor, count: int) -> None:
        self._pool, self._count = pool, count

    def capacity(self) -> int:
        return self._count

    def submit(self, recording: Recording) -> Future[Result]:
        return self._pool.submit(work, recording)

    def ready(self, jobs: set[Future[Result]]) -> Iterable[Future[Result]]:
        return wait(jobs, return_when=FIRST_COMPLETED).done

    def result(self, job: Future[Result]) -> Result:
        return job.result()


def _spread(
    recordings: Sequence[Recording], done: Mapping[str, list[Utterance]], context: Context, note: Note
) -> Iterator[tuple[str, list[Utterance]]]:
    jobs = min(context.settings.jobs, len(recordings))
    others = set(multiprocessing.active_children())
    # spawned, not forked: threads of numerical libraries do not survive a fork
    pool = ProcessPoolExecutor(
        jobs,
        multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(context, frozenset(done)),
    )
    whole = False
    try:
        yield from in_order(recordings, done, _Processes(pool, jobs), note)
        whole = True
    except BrokenProcessPool as error:
        raise DataError("data.worker_ended") from error
    finally:
        pool.shutdown(wait=whole, cancel_futures=True)
        if not whole:
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()


def _start_worker(context: Context, done: frozenset[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start(context, done)


def start(context: Context, done: frozenset[str]) -> None:
    """Make this process ready for `work`; `done` are the work keys of which the rows are known."""
    global _context, _tools, _done
    _context, _tools, _done = context, None, done


def work(recording: Recording) -> Result:
    """Process a recording in this process: its work key, and its rows unless they are known."""
    global _tools
    if _context is None:
        raise RuntimeError("a worker was not started")
    content = ""
    if recording.path.is_file() and (recording.problem is None or recording.problem.kind == "no_text"):
        try:
            content = fingerprint(recording.path)
        except OSError:  # reading it will say what is wrong
            content = ""
    key = work_key(recording, content, _context)
    if key in _done:
        return key, None
    if _tools is None:
        _tools = _context.tools()
    return key, process_recording(recording, content, _context, _tools)
