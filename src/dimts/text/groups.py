"""Read numbers joined by one repeated sign that is not read: 4-3-3, 40/60, 737-800, 20-20-20."""

from __future__ import annotations

import re

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.quantities import prefix_of
from dimts.text.reading import AMHARIC, Found, Reading, any_spelling, behind, is_suffix, word_at

_CHAIN = re.compile(r"\d{1,4}(?:([-–:፡/])\d{1,4})(?:\1\d{1,4}){6,62}(?![\d])")
"""Chain of more numbers than any date, telephone number or file number has."""
_SINGLE = re.compile(r"\d([-–]\d){2,4}(?![\d]|[-–/]\d)")
_TRIPLE = re.compile(r"(\d{1,3})([-–])(\d{1,3})\2(\d{1,3})(?![\d]|[-–/]\d)")
_RULE_AFTER = re.compile(any_spelling(" ?(?:ደንብ|ህግ|መመሪያ|ዘዴ|ስልት|መርህ|ማዳበሪያ|አሰላለፍ|ቀመር)"))
_FORMULA_BEFORE = re.compile(any_spelling("(?:NPK|ማዳበሪያ|ፎርሙላ|አሰላለፍ) ?$"))
_PAIR = re.compile(r"(\d{1,3})([/\-–])(\d{1,3})(?![\d]|[-–/.,]\d)")
_HUNDRED = 100
_ALWAYS = {"9/11": "ዘጠኝ አስራ አንድ", "24/7": "ሃያ አራት ሰዓት በሳምንት ሰባት ቀን", "7/24": "ሃያ አራት ሰዓት በሳምንት ሰባት ቀን"}
"""Pairs with a reading of their own."""
_PRESSURE = re.compile(r"(\d{2,3})/(\d{2,3})(?![\d/])")
_PRESSURE_NEAR = re.compile(any_spelling("ግፊት|mmHg"))
_AIRCRAFT = re.compile(r"(7[0-8]7|A3[0-9]0|\d{3})([-–])(\d{1,4})(?![\d]|[-–/]\d)")
_MAKERS = re.compile(
    any_spelling(
        "(?:ቦይንግ|ቦኢንግ|ኤርባስ|ድሪምላይነር|ኢምብራየር|ኤምብራየር|ቦምባርዲየር|[Bb]oeing|BOEING|[Aa]irbus|B|A|ኤ)"
        rf"[{AMHARIC}]? ?[-–]?$"
    )
)
_SEVEN_SERIES = re.compile("7[0-8]7")


def chain(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read eight or more numbers joined by one sign as a code, its numbers one by one."""
    found = _CHAIN.match(text, at)
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    words = " ".join(map(numbers.decimal, re.split(r"\D", found.group())))
    return Found(start, found.end(), "number", prefix + words, Message("text.why_long_chain"))


def group(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read formations, pairs that make a hundred, types of aircraft, rules of three numbers, without the
    sign."""
    found, why = _plain_group(text, at), Message("text.why_silent_sign_between")
    if found is None:
        return None
    end, words = found
    start, prefix = prefix_of(text, at, floor)
    return Found(start, end, "number", prefix + words, why)


def _plain_group(text: str, at: int) -> tuple[int, str] | None:
    if single := _SINGLE.match(text, at):
        return single.end(), _numbers(single.group())
    if triple := _TRIPLE.match(text, at):
        values = [int(part) for part in triple.group(1, 3, 4)]
        around = _RULE_AFTER.match(text, triple.end()) or _FORMULA_BEFORE.search(behind(text, at))
        if (len(set(values)) == 1 or sum(values) == _HUNDRED or around) and not triple.group().startswith(
            "0"
        ):
            return triple.end(), _numbers(triple.group())
        return None
    return _pair(text, at) or _aircraft(text, at)


def _pair(text: str, at: int) -> tuple[int, str] | None:
    found = _PAIR.match(text, at)
    if found is None:
        return None
    suffix = word_at(text, found.end())
    if suffix and is_suffix(suffix):
        return None
    if wording := _ALWAYS.get(found.group()):
        return found.end(), wording
    first, sign, second = int(found.group(1)), found.group(2), int(found.group(3))
    if sign == "/" and _PRESSURE.match(text, at) and _PRESSURE_NEAR.search(text[max(0, at - 30) : at + 40]):
        return found.end(), f"{numbers.cardinal(first)} በ{numbers.cardinal(second)}"
    tens = first % 5 == 0 == second % 5 and first and second
    equal = first == second and first >= 10
    if (sign == "/" and ((tens and first + second == _HUNDRED) or equal)) or (
        equal and first + second == _HUNDRED
    ):
        return found.end(), _numbers(found.group())
    return None


def _aircraft(text: str, at: int) -> tuple[int, str] | None:
    found = _AIRCRAFT.match(text, at)
    if found is None:
        return None
    by_maker = _MAKERS.search(behind(text, at))
    if not by_maker and not (_SEVEN_SERIES.fullmatch(found.group(1)) and int(found.group(3)) in _VARIANTS):
        return None
    return found.end(), _numbers(found.group())


_VARIANTS = {8, 9, 10, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000}
"""Numbers of variants of the Boeing 7×7 types."""


def _numbers(written: str) -> str:
    return " ".join(map(numbers.decimal, re.split(r"\D", written)))
