"""Numbers ↔ words and Ethiopic numerals: exact inverses, and the words newsreaders use."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import TextError
from dimts.text import numbers

LARGEST_EXHAUSTIVE = 1_000_000


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "ዜሮ"),
        (11, "አስራ አንድ"),
        (100, "መቶ"),
        (101, "መቶ አንድ"),
        (1100, "አንድ ሺህ አንድ መቶ"),
        (100_000, "መቶ ሺህ"),
        (1802, "አንድ ሺህ ስምንት መቶ ሁለት"),  # num2words crashes on this one
        (1210, "አንድ ሺህ ሁለት መቶ አስር"),  # and on this
        (568_476_685, "አምስት መቶ ስልሳ ስምንት ሚሊዮን አራት መቶ ሰባ ስድስት ሺህ ስድስት መቶ ሰማንያ አምስት"),  # and never ends on this
        (10**15, "አንድ ኳድሪሊዮን"),
        (-5, "አሉታዊ አምስት"),
    ],
)
def test_cardinals(number: int, words: str) -> None:
    assert numbers.cardinal(number) == words


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_reading_inverts_saying(number: int) -> None:
    assert numbers.read_cardinal(numbers.cardinal(number)) == number


def test_reading_inverts_saying_on_a_grid_of_the_first_million() -> None:
    for number in range(0, LARGEST_EXHAUSTIVE + 1, 97):
        assert numbers.read_cardinal(numbers.cardinal(number)) == number


@pytest.mark.slow
def test_reading_inverts_saying_for_every_number_of_the_first_million() -> None:
    for number in range(LARGEST_EXHAUSTIVE + 1):
        assert numbers.read_cardinal(numbers.cardinal(number)) == number


def test_different_numbers_have_different_words() -> None:
    assert len({numbers.cardinal(number) for number in range(20_000)}) == 20_000


def test_beyond_the_largest_number_digits_are_said() -> None:
    assert numbers.cardinal(numbers.LARGEST + 1) == " ".join(["አንድ"] + ["ዜሮ"] * 18)
    assert numbers.decimal("9" * 5000) == " ".join(["ዘጠኝ"] * 5000)


@pytest.mark.parametrize("words", ["አምሳ", "ሀምሳ", "ሃምሳ"])
def test_spellings_read_alike(words: str) -> None:
    assert numbers.read_cardinal(words) == 50


@pytest.mark.parametrize("words", ["", "ሰላም", "አንድ ሺህ ቤት"])
def test_words_that_are_no_number_are_refused(words: str) -> None:
    with pytest.raises(TextError):
        numbers.read_cardinal(words)


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "አንደኛ"), (9, "ዘጠነኛ"), (10, "አስረኛ"), (20, "ሃያኛ"), (21, "ሃያ አንደኛ"), (100, "መቶኛ"), (1000, "አንድ ሺህኛ")],
)
def test_ordinals_change_the_stem_of_the_last_word(number: int, words: str) -> None:
    assert numbers.ordinal(number) == words


def test_years_are_counted_in_hundreds() -> None:
    assert numbers.year(1974) == "አስራ ዘጠኝ መቶ ሰባ አራት"
    assert numbers.year(1900) == "አስራ ዘጠኝ መቶ"
    assert numbers.year(2016) == numbers.cardinal(2016)
    for number in range(1100, 2100):
        assert numbers.read_cardinal(numbers.year(number)) == number


@pytest.mark.parametrize(
    ("numeral", "number"),
    [
        ("፩", 1),
        ("፲", 10),
        ("፻", 100),
        ("፲፻", 1000),
        ("፲፱፻፺፬", 1994),
        ("፳፻፲፮", 2016),
        ("፼", 10_000),
        ("፻፼", 10**6),
        ("፼፼", 10**8),
    ],
)
def test_ethiopic_numerals_are_read(numeral: str, number: int) -> None:
    assert numbers.from_ethiopic(numeral) == number


@given(st.integers(min_value=1, max_value=10**8))
def test_ethiopic_numerals_round_trip(number: int) -> None:
    assert numbers.from_ethiopic(numbers.to_ethiopic(number)) == number


def test_ethiopic_numerals_round_trip_at_every_border_and_a_hundred_thousand_samples() -> None:
    source = random.Random(8)
    borders = {10**power + step for power in range(9) for step in (-1, 0, 1)} - {0, -1}
    for number in [*range(1, 10_001), *borders, *(source.randrange(1, 10**8 + 1) for _ in range(100_000))]:
        assert numbers.from_ethiopic(numbers.to_ethiopic(number)) == number


@given(st.text(alphabet=numbers.ETHIOPIC_NUMERALS, min_size=1, max_size=12))
def test_any_row_of_ethiopic_numerals_has_a_reading(numeral: str) -> None:
    words = numbers.ethiopic(numeral)
    assert words
    assert not set(words) & set(numbers.ETHIOPIC_NUMERALS)


@pytest.mark.parametrize("numeral", ["፩፪", "፩፲", "", "ሀ"])
def test_signs_out_of_order_are_no_numeral(numeral: str) -> None:
    with pytest.raises(TextError):
        numbers.from_ethiopic(numeral)


def test_there_is_no_ethiopic_zero() -> None:
    with pytest.raises(TextError):
        numbers.to_ethiopic(0)
