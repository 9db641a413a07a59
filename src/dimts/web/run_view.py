"""Read a project's training runs for the page: curves, samples, the option report, the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimts.base.errors import DataError
from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.train.option_table import read_options

_MOST_POINTS = 400
"""Most points of a curve; more are thinned out."""
_CURVES = {"loss": "train", "dev_loss": "dev"}


@dataclass(frozen=True, slots=True)
class RunView:
    """State of one run."""

    name: str
    folder: Path
    ended: Message | None
    """Why it ended; None while it has not."""
    step: int
    total: int
    points: tuple[tuple[int, float, str], ...]
    """Points (step, loss, curve)."""
    samples: tuple[str, ...]
    """Names of audio files, newest first."""

    @property
    def stamp(self) -> tuple[object, ...]:
        """Value that changes when there is something new to draw."""
        return (self.name, self.step, self.ended, len(self.points), self.samples)


def runs(project: Project) -> list[str]:
    """Return the names of the runs, newest first."""
    return sorted((path.parent.name for path in project.runs.glob("*/run.json")), reverse=True)


def view(project: Project, name: str) -> RunView:
    """Read one run. DataError for an unknown name."""
    if name not in runs(project):
        raise DataError("web.no_such_run", name=str(name)[:60])
    folder = project.runs / name
    info, plan = _json(folder / "run.json"), _json(folder / "plan.json")
    points: list[tuple[int, float, str]] = []
    step = 0
    # without dev clips the trainer uses the training loss in their place: no second curve then
    curves = {key: curve for key, curve in _CURVES.items() if curve != "dev" or plan.get("dev_clips", 1)}
    for line in _lines(folder / "log.jsonl"):
        step = max(step, int(line.get("step", 0)))
        for key, curve in curves.items():
            value = line.get(key)
            if isinstance(value, int | float) and value == value:
                points.append((int(line["step"]), float(value), curve))
    samples = sorted((path for path in (folder / "samples").glob("*.wav")), reverse=True)
    return RunView(
        name,
        folder,
        Message.from_dict(info["ended"]) if info.get("ended") else None,
        step,
        int(plan.get("steps", 0)),
        thinned(points),
        tuple(path.name for path in samples),
    )


def sample(project: Project, run: str, name: str) -> Path:
    """Return a sample's file. DataError for an unknown name."""
    found = view(project, run)
    if name not in found.samples:
        raise DataError("web.no_such_sample", name=str(name)[:60])
    return found.folder / "samples" / name


def options(project: Project, run: str, language: str) -> list[list[str]]:
    """Return the run's option report in a language: option, asked, applied, measured; empty while it runs."""
    rows = read_options(view(project, run).folder / "options.json")
    return [list(row.cells(language)) for row in rows]


def thinned(points: list[tuple[int, float, str]]) -> tuple[tuple[int, float, str], ...]:
    """Return at most so many points of each curve, the first and the last among them."""
    out: list[tuple[int, float, str]] = []
    for curve in dict.fromkeys(point[2] for point in points):
        own = [point for point in points if point[2] == curve]
        stride = -(-len(own) // _MOST_POINTS)
        out += own[::stride] + ([own[-1]] if (len(own) - 1) % stride else [])
    return tuple(out)


def _lines(path: Path) -> list[Mapping[str, Any]]:
    """Read the complete lines of a log that is being written."""
    out: list[Mapping[str, Any]] = []
    for line in _text(path).splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            out.append(content)
    return out


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path) or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
