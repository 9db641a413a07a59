"""Ctrl-C and SIGTERM → a wish the loop fulfils after its step; a second one, or one outside the loop, at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """While open, the two signals set `wanted` instead of breaking off, once `looping` says someone looks at it."""

    def __init__(self) -> None:
        self.wanted = ""
        """Name of the signal that came; empty while none did."""
        self.looping = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # others cannot set handlers
            self._before = {number: signal.signal(number, self._on) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on(self, number: int, frame: FrameType | None) -> None:
        if self.looping and not self.wanted:
            self.wanted = signal.Signals(number).name
        else:
            raise KeyboardInterrupt
