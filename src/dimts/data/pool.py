"""Process recordings on several cores; results are returned in the order of the recordings.

A worker is a process of its own with one front end; Ctrl-C is for the parent, which ends its workers.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

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
        _start(context, keys)
        for recording in recordings:
            key, rows = _one(recording)
            if rows is not None:
                note(key, rows)
            yield key, done[key] if rows is None else rows
        return
    yield from _spread(recordings, done, context, note)


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
    waiting: deque[Future[_Result]] = deque()
    open_: set[Future[_Result]] = set()  # not yet noted
    rest = iter(recordings)

    def submit(count: int) -> None:
        for recording in itertools.islice(rest, count):
            future = pool.submit(_one, recording)
            waiting.append(future)
            open_.add(future)

    whole = False
    try:
        submit(jobs * _AHEAD)
        while waiting:
            ready, _ = wait(open_, return_when=FIRST_COMPLETED)
            for future in ready:  # also those behind a recording that takes longer
                key, rows = future.result()
                if rows is not None:
                    note(key, rows)
                open_.discard(future)
            while waiting and waiting[0] not in open_:
                key, rows = waiting.popleft().result()
                submit(1)
                yield key, done[key] if rows is None else rows
        whole = True
    except BrokenProcessPool as error:
        raise DataError("data.worker_ended") from error
    finally:
        pool.shutdown(wait=whole, cancel_futures=True)
        if not whole:
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()


_Result = tuple[str, list[Utterance] | None]
_AHEAD = 4
"""Recordings queued for each worker, so that none is idle."""


def _start_worker(context: Context, done: frozenset[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _start(context, done)


def _start(context: Context, done: frozenset[str]) -> None:
    global _context, _tools, _done
    _context, _tools, _done = context, None, done


def _one(recording: Recording) -> _Result:
    """Process one recording: its work key, and its rows unless they are known."""
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
