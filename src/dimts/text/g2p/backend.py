"""What a backend is: words of a phrase → their phones. And what becomes of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dimts.base.issue import Issue


@runtime_checkable
class Backend(Protocol):
    """Whatever can say how Amharic words sound. It may raise, and an empty answer means "I do not know".

    Third parties register a class (no arguments) as an entry point of the group `dimts.g2p`.
    """

    name: str
    """Stands in `Word.by`."""
    marks_length: bool
    """Whether its answers tell long consonants from short ones; if not, the judge asks for more."""

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """One answer for each word, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that was not taken, and why."""

    by: str
    phones: tuple[str, ...]
    doubts: tuple[Issue, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"by": self.by, "phones": list(self.phones), "doubts": [doubt.as_dict() for doubt in self.doubts]}


@dataclass(frozen=True, slots=True)
class Word:
    """One word, how it sounds, and who said so."""

    written: str
    """As in the user's text."""
    spoken: str
    """After normalisation."""
    phones: tuple[str, ...]
    by: str
    """The backend that was believed; "user" for phones given in the text or the user's lexicon."""
    score: float
    """How far the judge believes it, 0 to 1."""
    doubts: tuple[Issue, ...] = ()
    """What still speaks against it: empty unless every answer was doubted."""
    refused: tuple[Refusal, ...] = ()
    """The answers that came before and were not believed."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "written": self.written,
            "spoken": self.spoken,
            "phones": list(self.phones),
            "by": self.by,
            "score": round(self.score, 3),
            "doubts": [doubt.as_dict() for doubt in self.doubts],
            "refused": [refusal.as_dict() for refusal in self.refused],
        }
