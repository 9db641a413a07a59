"""Words of joined phones → phones, each of which is one token of a vocabulary."""

from __future__ import annotations

from collections.abc import Collection

SPACE = "[SPACE]"
"""The token between words."""


def phones_of(word: str, symbols: Collection[str]) -> list[str]:
    """A word taken apart by the longest match of `symbols`; a letter that begins none stands alone."""
    longest = max(map(len, symbols), default=1)
    found, at = [], 0
    while at < len(word):
        size = next((n for n in range(longest, 0, -1) if word[at : at + n] in symbols), 1)
        found.append(word[at : at + size])
        at += size
    return found


def spaced_phones(text: str, symbols: Collection[str]) -> str:
    """Words of joined phones → phones apart by spaces (which a tokenizer drops), words by [SPACE]."""
    return SPACE.join(" ".join(phones_of(word, symbols)) for word in text.split(" "))
