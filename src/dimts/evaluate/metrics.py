"""Two sequences → how far apart: error rates of characters and phones, each with its parts. No sound here.

Amharic-aware: writing has several letters for one sound and does not write length. A recogniser that
writes ሀይል for ኃይል has heard rightly, so two rates stand side by side: raw, and with homophones folded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from dimts.text.ethiopic import bare, fold_homophones, is_ethiopic_letter
from dimts.text.phones import CONSONANTS, ROUND, is_vowel, short

T = TypeVar("T")

Kind = Literal["same", "wrong", "extra", "missing"]


@dataclass(frozen=True, slots=True)
class Edits:
    """Counts of an alignment; they add up over sentences."""

    same: int = 0
    wrong: int = 0
    extra: int = 0
    """Heard, though not expected."""
    missing: int = 0

    @property
    def expected(self) -> int:
        """Length of what was expected."""
        return self.same + self.wrong + self.missing

    @property
    def count(self) -> int:
        """The Levenshtein distance."""
        return self.wrong + self.extra + self.missing

    @property
    def rate(self) -> float:
        """Edits for each one expected; may be above 1. Nothing expected: 0 if nothing came, else 1."""
        return self.count / self.expected if self.expected else float(self.extra > 0)

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            self.same + other.same,
            self.wrong + other.wrong,
            self.extra + other.extra,
            self.missing + other.missing,
        )


@dataclass(frozen=True, slots=True)
class EditStep:
    """One place of an alignment: positions in what was heard and what was expected; None where there is none."""

    kind: Kind
    heard: int | None
    expected: int | None


def align(heard: Sequence[T], expected: Sequence[T], cost: Callable[[T, T], float] | None = None) -> list[EditStep]:
    """The cheapest way from `expected` to `heard` (Levenshtein 1966). `cost` of taking one for another is at most 2."""
    table = _table(heard, expected, cost)
    steps: list[EditStep] = []
    row, column = len(expected), len(heard)
    while row or column:
        value = table[row][column]
        if row and column:
            one, two = heard[column - 1], expected[row - 1]
            change = 0.0 if one == two else (cost(one, two) if cost else 1.0)
            if value == table[row - 1][column - 1] + change:
                row, column = row - 1, column - 1
                steps.append(EditStep("same" if one == two else "wrong", column, row))
                continue
        if row and value == table[row - 1][column] + 1:
            row -= 1
            steps.append(EditStep("missing", None, row))
        else:
            column -= 1
            steps.append(EditStep("extra", column, None))
    return steps[::-1]


def _table(heard: Sequence[T], expected: Sequence[T], cost: Callable[[T, T], float] | None) -> list[list[float]]:
    """[E + 1, H + 1] the cheapest way from each beginning of `expected` to each of `heard`."""
    rows, columns = len(expected) + 1, len(heard) + 1
    table = [[0.0] * columns for _ in range(rows)]
    for row in range(rows):
        table[row][0] = float(row)
    table[0] = [float(column) for column in range(columns)]
    for row in range(1, rows):
        above, here, wanted = table[row - 1], table[row], expected[row - 1]
        for column in range(1, columns):
            other = heard[column - 1]
            change = 0.0 if other == wanted else (cost(other, wanted) if cost else 1.0)
            here[column] = min(above[column - 1] + change, above[column] + 1, here[column - 1] + 1)
    return table


def edits(heard: Sequence[T], expected: Sequence[T]) -> Edits:
    """The alignment in counts."""
    kinds = [step.kind for step in align(heard, expected)]
    return Edits(kinds.count("same"), kinds.count("wrong"), kinds.count("extra"), kinds.count("missing"))


def per(heard: Sequence[str], expected: Sequence[str], *, length: bool = True) -> Edits:
    """Phone errors; without `length`, mː for m is none."""
    if not length:
        heard, expected = [short(phone) for phone in heard], [short(phone) for phone in expected]
    return edits(heard, expected)


def phone_class(phone: str) -> str:
    """What kind of sound a phone is: vowel, or its manner with voice or ejection; what survives a strange voice.

    >>> phone_class("tʼː"), phone_class("d"), phone_class("ɨ")
    ('ejective', 'voiced stop', 'vowel')
    """
    plain = short(phone)
    if is_vowel(plain):
        return "vowel"
    known = CONSONANTS[plain.removesuffix(ROUND)]
    if "ʼ" in plain:
        return "ejective"
    sonorous = known.manner not in ("stop", "affricate", "fricative")
    return known.manner if sonorous else f"{'voiced' if known.voiced else 'voiceless'} {known.manner}"


def cer(heard: str, expected: str) -> Edits:
    """Character errors as every project counts them: NFC, runs of spaces as one, marks counted."""
    return edits(_plain(heard), _plain(expected))


def amharic_cer(heard: str, expected: str) -> Edits:
    """Character errors that can be heard: homophones folded, length marks and punctuation left out."""
    return edits(heard_letters(heard), heard_letters(expected))


def wer(heard: str, expected: str) -> Edits:
    """Word errors, Amharic-aware."""
    return edits(_audible(heard).split(), _audible(expected).split())


def heard_letters(text: str) -> str:
    """What of a text can be heard: ሠ as ሰ, ኃ as ሀ, no gemination marks, no punctuation, no spaces."""
    return "".join(_audible(text).split())


def _audible(text: str) -> str:
    folded = fold_homophones(bare(unicodedata.normalize("NFC", text)))
    kept = (char if is_ethiopic_letter(char) or char.isalnum() else " " for char in folded)
    return " ".join("".join(kept).lower().split())


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
