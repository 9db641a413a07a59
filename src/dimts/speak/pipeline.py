"""Run two stages of one stream at once: the first in a thread of its own, the second in the caller's.

Decoding codes is bound by memory, the vocoder by arithmetic; on two cores each gets one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def split_threads(threads: int) -> tuple[int, int] | None:
    """Divide torch's threads between the first and the second stage; None if there is only one."""
    return (threads // 2, threads - threads // 2) if threads > 1 else None


def run_in_background(items: Iterable[T], threads: int | None = None) -> Iterator[T]:
    """Compute items in a thread of its own with this many threads of torch (None: torch is not used);
    its errors are raised here.

    When the iterator is closed, the thread ends after the current item.
    """
    ready: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()
    closed = threading.Event()

    def work() -> None:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        try:
            for item in items:
                ready.put((item,))
                if closed.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  # raised where the items are read
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
        closed.set()
        worker.join()


def with_threads(items: Iterator[T], threads: int) -> Iterator[T]:
    """Compute items here with this many threads of torch; between them the number is as it was."""
    import torch

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
