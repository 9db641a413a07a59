"""Two stages of one stream at work at once: the first in a thread of its own, the second where it is asked for.

Decoding codes waits for memory, the vocoder for arithmetic; on two cores each gets one of its own.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch

T = TypeVar("T")


def split_threads(threads: int) -> tuple[int, int] | None:
    """Threads of torch → those of the first and the second stage; None if there is only one to share."""
    return (threads // 2, threads - threads // 2) if threads > 1 else None


def run_in_background(items: Iterable[T], threads: int) -> Iterator[T]:
    """The same items, made in a thread of its own with so many threads of torch. Errors come out here too.

    When nobody reads on, the thread ends after the item at work.
    """
    ready: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()
    left = threading.Event()

    def work() -> None:
        torch.set_num_threads(threads)
        try:
            for item in items:
                ready.put((item,))
                if left.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  # not lost: raised where it is read
            ready.put(error)
        else:
            ready.put(None)

    worker = threading.Thread(target=work, name="dimts-decode", daemon=True)
    worker.start()
    try:
        while (found := ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]
    finally:
        left.set()
        worker.join()


def with_threads(items: Iterator[T], threads: int) -> Iterator[T]:
    """The same items, made here with so many threads of torch; between them the number is as it was."""
    while True:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            item = next(items)
        except StopIteration:
            return
        finally:
            torch.set_num_threads(before)
        yield item
