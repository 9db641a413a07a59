"""A finding of a check: what it is, what was measured, and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dimts.base.messages import Message


@dataclass(frozen=True, slots=True)
class Issue:
    """One reason to reject an answer or a clip.

    Example: Issue("vowel_share", Message("text.vowel_share", found=2, expected=3), measured=0.67,
    allowed=0.9)
    """

    kind: str
    """Stable snake_case name, for counting and filtering."""
    message: Message
    """Message for the user."""
    measured: float | None = None
    allowed: float | None = None

    def __str__(self) -> str:
        return self.message.text()

    def as_dict(self) -> dict[str, object]:
        """Return a dictionary for JSON: kind, code, parameters and English text; leaves out what was not
        measured."""
        out: dict[str, object] = {
            "kind": self.kind,
            **self.message.as_dict(),
            "text": self.message.line("en"),
        }
        if self.measured is not None:
            out["measured"] = self.measured
        if self.allowed is not None:
            out["allowed"] = self.allowed
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Issue:
        """Invert `as_dict`; the text is not read. KeyError or ValueError for another shape."""
        return cls(str(data["kind"]), Message.from_dict(data), data.get("measured"), data.get("allowed"))
