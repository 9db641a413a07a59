"""Make a static page of many results.json files: a table for each list and recogniser, readable offline.

    leaderboard(Path("results/")).write("results/leaderboard.html")

Only results of one list, by one recogniser, are in one table. A file that is no result of this version is
named with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dimts.base.errors import DataError
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.evaluate.compare_results import Results
from dimts.evaluate.intervals import Interval
from dimts.evaluate.rank import figure_title
from dimts.evaluate.report import Report

FILE = "leaderboard.html"
_SHOWN = ("per", "per_without_length", "faults", "contrast", "length_ratio", "quality", "real_time_factor")


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Systems of many results, in tables."""

    tables: Mapping[str, Sequence[Sequence[str]]]
    """Rows by caption, the first of which is the head."""
    refused: Mapping[Path, Message] = field(default_factory=dict)
    """Reasons of the files that were left out."""
    notes: Sequence[str] = ()

    def write(self, path: Path | str) -> Path:
        """Write the page atomically."""
        write_text(path, self.html())
        return Path(path)

    def html(self) -> str:
        """Render the page as HTML."""
        left_out = [
            ["file", "reason"],
            *([str(path), reason.line()] for path, reason in self.refused.items()),
        ]
        return Report(
            title="Speech synthesis of Amharic: results",
            notes=self.notes,
            summary=dict(self.tables),
            tables={"Left out": left_out} if self.refused else {},
        ).html()


def leaderboard(folder: Path) -> Leaderboard:
    """Read every JSON file below a folder. DataError if there is no result among them."""
    if not folder.is_dir():
        raise DataError("evaluate.no_such_folder", folder=folder)
    groups: dict[tuple[str, str], list[Results]] = {}
    refused: dict[Path, Message] = {}
    for path in sorted(folder.rglob("*.json")):
        if path.parent.name in _OWN or path.parent.parent.name in _OWN:
            continue  # notes beside the sounds of an evaluation
        try:
            one = Results.load(path)
        except DataError as error:
            refused[path.relative_to(folder)] = error.message
            continue
        groups.setdefault(one.identity, []).append(one)
    if not groups:
        raise DataError("evaluate.no_results", folder=folder)
    tables = {}
    for number, found in enumerate(groups.values(), start=1):
        rows = _rows(found, folder)
        scored = found[0].content["ranking"].get("scored", True)
        by = "phone errors" if not scored else "score of 100"
        caption = f"{found[0].list_name}, {found[0].content['list'].get('sentences', '?')} sentences, by {by}"
        tables[caption if caption not in tables else f"{caption} ({number})"] = rows
    return Leaderboard(tables, refused, [Message("evaluate.leaderboard_note").text()])


_OWN = ("spoken",)


def _rows(found: Sequence[Results], folder: Path) -> list[list[str]]:
    systems = [(one, ranked) for one in found for ranked in one.content["ranking"]["order"]]
    scored = all(one.content["ranking"].get("scored") for one in found)
    shown = [key for key in _SHOWN if any(key in ranked.get("figures", {}) for _, ranked in systems)]

    def order(item: tuple[Results, Mapping[str, Any]]) -> float:
        if scored:
            return -(_interval(item[1].get("score")).mean)
        mean = _interval(item[1].get("figures", {}).get("per")).mean
        return mean if math.isfinite(mean) else math.inf

    rows = [
        [
            "system",
            "kind",
            *(["score of 100"] if scored else []),
            *(figure_title(key).text() for key in shown),
            "file",
        ]
    ]
    for one, ranked in sorted(systems, key=order):
        name = str(ranked["name"])
        figures = ranked.get("figures", {})
        kind = one.content.get("systems", {}).get(name, {}).get("kind", "")
        rows.append(
            [
                name,
                kind,
                *([str(_interval(ranked.get("score")))] if scored else []),
                *(str(_interval(figures.get(key))) for key in shown),
                str(one.path.relative_to(folder)),
            ]
        )
    return rows


def _interval(found: Mapping[str, Any] | None) -> Interval:
    if not found:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean, low, high = (
        math.nan if found.get(key) is None else float(found[key]) for key in ("mean", "low", "high")
    )
    return Interval(mean, low, high, int(found.get("count", 0)))
