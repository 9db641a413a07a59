"""Define the interface of a reading step: the text around a sign, and the span it takes.

A step is called at one sign of the text (`at`) and may reach back as far as `floor`, where the last span
ended. It returns a Found, or None for the next step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from dimts.base.messages import Message
from dimts.text.ethiopic import GEMINATION_MARK, VOWEL_LENGTH_MARKS, fold_homophones, letter, letters


def _ranges(codes: Iterable[int]) -> str:
    """Format code points as the inside of a character class."""
    found: list[list[int]] = []
    for code in sorted(codes):
        if found and code == found[-1][1] + 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in found)


FIDEL = _ranges(
    {ord(entry.char) for entry in letters()} | set(map(ord, GEMINATION_MARK + VOWEL_LENGTH_MARKS))
)
"""Ethiopic letters of all blocks and their combining marks, for a character class."""
AMHARIC = "ሀ-\u135f"
"""The main block alone, for patterns of context: one range compiles a hundred times as fast as `FIDEL`."""


def any_spelling(pattern: str) -> str:
    """Return a regular expression whose Ethiopic letters each match every letter of the same sound: ሰኔ also
    ሠኔ.

    Ranges of letters inside a class stay as they are. The pattern is for raw text: nothing needs folding
    first.
    """
    alike = _homophones()
    out: list[str] = []
    in_class = False
    for at, char in enumerate(pattern):
        in_class = (in_class or char == "[") and char != "]"
        others = alike.get(char, char)
        a_range = in_class and "-" in (pattern[at - 1 : at], pattern[at + 1 : at + 2])
        out.append(char if len(others) == 1 or a_range else others if in_class else f"[{others}]")
    return "".join(out)


@cache
def _homophones() -> Mapping[str, str]:
    """Map each letter to all letters that fold to the same one."""
    groups: dict[str, str] = {}
    for entry in letters():
        fold = fold_homophones(entry.char)
        groups[fold] = groups.get(fold, "") + entry.char
    return {char: group for group in groups.values() if len(group) > 1 for char in group}


REACH = 40
"""Characters to the left that a step may read; keeps the whole linear."""
_FIDEL_RUN = re.compile(f"[{FIDEL}]+")
_LETTERS = frozenset(entry.char for entry in letters()) | frozenset(GEMINATION_MARK + VOWEL_LENGTH_MARKS)
SIXTH = 6


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the written text, its category, and its spoken form. Spans cover the whole text."""

    start: int
    end: int
    written: str
    kind: str
    """ "text" for words left as they are; otherwise the category: number, date, time, abbreviation …"""
    spoken: str
    why: Message
    """The rule or the table row that decided."""
    value: str = ""
    """Value of a control span: seconds of a pause, a rate, the phones of an inline pronunciation."""

    @property
    def title(self) -> Message:
        """The category, for people."""
        return Message(f"text.span_{self.kind.replace('-', '_')}")

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON; the reason as code, parameters and English text."""
        return {
            "start": self.start,
            "end": self.end,
            "written": self.written,
            "kind": self.kind,
            "spoken": self.spoken,
            "why": {**self.why.as_dict(), "text": self.why.text("en")},
            "value": self.value,
        }


class Found(NamedTuple):
    """Result of a step: text[start:end] is a `kind`, read as `spoken`."""

    start: int
    end: int
    kind: str
    spoken: str
    why: Message
    value: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The settings that steps read, in one place."""

    calendar: str = "ethiopian"
    western_clock: str = "written"
    latin: str = "read"
    emoji: str = "drop"
    off: frozenset[str] = frozenset()


Step = Callable[[str, int, int, Reading], Found | None]


def before(text: str, at: int, floor: int) -> str:
    """Return the text just left of `at` on its line, at most REACH characters, not past `floor`."""
    return text[max(floor, at - REACH) : at].rpartition("\n")[2]


def behind(text: str, at: int) -> str:
    """Return the text left of `at` as `before` does, but also what other spans have taken: for context
    only."""
    return text[max(0, at - REACH) : at].rpartition("\n")[2]


def word_before(text: str, at: int, floor: int) -> str:
    """Return the run of Ethiopic letters that ends at `at`."""
    first = max(floor, at - REACH)
    start = at
    while start > first and text[start - 1] in _LETTERS:
        start -= 1
    return text[start:at]


def word_at(text: str, at: int) -> str:
    """Return the run of Ethiopic letters that begins at `at`."""
    found = _FIDEL_RUN.match(text, at, at + REACH)
    return found.group() if found else ""


@cache
def table(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the rows of text/tables/<name>.tsv as tuples of cells; lines that begin with # are notes."""
    content = resources.files("dimts.text").joinpath(f"tables/{name}.tsv").read_text(encoding="utf-8")
    return tuple(
        tuple(cell.strip() for cell in line.split("\t"))
        for line in content.splitlines()
        if line.strip() and not line.startswith("#")
    )


@cache
def pairs(name: str) -> Mapping[str, str]:
    """Map the first column of a table to the second."""
    return {row[0]: row[1] for row in table(name)}


# ---------------------------------------------------------------- prefixes and suffixes
_PREFIX = re.compile("(?:እስከ|ስለ|እንደ|ወደ|ባለ|ያለ|እነ|እየ|[በከለየነ]){1,5}")
_CLITICS = "(?:ንና|ንም|ንስ|ን|ም|ና|ስ|ማ|ሳ|ነው|ናቸው)*"
_ORDINAL = re.compile(f"(?:ተኛ|ረኛ|ደኛ|ነኛ|ኛ)((?:ውያን|ው|ዋ|ዎቹ|ዎች|ይቱ|ነት|ነቱ)?{_CLITICS})")
_DEFINITE = re.compile(f"[ቱዱሩኙኑሁዉ]({_CLITICS})")
_FEMININE = re.compile(f"[ቷዷሯኟ]({_CLITICS})")
_PLURAL = re.compile(f"(?:ዎች|ቶች|ዎቹ|ቶቹ|ኦቹ)({_CLITICS})")
_ARTICLE = re.compile(f"ው({_CLITICS})")
_ECHO = re.compile(f"[ትድርኝ]({_CLITICS})")
_CLITIC = re.compile(f"(?:ዋ)?{_CLITICS}")


def is_prefix(word: str) -> bool:
    """Whether `word` is made of prefixes only (በ, ከ, እስከ, የነ …), so that a number may follow it."""
    return bool(word) and _PREFIX.fullmatch(word) is not None


def is_ordinal(suffix: str) -> bool:
    """Whether a numeral with this suffix counts places: 9ኛ, 20ኛው, 99ተኛዋን."""
    return _ORDINAL.fullmatch(suffix) is not None


def is_suffix(word: str) -> bool:
    """Whether `word`, written on a numeral, belongs to the number word (3ቱም) and is no word of its own
    (3ቀን)."""
    return any(
        form.fullmatch(word) for form in (_ORDINAL, _DEFINITE, _FEMININE, _PLURAL, _ARTICLE, _ECHO, _CLITIC)
    )


def with_suffix(words: str, suffix: str, ordinal_of: Callable[[str], str]) -> str:
    """Join number words and the suffix on the numeral: ሦስት + ቱም → ሦስቱም, አስር + ው → አስሩ, ዘጠኝ + ኛ → ዘጠነኛ.

    The definite -u is written with the last letter of the number word (5ቱ, 41ዱ, 10ሩ), so it replaces that
    letter.
    """
    if not suffix:
        return words
    if found := _ORDINAL.fullmatch(suffix):
        return ordinal_of(words) + found.group(1)
    last = letter(words[-1])
    closed = last is not None and last.order == SIXTH
    if found := _DEFINITE.fullmatch(suffix):
        return (_with_vowel(words, "u") if closed else words + "ው") + found.group(1)
    if found := _FEMININE.fullmatch(suffix):
        return (_with_vowel(words, "ʷa") if closed else words + "ዋ") + found.group(1)
    if found := _PLURAL.fullmatch(suffix):
        end = "ቹ" if suffix[1] == "ቹ" else "ች"
        return (_with_vowel(words, "o") + end if closed else words + "ዎ" + end) + found.group(1)
    if (found := _ARTICLE.fullmatch(suffix)) and closed:
        return _with_vowel(words, "u") + found.group(1)
    if (found := _ECHO.fullmatch(suffix)) and closed:
        return words + found.group(1)
    return words + suffix


def _with_vowel(words: str, vowel: str) -> str:
    """Replace the vowel of the last letter, a sixth order: አስር, u → አስሩ."""
    block = ord(words[-1]) - (SIXTH - 1)
    steps = {"u": 1, "o": 6, "ʷa": 7}
    return words[:-1] + chr(block + steps[vowel])
