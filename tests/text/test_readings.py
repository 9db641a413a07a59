"""Readings of written forms by kind: our own table, the cases of ../shared, and whole families made by
rule."""

from __future__ import annotations

import csv
import importlib.util
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dimts.text.ethiopic import fold_homophones
from dimts.text.normalise import Normaliser, NormaliseSettings, normalise
from dimts.text.reading import any_spelling, pairs, table

READINGS = Path(__file__).parent.parent / "golden" / "readings.tsv"
READ = Normaliser(NormaliseSettings(off=("homophones",)))


def readings() -> Iterator[tuple[str, str, str]]:
    for line in READINGS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            kind, written, spoken = line.split("\t")
            yield kind, written, spoken


@pytest.mark.parametrize(("kind", "written", "spoken"), list(readings()))
def test_readings(kind: str, written: str, spoken: str) -> None:
    assert READ.spoken(written) == spoken


def test_a_reading_does_not_depend_on_what_stands_around_it() -> None:
    for _, written, spoken in readings():
        if not written.startswith("#"):
            assert READ.spoken(f"ሰላም ነው። {written}። ደህና") == f"ሰላም ነው። {spoken}። ደህና"


def scorer(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("text_score", shared / "gold" / "text_score.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cases_of_public_text(shared: Path) -> None:
    """All of ../shared/cases/text/text_cases.tsv, compared as its scorer compares."""
    canon = scorer(shared).canon
    wrong = []
    with (shared / "cases" / "text" / "text_cases.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            signs = row["category"] == "punct"
            said = normalise(row["input"])
            if canon(said, signs) != canon(row["expected"], signs):
                wrong.append((row["input"], said, row["expected"]))
    assert wrong == []


def test_every_kind_of_case_has_five_examples_of_our_own(shared: Path) -> None:
    with (shared / "cases" / "text" / "text_cases.tsv").open(encoding="utf-8") as file:
        cases = {row["input"] for row in csv.DictReader(file, delimiter="\t")}
    own = Counter(kind for kind, written, _ in readings() if written not in cases)
    assert {kind: count for kind, count in own.items() if count < 5 and kind != "variant-name"} == {}


# ---------------------------------------------------------------- families
def test_every_book_of_the_bible_takes_chapter_and_verse() -> None:
    for written, spoken, *_ in table("books"):
        for point in ("", ".") if " " not in written else ("",):
            said = READ.spoken(f"{written}{point} 5፥3-12")
            assert fold_homophones(said) == fold_homophones(f"{spoken} ምዕራፍ አምስት ቁጥር ሦስት እስከ አስራ ሁለት"), (
                written
            )


@pytest.mark.parametrize("mark", [":", "፡", "፥"])
def test_numbered_books_say_their_ordinal(mark: str) -> None:
    for written, spoken in (
        ("ቆሮ", "ቆሮንቶስ"),
        ("ጢሞ", "ጢሞቴዎስ"),
        ("ሳሙ", "ሳሙኤል"),
        ("ነገ", "ነገሥት"),
        ("ዜና", "ዜና መዋዕል"),
    ):
        for before in ("2", "2 ", "2ኛ ", "፪ኛ "):
            assert READ.spoken(f"{before}{written} 5{mark}17") == f"ሁለተኛ {spoken} ምዕራፍ አምስት ቁጥር አስራ ሰባት"


def test_months_in_every_spelling_of_their_sounds_take_a_day_and_a_year() -> None:
    for month in ("መስከረም", "ኅዳር", "ታኅሣሥ", "ሐምሌ", "ነሐሴ", "ሰኔ"):
        for variant in {
            month,
            fold_homophones(month),
            month.replace("ሰ", "ሠ").replace("ሐ", "ሃ").replace("ኅ", "ሕ"),
        }:
            assert READ.spoken(f"{variant} 7/2012") == f"{variant} ሰባት ሁለት ሺህ አስራ ሁለት"
            assert READ.spoken(f"ከ{variant} 7-9/2012") == f"ከ{variant} ሰባት እስከ ዘጠኝ ሁለት ሺህ አስራ ሁለት"


def test_units_are_found_in_every_spelling_of_their_sounds() -> None:
    assert READ.spoken("5 ሴ.ሜ") == READ.spoken("5 ሤ.ሜ") == "አምስት ሴንቲ ሜትር"
    assert READ.spoken("20 ዲ.ሴ") == READ.spoken("20 ዲ.ሤ")


def test_multiples_in_full_stay_before_every_unit() -> None:
    for multiple in ("ሚሊ", "ኪሎ", "ሴንቲ", "ማይክሮ", "ናኖ"):
        for unit in ("ግራም", "ሊትር", "ሜትር", "ሜትሩ", "ግራምና"):
            assert READ.spoken(f"7 {multiple} {unit}") == f"ሰባት {multiple} {unit}"


def test_words_of_sport_inside_other_words_make_no_score() -> None:
    for word in ("ግብር", "ግብርና", "ግብዣ", "እድል", "ድልድይ", "ጎልማሳ", "ጎልቶ", "የተለያዩ", "ውጤታማ"):
        assert READ.spoken(f"{word} 10-15 ነበር") == f"{word} ከአስር እስከ አስራ አምስት ነበር"


def test_every_word_for_u_as_w_is_folded() -> None:
    assert normalise("ነዉ ባለፈዉ ለዉጥ ዉሃ") == "ነው ባለፈው ለውጥ ውሀ"


def test_a_pattern_in_any_spelling_matches_every_homophone() -> None:
    import re

    assert re.fullmatch(any_spelling("ሰኔ"), "ሠኔ")
    assert re.fullmatch(any_spelling("[ህሀ]ዳር"), "ኀዳር")
    assert re.fullmatch(any_spelling("[ሀ-ፚ]{2}"), "ኀዳ")
    assert not re.fullmatch(any_spelling("ሰኔ"), "ሱኔ")


def test_bare_abbreviations_need_no_sign_and_are_no_part_of_a_word() -> None:
    assert READ.spoken("በእኤአ አቆጣጠር ዶር አብይ") == "በኤውሮፓ አቆጣጠር አቆጣጠር ዶክተር አብይ"
    assert READ.spoken("እኤአው ዶሮ ዶርም") == "እኤአው ዶሮ ዶርም"


def test_ethiopian_names_read_in_any_case() -> None:
    for written, spoken in pairs("ethiopian_names").items():
        assert READ.spoken(written) == spoken
        assert READ.spoken(written.lower()) == spoken


def test_english_words_of_the_table_read_in_any_case_but_short_capitals_are_letters() -> None:
    for written, spoken in pairs("english").items():
        assert READ.spoken(written) == spoken
        if len(written) > 3:
            assert READ.spoken(written.upper()) == spoken
    assert READ.spoken("ALL") == "ኤ ኤል ኤል"


def test_long_chains_of_numbers_are_read_number_by_number() -> None:
    for sign in ("-", ":", "/"):
        assert READ.spoken(sign.join("123456789")) == "አንድ ሁለት ሦስት አራት አምስት ስድስት ሰባት ስምንት ዘጠኝ"


def test_spans_cover_the_text_as_it_was_given() -> None:
    for given in (
        "cafe\u0301 ሰላም 5",
        "ሰ\u135fላም cafe\u0301s 10%",
        "\u1112\u1161\u11ab 5 ሰላም",
        "e\u0301\u0302 1/2",
    ):
        whole = READ(given)
        assert whole.written == given
        assert "".join(span.written for span in whole.spans) == given
        assert all(given[span.start : span.end] == span.written for span in whole.spans)
    number = next(span for span in READ("cafe\u0301 5").spans if span.kind == "number")
    assert (number.start, number.end) == (6, 7)


def test_letters_of_extended_b_have_phones() -> None:
    from dimts.text.frontend import phones

    assert phones("\U0001e7e3ላ") == phones("ⷓላ") == "h ɨ j a l a"
    assert phones("\U0001e7f0ላ") == phones("ቊላ")


def test_every_roman_numeral_up_to_39_is_read_as_its_digits() -> None:
    for number in range(1, 40):
        tens, ones = divmod(number, 10)
        written = "X" * tens + ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[ones]
        assert READ.spoken(f"ምዕራፍ {written} ነው") == READ.spoken(f"ምዕራፍ {number} ነው")
    assert READ.spoken("ምዕራፍ IIII") != READ.spoken("ምዕራፍ 4")
