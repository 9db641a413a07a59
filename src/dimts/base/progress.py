"""Progress events of long work. The library never prints: command line, page and server show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dimts.base.messages import Message


@dataclass(frozen=True, slots=True)
class Progress:
    """One event: `done` of `total` `unit`s of `stage`."""

    stage: str
    """Stable snake_case name of the stage, e.g. "prepare", "codes", "train"; its text is
    `progress.stage_NAME`."""
    done: float
    total: float | None = None
    """Total amount; None while it is unknown."""
    unit: str = "items"
    """Stable snake_case name of the unit; its text is `progress.unit_NAME`."""
    message: Message | None = None
    """A message to keep, e.g. why a clip was left out."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Live figures, e.g. {"loss": 3.2, "audio_seconds_per_second": 41.0}."""
    subject: str = ""
    """Name of the current item, e.g. of a voice."""

    def stage_text(self, language: str | None = None) -> str:
        """Return stage and subject in `language`."""
        name = Message(f"progress.stage_{self.stage}").text(language)
        return f"{name} {self.subject}" if self.subject else name

    def unit_text(self, language: str | None = None) -> str:
        """Return the unit in `language`."""
        return Message(f"progress.unit_{self.unit}").text(language)

    def as_dict(self, seconds_left: float | None = None) -> dict[str, object]:
        """Return the event for JSON: `dimts --log json` writes one on a line."""
        out: dict[str, object] = {
            "event": "progress",
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
        }
        out |= {
            "unit": self.unit,
            "subject": self.subject,
            "values": dict(self.values),
            "seconds_left": seconds_left,
        }
        if self.message is not None:
            out |= {**self.message.as_dict(), "text": self.message.line()}
        return out


ProgressCallback = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Do nothing with an event: the default of every `on_progress`."""
