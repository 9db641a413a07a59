"""What long work tells whoever watches. The library never prints; faces draw the bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of long work: `done` of `total` `unit`s of `stage`."""

    stage: str
    """What is being done, e.g. "prepare", "codes", "train"."""
    done: float
    total: float | None = None
    """None while the amount of work is unknown."""
    unit: str = "items"
    message: str = ""
    """A line worth keeping, e.g. why a clip was set aside; mostly empty."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Live figures, e.g. {"loss": 3.2, "audio_seconds_per_second": 41.0}."""


ProgressCallback = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """The watcher that does not watch: the default for `tell`."""
