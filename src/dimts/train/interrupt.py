"""Ctrl-C and SIGTERM → a wish the loop fulfils after its step; a second one, or one outside the loop, at
once.

A step can last minutes. While nothing of it has been kept yet (`abandonable`) the signal breaks it off: the
step is forgotten, and taken again when the run goes on.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Abandoned(BaseException):
    """The step was broken off; nothing of it is left."""


class Interrupt:
    """While open, the two signals set `wanted` instead of breaking off, once `looping` says someone looks at
    it."""

    def __init__(self) -> None:
        self.wanted = ""
        """Name of the signal that came; empty while none did."""
        self.looping = False
        self._abandonable = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # others cannot set handlers
            self._before = {number: signal.signal(number, self._on) for number in _SIGNALS}
        return self

    def listen_again(self) -> None:
        """Take the signals back from a library that has set handlers of its own meanwhile, as `ray.init`
        does."""
        for number in self._before:
            signal.signal(number, self._on)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def abandonable(self) -> Iterator[None]:
        """A block that a signal may break off, at once or between two of its operations, by `Abandoned`."""
        self._abandonable = True
        try:
            if self.wanted:
                raise Abandoned
            yield
        finally:
            self._abandonable = False

    def _on(self, number: int, frame: FrameType | None) -> None:
        if not self.looping or self.wanted:
            raise KeyboardInterrupt
        self.wanted = signal.Signals(number).name
        if self._abandonable:
            raise Abandoned
