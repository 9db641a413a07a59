"""Find the watermark of synthetic speech in files.

for one in examine(paths): print(one.path, one.found, one.confidence)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimts.audio.watermark import RATE, confidence, require_watermark
from dimts.audio.wave import Wave, stream
from dimts.base.errors import AudioError, DimtsError
from dimts.base.messages import Message

FOUND_FROM = 0.5
"""Least confidence at which the mark counts as found, as the network was trained."""
STRETCH_SECONDS = 10.0
"""Length of the stretches in which a file is examined, so that speech between other sound is found."""
_LEAST_SECONDS = 1.0
"""A shorter rest belongs to the stretch before it."""


@dataclass(frozen=True, slots=True)
class WatermarkFinding:
    """What was found in one file."""

    path: Path
    confidence: float
    """The highest of its stretches, 0 to 1."""
    stretches: int
    """Stretches with sound."""
    marked: int
    """Those in which the mark was found."""
    fault: DimtsError | None = None
    """Why the file could not be examined."""

    @property
    def found(self) -> bool:
        """Whether the mark was found anywhere."""
        return self.marked > 0

    def message(self) -> Message:
        """Return a line for users."""
        if self.fault is not None:
            return Message("evaluate.watermark_unreadable", path=self.path, reason=self.fault)
        code = "evaluate.watermark_found" if self.found else "evaluate.watermark_not_found"
        return Message(
            code, path=self.path, confidence=self.confidence, marked=self.marked, stretches=self.stretches
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        found = {"file": str(self.path), "found": self.found, "confidence": round(self.confidence, 4)}
        if self.fault is not None:
            return {"file": str(self.path), "error": self.fault.message.as_dict()}
        return {**found, "stretches": self.stretches, "marked": self.marked}


def examine(paths: Iterable[Path]) -> Iterator[WatermarkFinding]:
    """Examine files one by one, each in constant memory; one that cannot be read is a finding with a fault.

    Raises MissingExtra without the network.
    """
    require_watermark()
    for path in paths:
        try:
            found = [one for one in map(_confidence, _stretches(path)) if one is not None]
            if not found:
                raise AudioError("audio.watermark_silent")
        except AudioError as error:
            yield WatermarkFinding(path, 0.0, 0, 0, error)
        else:
            yield WatermarkFinding(path, max(found), len(found), sum(one >= FOUND_FROM for one in found))


def _confidence(wave: Wave) -> float | None:
    return confidence(wave) if wave.samples.any() else None


def _stretches(path: Path) -> Iterator[Wave]:
    """Yield stretches of a file, the last one between 1 and 11 s where the file is as long."""
    import numpy as np

    size, least = round(STRETCH_SECONDS * RATE), round(_LEAST_SECONDS * RATE)
    waiting = np.zeros(0, np.float32)
    for wave in stream(path, RATE):
        waiting = np.concatenate((waiting, wave.samples))
        while len(waiting) >= size + least:
            yield Wave(waiting[:size], RATE)
            waiting = waiting[size:]
    if len(waiting):
        yield Wave(waiting, RATE)
