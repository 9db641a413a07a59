"""Show progress and errors on stderr: as a bar, as lines, or as one JSON object per event."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from dimts.base.errors import DimtsError
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

Log = Literal["text", "json"]
Event = Literal["note", "warning", "error"]

_LEADS: dict[Event, str] = {"warning": "cli.warning", "error": "cli.error"}
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_EVENTS = 0.2
"""Least time between two JSON events of one stage that only report progress."""
_log: list[Log] = ["text"]


def use_log(form: Log) -> None:
    """Choose the format of stderr: lines for people, or one JSON object per event."""
    _log[0] = form


def show(message: Message, event: Event = "note") -> None:
    """Show one message: its text as a line, or as a JSON event."""
    if _log[0] == "json":
        _write_json(
            {
                "event": event,
                **message.as_dict(),
                "text": message.line(),
                "remedy": _one_line(message.remedy()),
            }
        )
        return
    lead = f"{Message(_LEADS[event]).text()}: " if event in _LEADS else ""
    print(f"{lead}{message.line()}", file=sys.stderr, flush=True)
    if remedy := _one_line(message.remedy()):
        print(f"{Message('cli.remedy').text()}: {remedy}", file=sys.stderr, flush=True)


def write(*messages: Message) -> None:
    """Write messages to standard output, a line each: what a command was run for."""
    for message in messages:
        print(message.text())


def heading(*cells: tuple[str, str]) -> str:
    """Return the heading of a table: the text of each code in the form of its column, e.g. ">7s"."""
    return " ".join(f"{Message(code).text() if code else '':{form}}" for code, form in cells)


def show_error(error: DimtsError) -> None:
    """Show an error: one line and its remedy, or a JSON event."""
    show(error.message, "error")


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Yield a callback that draws tqdm bars on a terminal, prints a line now and then elsewhere, or writes
    JSON events."""
    drawer: _Drawer = _JsonEvents() if _log[0] == "json" else _Bars() if sys.stderr.isatty() else _Lines()
    try:
        yield drawer.on_progress
    finally:
        drawer.close()


class _Drawer(Protocol):
    def on_progress(self, progress: Progress) -> None: ...

    def close(self) -> None: ...


class _Pace:
    """Estimate of the remaining seconds of a stage from its pace so far."""

    def __init__(self) -> None:
        self._stage = ("", "")
        self._first = (0.0, 0.0)

    def seconds_left(self, progress: Progress) -> float | None:
        now, stage = time.monotonic(), (progress.stage, progress.subject)
        if stage != self._stage or progress.done < self._first[1]:
            self._stage, self._first = stage, (now, progress.done)
        began, done = self._first
        if progress.total is None or not done < progress.done < progress.total:
            return None
        return (now - began) / (progress.done - done) * (progress.total - progress.done)


class _JsonEvents:
    def __init__(self) -> None:
        self._pace, self._last = _Pace(), (("", ""), 0.0)

    def on_progress(self, progress: Progress) -> None:
        left, now, stage = (
            self._pace.seconds_left(progress),
            time.monotonic(),
            (progress.stage, progress.subject),
        )
        finished = progress.total is not None and progress.done >= progress.total
        recent = stage == self._last[0] and now - self._last[1] < _SECONDS_BETWEEN_EVENTS
        if recent and not finished and progress.message is None:
            return
        self._last = (stage, now)
        _write_json(progress.as_dict(None if left is None else round(left, 1)))

    def close(self) -> None:
        """Nothing is held open."""


class _Bars:
    def __init__(self) -> None:
        self._stage = ("", "")
        self._bar: Any = None

    def on_progress(self, progress: Progress) -> None:
        from dimts.base.plugins import require

        tqdm = require("tqdm", "cli").tqdm
        if (progress.stage, progress.subject) != self._stage:
            self.close()
            self._stage = (progress.stage, progress.subject)
            self._bar = tqdm(
                total=progress.total,
                initial=progress.done,
                desc=progress.stage_text(),
                unit=f" {progress.unit_text()}",
                file=sys.stderr,
            )
        if progress.message is not None:
            self._bar.write(progress.message.line(), file=sys.stderr)
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
        self._pace, self._stage, self._last = _Pace(), ("", ""), 0.0

    def on_progress(self, progress: Progress) -> None:
        if progress.message is not None:
            print(progress.message.line(), file=sys.stderr, flush=True)
        left, now, stage = (
            self._pace.seconds_left(progress),
            time.monotonic(),
            (progress.stage, progress.subject),
        )
        finished = progress.total is not None and progress.done >= progress.total
        if stage == self._stage and now - self._last < _SECONDS_BETWEEN_LINES and not finished:
            return
        self._stage, self._last = stage, now
        total = f"/{progress.total:g}" if progress.total is not None else ""
        parts = (
            f"{progress.stage_text()}: {progress.done:g}{total}",
            progress.unit_text(),
            _figures(progress),
        )
        print(" ".join(filter(None, (*parts, _clock(left)))), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is held open."""


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = round(seconds)
    time_left = f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return Message("cli.time_left", time=time_left).text()


def _figures(progress: Progress) -> str:
    return " ".join(f"{name}={value:.4g}" for name, value in progress.values.items())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _write_json(event: dict[str, object]) -> None:
    print(json.dumps(event, ensure_ascii=False), file=sys.stderr, flush=True)
