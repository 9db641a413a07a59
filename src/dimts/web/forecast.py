"""Format the output of `dimts train --dry-run --json` as two tables in the page's language: this machine, and
common cards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dimts.base.errors import TrainingError
from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.web import project_settings
from dimts.web.components import TabContext
from dimts.web.jobs import Job, Jobs

_GIGABYTE = 1e9
_LONG_SECONDS, _LONGER_SECONDS = 120.0, 7200.0


def latest(page: TabContext, project: Project) -> tuple[list[list[str]], list[list[str]]] | None:
    """Return rows of the last forecast for this machine, and for common cards; None without one.

    TrainingError for a forecast that cannot be read.
    """
    read = _read(project)
    if read is None:
        return None
    own = project_settings.get(project)
    return here(page, read[1], own["train.epochs"], own["train.steps"]), cards(page, read[1])


def duration(page: TabContext, project: Project) -> str | None:
    """How long a run takes here, by the last forecast; None where that is older than settings or clips.

    TrainingError as `latest`.
    """
    read = _read(project)
    changed = max(project_settings.stamp(project)[0], project.manifest.stat().st_mtime_ns) / 1e9
    if read is None or read[0].created < changed:
        return None
    found, own = read[1], project_settings.get(project)
    total = own["train.epochs"] * found["steps_per_epoch"] or own["train.steps"]
    return _duration(page, found["step_seconds"] * total)


def _read(project: Project) -> tuple[Job, dict[str, Any]] | None:
    """The last forecast that was made, and its job."""
    jobs = Jobs(project)
    made = [job for job in jobs.all() if job.kind == "cost" and job.state == "done"]
    if not made:
        return None
    try:
        return made[-1], json.loads(jobs.output_file(made[-1]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError("web.forecast_unreadable", reason=error) from error


def here(page: TabContext, found: Mapping[str, Any], epochs: int, steps: int) -> list[list[str]]:
    """Return the rows for this machine: kernels, amount of data, memory and time."""
    strings = page.strings
    total = epochs * found["steps_per_epoch"] or steps
    needed, there = found["process_bytes"] / _GIGABYTE, found["available_bytes"] / _GIGABYTE
    fits = strings("forecast.fits") if needed <= there else strings("forecast.too_much")
    rows = [
        ("learns", f"{found['trainable']:,} / {found['parameters']:,}"),
        ("attention", _choice(page, found["attention"])),
        ("precision", _choice(page, found["precision"])),
        (
            "clips",
            strings(
                "forecast.clips.value", count=found["clips"], minutes=f"{found['speech_seconds'] / 60:.1f}"
            ),
        ),
        ("batch", strings("forecast.batch.value", seconds=f"{found['seconds_per_forward']:g}")),
        ("memory", strings("forecast.memory.value", needed=f"{needed:.2f}", there=f"{there:.1f}", fits=fits)),
        ("step", _duration(page, found["step_seconds"], digits=2)),
        (
            "epoch",
            (
                f"{_duration(page, found['step_seconds'] * found['steps_per_epoch'])} "
                f"({found['steps_per_epoch']})"
            ),
        ),
        ("whole", f"{_duration(page, found['step_seconds'] * total)} ({total})"),
    ]
    return [[strings(f"forecast.{name}"), value] for name, value in rows]


def cards(page: TabContext, found: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows for common cards: whether these settings fit, the largest batch, and the time of an
    epoch."""
    strings = page.strings
    return [
        [
            page.text(Message("train.card_name", gigabytes=card["gigabytes"], name=card["name"])),
            strings("system.yes") if card["fits"] else strings("system.no"),
            page.text(Message("train.gigabytes", gigabytes=card["peak_bytes"] / _GIGABYTE)),
            strings("forecast.seconds", seconds=f"{card['most_seconds']:.0f}")
            if card["most_seconds"]
            else "–",
            _duration(page, card["epoch_seconds"]) if card["fits"] else "–",
        ]
        for card in found["cards"]
    ]


def _choice(page: TabContext, choice: Mapping[str, Any]) -> str:
    refused = "; ".join(f"{name}: {page.strings('train.not_here', why=page.text(_message(why)))}"
                        for name, why in choice["refused"].items())  # fmt: skip
    return f"{choice['name']} ({page.text(_message(choice['why']))})" + (f". {refused}" if refused else "")


def _message(value: Mapping[str, Any] | str) -> Message | str:
    return value if isinstance(value, str) else Message.from_dict(value)


def _duration(page: TabContext, seconds: float, digits: int = 0) -> str:
    if seconds < _LONG_SECONDS:
        return page.strings("forecast.seconds", seconds=f"{seconds:.{digits}f}")
    if seconds < _LONGER_SECONDS:
        return page.strings("forecast.minutes", minutes=f"{seconds / 60:.0f}")
    return page.strings("forecast.hours", hours=f"{seconds / 3600:.1f}")
