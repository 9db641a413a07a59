"""The fidel chart against Unicode's own character names, and its inverse."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.text.ethiopic import (
    BLOCKS,
    GEMINATION_MARK,
    bare,
    fold_homophones,
    is_ethiopic_letter,
    letter,
    letters,
    spell,
)
from dimts.text.phones import CONSONANTS, VOWELS

ASSIGNED = [
    chr(code)
    for first, last in BLOCKS
    for code in range(first, last + 1)
    if unicodedata.name(chr(code), "").startswith("ETHIOPIC SYLLABLE")
]


def test_every_assigned_syllable_is_in_the_chart_and_nothing_else() -> None:
    assert [entry.char for entry in letters()] == ASSIGNED
    assert not is_ethiopic_letter("።")
    assert not is_ethiopic_letter("፩")
    assert not is_ethiopic_letter(GEMINATION_MARK)
    assert letter("a") is None


@pytest.mark.parametrize("char", ASSIGNED)
def test_vowels_follow_the_unicode_name(char: str) -> None:
    entry = letter(char)
    assert entry is not None
    name = unicodedata.name(char)
    assert entry.consonant in CONSONANTS
    assert entry.vowel in VOWELS
    endings = {"EE": "e", "AA": "a", "U": "u", "I": "i", "O": "o", "E": "ɨ"}
    for ending, vowel in endings.items():
        if name.endswith(ending):
            assert entry.vowel == vowel
            return
    if name.endswith("OA"):
        assert entry.vowel == "a"
    else:
        assert entry.vowel in "əa"


@pytest.mark.parametrize(
    ("char", "consonant", "vowel", "order", "labial"),
    [
        ("ሀ", "h", "a", 1, False), ("አ", "ʔ", "a", 1, False), ("ዐ", "ʔ", "a", 1, False),
        ("ኸ", "h", "ə", 1, False), ("ኧ", "ʔ", "ə", 1, False), ("ቋ", "kʼ", "a", 8, True),
        ("ቈ", "kʼ", "ə", 9, True), ("ኵ", "k", "ɨ", 12, True), ("ሟ", "m", "a", 8, True),
        ("ጸ", "sʼ", "ə", 1, False), ("ፅ", "sʼ", "ɨ", 6, False), ("ጭ", "tʃʼ", "ɨ", 6, False),
        ("ኝ", "ɲ", "ɨ", 6, False), ("ᎃ", "m", "ɨ", 12, True), ("ጓ", "ɡ", "a", 8, True),
        ("ሦ", "s", "o", 7, False),
    ],
)  # fmt: skip
def test_letters_one_must_get_right(char: str, consonant: str, vowel: str, order: int, labial: bool) -> None:
    entry = letter(char)
    assert entry is not None
    assert (entry.consonant, entry.vowel, entry.order, entry.labial) == (consonant, vowel, order, labial)


def test_folding_joins_homophones_and_keeps_length() -> None:
    assert fold_homophones("ሐዋርያ ኃይለሥላሴ ዐይን ፀሐይ ጐንደር ቍርስ") == "ሀዋርያ ሀይለስላሴ አይን ጸሀይ ጎንደር ቁርስ"
    assert fold_homophones("ኸ") == "ኸ"


@settings(deadline=None)
@given(st.text(st.sampled_from(ASSIGNED)))
def test_folding_is_idempotent_and_keeps_the_sound(text: str) -> None:
    folded = fold_homophones(text)
    assert fold_homophones(folded) == folded
    assert len(folded) == len(text)
    for before, after in zip(text, folded, strict=True):
        first, second = letter(before), letter(after)
        assert first is not None
        assert second is not None
        assert first.consonant == second.consonant


def test_spelling_is_the_inverse_of_reading() -> None:
    for consonant in CONSONANTS:
        for vowel in VOWELS:
            text = spell(consonant, vowel)
            entry = letter(text)
            assert entry is not None
            assert (entry.consonant, entry.vowel, entry.labial) == (consonant, vowel, False)
    with pytest.raises(KeyError):
        spell("θ", "a")


def test_bare_takes_marks_away() -> None:
    assert bare("አለ፟") == "አለ"
