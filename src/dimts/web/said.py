"""What the library says to people, in English → in the page's language: by `said.tsv`, a sentence with its values.

The library's own messages are English, on the page as in a terminal. A message is known by its fixed words; its
values stay as they are, unless one is itself such a message. What the table does not know stays English.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_GAP = "{}"
_DEPTH = 3
"""A message in a message in a message."""


@cache
def rows() -> tuple[tuple[str, str], ...]:
    """English and Amharic of every message of the table."""
    content = resources.files("dimts.web").joinpath("said.tsv").read_text(encoding="utf-8")
    lines = (line for line in content.split("\n") if line and not line.startswith("#"))
    return tuple((english, amharic) for english, amharic in (line.split("\t") for line in lines))


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """What to look for, those with most fixed words first."""
    ordered = sorted(rows(), key=lambda row: -len(row[0].replace(_GAP, "")))
    return tuple(
        (re.compile("(.*?)".join(map(re.escape, english.split(_GAP))), re.DOTALL), amharic)
        for english, amharic in ordered
    )


def said(text: str, language: str, depth: int = _DEPTH) -> str:
    """A message of the library in `language`; as it is where the table does not know it."""
    if language == "en" or not text or not depth:
        return text
    for pattern, amharic in _patterns():
        if found := pattern.fullmatch(text):
            return amharic.format(*(said(value, language, depth - 1) for value in found.groups()))
    return text
