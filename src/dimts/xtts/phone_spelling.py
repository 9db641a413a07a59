"""Split words of joined phones into phones, each of which is one token of a vocabulary."""

from __future__ import annotations

from collections.abc import Collection

SPACE = "[SPACE]"
"""The token between words."""


def phones_of(word: str, symbols: Collection[str]) -> list[str]:
    """Split a word by the longest match of `symbols`; a letter that begins none is a unit of its own."""
    longest = max(map(len, symbols), default=1)
    found, at = [], 0
    while at < len(word):
        size = next((n for n in range(longest, 0, -1) if word[at : at + n] in symbols), 1)
        found.append(word[at : at + size])
        at += size
    return found


def spaced_phones(text: str, symbols: Collection[str]) -> str:
    """Split words of joined phones: phones by spaces (which a tokenizer drops), words by [SPACE]."""
    return SPACE.join(" ".join(phones_of(word, symbols)) for word in text.split(" "))
