"""Handle Ctrl-C and SIGTERM: the loop stops after its step; a second signal, or one outside the loop, stops
at once.

A step can last minutes. While no state of it has been changed yet (`abandonable`) the signal interrupts it:
the step is discarded, and taken again when the run is resumed.
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
    """The step was interrupted; no state has changed."""


class Interrupt:
    """While open, the two signals set `wanted` instead of interrupting, as long as `looping` is true."""

    def __init__(self) -> None:
        self.wanted = ""
        """Name of the signal received; empty while none was."""
        self.looping = False
        self._abandonable = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # others cannot set handlers
            self._before = {number: signal.signal(number, self._on) for number in _SIGNALS}
        return self

    def reinstall(self) -> None:
        """Install the handlers again after a library has set its own, as `ray.init` does."""
        for number in self._before:
            signal.signal(number, self._on)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def abandonable(self) -> Iterator[None]:
        """Mark a block that a signal may interrupt, at once or between two of its operations, by
        `Abandoned`."""
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
