"""Two or more numbers and a sign between them → words: ranges, scores, fractions, sums."""

from __future__ import annotations

import re

from dimts.text import numbers
from dimts.text.number_context import COUNTED, ERA_AFTER, MODERN_YEARS, MONTH, YEAR_PREFIXES
from dimts.text.quantities import DASH, NUMBER, amount_at, prefix_of, units
from dimts.text.reading import FIDEL, Found, Reading, behind, is_suffix, with_suffix, word_at

_RANGE = re.compile(rf"({NUMBER})(ኛ|%|°C)? ?{DASH} ?({NUMBER})(?![-–—−~/]?\d)")
_SCORE = re.compile(rf"(\d{{1,3}}) ?ለ ?(\d{{1,3}})(?![\d.,]?\d)(?![{FIDEL}])")
_COLON_SCORE = re.compile(r"(\d{1,3})[:፡](\d{1,3})(?!\d)")
_DASH_SCORE = re.compile(r"(\d{1,2}) ?[-–] ?(\d{1,2})(?![\d/])(?! ?[=+×÷])")
_SPORT = re.compile("አሸነ|ተሸነ|ረታ|ረቷ|ተረታ|ድል|አቻ|ጎል|ጐል|ግብ|ውጤት|ጨዋታ|ተለያ|ግጥሚያ|መርታ")
_WITH_WHOLE = re.compile(r"(\d{1,6}) (\d{1,2})/(\d{1,3})(?![\d/])")
_PAPER = re.compile(r"\d{1,6}(?:/\d{1,6}){2,7}(?!\d)")
_FRACTION = re.compile(r"(\d{1,4})/(\d{1,4})(?![\d/])")


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
        if " " in found.group() or ERA_AFTER.match(text, found.end()) or units().match(text, found.end()):
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
    if found.start(3) - found.end(1) == _SPACED_DASH and _value(found.group(1)) > _value(found.group(3)):
        return None  # 10 - 4: a sum
    start, prefix = prefix_of(text, at, floor)
    first, mark, second = found.group(1), found.group(2) or "", found.group(3)
    if first[0] == "0" and len(first) > 1 and "." not in first:
        return None  # digits of a code, not a count
    years = _both_years(text, at, found.end(), first, second, prefix)
    said_first = numbers.year(int(first)) if years else numbers.decimal(first.replace("፣", ","))
    last = amount_at(text, found.start(3), year=years, reading=reading)
    if last is None:
        return None
    if mark == "ኛ" or last.kind == "ordinal":
        said_first = numbers.ordinal_of(said_first)
    opening = prefix or ("" if _FROM_BEFORE.search(behind(text, at)) else "ከ")
    return Found(start, last.end, "range", f"{opening}{said_first} እስከ {last.words}", "two numbers with a dash between")


_SPACED_DASH = 3


def _value(written: str) -> float:
    return float(written.replace(",", "").replace("፣", "")[:300])


_FROM_BEFORE = re.compile(
    r"(?:^| )(?:[ከበየለ]|[ከበ](?:" + MONTH + r"|ገጽ|ገፅ|ቁጥር|አንቀጽ|አንቀፅ|ምዕራፍ|ክፍል|ቀን|ወረዳ|ቀበሌ|ዓመት|ዕድሜ)) ?$"
)
"""The word before a range begins it with ከ already: ከመስከረም 1-5."""


def _both_years(text: str, at: int, end: int, first: str, second: str, prefix: str) -> bool:
    if len(first) != 4 or not first.isdigit() or len(second) not in (2, 4) or not second.isdigit():
        return False
    if len(second) == 4 and int(first) in MODERN_YEARS and int(second) in MODERN_YEARS:
        return not COUNTED.match(text, end)
    likely = prefix in YEAR_PREFIXES and int(first) in MODERN_YEARS and not COUNTED.match(text, end)
    return likely or ERA_AFTER.match(text, end) is not None


def fraction(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """1/2 → አንድ ሁለተኛ, 2 1/2 → ሁለት ከአንድ ሁለተኛ; 123/2009 keeps its stroke (ስላሽ)."""
    start, prefix = prefix_of(text, at, floor)
    if found := _WITH_WHOLE.match(text, at):
        whole, above, below = map(int, found.groups())
        if 0 < above < below:
            words = f"{prefix}{numbers.cardinal(whole)} {mixed(above, below)}"
            return Found(start, found.end(), "fraction", words, "a whole number and a fraction")
    if paper := _PAPER.match(text, at):
        said = f" {STROKE} ".join(numbers.decimal(part) for part in paper.group().split("/"))
        return Found(start, paper.end(), "number", prefix + said, "three or more numbers with strokes: a file number")
    found = _FRACTION.match(text, at)
    if found is None:
        return None
    above, below = int(found.group(1)), int(found.group(2))
    if found.group() == "24/7":
        return Found(start, found.end(), "fraction", f"{prefix}{ALL_THE_TIME}", "every hour of every day")
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
ALL_THE_TIME = "ሃያ አራት ሰዓት በሳምንት ሰባት ቀን"
_LARGEST_DENOMINATOR = 1000
_NUMBERED = re.compile(r"(?:ቁጥር|ቁ\.|ቁ|No\.?|አንቀጽ|አንቀፅ|ደብዳቤ|መዝገብ)[ :፡]*$")


def mixed(above: int, below: int) -> str:
    """The fraction after a whole number: 1/2 → ተኩል, 1/4 → ከሩብ, 3/5 → ከሦስት አምስተኛ."""
    if (above, below) == (1, 2):
        return "ተኩል"
    if (above, below) == (1, 4):
        return "ከሩብ"
    return "ከ" + numbers.fraction(above, below)


# ---------------------------------------------------------------- arithmetic
_OPERATORS = {
    "+": "ሲደመር", "-": "ሲቀነስ", "−": "ሲቀነስ", "–": "ሲቀነስ", "×": "ሲባዛ በ", "*": "ሲባዛ በ", "x": "ሲባዛ በ", "X": "ሲባዛ በ",
    "÷": "ሲካፈል ለ", "/": "ሲካፈል ለ", "=": "እኩል ይሆናል", "≈": "በግምት እኩል ይሆናል", "±": "ሲደመር ወይም ሲቀነስ",
}  # fmt: skip
"""How an operator is said; one that ends in a one-letter prefix is written on the number after it."""
_COMPARISONS = {"<": "ያንሳል", ">": "ይበልጣል", "≤": "ያንሳል ወይም እኩል ይሆናል", "≥": "ይበልጣል ወይም እኩል ይሆናል", "≠": "ይለያል"}
"""Verbs that stand after the second number, which takes ከ: 10 > 5 → አስር ከአምስት ይበልጣል."""
_PREFIXED = ("በ", "ለ", "ከ")
_SUM = re.compile(r"[+×÷*=<>≤≥≠≈±]|\d [-−–] |\d ?[xX] ?\d")
_UNMISTAKABLE = re.compile(r"[+×÷*=<>≤≥≠≈±xX]")
_NUMBERS = re.compile(NUMBER)
_A_PAIR = 2
_TERM = rf"[-−]?{NUMBER}"
_EXPRESSION = re.compile(rf"{_TERM}(?: ?[-+−–×*÷/xX=<>≤≥≠≈±] ?{_TERM}){{1,12}}(?![\d{FIDEL}])")
_PIECES = re.compile(rf"({NUMBER})|([-+−–×*÷/xX=<>≤≥≠≈±])")


def arithmetic(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """5 + 3 = 8 → አምስት ሲደመር ሦስት እኩል ይሆናል ስምንት; needs a sign that no date, range or size has."""
    found = _EXPRESSION.match(text, at)
    if found is None or not _SUM.search(found.group()):
        return None
    if not _UNMISTAKABLE.search(found.group()):  # 10 - 4 counts down: a sum; 2010 - 2015 is a range
        pieces = _NUMBERS.findall(found.group())
        if len(pieces) != _A_PAIR or _value(pieces[0]) <= _value(pieces[1]):
            return None
    size = not re.search("[^0-9.,xX ]", found.group())  # 20x30: by, not times
    start, prefix = prefix_of(text, at, floor)
    words: list[str] = []
    held, verb = prefix, ""
    number_seen = False
    for number, sign in _PIECES.findall(found.group()):
        if number:
            words.append(held + numbers.decimal(number.replace("፣", ",")))
            words += [verb] if verb else []
            held, verb, number_seen = "", "", True
        elif number_seen and sign in _COMPARISONS:
            held, verb, number_seen = "ከ", _COMPARISONS[sign], False
        elif not number_seen:
            words.append(held + numbers.MINUS)
            held = ""
        else:
            said = " በ" if size else _OPERATORS[sign]
            head, _, tail = said.rpartition(" ")
            words += [said] if tail not in _PREFIXED else [head] if head else []
            held, number_seen = (tail if tail in _PREFIXED else ""), False
    return Found(start, found.end(), "math", " ".join(words), "numbers with signs of arithmetic")
