"""Digits in running text → words: numbers with prefixes, suffixes, units, percent, money, ranges, scores.

The number in the middle is read by `numbers`; this file decides what it counts. Every step looks a
fixed distance around its number, so reading stays linear in the text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from dimts.text import numbers
from dimts.text.spans import (
    FIDEL,
    Found,
    Reading,
    before,
    behind,
    is_ordinal,
    is_prefix,
    is_suffix,
    pairs,
    table,
    with_suffix,
    word_at,
    word_before,
)

NUMBER = r"(?>\d{1,3}(?:,\d{3}){1,8}(?!\d)(?:\.\d+)?|\d{1,3}(?:፣\d{3}){1,8}(?!\d)|\d+(?:\.\d+)?)"
DASH = "[-–—−~]"
MAGNITUDE = "(?:ሺህ|ሺሕ|ሺ|ሚሊዮን|ሚልዮን|ሚሊየን|ሚሊዬን|ቢሊዮን|ቢልዮን|ቢሊየን|ቢሊዬን|ትሪሊዮን|ትሪሊየን)"
_LATIN_MAGNITUDES = {
    "k": "ሺህ", "K": "ሺህ", "M": "ሚሊዮን", "m": "ሚሊዮን", "mn": "ሚሊዮን", "MN": "ሚሊዮን", "million": "ሚሊዮን", "B": "ቢሊዮን",
    "b": "ቢሊዮን", "bn": "ቢሊዮን", "BN": "ቢሊዮን", "billion": "ቢሊዮን", "T": "ትሪሊዮን", "tn": "ትሪሊዮን", "trillion": "ትሪሊዮን",
}  # fmt: skip
_NUMBER = re.compile(NUMBER)
_SPACED_GROUPS = re.compile(r"\d{1,3}(?:, ?\d{3}){1,5}(?![\d,])")
_MIXED = re.compile(r"(\d{1,6}) (\d{1,2})/(\d{1,3})(?![\d/])")
_FRACTION = re.compile(r"(\d{1,4})/(\d{1,4})(?![\d/])")
_CHAIN = re.compile(r"\d+(?:[.,]\d+)+")
_RANGE = re.compile(rf"({NUMBER})(ኛ|%|°C)? ?{DASH} ?({NUMBER})(?![-–—−~/]?\d)")
_SCORE = re.compile(rf"(\d{{1,3}}) ?ለ ?(\d{{1,3}})(?![\d.,]?\d)(?![{FIDEL}])")
_COLON_SCORE = re.compile(r"(\d{1,3}) ?[:፡] ?(\d{1,3})(?!\d)")
_DASH_SCORE = re.compile(r"(\d{1,2}) ?[-–] ?(\d{1,2})(?![\d/])")
_SPORT = re.compile("አሸነ|ተሸነ|ረታ|ረቷ|ተረታ|ድል|አቻ|ጎል|ጐል|ግብ|ውጤት|ጨዋታ|ተለያ|ግጥሚያ|መርታ")
_FIDEL_ZERO = re.compile(r"\d[\dዐ]*ዐ\d*(?![ሀ-ፚ])")
_COUNTED = re.compile(
    rf" ?(?:[{FIDEL}]{{2,20}}(?:ዎች|ኦች|[ሆሎሞሮሶሾቆቦቶቾኖኞኮዎዞዮዶጆጎጦጮጾፎ]ች)|ብር|ዶላር|ሜትር|ኪሎ|ሰው|ሄክታር|ቶን|ኩንታል|ሊትር|ግራም|ኮፒ|ገጽ|ገፅ|"
    "ሺህ|ሺ |ሚሊዮን|በላይ ሰ|ጊዜ|በመቶ|ፐርሰንት|ዶ|ክፍል|አባ|ቀን|ዓመት|አመት|ወር|ሰዓት|ደቂቃ|ተማሪ|ነዋሪ|ካሬ)"
)
_ERA = re.compile(r" ?\(?(?:ዓ ?\.? ?/?ም|አ\.ም|አ/ም|ዓመተ|ዓ\.ዓ|ዓ/ዓ|እ\.ኤ|እ\.አ|እ/ኤ|ቅ\.ል|G\.?C|E\.?C|AD|BC)")
_ERA_BEFORE = re.compile(r"(?:እ[./] ?[ኤአ][./] ?አ\.?|አቆጣጠር|ዓመተ ምህረት|ዓመተ ምሕረት|ዓ\.ም\.?) ?(?:ከ|በ|የ|እስከ|ለ)?$")
_MONTH_BEFORE = re.compile(
    r"(?:መስከረም|ጥቅምት|[ኅህሕ]ዳር|ታ[ኅህሕ][ሣሳ][ሥስ]|ጥር|የካቲት|መጋቢት|ሚያዝያ|ሚያዚያ|ግንቦት|ሰኔ|[ሐሀ]ምሌ|ነ[ሐሀ]ሴ|ጳጉሜን?|ጃንዋሪ|ጃንዩወሪ|ፌብ\S{1,6}|ማርች|"
    r"ኤፕሪል|አፕሪል|ሜይ|ጁን|ጁላይ|ኦገስት|[ሴሰ]ፕቴምበር|[ኦአ]ክቶበር|ኖ[ቬቨ]ምበር|ዲሴምበር)(?: ወር)?(?: (?:\d{1,2}|[፩-፴]{1,2})(?: ?ቀን)?)?[፣,/]? ?$"
)
_YEAR_RANGE_MEMBER = range(1800, 2101)


class Amount(NamedTuple):
    """A number and what follows it directly: where it ends, how it is said, why."""

    end: int
    words: str
    kind: str
    why: str


def prefix_of(text: str, at: int, floor: int) -> tuple[int, str]:
    """Where a phrase begins whose number starts at `at`, and the prefix written on it ("" if none)."""
    word = word_before(text, at, floor)
    return (at - len(word), word) if is_prefix(word) else (at, "")


def numeral(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """The step of last resort for digits: one number, with its prefix, suffix, unit."""
    if not text[at].isdigit():
        return None
    start, prefix = prefix_of(text, at, floor)
    amount = amount_at(text, at, year=is_year(text, at, prefix), reading=reading)
    if amount is None:
        return None
    return Found(start, amount.end, amount.kind, prefix + amount.words, amount.why)


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
            return _with_unit(text, chain.end(), words, "decimal", "a decimal comma", reading)
        return Amount(chain.end(), _read_chain(joined), "number", "numbers joined by points or commas")
    suffix = word_at(text, end + 1) if text[end : end + 1] == "-" else ""
    suffix_at = end + 1 if suffix and is_suffix(suffix) else end
    suffix = suffix if suffix_at > end else word_at(text, end)
    if "." not in written and suffix and is_suffix(suffix):
        plain = int(written.replace(",", "")) if len(written) <= 20 else None
        words = numbers.year(plain) if year and plain is not None else numbers.decimal(written)
        kind = "ordinal" if is_ordinal(suffix) else "year" if year else "number"
        said = with_suffix(words, suffix, numbers.ordinal_of)
        return Amount(suffix_at + len(suffix), said, kind, f"a numeral with the suffix -{suffix}")
    if year:
        return Amount(end, numbers.year(int(written)), "year", "a number where a year is expected")
    kind = "decimal" if "." in written else "number"
    why = "digits grouped by thousands" if "," in written else "a decimal number" if kind == "decimal" else "a number"
    if len(written) > 1 and written[0] == "0" and kind == "number":
        why = "digits that begin with 0"
    return _with_unit(text, end, numbers.decimal(written), kind, why, reading)


def _read_chain(written: str) -> str:
    """1.2.3 → አንድ ነጥብ ሁለት ነጥብ ሦስት; 1,2,3 → አንድ፣ ሁለት፣ ሦስት."""
    parts = re.split("([.,])", written)
    between = {".": f" {numbers.POINT} ", ",": "፣ "}
    return "".join(between.get(part) or numbers.decimal(part) for part in parts)


def _with_unit(text: str, end: int, words: str, kind: str, why: str, reading: Reading) -> Amount:
    if "units" in reading.off:
        return Amount(end, words, kind, why)
    found = _units().match(text, end)
    if found is None:
        return Amount(end, words, kind, why)
    unit = found.group(1)
    kind = "percent" if unit in "%٪‰" else "unit"
    stop = found.end()
    if unit[0] in "ኪሜሴሳሚካስግኩሊሄጊዲሰደ" and text[stop : stop + 1] == ".":
        stop += 1
    return Amount(stop, f"{words} {pairs('units')[unit]}", kind, f"the unit {unit}")


@cache
def _units() -> re.Pattern[str]:
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
    if _ERA.match(text, found.end()) or _ERA_BEFORE.search(behind(text, at)):
        return True
    if _MONTH_BEFORE.search(behind(text, at)) or text.startswith("ዎቹ", found.end()):
        return True
    likely = number >= _YEAR_RANGE_MEMBER.start and text[found.end() : found.end() + 1] not in (",", ".", "/", "%")
    return (
        likely
        and prefix in ("በ", "ከ", "የ", "ለ", "እስከ", "ወደ", "እንደ", "ስለ", "ከነ")
        and not _COUNTED.match(text, found.end())
    )


# ---------------------------------------------------------------- ranges, scores, fractions
def score(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """2ለ0, 2 ለ 0, 2:0 and, in talk of a match or counting down, 3-1: ሦስት ለአንድ."""
    found = _SCORE.match(text, at)
    why = "two numbers with ለ between"
    if found is None and (found := _COLON_SCORE.match(text, at)):
        why = "two numbers with a colon between, no time of day"
    if found is None and (found := _DASH_SCORE.match(text, at)):
        first, second = int(found.group(1)), int(found.group(2))
        around = _line_around(text, at, found.end())
        if first < second and not _SPORT.search(around):
            return None
        if text[found.end() : found.end() + 1] in (".", ",") and text[found.end() + 1 : found.end() + 2].isdigit():
            return None
        if " " in found.group() or _ERA.match(text, found.end()) or _units().match(text, found.end()):
            return None
        why = "two small numbers with a hyphen between, as in a match result"
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    words = f"{prefix}{numbers.decimal(found.group(1))} ለ{numbers.decimal(found.group(2))}"
    return Found(start, found.end(), "score", words, why)


def _line_around(text: str, start: int, end: int) -> str:
    left = text[max(0, start - _REACH_SPORT) : start].rpartition("\n")[2]
    return left + text[start : end + _REACH_SPORT].partition("\n")[0]


_REACH_SPORT = 60
"""Characters around a hyphenated pair in which a word of sport makes it a score."""


def number_range(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """10-15 → ከአስር እስከ አስራ አምስት; with a prefix (ለ5-10) the prefix stays in place of ከ."""
    found = _RANGE.match(text, at)
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    first, mark, second = found.group(1), found.group(2) or "", found.group(3)
    if first[0] == "0" and len(first) > 1 and "." not in first:
        return None  # digits of a code, not a count
    years = _both_years(text, at, found.end(), first, second, prefix)
    said_first = numbers.year(int(first)) if years else numbers.decimal(first.replace("፣", ","))
    if mark == "ኛ":
        said_first = numbers.ordinal_of(said_first)
    last = amount_at(text, found.start(3), year=years, reading=reading)
    if last is None:
        return None
    already = prefix or re.search(r"(?:^| )(?:ከ|በ|የ|ለ) ?$", before(text, at, floor)) is not None
    opening = prefix if prefix else "" if already else "ከ"
    return Found(start, last.end, "range", f"{opening}{said_first} እስከ {last.words}", "two numbers with a dash between")


def _both_years(text: str, at: int, end: int, first: str, second: str, prefix: str) -> bool:
    if len(first) != 4 or not first.isdigit() or len(second) not in (2, 4) or not second.isdigit():
        return False
    if len(second) == 4 and int(first) in _YEAR_RANGE_MEMBER and int(second) in _YEAR_RANGE_MEMBER:
        return not _COUNTED.match(text, end)
    return _ERA.match(text, end) is not None


def fraction(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """1/2 → አንድ ሁለተኛ, 2 1/2 → ሁለት ከአንድ ሁለተኛ; 123/2009 keeps its stroke (ስላሽ)."""
    start, prefix = prefix_of(text, at, floor)
    if found := _MIXED.match(text, at):
        whole, above, below = map(int, found.groups())
        if 0 < above < below:
            words = f"{prefix}{numbers.cardinal(whole)} {mixed(above, below)}"
            return Found(start, found.end(), "fraction", words, "a whole number and a fraction")
    found = _FRACTION.match(text, at)
    if found is None:
        return None
    above, below = int(found.group(1)), int(found.group(2))
    if (
        below > _LARGEST_DENOMINATOR
        or (above > below and below > 10)
        or below == 0
        or _NUMBERED.search(behind(text, start))
    ):
        if len(found.group(1)) == 4 and len(found.group(2)) <= 2:
            said = f"{numbers.year(above)} {numbers.decimal(found.group(2))}"  # 2015/16: a school or budget year
            return Found(start, found.end(), "year", prefix + said, "a year that runs into the next")
        said = f"{numbers.decimal(found.group(1))} {STROKE} {numbers.decimal(found.group(2))}"
        return Found(start, found.end(), "number", prefix + said, "a numbered paper, not a fraction")
    suffix = word_at(text, found.end())
    words = numbers.fraction(above, below)
    end = found.end()
    if suffix and is_suffix(suffix):
        words = (
            numbers.cardinal(above)
            + " "
            + with_suffix(numbers.ordinal(below), suffix.removeprefix("ኛ"), numbers.ordinal_of)
        )
        end += len(suffix)
    return Found(start, end, "fraction", prefix + words, "a small number over another")


STROKE = "ስላሽ"
_LARGEST_DENOMINATOR = 1000
_NUMBERED = re.compile(r"(?:ቁጥር|ቁ\.|ቁ|No\.?|አንቀጽ|አንቀፅ|ደብዳቤ|መዝገብ)[ :፡]*$")


def mixed(above: int, below: int) -> str:
    """The fraction after a whole number: 1/2 → ተኩል, 1/4 → ከሩብ, 3/5 → ከሦስት አምስተኛ."""
    if (above, below) == (1, 2):
        return "ተኩል"
    if (above, below) == (1, 4):
        return "ከሩብ"
    return "ከ" + numbers.fraction(above, below)


# ---------------------------------------------------------------- money
@cache
def _money_after() -> re.Pattern[str]:
    names = sorted((row[0] for row in table("money")), key=len, reverse=True)
    return re.compile(rf" ?({'|'.join(map(re.escape, names))})(?![A-Za-z{FIDEL}])")


@cache
def _money_before() -> re.Pattern[str]:
    names = sorted((row[0] for row in table("money")), key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z])({'|'.join(map(re.escape, names))})[ :፡]?$")


@cache
def _money_sign() -> re.Pattern[str]:
    """A currency sign or code with a number after it, for the step that is asked at the sign."""
    names = sorted((row[0] for row in table("money")), key=len, reverse=True)
    return re.compile(rf"({'|'.join(map(re.escape, names))}) ?(?=\d)")


_LATIN_MAGNITUDE = re.compile(rf" ?({'|'.join(sorted(_LATIN_MAGNITUDES, key=len, reverse=True))})(?![A-Za-z])")
_FIDEL_MAGNITUDE = re.compile(rf" ?({MAGNITUDE})(?![{FIDEL}])")


def money(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """$1.5 ቢሊዮን, ብር 1,200, 25.50 ብር, 100 USD → amount, then the name; two decimals are cents."""
    if text[at].isdigit():
        left = before(text, at, floor)
        found = _money_before().search(left)
        if found is None:
            return _money_last(text, at, floor)
        sign, digits_at, sign_at = found.group(1), at, at - len(left) + found.start()
    else:
        found = _money_sign().match(text, at)
        if found is None:
            return None
        sign, digits_at, sign_at = found.group(1), found.end(), at
    start, prefix = prefix_of(text, sign_at, floor)
    if "ሀ" <= text[sign_at] <= "ፚ" and start == sign_at and word_before(text, sign_at, floor):
        return _money_last(text, at, floor)  # the tail of a longer word, not a currency
    return _amount_of_money(text, digits_at, start, prefix, sign)


def _amount_of_money(text: str, digits_at: int, start: int, prefix: str, sign: str) -> Found | None:
    amount = _bare_amount(text, digits_at)
    if amount is None:
        return None
    end, written, magnitude = amount
    pair = re.compile(rf" ?{DASH} ?").match(text, end)
    if pair and not magnitude and (second := _bare_amount(text, pair.end())):
        words = f"{prefix or 'ከ'}{numbers.decimal(written)} እስከ {numbers.decimal(second[1])} {second[2]}".rstrip()
        return Found(start, second[0], "money", f"{words} {_name(sign)}", f"a range of {sign}")
    end = _swallow_code(text, end, sign)
    return Found(start, end, "money", prefix + say_money(written, magnitude, sign), f"an amount in {sign}")


def _swallow_code(text: str, end: int, sign: str) -> int:
    """$100 USD, $5 ዶላር: the currency written twice is said once."""
    again = _money_after().match(text, end)
    return again.end() if again and _name(again.group(1)).endswith(_name(sign).rpartition(" ")[2]) else end


def _money_last(text: str, at: int, floor: int) -> Found | None:
    """The currency stands after the number: 25.50 ብር, 100 USD, 1.5M $."""
    amount = _bare_amount(text, at)
    if amount is None:
        return None
    end, written, magnitude = amount
    found = _money_after().match(text, end)
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    sign = found.group(1)
    return Found(start, found.end(), "money", prefix + say_money(written, magnitude, sign), f"an amount in {sign}")


def _bare_amount(text: str, at: int) -> tuple[int, str, str] | None:
    """End, digits and magnitude word of a number; no suffix, no unit."""
    found = _SPACED_GROUPS.match(text, at) or _NUMBER.match(text, at)
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


def say_money(written: str, magnitude: str, sign: str) -> str:
    """ "1,200.50", "", "ብር" → አንድ ሺህ ሁለት መቶ ብር ከሃምሳ ሳንቲም."""
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


# ---------------------------------------------------------------- arithmetic
_OPERATORS = {
    "+": "ሲደመር", "-": "ሲቀነስ", "−": "ሲቀነስ", "–": "ሲቀነስ", "×": "ሲባዛ በ", "*": "ሲባዛ በ", "x": "ሲባዛ በ", "X": "ሲባዛ በ",
    "÷": "ሲካፈል ለ", "/": "ሲካፈል ለ", "=": "እኩል ይሆናል", "<": "ያንሳል ከ", ">": "ይበልጣል ከ", "≤": "ያንሳል ወይም እኩል ነው ከ",
    "≥": "ይበልጣል ወይም እኩል ነው ከ", "≠": "እኩል አይደለም ከ", "≈": "በግምት እኩል ይሆናል", "±": "ሲደመር ወይም ሲቀነስ",
}  # fmt: skip
"""How an operator is said; one that ends in a one-letter prefix is written on the number after it."""
_PREFIXED = ("በ", "ለ", "ከ")
_TERM = rf"[-−]?{NUMBER}"
_EXPRESSION = re.compile(rf"{_TERM}(?: ?[-+−–×*÷/xX=<>≤≥≠≈±] ?{_TERM}){{1,12}}(?![\d{FIDEL}])")
_PIECES = re.compile(rf"({NUMBER})|([-+−–×*÷/xX=<>≤≥≠≈±])")


def arithmetic(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """5 + 3 = 8 → አምስት ሲደመር ሦስት እኩል ይሆናል ስምንት; needs a sign that no date, range or size has."""
    found = _EXPRESSION.match(text, at)
    if found is None or not re.search(r"[+×÷*=<>≤≥≠≈±]| [-−–] .*=|\d ?[xX] ?\d", found.group()):
        return None
    start, prefix = prefix_of(text, at, floor)
    words: list[str] = []
    held = prefix
    number_seen = False
    for number, sign in _PIECES.findall(found.group()):
        if number:
            words.append(held + numbers.decimal(number.replace("፣", ",")))
            held, number_seen = "", True
        elif not number_seen:
            words.append(held + numbers.MINUS)
            held = ""
        else:
            said = _OPERATORS[sign]
            head, _, tail = said.rpartition(" ")
            words.append(head if tail in _PREFIXED else said)
            held, number_seen = (tail if tail in _PREFIXED else ""), False
    return Found(start, found.end(), "math", " ".join(words), "numbers with signs of arithmetic")
