"""Find what a word is meant to be whose letters were mistaken for others that look alike.

Old fonts and hurried typing leave ኘ for ፕ or ጵ (ኢትዮኘያ, ኘሮግራም), ኀ for ኅ (ኀብረት), ዱ for ዳ (ጉዱይ), ዪ for ይ. A
spelling is taken for another only if the tables or the morphology know that one and not the word as it is
written, or if no Amharic word has ኘ in such a place (at the beginning, behind u i e o or a consonant, before
other letters than those of suffixes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

from dimts.text.ethiopic import letter

CONFUSED = {"ኘ": "ፕጵ", "ኀ": "ኅ", "ዱ": "ዳ", "ዪ": "ይ"}
"""Letters that are written for others, by looks or by a wrong conversion of old fonts."""
_MOST_PLACES = 4
"""Confused letters of a word up to which every combination is tried; a word with more is left as it is."""
_SUFFIXES = frozenset("ችሁውንኝህሽበለናባላትምስኋልኳውዉያ")
"""Letters with which suffixes of a verb in -ኘ begin: አገኘች, አገኘሁ, ተገኘላቸው."""
_PREFIX = re.compile("(?:[የበለከ]|ስለ|እንደ|ወደ|እነ)?")
_BEFORE = (1, 4)
"""Orders of the letter before the ኘ of a verb: ገኘ, ቃኘ."""


def is_suspect(word: str) -> bool:
    """Whether a word has a letter that may be mistaken for another."""
    return any(char in word for char in CONFUSED)


def candidates(word: str) -> Iterator[str]:
    """Yield the spellings that may be meant, those with the fewest changes first."""
    choices = [_choices(word, at) for at in range(len(word))]
    if sum(len(choice) > 1 for choice in choices) > _MOST_PLACES:
        return
    spellings = ["".join(spelling) for spelling in product(*choices)][1:]
    yield from sorted(spellings, key=lambda one: sum(a != b for a, b in zip(one, word, strict=True)))


def _choices(word: str, at: int) -> str:
    char = word[at]
    if char == "ዱ" and not 0 < at < len(word) - 1:
        return char  # ዱር, ወንዱ
    return char + CONFUSED.get(char, "")


def foreign_p(word: str) -> str:
    """Return a word with ፕ for each ኘ that no Amharic word has there."""
    first = _PREFIX.match(word)
    start = first.end() if first else 0
    return "".join(
        "ፕ" if char == "ኘ" and len(word) > 1 and (at in (0, start) or _is_foreign(word, at)) else char
        for at, char in enumerate(word)
    )


def _is_foreign(word: str, at: int) -> bool:
    before, after = letter(word[at - 1]), word[at + 1 : at + 2]
    return (before is not None and before.order not in _BEFORE) or (after != "" and after not in _SUFFIXES)
