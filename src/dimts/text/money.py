"""Read amounts of money: the currency may precede or follow, as a sign, a code or a word."""

from __future__ import annotations

import re
from functools import cache

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.quantities import DASH, LOOSE_GROUPS, NUMBER, prefix_of
from dimts.text.reading import FIDEL, Found, Reading, before, pairs, table, word_before

MAGNITUDE = "(?:ሺህ|ሺሕ|ሺ|ሚሊዮን|ሚልዮን|ሚሊየን|ሚሊዬን|ቢሊዮን|ቢልዮን|ቢሊየን|ቢሊዬን|ትሪሊዮን|ትሪሊየን)"
_LATIN_MAGNITUDES = {
    "k": "ሺህ", "K": "ሺህ", "M": "ሚሊዮን", "m": "ሚሊዮን", "mn": "ሚሊዮን", "MN": "ሚሊዮን", "million": "ሚሊዮን",
    "B": "ቢሊዮን", "b": "ቢሊዮን", "bn": "ቢሊዮን", "BN": "ቢሊዮን", "billion": "ቢሊዮን", "T": "ትሪሊዮን", "tn": "ትሪሊዮን",
    "trillion": "ትሪሊዮን",
}  # fmt: skip
_NUMBER = re.compile(NUMBER)
_POINT_THOUSANDS = re.compile(r"([1-9]\d{0,2}(?:\.\d{3})+)(?:,(\d{2}))?(?![\d.,]?\d)")
"""Thousands with points: 30.000 ብር, 1.250,50 ብር."""
_TOURNAMENT = re.compile(r"(?:19[6-9]|20[0-4])\d(?![\d.,]?\d)")
"""A year after ዩሮ that names a tournament, not an amount."""


@cache
def _money_after() -> re.Pattern[str]:
    names = sorted((row[0] for row in table("money")), key=len, reverse=True)
    return re.compile(rf" ?({'|'.join(map(re.escape, names))})(?![A-Za-z0-9{FIDEL}])")


@cache
def _money_before() -> re.Pattern[str]:
    names = sorted((row[0] for row in table("money")), key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z])({'|'.join(map(re.escape, names))})[ :፡]?$")


@cache
def _last_signs() -> frozenset[str]:
    """Return the last characters of signs, codes and names of currencies."""
    return frozenset(row[0][-1] for row in table("money"))


@cache
def _money_sign() -> re.Pattern[str]:
    """Return the pattern of a currency sign or code with a number after it, for the step called at the
    sign."""
    names = sorted((row[0] for row in table("money")), key=len, reverse=True)
    return re.compile(rf"({'|'.join(map(re.escape, names))}) ?(?=\d)")


_LATIN_MAGNITUDE = re.compile(
    rf" ?({'|'.join(sorted(_LATIN_MAGNITUDES, key=len, reverse=True))})(?![A-Za-z])"
)
_FIDEL_MAGNITUDE = re.compile(rf" ?({MAGNITUDE})(?![{FIDEL}])")


def money(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read $1.5 ቢሊዮን, ብር 1,200, 25.50 ብር, 100 USD: amount, then the name; two decimals are cents."""
    if text[at].isdigit():
        left = before(text, at, floor)
        found = _money_before().search(left) if left.rstrip(" :፡")[-1:] in _last_signs() else None
        if found is None:
            return _money_last(text, at, floor)
        sign, digits_at, sign_at = found.group(1), at, at - len(left) + found.start()
    else:
        found = _money_sign().match(text, at)
        if found is None:
            return None
        sign, digits_at, sign_at = found.group(1), found.end(), at
    start, prefix = prefix_of(text, sign_at, floor)
    if year := _tournament(text, digits_at, sign):
        words = f"{prefix}ዩሮ {numbers.year(int(year.group()))}"
        return Found(start, year.end(), "name", words, Message("text.why_tournament"))
    if "ሀ" <= text[sign_at] <= "ፚ" and start == sign_at and word_before(text, sign_at, floor):
        return _money_last(text, at, floor)  # the tail of a longer word, not a currency
    return _amount_of_money(text, digits_at, start, prefix, sign)


def _tournament(text: str, at: int, sign: str) -> re.Match[str] | None:
    """Match the year of a European championship after ዩሮ: a multiple of four, and no other currency behind
    it."""
    year = _TOURNAMENT.match(text, at) if _name(sign) == "ዩሮ" and sign != "€" else None
    return (
        year if year and int(year.group()) % 4 == 0 and not _money_after().match(text, year.end()) else None
    )


def _amount_of_money(text: str, digits_at: int, start: int, prefix: str, sign: str) -> Found | None:
    amount = _bare_amount(text, digits_at)
    if amount is None:
        return None
    end, written, magnitude = amount
    pair = re.compile(rf" ?{DASH} ?").match(text, end)
    if pair and not magnitude and (second := _bare_amount(text, pair.end())):
        words = (
            f"{prefix or 'ከ'}{numbers.decimal(written)} እስከ {numbers.decimal(second[1])} {second[2]}".rstrip()
        )
        return Found(
            start,
            second[0],
            "money",
            f"{words} {_name(sign)}",
            Message("text.why_money_range", currency=sign),
        )
    end = _swallow_code(text, end, sign)
    return Found(
        start,
        end,
        "money",
        prefix + read_money(written, magnitude, sign),
        Message("text.why_amount", currency=sign),
    )


def _swallow_code(text: str, end: int, sign: str) -> int:
    """Skip the currency written a second time: $100 USD, $5 ዶላር."""
    again = _money_after().match(text, end)
    return again.end() if again and _name(again.group(1)).endswith(_name(sign).rpartition(" ")[2]) else end


def _money_last(text: str, at: int, floor: int) -> Found | None:
    """Read an amount with the currency after the number: 25.50 ብር, 100 USD, 1.5M $."""
    amount = _bare_amount(text, at)
    if amount is None:
        return None
    end, written, magnitude = amount
    found = _money_after().match(text, end)
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    sign = found.group(1)
    return Found(
        start,
        found.end(),
        "money",
        prefix + read_money(written, magnitude, sign),
        Message("text.why_amount", currency=sign),
    )


def _bare_amount(text: str, at: int) -> tuple[int, str, str] | None:
    """Return end, digits and magnitude word of a number; no suffix, no unit."""
    if points := _POINT_THOUSANDS.match(text, at):
        cents = f".{points.group(2)}" if points.group(2) else ""
        written = points.group(1).replace(".", "") + cents
        if not (_FIDEL_MAGNITUDE.match(text, points.end()) or _LATIN_MAGNITUDE.match(text, points.end())):
            return points.end(), written, ""
    found = LOOSE_GROUPS.match(text, at) or _NUMBER.match(text, at)
    if found is None:
        return None
    written, end, magnitude = found.group().replace(" ", "").replace("፣", ","), found.end(), ""
    if after := _FIDEL_MAGNITUDE.match(text, end):
        magnitude, end = after.group(1), after.end()
    elif after := _LATIN_MAGNITUDE.match(text, end):
        magnitude, end = _LATIN_MAGNITUDES[after.group(1)], after.end()
    return end, written, magnitude


def _name(sign: str) -> str:
    return pairs("money")[sign]


def read_money(written: str, magnitude: str, sign: str) -> str:
    """Word an amount: "1,200.50", "", "ብር" → አንድ ሺህ ሁለት መቶ ብር ከሃምሳ ሳንቲም."""
    name = _name(sign)
    cents_name = next((row[2] for row in table("money") if row[0] == sign and len(row) > 2), "")
    whole, _, rest = written.partition(".")
    if magnitude or not rest or len(rest) > 2 or not cents_name:
        return " ".join(part for part in (numbers.decimal(written), magnitude, name) if part)
    cents = int(rest.ljust(2, "0"))
    whole_value = int(whole.replace(",", "") or "0") if len(whole) <= 24 else 1
    if not cents:
        return f"{numbers.decimal(whole)} {name}"
    if not whole_value:
        return f"{numbers.cardinal(cents)} {cents_name}"
    return f"{numbers.decimal(whole)} {name} ከ{numbers.cardinal(cents)} {cents_name}"
