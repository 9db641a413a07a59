"""Convert between the Ethiopian and the Gregorian calendar, and read dates in digits.

The Ethiopian year has twelve months of 30 days and Pagumen with 5, or 6 in the year before the
fourth (year mod 4 = 3). Days are counted as Julian day numbers; the Ethiopian era begins at
JDN 1724221 (29 August 8 CE, Julian), as in Dershowitz & Reingold, Calendrical Calculations.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dimts.base.errors import TextError
from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.number_context import (
    DAYS_BEFORE,
    ETHIOPIAN_AFTER,
    GREGORIAN_AFTER,
    GREGORIAN_BEFORE,
    MONTH,
    MONTH_BEFORE,
)
from dimts.text.quantities import prefix_of
from dimts.text.reading import AMHARIC, Found, Reading, behind

MONTHS = (
    "መስከረም", "ጥቅምት", "ኅዳር", "ታኅሣሥ", "ጥር", "የካቲት", "መጋቢት", "ሚያዝያ", "ግንቦት", "ሰኔ", "ሐምሌ", "ነሐሴ", "ጳጉሜ",
)  # fmt: skip
GREGORIAN_MONTHS = (
    "ጃንዋሪ", "ፌብሩዋሪ", "ማርች", "ኤፕሪል", "ሜይ", "ጁን", "ጁላይ", "ኦገስት", "ሴፕቴምበር", "ኦክቶበር", "ኖቬምበር", "ዲሴምበር",
)  # fmt: skip
_ENGLISH_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
ETHIOPIAN_EPOCH = 1724221
"""Julian day number of 1 Mäskäräm 1."""
UNIX_EPOCH_DAY = 2440588
"""Julian day number of 1 January 1970, Gregorian."""


class Date(NamedTuple):
    """A day of either calendar; months and days count from 1."""

    year: int
    month: int
    day: int


def is_leap(year: int) -> bool:
    """Whether the Ethiopian year has a sixth day of Pagumen (2011, 2015, …)."""
    return year % 4 == 3


def days_in_month(year: int, month: int) -> int:
    """Days of an Ethiopian month: 30, or 5 or 6 in Pagumen."""
    return 30 if month < 13 else 6 if is_leap(year) else 5


def to_gregorian(date: Date) -> Date:
    """Convert Ethiopian to Gregorian: Date(2017, 1, 1) → Date(2024, 9, 11). TextError for a day that does not
    exist."""
    year, month, day = date
    if year < 1 or not 1 <= month <= len(MONTHS) or not 1 <= day <= days_in_month(year, month):
        raise TextError("text.not_an_ethiopian_day", day=day, month=month, year=year)
    return _gregorian(ETHIOPIAN_EPOCH + 365 * (year - 1) + year // 4 + 30 * (month - 1) + day - 1)


def to_ethiopian(date: Date) -> Date:
    """Convert Gregorian to Ethiopian: Date(2024, 9, 11) → Date(2017, 1, 1). TextError for a day that does not
    exist."""
    year, month, day = date
    length = (31, 29 if _gregorian_leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not 1 <= month <= len(length) or not 1 <= day <= length[month - 1]:
        raise TextError("text.not_a_gregorian_day", year=year, month=month, day=day)
    count = _day_number(date) - ETHIOPIAN_EPOCH
    if count < 0:
        raise TextError("text.before_ethiopian_era", year=year, month=month, day=day)
    cycle, rest = divmod(count, 1461)
    of_cycle = min(rest // 365, 3) if rest < 1460 else 3
    of_cycle = 2 if rest == 1095 else of_cycle  # the sixth day of Pagumen closes the third year of four
    start = 365 * of_cycle + (1 if of_cycle == 3 else 0)
    month, day = divmod(rest - start, 30)
    return Date(4 * cycle + of_cycle + 1, month + 1, day + 1)


def _day_number(date: Date) -> int:
    """Compute the Julian day number (Richards, Explanatory Supplement to the Astronomical Almanac, 2013)."""
    year, month, day = date
    shift = (14 - month) // 12
    y, m = year + 4800 - shift, month + 12 * shift - 3
    return day + (153 * m + 2) // 5 + 365 * y + y // 4 - y // 100 + y // 400 - 32045


def _gregorian(number: int) -> Date:
    """Convert a Julian day number to a Gregorian date; the inverse of `_day_number`."""
    a = number + 32044
    b = (4 * a + 3) // 146097
    c = a - 146097 * b // 4
    d = (4 * c + 3) // 1461
    e = c - 1461 * d // 4
    m = (5 * e + 2) // 153
    return Date(100 * b + d - 4800 + m // 10, m + 3 - 12 * (m // 10), e - (153 * m + 2) // 5 + 1)


def _gregorian_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


# ---------------------------------------------------------------- dates in digits
_DIGITS = r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4}|\d{2})(?![\d/])(?!-\d)"
_DAY_FIRST = re.compile(_DIGITS)
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?![\d/])(?!-\d)")
_MONTH_YEAR = re.compile(r"(\d{1,2})/(\d{4})(?![\d/])")
_NUMERAL_DATE = re.compile(r"([፩-፴]{1,2})[/.\-]([፩-፲]{1,2})[/.\-]([፩-፼]{1,8})")
_DAY_YEAR = re.compile(r"(\d{1,2})(?: ?[/፣,] ?(\d{4})|/(\d{2}))(?![\d/])")
_DAYS_YEAR = re.compile(r"(\d{1,2}) ?[-–—] ?(\d{1,2})(?:/(\d{4}|\d{2})| (\d{4}))(?![\d/])")
_RANGE_AFTER = re.compile(r" ?[-–—] ?(?=\d)")
_ENGLISH = re.compile(
    r"(?:(\d{1,2})(?:st|nd|rd|th)? )?("
    + "|".join(f"{name[:3]}(?:{name[3:]})?" for name in _ENGLISH_MONTHS)
    + r")\b\.?"
    r"(?: (\d{1,2})(?:st|nd|rd|th)?(?!\d))?(?:,? (\d{4})(?!\d))?",
    re.IGNORECASE,
)


def date(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a date: 12/01/2016 ዓ.ም. → መስከረም አስራ ሁለት ሁለት ሺህ አስራ ስድስት; ISO is Gregorian unless ዓ.ም. follows."""
    if not _BEGINS.match(text, at):
        return None
    start, prefix = prefix_of(text, at, floor)
    if text[at].isdigit() and (found := _day_and_year(text, at, start, prefix)):
        return found
    one = _one_date(text, at, start, reading)
    if one is None:
        return None
    end, words, why = one
    dash = _RANGE_AFTER.match(text, end)
    if dash and (other := _one_date(text, dash.end(), start, reading)):
        return Found(
            start,
            other[0],
            "date",
            f"{prefix or 'ከ'}{words} እስከ {other[1]}",
            Message("text.why_date_range", first=why),
        )
    return Found(start, end, "date", prefix + words, why)


def _day_and_year(text: str, at: int, start: int, prefix: str) -> Found | None:
    """Read day and year after the name of a month: ጥር 3/1990, ጥር 15-17/2012."""
    if prefix:
        return None
    left = behind(text, at)
    if (found := _DAYS_YEAR.match(text, at)) and MONTH_BEFORE.search(left):
        first, last, with_stroke, alone = found.groups()
        if int(first) < int(last) <= _LONGEST_MONTH:
            opening = "" if _FROM.search(left) else "ከ"
            words = f"{opening}{numbers.cardinal(int(first))} እስከ {numbers.cardinal(int(last))}"
            words += f" {numbers.year(int(with_stroke or alone))}"
            return Found(start, found.end(), "date", words, Message("text.why_days_and_year_of_month"))
    found = _DAY_YEAR.match(text, at)
    if found is None or not (MONTH_BEFORE.search(left) or DAYS_BEFORE.search(left)):
        return None
    if int(found.group(1)) > _LONGEST_MONTH:
        return None
    words = f"{numbers.cardinal(int(found.group(1)))} {numbers.year(int(found.group(2) or found.group(3)))}"
    return Found(start, found.end(), "date", words, Message("text.why_day_and_year_of_month"))


_FROM = re.compile(f"(?<![{AMHARIC}])[ከበ]{MONTH} ?$")
_LONGEST_MONTH = 31
_BEGINS = re.compile(r"\d{1,4}[ /.፣,\-–—]|[፩-፴]")
"""First characters of every date in digits."""


def _one_date(text: str, at: int, start: int, reading: Reading) -> tuple[int, str, Message] | None:
    if found := _NUMERAL_DATE.match(text, at):
        try:
            day, month, year = (numbers.from_ethiopic(part) for part in found.groups())
        except TextError:
            return None
        return _spoken_date(found.end(), year, month, day, ethiopian=True) if month <= len(MONTHS) else None
    if found := _YEAR_FIRST.match(text, at):
        year, month, day = int(found.group(1)), int(found.group(3)), int(found.group(4))
        ethiopian = bool(ETHIOPIAN_AFTER.match(text, found.end())) or month == len(MONTHS)
    elif found := _DAY_FIRST.match(text, at):
        day, month, year = int(found.group(1)), int(found.group(3)), int(found.group(4))
        ethiopian = _is_ethiopian(text, start, found.end(), reading)
        if month > (len(MONTHS) if ethiopian else len(GREGORIAN_MONTHS)):
            day, month = month, day
        if ethiopian and not _exists(year, month, day) and not ETHIOPIAN_AFTER.match(text, found.end()):
            ethiopian = False  # 31/12/2020: no Ethiopian month has 31 days
            if month > len(GREGORIAN_MONTHS):
                day, month = month, day
        if len(found.group(4)) == 2 and found.group(2) != "/" and not _is_short_date(text, start, at, found):
            return None  # 99-99-99 alone is as likely a code
    elif (found := _MONTH_YEAR.match(text, at)) and _era(text, start, found.end()):
        month, year = int(found.group(1)), int(found.group(2))
        ethiopian = _is_ethiopian(text, start, found.end(), reading)
        return _spoken_date(found.end(), year, month, None, ethiopian=ethiopian)
    else:
        return None
    return _spoken_date(found.end(), year, month, day, ethiopian=ethiopian)


def _is_short_date(text: str, start: int, at: int, found: re.Match[str]) -> bool:
    """Whether 23-4-90 is a date: an era follows, a prefix precedes, or day or month has one digit."""
    day, month = found.group(1), found.group(3)
    possible = 1 <= int(month) <= len(MONTHS) and 1 <= int(day) <= _LONGEST_MONTH
    shown = start < at or len(day) + len(month) < len("0000")
    return ETHIOPIAN_AFTER.match(text, found.end()) is not None or (
        possible and shown and found.group(2) == "-"
    )


def _exists(year: int, month: int, day: int) -> bool:
    """Whether the Ethiopian calendar can have this day; the sixth day of Pagumen always counts as
    possible."""
    return 1 <= month <= len(MONTHS) and 1 <= day <= (6 if month == len(MONTHS) else 30)


def _era(text: str, start: int, end: int) -> bool:
    return bool(
        ETHIOPIAN_AFTER.match(text, end)
        or GREGORIAN_AFTER.match(text, end)
        or GREGORIAN_BEFORE.search(behind(text, start))
    )


def _is_ethiopian(text: str, start: int, end: int, reading: Reading) -> bool:
    if GREGORIAN_BEFORE.search(behind(text, start)) or GREGORIAN_AFTER.match(text, end):
        return False
    return bool(ETHIOPIAN_AFTER.match(text, end)) or reading.calendar == "ethiopian"


def _spoken_date(
    end: int, year: int, month: int, day: int | None, *, ethiopian: bool
) -> tuple[int, str, Message] | None:
    names = MONTHS if ethiopian else GREGORIAN_MONTHS
    longest = 30 if ethiopian and month <= 12 else 6 if ethiopian else _LONGEST_MONTH
    if not 1 <= month <= len(names) or (day is not None and not 1 <= day <= longest):
        return None
    words = [names[month - 1]]
    if day is not None:
        words.append(numbers.cardinal(day))
    words.append(numbers.year(year))
    why = Message("text.why_ethiopian_date" if ethiopian else "text.why_gregorian_date")
    return end, " ".join(words), why


def english_date(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read English dates: Jan 7, 2024 and 7 January 2024 → ጃንዋሪ ሰባት ሁለት ሺህ ሃያ አራት."""
    found = _ENGLISH.match(text, at)
    if found is None:
        return None
    before_day, name, after_day, year = found.groups()
    day = before_day or after_day
    if not (day or year) or (day and not 1 <= int(day) <= _LONGEST_MONTH):
        return None
    if name.lower() == "may" and name != "May":
        return None
    start, prefix = prefix_of(text, at, floor)
    month = next(index for index, full in enumerate(_ENGLISH_MONTHS) if full.startswith(name.lower()))
    words = [prefix + GREGORIAN_MONTHS[month]]
    words += [numbers.cardinal(int(day))] if day else []
    words += [numbers.year(int(year))] if year else []
    return Found(start, found.end(), "date", " ".join(words), Message("text.why_english_month"))
