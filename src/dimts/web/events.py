"""Read the events that a `dimts --log json` command writes on stderr, one JSON object per line.

A line that is not an event (a library's warning, a traceback) stays text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dimts.base.messages import Message
from dimts.base.progress import Progress

BYTES_PER_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a command."""

    kind: str
    """"progress", "note", "warning" or "error"."""
    message: Message | None = None
    progress: Progress | None = None
    """Progress of the work, for an event of that kind."""
    seconds_left: float | None = None


def read(lines: Iterable[str]) -> list[Event | str]:
    """Parse a command's log, oldest first; text where a line is not an event; empty lines are left out."""
    return [_event(line) or line for line in lines if line.strip()]


def last_error(found: Iterable[Event | str]) -> Message | None:
    """Return the message of the last error among events; None where there is none."""
    messages = [one.message for one in found if isinstance(one, Event) and one.kind == "error"]
    return messages[-1] if messages else None


def last_progress(found: Iterable[Event | str]) -> Event | None:
    """Return the last progress event."""
    events = [one for one in found if isinstance(one, Event) and one.progress is not None]
    return events[-1] if events else None


def line(one: Event | str, language: str) -> str:
    """Format an event on one line in `language`: the message with its remedy, or the progress."""
    if isinstance(one, str):
        return one
    if one.message is not None:
        remedy = " ".join(one.message.remedy(language).split())
        return f"{one.message.line(language)} {remedy}".strip()
    return amount(one.progress, language) if one.progress is not None else ""


def amount(progress: Progress, language: str) -> str:
    """Format stage, amount and unit in `language`, e.g. "prepare 3 / 20 recordings"."""
    scale, unit = (BYTES_PER_MEGABYTE, "mb") if progress.unit == "bytes" else (1.0, progress.unit)
    total = f" / {progress.total / scale:.4g}" if progress.total is not None else ""
    name = Message(f"progress.unit_{unit}").text(language)
    return f"{progress.stage_text(language)} {progress.done / scale:.4g}{total} {name}"


def _event(text: str) -> Event | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("event"), str):
        return None
    try:
        message = Message.from_dict(content) if content.get("code") else None
        return Event(
            content["event"], message, _progress(content, message), _number(content.get("seconds_left"))
        )
    except (KeyError, ValueError, TypeError):
        return None


def _progress(content: Mapping[str, Any], message: Message | None) -> Progress | None:
    if content["event"] != "progress":
        return None
    done = _number(content.get("done")) or 0.0
    values = {str(name): float(value) for name, value in dict(content.get("values") or {}).items()}
    unit, subject = str(content.get("unit") or "items"), str(content.get("subject") or "")
    return Progress(
        str(content["stage"]), done, _number(content.get("total")), unit, message, values, subject
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
