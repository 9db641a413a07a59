"""Define the protocol of a G2P backend and the records of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dimts.base.issue import Issue

SPELLING = "spelling"
"""Name in `Word.refused` of the note that another spelling than the written one was read."""


@runtime_checkable
class Backend(Protocol):
    """A source of pronunciations of Amharic words. It may raise; an empty answer means that it does not know
    the word.

    Third parties register a class (no arguments) as an entry point of the group `dimts.g2p`.
    """

    name: str
    """Name of the backend, as in `Word.by`."""
    marks_length: bool
    """Whether its answers mark long consonants; if not, the judge accepts fewer of them."""

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return one answer for each word, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that was not accepted, and why."""

    by: str
    phones: tuple[str, ...]
    doubts: tuple[Issue, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the refusal as plain values for JSON."""
        return {
            "by": self.by,
            "phones": list(self.phones),
            "doubts": [doubt.as_dict() for doubt in self.doubts],
        }


@dataclass(frozen=True, slots=True)
class Word:
    """One word with its phones and the backend that gave them."""

    written: str
    """The word as it is written in the text."""
    spoken: str
    """The word after normalisation."""
    phones: tuple[str, ...]
    by: str
    """The backend whose answer was accepted; "user" for phones given in the text or the user's lexicon."""
    score: float
    """Probability that the answer is right, as estimated by the judge, 0 to 1."""
    doubts: tuple[Issue, ...] = ()
    """Issues that remain: empty unless every answer had one."""
    refused: tuple[Refusal, ...] = ()
    """The answers of earlier backends that were not accepted."""

    def as_dict(self) -> dict[str, object]:
        """Return the word as plain values for JSON."""
        return {
            "written": self.written,
            "spoken": self.spoken,
            "phones": list(self.phones),
            "by": self.by,
            "score": round(self.score, 3),
            "doubts": [doubt.as_dict() for doubt in self.doubts],
            "refused": [refusal.as_dict() for refusal in self.refused],
        }
