"""Error rates of characters and phones by Levenshtein alignment, with their parts.

Amharic script has several letters for one sound and does not write length. A recogniser that writes ሀይል for
ኃይል is right, so there are two character error rates: raw, and Amharic-aware, with homophones folded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from dimts.text.ethiopic import bare, fold_homophones, is_ethiopic_letter
from dimts.text.phones import CONSONANTS, ROUND, is_vowel, short

T = TypeVar("T")

Kind = Literal["equal", "substitute", "insert", "delete"]


@dataclass(frozen=True, slots=True)
class Edits:
    """Counts of an alignment, which can be added over sentences."""

    hits: int = 0
    """Elements that are equal."""
    substitutions: int = 0
    """Elements of the reference that are replaced by another."""
    insertions: int = 0
    """Elements of the hypothesis that are not in the reference."""
    deletions: int = 0
    """Elements of the reference that are not in the hypothesis."""

    @property
    def reference_length(self) -> int:
        """Length of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def count(self) -> int:
        """The Levenshtein distance."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Edits over the length of the reference, may exceed 1; for an empty one 0 without insertions, else
        1."""
        return self.count / self.reference_length if self.reference_length else float(self.insertions > 0)

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.insertions + other.insertions,
            self.deletions + other.deletions,
        )


@dataclass(frozen=True, slots=True)
class EditStep:
    """One step of an alignment: indices into hypothesis and reference; None where there is no element."""

    kind: Kind
    hypothesis: int | None
    reference: int | None


def align(
    hypothesis: Sequence[T], reference: Sequence[T], cost: Callable[[T, T], float] | None = None
) -> list[EditStep]:
    """Align by least cost (Levenshtein 1966). `cost` of a substitution is at most 2; without it, 1."""
    table = _table(hypothesis, reference, cost)
    steps: list[EditStep] = []
    row, column = len(reference), len(hypothesis)
    while row or column:
        value = table[row][column]
        if row and column:
            one, two = hypothesis[column - 1], reference[row - 1]
            change = 0.0 if one == two else (cost(one, two) if cost else 1.0)
            if value == table[row - 1][column - 1] + change:
                row, column = row - 1, column - 1
                steps.append(EditStep("equal" if one == two else "substitute", column, row))
                continue
        if row and value == table[row - 1][column] + 1:
            row -= 1
            steps.append(EditStep("delete", None, row))
        else:
            column -= 1
            steps.append(EditStep("insert", column, None))
    return steps[::-1]


def _table(
    hypothesis: Sequence[T], reference: Sequence[T], cost: Callable[[T, T], float] | None
) -> list[list[float]]:
    """Compute [R + 1, H + 1] the least cost between each prefix of `reference` and each of `hypothesis`."""
    rows, columns = len(reference) + 1, len(hypothesis) + 1
    table = [[0.0] * columns for _ in range(rows)]
    for row in range(rows):
        table[row][0] = float(row)
    table[0] = [float(column) for column in range(columns)]
    for row in range(1, rows):
        above, here, expected = table[row - 1], table[row], reference[row - 1]
        for column in range(1, columns):
            other = hypothesis[column - 1]
            change = 0.0 if other == expected else (cost(other, expected) if cost else 1.0)
            here[column] = min(above[column - 1] + change, above[column] + 1, here[column - 1] + 1)
    return table


def edits(hypothesis: Sequence[T], reference: Sequence[T]) -> Edits:
    """Count the steps of the alignment."""
    kinds = [step.kind for step in align(hypothesis, reference)]
    return Edits(
        kinds.count("equal"), kinds.count("substitute"), kinds.count("insert"), kinds.count("delete")
    )


def per(hypothesis: Sequence[str], reference: Sequence[str], *, length: bool = True) -> Edits:
    """Count phone errors; without `length`, mː for m is no error."""
    if not length:
        hypothesis, reference = [short(phone) for phone in hypothesis], [short(phone) for phone in reference]
    return edits(hypothesis, reference)


def phone_class(phone: str) -> str:
    """Return the class of a phone: vowel, ejective, or manner with voicing.

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


def cer(hypothesis: str, reference: str) -> Edits:
    """Count raw character errors: NFC, runs of spaces as one, gemination marks and punctuation included."""
    return edits(_plain(hypothesis), _plain(reference))


def amharic_cer(hypothesis: str, reference: str) -> Edits:
    """Count character errors with homophones folded, without length marks, punctuation and spaces."""
    return edits(audible_letters(hypothesis), audible_letters(reference))


def wer(hypothesis: str, reference: str) -> Edits:
    """Count word errors with homophones folded, without length marks and punctuation."""
    return edits(_audible(hypothesis).split(), _audible(reference).split())


def audible_letters(text: str) -> str:
    """Normalise to letters that differ in sound: ሠ to ሰ, ኃ to ሀ, no gemination marks, punctuation or
    spaces."""
    return "".join(_audible(text).split())


def _audible(text: str) -> str:
    folded = fold_homophones(bare(unicodedata.normalize("NFC", text)))
    kept = (char if is_ethiopic_letter(char) or char.isalnum() else " " for char in folded)
    return " ".join("".join(kept).lower().split())


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
