"""The option report as data: one row per option, shown as a table and stored in options.json.

A row holds messages, so that each reader shows it in its own language. The file keeps code and parameters of
each message beside its English text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimts.base.messages import Message

_TITLES = {"(speed)": "train.row_speed", "(cache)": "train.row_cache"}
"""Rows that belong to no option."""
_HEAD = ("train.column_option", "train.column_asked", "train.column_applied", "train.column_measured")
_WIDTHS = (28, 12, 34, 0)
_MESSAGES = ("applied", "effect")


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One row of the table."""

    option: str
    asked: Any
    applied: Message | None
    """The applied value, or "ignored" with the reason; None in rows that belong to no option."""
    effect: Message
    """The measured effect, with its unit."""

    def cells(self, language: str | None = None) -> tuple[str, str, str, str]:
        """Return option, asked, applied and measured in `language`, by default that of the process."""
        title = _TITLES.get(self.option)
        return (
            Message(title).text(language) if title else self.option,
            str(self.asked),
            self.applied.text(language) if self.applied is not None else "",
            self.effect.text(language),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values: the English texts, and under "messages" their codes and parameters."""
        own = {"applied": self.applied, "effect": self.effect}
        return {
            "option": self.option,
            "asked": self.asked,
            **{name: one.text("en") if one is not None else "" for name, one in own.items()},
            "messages": {name: one.as_dict() for name, one in own.items() if one is not None},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OptionRow:
        """Invert `as_dict`; of a file without messages the text is kept. ValueError for another shape."""
        kept = data.get("messages")
        applied, effect = (_message(kept, data, name) for name in _MESSAGES)
        return cls(str(data.get("option", "")), data.get("asked", ""), applied, effect or _text_of(""))


def table(rows: Sequence[OptionRow], language: str | None = None) -> str:
    """Format all rows under a heading."""
    head = tuple(Message(code).text(language) for code in _HEAD)
    lines = [head, *(row.cells(language) for row in rows)]
    return "\n".join(
        " ".join(f"{cell:<{width}}" for cell, width in zip(line, _WIDTHS, strict=True)) for line in lines
    )


def as_json(rows: Sequence[OptionRow]) -> dict[str, Any]:
    """Return the table for options.json."""
    return {"facts": [row.as_dict() for row in rows]}


def read_options(path: Path) -> list[OptionRow]:
    """Read an options.json; [] for one that is absent or unreadable, as of a run that goes on."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [OptionRow.from_dict(fact) for fact in content["facts"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _message(kept: Any, data: Mapping[str, Any], name: str) -> Message | None:
    if isinstance(kept, Mapping) and name in kept:
        return Message.from_dict(kept[name])
    text = str(data.get(name, ""))
    return _text_of(text) if text else None


def _text_of(text: str) -> Message:
    """Return a message for a text that was stored without a code."""
    return Message("train.stored_text", text=text)
