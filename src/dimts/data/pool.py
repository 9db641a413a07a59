"""Recordings over cores: results come back in the order of the recordings, whoever was faster.

A worker is a process of its own with one front end; Ctrl-C is for the parent, which ends its workers.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from dimts.base.errors import DataError
from dimts.base.files import fingerprint
from dimts.data.manifest import Utterance
from dimts.data.recording import Recording

if TYPE_CHECKING:
    from dimts.data.prepare import Context, PrepareTools

_context: Context | None = None
_tools: PrepareTools | None = None
_done: frozenset[str] = frozenset()


def map_ordered(
    recordings: Sequence[Recording], done: Mapping[str, list[Utterance]], context: Context
) -> Iterator[tuple[str, list[Utterance]]]:
    """(work key, rows) of each recording; rows of `done` as they are."""
    keys = frozenset(done)
    if context.settings.jobs == 1 or len(recordings) < 2:
        _start(context, keys)
        for recording in recordings:
            key, rows = _one(recording)
            yield key, done[key] if rows is None else rows
        return
    yield from _spread(recordings, done, context)


def _spread(
    recordings: Sequence[Recording], done: Mapping[str, list[Utterance]], context: Context
) -> Iterator[tuple[str, list[Utterance]]]:
    jobs = min(context.settings.jobs, len(recordings))
    others = set(multiprocessing.active_children())
    # spawned, not forked: threads of numerical libraries do not survive a fork
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(context, frozenset(done))
    )
    waiting: deque[Future[_Result]] = deque()
    rest = iter(recordings)
    whole = False
    try:
        for recording in itertools.islice(rest, jobs * _AHEAD):
            waiting.append(pool.submit(_one, recording))
        while waiting:
            result = waiting.popleft().result()
            for recording in itertools.islice(rest, 1):
                waiting.append(pool.submit(_one, recording))
            key, rows = result
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
"""Recordings handed out for each worker, so that none waits."""


def _start_worker(context: Context, done: frozenset[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _start(context, done)


def _start(context: Context, done: frozenset[str]) -> None:
    global _context, _tools, _done
    _context, _tools, _done = context, None, done


def _one(recording: Recording) -> _Result:
    """The work key, and the rows unless they are known."""
    global _tools
    from dimts.data.prepare import work, work_key

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
    return key, work(recording, content, _context, _tools)
