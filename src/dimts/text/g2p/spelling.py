"""Spell Latin letters and digits by their names in fidel, for words that cannot be read: ATM → ኤቲኤም."""

from __future__ import annotations

import unicodedata

LETTER_NAMES = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "ኤ ቢ ሲ ዲ ኢ ኤፍ ጂ ኤች አይ ጄ ኬ ኤል ኤም ኤን ኦ ፒ ኪው አር ኤስ ቲ ዩ ቪ ደብሊው ኤክስ ዋይ ዜድ".split(),  # noqa: SIM905
        strict=True,
    )
)
DIGIT_NAMES = dict(zip("0123456789", "ዜሮ አንድ ሁለት ሦስት አራት አምስት ስድስት ሰባት ስምንት ዘጠኝ".split(), strict=True))  # noqa: SIM905


def spelt_out(word: str) -> str:
    """Spell `word` letter by letter in fidel, joined; "" if it holds no Latin letter or digit."""
    plain = unicodedata.normalize("NFKD", word).upper()
    return "".join(LETTER_NAMES.get(char) or DIGIT_NAMES.get(char, "") for char in plain)
