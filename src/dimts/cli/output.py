"""How the command line shows work and failure: a bar on stderr, one line and a remedy, an exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dimts.base.errors import DimtsError
from dimts.base.progress import Progress, ProgressCallback

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
_SECONDS_BETWEEN_LINES = 10.0


def show_error(error: DimtsError) -> None:
    """One line and its remedy, on stderr."""
    print(f"error: {error.message.line()}", file=sys.stderr)
    if remedy := " ".join(error.message.remedy().split()):
        print(f"hint:  {remedy}", file=sys.stderr)


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """A `tell` that draws tqdm bars on a terminal, and a line now and then elsewhere (logs, CI)."""
    drawer: _Bars | _Lines = _Bars() if sys.stderr.isatty() else _Lines()
    try:
        yield drawer.on_progress
    finally:
        drawer.close()


def _figures(progress: Progress) -> str:
    return " ".join(f"{name}={value:.4g}" for name, value in progress.values.items())


class _Bars:
    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None

    def on_progress(self, progress: Progress) -> None:
        from tqdm import tqdm

        if progress.stage != self._stage:
            self.close()
            self._stage = progress.stage
            self._bar = tqdm(
                total=progress.total,
                initial=progress.done,
                desc=progress.stage,
                unit=f" {progress.unit}",
                file=sys.stderr,
            )
        if progress.message:
            self._bar.write(progress.message, file=sys.stderr)
        self._bar.total = progress.total
        self._bar.n = progress.done
        self._bar.set_postfix_str(_figures(progress), refresh=False)
        self._bar.refresh() if progress.done == progress.total else self._bar.update(0)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Lines:
    def __init__(self) -> None:
        self._stage = ""
        self._last = 0.0
        self._first = (0.0, 0.0)
        """When the stage began, and with how much done."""

    def on_progress(self, progress: Progress) -> None:
        if progress.message:
            print(progress.message, file=sys.stderr, flush=True)
        now = time.monotonic()
        finished = progress.total is not None and progress.done >= progress.total
        if progress.stage == self._stage and now - self._last < _SECONDS_BETWEEN_LINES and not finished:
            return
        if progress.stage != self._stage:
            self._first = (now, progress.done)
        self._stage, self._last = progress.stage, now
        total = f"/{progress.total:g}" if progress.total is not None else ""
        parts = (f"{progress.stage}: {progress.done:g}{total}", progress.unit, _figures(progress))
        print(" ".join(filter(None, (*parts, self._left(progress, now)))), file=sys.stderr, flush=True)

    def _left(self, progress: Progress, now: float) -> str:
        """How long the rest will take at the pace so far."""
        began, done = self._first
        if progress.total is None or not done < progress.done < progress.total:
            return ""
        seconds = round((now - began) / (progress.done - done) * (progress.total - progress.done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"

    def close(self) -> None:
        """Nothing is held open."""
