"""Define Recording, a medium with its metadata, and Cue, a text with its times.

A Recording has source, speaker and licence; nothing here reads a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dimts.base.issue import Issue

By = Literal["transcript", "subtitle", "script", "whisper", "recogniser", "person", ""]
"""Source of a text: a transcript of the whole file, a subtitle with times, a script without times that was
aligned, Whisper, another recogniser, a person who corrected the row; "" where there is no text."""


@dataclass(frozen=True, slots=True)
class Cue:
    """A text and, where known, its times.

    Example: Cue("ሰላም ለዓለም።", start_seconds=12.4, end_seconds=14.1), or a line of a script: Cue("ሰላም።")
    """

    text: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    speaker: str = ""
    several_speakers: bool = False
    """Whether more than one person speaks in it."""

    @property
    def timed(self) -> bool:
        """Whether both times are known."""
        return self.start_seconds is not None and self.end_seconds is not None


@dataclass(frozen=True, slots=True)
class Recording:
    """One medium as the user has it, and its metadata. Never changed by us.

    Example: Recording(Path("corpus/wavs/a_001.wav"), "a_001", (Cue("ሰላም ለዓለም"),), by="transcript")
    """

    path: Path
    """The audio or video file; it may turn out to be missing or broken."""
    name: str
    """Its name in its source: the id of a transcript row, else the file's stem."""
    cues: tuple[Cue, ...] = ()
    """Texts spoken in it; empty: unknown."""
    by: By = ""
    """Source of the text."""
    speaker: str = ""
    licence: str = ""
    consent: str = ""
    split: Literal["train", "dev", "test", ""] = ""
    """The split its source names (train, dev or test); "" where it names none."""
    origin: str = ""
    """Place where it was listed or fetched from, e.g. "metadata.tsv:12" or a link."""
    problem: Issue | None = None
    """Why it cannot be used at all, if known before it is opened (no such file, no text)."""
    notes: tuple[Issue, ...] = ()
    """Irregularities of its source, e.g. subtitles that overlap."""

    @property
    def text(self) -> str:
        """Return all its text, in order."""
        return " ".join(cue.text for cue in self.cues if cue.text)
