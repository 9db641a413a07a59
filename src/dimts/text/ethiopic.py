"""Map fidel letters to consonant, vowel and order. The whole script is one table, `tables/fidel.tsv`.

The chart gives what a letter represents on its own; whether the sixth order's ɨ is spoken, and
which consonants are long, is for `g2p` to find out. ሀ ሐ ኀ አ ዐ of the first order read [a],
ኸ and ኧ read [ə] (CLDR am_FONIPA; FSI Amharic Basic Course, vol. 2).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import resources

GEMINATION_MARK = "\u135f"
"""፟ COMBINING GEMINATION MARK, above the letter whose consonant is long."""
VOWEL_LENGTH_MARKS = "\u135d\u135e"
"""፝ ፞: vowel length (with and without gemination); Amharic has none, U+135D implies gemination too."""
SIXTH_ORDER = 6
LABIAL_A, LABIAL_E, LABIAL_I, LABIAL_EE, LABIAL_SIXTH = 8, 9, 10, 11, 12
"""Orders of the labiovelar columns: Cʷa ሏ ቋ, Cʷə ቈ, Cʷi ቊ, Cʷe ቌ, Cʷɨ ቍ."""
BLOCKS = ((0x1200, 0x137F), (0x1380, 0x139F), (0x2D80, 0x2DDF), (0xAB00, 0xAB2F), (0x1E7E0, 0x1E7FF))


@dataclass(frozen=True, slots=True)
class Letter:
    """One fidel letter, e.g. ቋ: Letter("ቋ", "kʼ", "a", 8, labial=True)."""

    char: str
    consonant: str
    """IPA consonant of our inventory without ʷ; ʔ for አ and ዐ."""
    vowel: str
    """One of ə u i a e ɨ o; ɨ stands for "ɨ or nothing"."""
    order: int
    """Order, 1 to 7 as in the chart; 8 to 12 are the labiovelar columns (see LABIAL_A …)."""
    labial: bool
    """Whether the consonant is Cʷ."""
    glide: str = ""
    """j or w between consonant and vowel, in ፘ ፙ ፚ and in rows of other languages."""


def letter(char: str) -> Letter | None:
    """Look `char` up in the chart; None if it is no Ethiopic syllable."""
    return _chart().get(char)


def is_ethiopic_letter(char: str) -> bool:
    """Whether `char` is a syllable of any Ethiopic block (not a digit, mark or stop)."""
    return char in _chart()


def letters() -> tuple[Letter, ...]:
    """Return the whole chart, in code order."""
    return tuple(_chart().values())


def fold_homophones(text: str) -> str:
    """Replace letters that Amharic reads alike by one of them: ሐኀኻ→ሀ, ሠ→ሰ, ዐ→አ, ፀ→ጸ, ጐ→ጎ, ቍ→ቁ, ዉ→ው.

    Of ሀ/ሃ and አ/ኣ, which sound the same, the first order remains; ዉ is a common spelling of ው. Idempotent;
    keeps the length.
    """
    if len(text) < _LONG_TEXT:
        return text.translate(_folding())
    for code, fold in _folding().items():  # ten times as fast as translate on long texts
        char = chr(code)
        if char in text:
            text = text.replace(char, fold)
    return text


_LONG_TEXT = 512
"""Characters from which replacing letter by letter is faster than `str.translate`."""


def spell(consonant: str, vowel: str, *, labial: bool = False) -> str:
    """Return the everyday letter for a consonant and a vowel (sixth order for ɨ or ""); the inverse of
    `letter`.

    Where no single letter exists (e.g. pʷu) the plain consonant's sixth order and a letter of ው's
    row are written. Raises KeyError for a sound that has no letter.
    """
    vowel = vowel or "ɨ"
    chart = _spelling()
    found = chart.get((consonant, vowel, labial))
    if found is None and labial:
        return chart[consonant, "ɨ", False] + chart["w", vowel, False]
    if found is None:
        raise KeyError((consonant, vowel, labial))
    return found


def bare(text: str) -> str:
    """Return `text` in NFC without gemination and vowel-length marks."""
    return unicodedata.normalize("NFC", text).translate(_NO_MARKS)


_NO_MARKS = dict.fromkeys(map(ord, GEMINATION_MARK + VOWEL_LENGTH_MARKS))


@cache
def _rows() -> tuple[tuple[Letter, str], ...]:
    table = resources.files("dimts.text").joinpath("tables/fidel.tsv").read_text(encoding="utf-8")
    rows = []
    for line in table.splitlines():
        if line.startswith(("#", "char\t")):
            continue
        char, consonant, vowel, order, labial, glide, fold, _ = line.split("\t")
        entry = Letter(char, consonant, vowel, int(order), labial == "1", "" if glide == "-" else glide)
        rows.append((entry, char if fold == "=" else fold))
    return tuple(rows)


@cache
def _chart() -> dict[str, Letter]:
    return {entry.char: entry for entry, _ in _rows()}


@cache
def _folding() -> dict[int, str]:
    return {ord(entry.char): fold for entry, fold in _rows() if entry.char != fold}


@cache
def _spelling() -> dict[tuple[str, str, bool], str]:
    chart: dict[tuple[str, str, bool], str] = {}
    for entry, fold in _rows():
        if entry.char == fold and not entry.glide:
            chart.setdefault((entry.consonant, entry.vowel, entry.labial), entry.char)
    for char in "ቈኰጐቍኵጕኈኍዉ":  # folded in everyday writing, but the only letters of their sounds
        entry = _chart()[char]
        chart[entry.consonant, entry.vowel, entry.labial] = char
    return chart
