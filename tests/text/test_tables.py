"""The tables that a linguist edits: well formed, without contradictions, and read as they say."""

from __future__ import annotations

from collections import Counter

import pytest

from dimts.text.normalise import Normaliser, NormaliseSettings
from dimts.text.reading import table

READ = Normaliser(NormaliseSettings(off=("homophones",)))
TWO_COLUMNS = (
    *("abbreviations", "units", "names", "letters", "emoji"),
    *("ethiopian_names", "english", "english_words", "romanised_words"),
)


@pytest.mark.parametrize("name", TWO_COLUMNS)
def test_rows_have_two_columns_and_say_plain_words(name: str) -> None:
    for row in table(name):
        assert len(row) == 2, row
        spoken = row[1].removesuffix(" *")
        assert READ.spoken(spoken) == spoken, row


@pytest.mark.parametrize("name", TWO_COLUMNS)
def test_nothing_is_written_twice(name: str) -> None:
    twice = [written for written, count in Counter(row[0] for row in table(name)).items() if count > 1]
    assert twice == []


def test_every_abbreviation_reads_as_its_row_says() -> None:
    wrong = []
    for written, spoken in table("abbreviations"):
        if "/" in written and not written.endswith("*") and READ.spoken(written) != spoken:
            wrong.append((written, spoken, READ.spoken(written)))
    assert wrong == []


def test_abbreviations_with_points_read_as_those_with_strokes() -> None:
    for written, spoken in table("abbreviations"):
        if "/" in written and not written.endswith("*") and " " not in written:
            assert READ.spoken(written.replace("/", ".") + ".") == spoken


def test_every_unit_is_said_after_a_number() -> None:
    wrong = []
    for written, spoken in table("units"):
        said = READ.spoken(f"7 {written}")
        if said != f"ሰባት {spoken}":
            wrong.append((written, spoken, said))
    assert wrong == []


def test_every_name_reads_as_its_row_says() -> None:
    wrong = [(row, READ.spoken(row[0])) for row in table("names") if READ.spoken(row[0]) != row[1]]
    assert wrong == []


def test_every_currency_is_said_before_and_after_its_amount() -> None:
    for sign, name, *_ in table("money"):
        assert READ.spoken(f"7 {sign}") == f"ሰባት {name}", sign
        assert READ.spoken(f"{sign} 7") == f"ሰባት {name}", sign
