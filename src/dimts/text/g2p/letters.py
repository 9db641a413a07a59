"""Read a fidel word letter by letter, and convert it to phones once its long consonants are known.

Also the code: one ASCII sign for a consonant, one for a vowel, none for the sixth order, so that stems
and affixes are plain strings (ይፈልጋሉ is "yfelgalu"). Codes are of folded letters; ":" marks length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from dimts.text.ethiopic import (
    GEMINATION_MARK,
    SIXTH_ORDER,
    VOWEL_LENGTH_MARKS,
    Letter,
    fold_homophones,
    letters,
)
from dimts.text.g2p.syllables import slots
from dimts.text.phones import LONG, ROUND

_CONSONANTS = "h l m s r ʃ b t tʃ n ɲ ʔ k w z ʒ j d dʒ ɡ f p v kʼ tʼ tʃʼ sʼ pʼ"
CONSONANT_CODES = dict(zip(_CONSONANTS.split(), "hlmsrxbtcnN'kwzZydjgfpvqTCSP", strict=True))
VOWEL_CODES = {"ə": "e", "u": "u", "i": "i", "a": "a", "e": "E", "o": "o", "ɨ": ""}
ROUND_VOWEL_CODES = {"a": "A", "i": "I", "e": "O", "ə": "o", "ɨ": "u", "u": "u", "o": "o"}
"""Vowel codes of Cʷa, Cʷi, Cʷe …; Cʷə and Cʷɨ are folded to Co and Cu before."""
VOWELS_IN_CODE = "euiaEoAIO"
LENGTH_IN_CODE = ":"
SLOT_SIGNS = ".-"
"""After a consonant of the sixth order: ɨ is always spoken, or never."""


@dataclass(frozen=True, slots=True)
class LetterReading:
    """Letters of a word as sounds, and what the fidel leaves open."""

    consonants: tuple[str, ...]
    """Consonants with ʷ, without length."""
    vowels: tuple[str, ...]
    """Vowels; "" where the sixth order leaves open whether ɨ is spoken."""
    marks: tuple[bool, ...]
    """Whether each letter has a gemination mark in the text."""

    def __len__(self) -> int:
        return len(self.consonants)


def read(word: str) -> LetterReading:
    """Read a word letter by letter; signs that are no Ethiopic letter are skipped."""
    sounds = _sounds()
    consonants: list[str] = []
    vowels: list[str] = []
    marked: list[int] = []
    for char in word:
        found = sounds.get(char)
        if found is not None:
            for consonant, vowel in found:
                consonants.append(consonant)
                vowels.append(vowel)
        elif char in _LENGTH_MARKS and consonants:
            marked.append(len(consonants) - 1)
    marks = [False] * len(consonants)
    for at in marked:
        marks[at] = True
    return LetterReading(tuple(consonants), tuple(vowels), tuple(marks))


def pronounce(
    reading: LetterReading, lengths: Sequence[bool], known: Mapping[int, bool] | None = None
) -> tuple[str, ...]:
    """Return the phones of `reading` with the consonants of `lengths` long and ɨ where syllables need it.

    `known` gives consonants that ɨ always (True) or never (False) follows.
    """
    out: list[str] = []
    cluster: list[str] = []
    after_vowel = False
    vowels = reading.vowels
    if known:
        vowels = tuple("ɨ" if known.get(at) and not vowel else vowel for at, vowel in enumerate(vowels))
    for at, (consonant, vowel, long) in enumerate(zip(reading.consonants, vowels, lengths, strict=True)):
        if known and known.get(at) is False and cluster == [] and out and at == len(vowels) - 2:
            out.append(consonant + LONG if long else consonant)  # -h after a consonant: no ɨ between
            continue
        cluster.append(consonant + LONG if long else consonant)
        if vowel:
            if len(cluster) == 1:
                out.append(cluster[0])
            else:
                _fill(out, cluster, after_vowel, True)
            out.append(vowel)
            cluster, after_vowel = [], True
    if cluster:
        _fill(out, cluster, after_vowel, False)
    return tuple(out)


def _fill(out: list[str], cluster: list[str], after_vowel: bool, before_vowel: bool) -> None:
    for phone, open_slot in zip(cluster, slots(tuple(cluster), after_vowel, before_vowel), strict=True):
        out.append(phone)
        if open_slot:
            out.append("ɨ")


def encode(text: str) -> str:
    """Encode fidel text (also a whole table at once): letters folded, gemination marks as ":"."""
    return text.translate(_codes())


def lengths_of(marked: str) -> tuple[bool, ...]:
    """Return which consonants of a marked code are long: "fel:ege" → (False, True, False)."""
    out: list[bool] = []
    for sign in marked:
        if sign == LENGTH_IN_CODE:
            out[-1] = True
        elif sign not in VOWELS_IN_CODE and sign not in SLOT_SIGNS:
            out.append(False)
    return tuple(out)


def slots_of(marked: str) -> dict[int, bool]:
    """Return the consonants of a marked code after which ɨ is always (".", True) or never ("-", False)
    spoken."""
    out: dict[int, bool] = {}
    if "." not in marked and "-" not in marked:
        return out
    at = -1
    for sign in marked:
        if sign in SLOT_SIGNS:
            out[at] = sign == "."
        elif sign not in VOWELS_IN_CODE and sign != LENGTH_IN_CODE:
            at += 1
    return out


def unmarked(code: str) -> str:
    """Return `code` without length and marks of ɨ."""
    return code.replace(LENGTH_IN_CODE, "").replace(".", "").replace("-", "")


_LENGTH_MARKS = GEMINATION_MARK + VOWEL_LENGTH_MARKS[0]


def _parts(entry: Letter) -> tuple[tuple[str, str], ...]:
    vowel = "" if entry.order == SIXTH_ORDER else entry.vowel
    if entry.glide:
        return ((entry.consonant, ""), (entry.glide, vowel))
    return ((entry.consonant + ROUND * entry.labial, vowel),)


@cache
def _sounds() -> dict[str, tuple[tuple[str, str], ...]]:
    found = {entry.char: _parts(entry) for entry in letters()}
    return found | {"ዉ": found["ው"]}  # a common spelling: ነዉ is nəw


@cache
def _codes() -> dict[int, str]:
    chart = {entry.char: entry for entry in letters()}
    table: dict[int, str] = {ord(mark): LENGTH_IN_CODE for mark in _LENGTH_MARKS}
    for char in chart:
        entry = chart[fold_homophones(char)]
        code = CONSONANT_CODES[entry.consonant]
        if entry.glide:
            code += CONSONANT_CODES[entry.glide] + VOWEL_CODES[entry.vowel]
        elif entry.labial:
            code += ROUND_VOWEL_CODES[entry.vowel]
        elif entry.order == 1 and entry.consonant == "ʔ":
            code += "e" if entry.vowel == "ə" else "a"
        else:
            code += VOWEL_CODES[entry.vowel]
        table[ord(char)] = code
    return table
