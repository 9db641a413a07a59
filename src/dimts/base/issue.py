"""What a check measured, and what it allows. A doubt is a reason one can read, not a verdict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One reason not to believe an answer or not to use a clip.

    Example: Doubt("vowel_share", "2 of 3 fidel vowels are missing", measured=0.33, allowed=0.9)
    """

    kind: str
    """Stable snake_case name, to count and to filter by."""
    message: str
    """One line for a person."""
    measured: float | None = None
    allowed: float | None = None

    def __str__(self) -> str:
        return self.message

    def as_dict(self) -> dict[str, object]:
        """A plain dictionary for JSON; leaves out what was not measured."""
        out: dict[str, object] = {"kind": self.kind, "message": self.message}
        if self.measured is not None:
            out["measured"] = self.measured
        if self.allowed is not None:
            out["allowed"] = self.allowed
        return out
