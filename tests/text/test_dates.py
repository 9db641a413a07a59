"""The two calendars against the published new-year table and against the standard library."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import TextError
from dimts.text.dates import Date, days_in_month, is_leap, to_ethiopian, to_gregorian

# New year's day and leap years, 1900 to 2100 EC: Mäskäräm 1 falls on 11 September, a day later after a leap
# year; from 1893 to 2092 EC (Gregorian 1900 to 2099); after Gregorian 2100, which is no leap year there, on
# the 12th.
LAST_YEAR_BEFORE_THE_SHIFT = 2092


def published_new_year(year: int) -> datetime.date:
    """The almanac's table: 11 September, 12 after an Ethiopian leap year, one day more from 2100 GC on."""
    day = 12 if (year - 1) % 4 == 3 else 11
    return datetime.date(year + 7, 9, day + (1 if year > LAST_YEAR_BEFORE_THE_SHIFT else 0))


@pytest.mark.parametrize("year", range(1900, 2101))
def test_new_year_falls_where_the_almanac_says(year: int) -> None:
    assert datetime.date(*to_gregorian(Date(year, 1, 1))) == published_new_year(year)


def test_leap_years_are_those_before_the_year_of_john() -> None:
    leap = [year for year in range(1900, 2101) if is_leap(year)]
    assert leap[:3] == [1903, 1907, 1911]
    assert len(leap) == 50
    assert all(days_in_month(year, 13) == (6 if year in leap else 5) for year in range(1900, 2101))


@pytest.mark.parametrize(
    ("ethiopian", "gregorian"),
    [
        (Date(2000, 1, 1), Date(2007, 9, 12)),  # the Ethiopian millennium
        (Date(1888, 6, 23), Date(1896, 3, 1)),  # the battle of Adwa, 23 Yäkatit
        (Date(1966, 6, 1), Date(1974, 2, 8)),
        (
            Date(2016, 4, 29),
            Date(2024, 1, 8),
        ),  # Christmas, 29 Tahsas after the leap year 2015: 28 Tahsas is 7 January
        (Date(2015, 13, 6), Date(2023, 9, 11)),
        (Date(1, 1, 1), Date(8, 8, 27)),
    ],
)
def test_known_days(ethiopian: Date, gregorian: Date) -> None:
    assert to_gregorian(ethiopian) == gregorian
    assert to_ethiopian(gregorian) == ethiopian


@given(st.dates(min_value=datetime.date(8, 9, 1)))
def test_there_and_back(day: datetime.date) -> None:
    assert datetime.date(*to_gregorian(to_ethiopian(Date(day.year, day.month, day.day)))) == day


def test_every_day_of_two_centuries_follows_the_one_before() -> None:
    day = datetime.date(1907, 9, 12)
    date = to_ethiopian(Date(1907, 9, 12))
    assert date == Date(1900, 1, 1)
    while date.year <= 2100:
        year, month, number = date
        date = Date(year, month, number + 1)
        if date.day > days_in_month(year, month):
            date = Date(year, month + 1, 1) if month < 13 else Date(year + 1, 1, 1)
        day += datetime.timedelta(days=1)
        assert to_ethiopian(Date(day.year, day.month, day.day)) == date


@pytest.mark.parametrize(
    "date", [Date(2016, 13, 6), Date(2016, 14, 1), Date(2016, 1, 31), Date(2016, 0, 1), Date(0, 1, 1)]
)
def test_days_that_do_not_exist_are_refused(date: Date) -> None:
    with pytest.raises(TextError):
        to_gregorian(date)


@pytest.mark.parametrize("date", [Date(2023, 2, 29), Date(2024, 13, 1), Date(2024, 4, 31), Date(7, 1, 1)])
def test_gregorian_days_that_do_not_exist_are_refused(date: Date) -> None:
    with pytest.raises(TextError):
        to_ethiopian(date)
