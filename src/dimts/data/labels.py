"""Read the label files of audio editors and recognisers: texts with times, as Cues.

Audacity labels (`start TAB end TAB text`, seconds).
"""

from __future__ import annotations

import math

from dimts.data.recording import Cue


def audacity_labels(content: str) -> tuple[Cue, ...] | None:
    """The labels of Audacity's label track; None for a text of another kind. Lines of spectral ranges are skipped."""
    cues = []
    for line in content.splitlines():
        if not line.strip() or line.startswith("\\"):
            continue
        cells = line.split("\t")
        if len(cells) < 3:
            return None
        start, end = seconds(cells[0]), seconds(cells[1])
        if start is None or end is None or end < start:
            return None
        if text := " ".join("\t".join(cells[2:]).split()):
            cues.append(Cue(text, start, end))
    return tuple(cues) or None


def seconds(text: str) -> float | None:
    """A time in seconds, 0 or more; None for anything else. A comma may stand for the point."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
