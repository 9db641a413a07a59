"""Digits in running text → words: numbers with prefixes, suffixes, units, percent.

The number in the middle is read by `numbers`; this file decides what it counts. Every step looks a
fixed distance around its number, so reading stays linear in the text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from dimts.text import numbers
from dimts.text.number_context import (
    COUNTED,
    ERA_AFTER,
    ERA_BEFORE,
    MODERN_YEARS,
    MONTH_DAY_BEFORE,
    YEAR_BEFORE,
    YEAR_PREFIXES,
)
from dimts.text.reading import (
    FIDEL,
    Found,
    Reading,
    before,
    behind,
    is_ordinal,
    is_prefix,
    is_suffix,
    pairs,
    with_suffix,
    word_at,
    word_before,
)

NUMBER = r"(?>\d{1,3}(?:,\d{3}){1,8}(?!\d)(?:\.\d+)?|\d{1,3}(?:፣\d{3}){1,8}(?!\d)|\d+(?:\.\d+)?)"
DASH = "[-–—−~]"
_NUMBER = re.compile(NUMBER)
_LOOSE_PREFIX = re.compile(r"(?:^| )[በከለየ] $")
_ERA_RUN_TOGETHER = re.compile(rf" ?ዓም(?![{FIDEL}./])")
LOOSE_GROUPS = re.compile(r"(?:\d{1,3}(?:, 000){1,5}|\d{1,3}(?: 000){1,5}|\d{1,2}(?: \d{3}){2,5})(?![\d,./:-]?\d)")
"""Thousands grouped by spaces, or by a comma and a space: 1 250 000; 15, 000."""
_POINT_GROUPS = re.compile(r"\d{1,3}(?:\.\d{3}){2,8}")
_CHAIN = re.compile(r"\d+(?:[.,]\d+)+")
_FIDEL_ZERO = re.compile(r"\d[\dዐ]{0,15}ዐ\d{0,15}(?![ሀ-ፚ\d])")


class Amount(NamedTuple):
    """A number and what follows it directly: where it ends, how it is said, why."""

    end: int
    words: str
    kind: str
    why: str


def prefix_of(text: str, at: int, floor: int) -> tuple[int, str]:
    """Where a phrase begins whose number starts at `at`, and the prefix written on it ("" if none)."""
    word = word_before(text, at, floor)
    if is_prefix(word):
        return at - len(word), word
    if _LOOSE_PREFIX.search(before(text, at, floor)):  # በ 10: the same, with a space between
        return at - 2, text[at - 2]
    return at, ""


def numeral(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """The step of last resort for digits: one number, with its prefix, suffix, unit."""
    if not text[at].isdigit():
        return None
    start, prefix = prefix_of(text, at, floor)
    amount = amount_at(text, at, year=is_year(text, at, prefix), reading=reading)
    if amount is None:
        return None
    words = prefix + amount.words
    if amount.why == "a number and more" and prefix:
        words = prefix + amount.words.removeprefix("ከ")
    if era := _ERA_RUN_TOGETHER.match(text, amount.end):
        return Found(start, era.end(), "year", f"{words} ዓመተ ምህረት", "a number before ዓም")
    return Found(start, amount.end, amount.kind, words, amount.why)


def negative(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """-5 → አሉታዊ አምስት; a hyphen after a word or number is no minus."""
    if text[at] not in "-−–" or not text[at + 1 : at + 2].isdigit():
        return None
    start, prefix = prefix_of(text, at, floor)
    left = text[start - 1 : start] if start else ""
    if left and not left.isspace() and left not in "([«“\"'፣=<>,:":
        return None
    amount = amount_at(text, at + 1, year=False, reading=reading)
    if amount is None:
        return None
    return Found(start, amount.end, "negative", f"{prefix}{numbers.MINUS} {amount.words}", "a minus before a number")


def amount_at(text: str, at: int, *, year: bool, reading: Reading) -> Amount | None:
    """The number at `at` with its suffix, unit or percent sign."""
    if zero := _FIDEL_ZERO.match(text, at):  # 9ዐ: ዐ typed for 0, common before Unicode fonts
        return Amount(zero.end(), numbers.whole_number(zero.group().replace("ዐ", "0")), "number", "ዐ typed for 0")
    if loose := LOOSE_GROUPS.match(text, at):  # 15, 000: a slip of the typist, and frequent
        words = numbers.whole_number(re.sub(r"\D", "", loose.group()))
        return with_unit(text, loose.end(), words, "number", "digits grouped by thousands", reading)
    chain = _CHAIN.match(text, at)
    found = _NUMBER.match(text, at)
    if found is None:
        return None
    written = found.group().replace("፣", ",")
    end = found.end()
    if chain and chain.end() > end and text[end] in ".,":
        joined = chain.group()
        if joined.count(",") == 1 and "." not in joined:  # 9,5: a decimal comma
            whole, _, rest = joined.partition(",")
            words = f"{numbers.decimal(whole)} {numbers.POINT} {numbers.digits(rest)}"
            return with_unit(text, chain.end(), words, "decimal", "a decimal comma", reading)
        if _POINT_GROUPS.fullmatch(joined):
            words = numbers.whole_number(joined.replace(".", ""))
            return with_unit(text, chain.end(), words, "number", "digits grouped by points", reading)
        return Amount(chain.end(), _read_chain(joined), "number", "numbers joined by points or commas")
    suffix = word_at(text, end + 1) if text[end : end + 1] == "-" else ""
    suffix_at = end + 1 if suffix and is_suffix(suffix) else end
    suffix = suffix if suffix_at > end else word_at(text, end)
    if not suffix and text[end : end + 1] == " " and is_ordinal(word_at(text, end + 1)):  # 10 ኛ
        suffix, suffix_at = word_at(text, end + 1), end + 1
    if "." not in written and suffix and is_suffix(suffix):
        plain = int(written.replace(",", "")) if len(written) <= 20 else None
        words = numbers.year(plain) if year and plain is not None else numbers.decimal(written)
        kind = "ordinal" if is_ordinal(suffix) else "year" if year else "number"
        said = with_suffix(words, suffix, numbers.ordinal_of)
        return Amount(suffix_at + len(suffix), said, kind, f"a numeral with the suffix -{suffix}")
    if year:
        return Amount(end, numbers.year(int(written)), "year", "a number where a year is expected")
    kind = "decimal" if "." in written else "number"
    if written.endswith(".00"):
        return with_unit(text, end, numbers.decimal(written[:-3]), "number", "an amount without hundredths", reading)
    why = "digits grouped by thousands" if "," in written else "a decimal number" if kind == "decimal" else "a number"
    if len(written) > 1 and written[0] == "0" and kind == "number":
        why = "digits that begin with 0"
    return with_unit(text, end, numbers.decimal(written), kind, why, reading)


def _read_chain(written: str) -> str:
    """1.2.3 → አንድ ነጥብ ሁለት ነጥብ ሦስት; 1,2,3 → አንድ፣ ሁለት፣ ሦስት."""
    parts = re.split("([.,])", written)
    between = {".": f" {numbers.POINT} ", ",": "፣ "}
    return "".join(between.get(part) or numbers.decimal(part) for part in parts)


def with_unit(text: str, end: int, words: str, kind: str, why: str, reading: Reading) -> Amount:
    """Number words and the unit or percent sign that follows them, or a + that means "more than"."""
    if text[end : end + 1] == "+" and text[end + 1 : end + 2] in ("", " ", "\n"):
        return Amount(end + 1, f"ከ{words} በላይ", kind, "a number and more")
    if "units" in reading.off:
        return Amount(end, words, kind, why)
    found = units().match(text, end)
    if found is None:
        return Amount(end, words, kind, why)
    unit = found.group(1)
    kind = "percent" if unit in "%٪‰" else "unit"
    stop = found.end()
    if unit[0] in "ኪሜሴሳሚካስግኩሊሄጊዲሰደ" and text[stop : stop + 1] == ".":
        stop += 1
    return Amount(stop, f"{words} {pairs('units')[unit]}", kind, f"the unit {unit}")


@cache
def units() -> re.Pattern[str]:
    """A unit of the table, after a number."""
    names = sorted(pairs("units"), key=len, reverse=True)
    return re.compile(rf" ?({'|'.join(map(re.escape, names))})(?![A-Za-z0-9{FIDEL}²³/])")


def is_year(text: str, at: int, prefix: str) -> bool:
    """Whether the number at `at` is a year counted in hundreds: only 1100 to 1999 sound different."""
    found = _NUMBER.match(text, at)
    if found is None or len(found.group()) != 4 or not found.group().isdigit():
        return False
    number = int(found.group())
    if number not in numbers.CENTURY_YEARS:
        return False
    if ERA_AFTER.match(text, found.end()) or ERA_BEFORE.search(behind(text, at)):
        return True
    if MONTH_DAY_BEFORE.search(behind(text, at)) or text.startswith("ዎቹ", found.end()):
        return True
    if number < MODERN_YEARS.start or COUNTED.match(text, found.end()):
        return False
    return prefix in YEAR_PREFIXES or YEAR_BEFORE.search(behind(text, at)) is not None
