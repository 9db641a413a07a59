"""Convert romanised Amharic to fidel (Dawit → ዳዊት, sewoch → ሰዎች), and tell it from English words.

People romanise without a standard: e is ə, ɨ or e, and ejectives are written like plain consonants. Every
likely spelling is a candidate; the cheapest one that the tables or the morphology know is taken, else the
cheapest.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from heapq import heappop, heappush

from dimts.text.ethiopic import spell
from dimts.text.g2p.rules import Rules
from dimts.text.reading import table

_CONSONANTS = {
    "tch": "tʃ", "sch": "ʃ", "ts": "sʼ", "tz": "sʼ", "ch": "tʃ tʃʼ", "sh": "ʃ", "gn": "ɲ", "ny": "ɲ",
    "zh": "ʒ", "kh": "h k", "ph": "f", "th": "t tʼ", "gh": "ɡ", "dj": "dʒ", "b": "b", "c": "k", "d": "d",
    "f": "f", "g": "ɡ", "h": "h", "j": "dʒ", "k": "k kʼ", "l": "l", "m": "m", "n": "n", "p": "p pʼ",
    "q": "kʼ", "r": "r", "s": "s sʼ", "t": "t tʼ", "v": "v", "w": "w", "x": "k", "y": "j", "z": "z",
}  # fmt: skip
"""Consonants that letters may represent, the most probable first."""
_VOWELS = {
    "ie": "e", "ee": "i e", "oo": "u o", "ou": "u", "a": "a ə", "e": "ə ɨ e", "i": "i ɨ", "o": "o",
    "u": "u ɨ",
}  # fmt: skip
_OTHER_CONSONANT, _OTHER_VOWEL = 1.0, 1.2
"""Costs of each step down a list."""
_TRIED = 96
"""Number of cheapest candidates that are looked up."""
_SHORTEST, _LONGEST = 4, 24
"""Least and most letters of romanised Amharic (the frequent shorter words are in the table)."""
Part = tuple[tuple[str, ...], tuple[str, ...]]
"""Possible consonants and vowels of one letter of fidel."""


def looks_amharic(word: str) -> bool:
    """Whether `word` is more probably romanised Amharic than English, by its letters or as a spelling of a
    known word."""
    if not _SHORTEST <= len(word) <= _LONGEST:
        return False
    weight = score(word)
    return weight > 0 or (weight > _DOUBTFUL and len(word) >= _LONG_ENOUGH and _best(word)[1])


_DOUBTFUL, _LONG_ENOUGH = -40, 5
"""Score from which, and letters from which, a word is Amharic if the tables hold a spelling of it."""


def score(word: str) -> int:
    """Return tenths of log odds, romanised Amharic over English."""
    padded = f"^{word.lower()}$"
    weights = _weights()
    return sum(weights.get(padded[at : at + 3], 0) for at in range(len(padded) - 2))


def to_fidel(word: str) -> str:
    """Return the most probable fidel spelling of `word`; "" for letters that romanised Amharic does not
    have."""
    return _best(word)[0]


@lru_cache(maxsize=4096)
def _best(word: str) -> tuple[str, bool]:
    """Return the most probable spelling, and whether the tables hold it."""
    word = word.lower()
    readings = [_parts(word), _parts(word.replace("gn", "g\u02bcn")) if "gn" in word else []]
    first = ""
    best: tuple[float, str, bool] | None = None
    for extra, parts in zip((0.0, _APART), readings, strict=True):
        for cost, spelling in _candidates(parts) if parts else ():
            first = first or spelling
            if best is not None and cost + extra >= best[0]:
                break
            source = _rules().explain(spelling).source
            if source in ("lexicon", "morphology"):
                worth = cost + extra + (_MORPHOLOGY if source == "morphology" else 0.0)
                if best is None or worth < best[0]:
                    best = (worth, spelling, source == "lexicon")
    return (best[1], best[2]) if best and best[0] <= _FAR else (first, False)


_APART = 0.5
"""Cost of reading gn as two consonants: ameseginalehu."""
_MORPHOLOGY = 0.6
"""Cost of a spelling that only the morphology knows."""
_FAR = 4.0
"""Cost above which a known spelling counts as another word."""


@cache
def _rules() -> Rules:
    return Rules()


@cache
def _weights() -> dict[str, int]:
    return {run: int(row[0]) for row in table("romanised") for run in row[1].split(" ")}


def _parts(word: str) -> list[Part]:
    """Split a word into letters of fidel, each with its possible consonants and vowels; [] where a letter has
    none."""
    parts: list[Part] = []
    at = 0
    open_consonant: tuple[str, ...] | None = None
    while at < len(word):
        if word[at] == "\u02bc":  # keeps two letters apart
            at += 1
            continue
        sounds, size = _longest(_VOWELS, word, at)
        if sounds:
            if word[at : at + size] == "e" and not parts and open_consonant is None:
                sounds = ("ɨ", "e")
            elif word[at:] == "e":
                sounds = ("ə", "e")
            parts.append((open_consonant or ("ʔ",), sounds))
            open_consonant = None
        else:
            sounds, size = _longest(_CONSONANTS, word, at)
            if not sounds:
                return []
            if open_consonant is not None and word[at] != word[at - 1]:
                parts.append((open_consonant, ("ɨ",)))
            open_consonant = sounds
        at += size
    if open_consonant is not None:
        parts.append((open_consonant, ("ɨ",)))
    return parts


def _longest(signs: dict[str, str], word: str, at: int) -> tuple[tuple[str, ...], int]:
    for size in (3, 2, 1):
        if found := signs.get(word[at : at + size]):
            return tuple(found.split()), size
    return (), 0


def _candidates(parts: list[Part]) -> Iterator[tuple[float, str]]:
    """Yield spellings with their costs, the cheapest first."""
    heap: list[tuple[float, str, int]] = [(0.0, "", 0)]
    given = 0
    while heap and given < _TRIED:
        cost, spelling, done = heappop(heap)
        if done == len(parts):
            given += 1
            yield cost, spelling
            continue
        consonants, vowels = parts[done]
        for rank, consonant in enumerate(consonants):
            for step, vowel in enumerate(vowels):
                char = spell(consonant, vowel)
                heappush(
                    heap, (cost + _OTHER_CONSONANT * rank + _OTHER_VOWEL * step, spelling + char, done + 1)
                )
