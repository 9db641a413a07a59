"""Read two or more numbers and a sign between them: ranges, scores, fractions, sums."""

from __future__ import annotations

import re
from functools import cache

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.ethiopic import fold_homophones
from dimts.text.number_context import COUNTED, ERA_AFTER, MODERN_YEARS, MONTH, MONTH_BEFORE, YEAR_PREFIXES
from dimts.text.quantities import DASH, NUMBER, amount_at, prefix_of, units
from dimts.text.reading import (
    AMHARIC,
    FIDEL,
    Found,
    Reading,
    any_spelling,
    behind,
    is_suffix,
    table,
    with_suffix,
    word_at,
)

_RANGE = re.compile(rf"({NUMBER})(ኛ|%|°C)? ?{DASH} ?({NUMBER})(?![-–—−~/]?\d)")
_SCORE = re.compile(rf"(\d{{1,3}}) ?ለ ?(\d{{1,3}})(?![\d.,]?\d)(?![{FIDEL}])")
_SCALE = re.compile(r"(\d{1,2}) ?[:፡] ?(\d{1,3}(?:[, ]\d{3})+|\d{3,9})(?![\d:.]|[, ]\d)")
_RATIO = re.compile(r"(\d{1,3}) ?[:፡] ?(\d{1,3})(?!\d)")
_RATIO_NEAR = re.compile(any_spelling(r"(?:ካርታ|ሬሾ|ሬሽዮ|ጥምርታ|ምጥጥን|ስኬል|[Ss]cale|[Rr]atio|ምጣኔ)"))
_COLON_SCORE = re.compile(r"(\d{1,3})[:፡](\d{1,3})(?!\d)")
_DASH_SCORE = re.compile(r"(\d{1,2}) ?[-–—] ?(\d{1,2})(?![\d/]|[-–—]\d)(?! ?[=+×÷])")
_SPORT = re.compile(
    any_spelling(
        rf"(?<![{AMHARIC}])(?:[በየከለ]|እንደ|ስለ|እየ)?(?:"
        rf"(?:አሸን|ተሸን|ያሸን|ሊያሸን|እንዲያሸን|ስላሸን|ሲያሸን|ሲሸነ|ተሸነ|ሽንፈ|መሸነ|ማሸነ)[{AMHARIC}]*|ረታ|ረቷ|ረቱ|ረቶ|ረትቶ|ረትቷል|ተረታ|ተረቱ|ረቷል|መርታት[{AMHARIC}]{{0,3}}|"
        rf"ድል(?:ን|ና|ም|ንም|ሉ|አደረገ)?|ድሉ[ንም]?|አቻ(?:ነት)?|ጎል(?:ን|ና|ም|ሉ)?|ጎሎ?ች?|ጎሎች[{AMHARIC}]{{0,3}}|ግብ(?:ን|ና|ም)?|ግቦች[{AMHARIC}]{{0,3}}|ግቡ[ንም]?|"
        rf"ጨዋታ[{AMHARIC}]{{0,4}}|ግጥሚያ[{AMHARIC}]{{0,4}}|ውጤት(?:ን|ና|ም)?|ውጤቱ[ንም]?|ፍጻሜ|ፍጻሜው|ዋንጫ|ፕሪሚየር|ደርቢ|አጨዋወት)(?![{AMHARIC}])|"
        rf"(?<![{AMHARIC}])(?:ተለያዩ|ተለያይተዋል|ተለያይተው|ተለያየ|ተለያይቷል)(?![{AMHARIC}])"
    )
)
"""Whole words of sport near a pair of numbers, with prefixes: ድል but not እድል, ግብ but not ግብር."""
_WITH_WHOLE = re.compile(r"(\d{1,6}) (\d{1,2})/(\d{1,3})(?![\d/])")
_PAPER = re.compile(r"\d{1,6}(?:/\d{1,6}){2,7}(?!\d)")
_FRACTION = re.compile(r"(\d{1,4})/(\d{1,4})(?![\d/])")


# ---------------------------------------------------------------- ranges, scores, fractions
def ratio(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a scale, or two numbers with a colon beside a word for a ratio: 1:50,000 → አንድ ለሃምሳ ሺህ."""
    found = _SCALE.match(text, at)
    why = Message("text.why_scale")
    if found is None and (found := _RATIO.match(text, at)):
        if not _RATIO_NEAR.search(_line_around(text, at, found.end())):
            return None
        why = Message("text.why_ratio")
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    second = re.sub(r"\D", "", found.group(2))
    words = f"{prefix}{numbers.decimal(found.group(1))} ለ{numbers.decimal(second)}"
    return Found(start, found.end(), "ratio", words, why)


def score(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a score: 2ለ0, 2 ለ 0, 2:0 and, in talk of a match or counting down, 3-1: ሦስት ለአንድ."""
    found = _SCORE.match(text, at)
    why = Message("text.why_score_with_le")
    if found is None and (found := _COLON_SCORE.match(text, at)):
        why = Message("text.why_score_with_colon")
    if found is None and (found := _DASH_SCORE.match(text, at)):
        if not _is_result(text, at, floor, found):
            return None
        why = Message("text.why_score_with_dash")
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    words = f"{prefix}{numbers.decimal(found.group(1))} ለ{numbers.decimal(found.group(2))}"
    return Found(start, found.end(), "score", words, why)


def _is_result(text: str, at: int, floor: int, found: re.Match[str]) -> bool:
    """Whether two small numbers with a dash are the result of a match and no range, sum or date."""
    first, second, end = int(found.group(1)), int(found.group(2)), found.end()
    if prefix_of(text, at, floor)[1].endswith("ከ") or _OPENED.search(behind(text, at)):
        return False
    if text[end : end + 1] in (".", ",") and text[end + 1 : end + 2].isdigit():
        return False
    if ERA_AFTER.match(text, end) or units().match(text, end) or MONTH_BEFORE.search(behind(text, at)):
        return False
    if any(len(part) > 1 and part[0] == "0" for part in found.groups()):
        return False
    if COUNTED.match(text, end) and first < second:
        return False
    in_sport = _SPORT.search(_line_around(text, at, end)) is not None
    left, right = _word_left(text, at), _word_right(text, end)
    if in_sport or _is_team(left) or _is_team(right):
        return True
    if " " not in found.group():
        return first >= second
    between_words = bool(left) and bool(right) and not COUNTED.match(text, end)
    return between_words and (first == second or (first > second and first <= _HIGHEST_RESULT))


_HIGHEST_RESULT = 15
_WORD_LEFT = re.compile(rf"([{AMHARIC}A-Za-z]+) ?[(]?$")
_WORD_RIGHT = re.compile(rf"[)]? ?([{AMHARIC}A-Za-z]+)")


def _word_left(text: str, at: int) -> str:
    found = _WORD_LEFT.search(behind(text, at))
    return found.group(1) if found else ""


def _word_right(text: str, end: int) -> str:
    found = _WORD_RIGHT.match(text, end)
    return found.group(1) if found else ""


@cache
def _teams() -> frozenset[str]:
    return frozenset(fold_homophones(row[0]) for row in table("teams"))


def _is_team(word: str) -> bool:
    """Whether `word`, with or without a prefix of one letter, names a team."""
    folded = fold_homophones(word)
    return bool(word) and (folded in _teams() or (folded[0] in "የበከለ" and folded[1:] in _teams()))


def _line_around(text: str, start: int, end: int) -> str:
    left = text[max(0, start - _REACH_SPORT) : start].rpartition("\n")[2]
    return left + text[start : end + _REACH_SPORT].partition("\n")[0]


_REACH_SPORT = 60
"""Characters around a hyphenated pair in which a word of sport makes it a score."""


def number_range(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a range: 10-15 → ከአስር እስከ አስራ አምስት; a prefix (ለ5-10) replaces ከ."""
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
    return Found(
        start, last.end, "range", f"{opening}{said_first} እስከ {last.words}", Message("text.why_range")
    )


_DAY = "(?:ሰኞ|ማክሰኞ|ረቡእ|ረቡ|ሮብ|ሀሙስ|አርብ|ቅዳሜ|እሁድ)"
_NAME_BEFORE = {
    name: re.compile(any_spelling(rf"(?:^|[^{AMHARIC}])(?:[ከበየለ]|እስከ)?{pattern} ?$"))
    for name, pattern in (("day", _DAY), ("month", MONTH))
}
_NAME_AFTER = {
    name: re.compile(any_spelling(rf" ?{pattern}(?:ን|ም|ና)?(?![{AMHARIC}])"))
    for name, pattern in (("day", _DAY), ("month", MONTH))
}


def named_range(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read the dash between two days or two months: ከሰኞ–ዓርብ → ከሰኞ እስከ ዓርብ, ጥር-መጋቢት."""
    left = behind(text, at)
    for name, before in _NAME_BEFORE.items():
        if _NAME_AFTER[name].match(text, at + 1) and before.search(left):
            return Found(at, at + 1, "range", "እስከ", Message("text.why_named_range"))
    return None


_SPACED_DASH = 3


def _value(written: str) -> float:
    return float(written.replace(",", "").replace("፣", "")[:300])


_OPENED = re.compile(
    any_spelling(r"(?:^| )[ከበ](?:" + MONTH + r"|ገጽ|ቁጥር|አንቀጽ|ምዕራፍ|ክፍል|ቀን|ወረዳ|ቀበሌ|አመት|እድሜ) ?$|(?:^| )ከ $")
)
"""A word before two numbers that makes them a range and no result."""
_FROM_BEFORE = re.compile(
    any_spelling(r"(?:^|[ (])(?:[ከበየለ]|[ከበ](?:" + MONTH + r"|ገጽ|ቁጥር|አንቀጽ|ምዕራፍ|ክፍል|ቀን|ወረዳ|ቀበሌ|አመት|እድሜ)) ?$")
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
    """Read a fraction: 1/2 → አንድ ሁለተኛ, 2 1/2 → ሁለት ከአንድ ሁለተኛ; 123/2009 keeps its stroke (ስላሽ)."""
    start, prefix = prefix_of(text, at, floor)
    if found := _WITH_WHOLE.match(text, at):
        whole, above, below = map(int, found.groups())
        if 0 < above < below:
            words = f"{prefix}{numbers.cardinal(whole)} {mixed(above, below)}"
            return Found(start, found.end(), "fraction", words, Message("text.why_whole_and_fraction"))
    if paper := _PAPER.match(text, at):
        wording = f" {STROKE} ".join(numbers.decimal(part) for part in paper.group().split("/"))
        return Found(
            start,
            paper.end(),
            "number",
            prefix + wording,
            Message("text.why_file_number"),
        )
    found = _FRACTION.match(text, at)
    if found is None:
        return None
    above, below = int(found.group(1)), int(found.group(2))
    if found.group() == "24/7":
        return Found(start, found.end(), "fraction", f"{prefix}{ALL_THE_TIME}", Message("text.why_all_hours"))
    if (
        below > _LARGEST_DENOMINATOR
        or (above > below and below > 10)
        or below == 0
        or _NUMBERED.search(behind(text, start))
    ):
        if _consecutive_years(found) and not _NUMBERED.search(behind(text, start)):
            wording = f"{numbers.year(above)} {numbers.year(below)}"  # 2015/2016: a school or budget year
            return Found(start, found.end(), "year", prefix + wording, Message("text.why_double_year"))
        if len(found.group(1)) == 4 and len(found.group(2)) <= 2:
            wording = (
                f"{numbers.year(above)} {numbers.decimal(found.group(2))}"  # 2015/16: a school or budget year
            )
            return Found(start, found.end(), "year", prefix + wording, Message("text.why_double_year"))
        wording = f"{numbers.decimal(found.group(1))} {STROKE} {numbers.decimal(found.group(2))}"
        return Found(start, found.end(), "number", prefix + wording, Message("text.why_numbered_paper"))
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
    return Found(start, end, "fraction", prefix + words, Message("text.why_fraction"))


def _consecutive_years(found: re.Match[str]) -> bool:
    first, second = found.groups()
    return len(first) == len(second) == 4 and int(second) == int(first) + 1 and int(first) in MODERN_YEARS


STROKE = "ስላሽ"
ALL_THE_TIME = "ሃያ አራት ሰዓት በሳምንት ሰባት ቀን"
_LARGEST_DENOMINATOR = 1000
_NUMBERED = re.compile(any_spelling(r"(?:ቁጥር|ቁ\.|ቁ|No\.?|አንቀጽ|ደብዳቤ|መዝገብ)[ :፡]*$"))


def mixed(above: int, below: int) -> str:
    """Read the fraction after a whole number: 1/2 → ተኩል, 1/4 → ከሩብ, 3/5 → ከሦስት አምስተኛ."""
    if (above, below) == (1, 2):
        return "ተኩል"
    if (above, below) == (1, 4):
        return "ከሩብ"
    return "ከ" + numbers.fraction(above, below)


# ---------------------------------------------------------------- arithmetic
_OPERATORS = {
    "+": "ሲደመር", "-": "ሲቀነስ", "−": "ሲቀነስ", "–": "ሲቀነስ", "×": "ሲባዛ በ", "*": "ሲባዛ በ", "x": "ሲባዛ በ",
    "X": "ሲባዛ በ", "÷": "ሲካፈል ለ", "/": "ሲካፈል ለ", "=": "እኩል ይሆናል", "≈": "በግምት እኩል ይሆናል", "±": "ሲደመር ወይም ሲቀነስ",
}  # fmt: skip
"""Reading of operators; one that ends in a one-letter prefix is written on the number after it."""
_COMPARISONS = {"<": "ያንሳል", ">": "ይበልጣል", "≤": "ያንሳል ወይም እኩል ይሆናል", "≥": "ይበልጣል ወይም እኩል ይሆናል", "≠": "ይለያል"}
"""Verbs that follow the second number, which takes ከ: 10 > 5 → አስር ከአምስት ይበልጣል."""
_PREFIXED = ("በ", "ለ", "ከ")
_SUM = re.compile(r"[+×÷*=<>≤≥≠≈±]|\d [-−–] |\d ?[xX] ?\d")
_UNMISTAKABLE = re.compile(r"[+×÷*=<>≤≥≠≈±xX]")
_NUMBERS = re.compile(NUMBER)
_A_PAIR = 2
_TERM = rf"[-−]?{NUMBER}"
_EXPRESSION = re.compile(rf"{_TERM}(?: ?[-+−–×*÷/xX=<>≤≥≠≈±] ?{_TERM}){{1,12}}(?![\d{FIDEL}])")
_PIECES = re.compile(rf"({NUMBER})|([-+−–×*÷/xX=<>≤≥≠≈±])")


def _measured(text: str, end: int) -> bool:
    """Whether a unit of length follows, abbreviated or in full."""
    return units().match(text, end) is not None or _LENGTHS.match(text, end) is not None


_LENGTHS = re.compile(" ?(?:ሜትር|ሴንቲ|ሳንቲ|ሚሊ|ኪሎ ሜትር|ኢንች|ጫማ|ካሬ|ክንድ)")


def _is_size(text: str, found: re.Match[str]) -> bool:
    """Whether numbers with signs of multiplication measure a thing: 20x30, 3×4 ፎቶ, 3 × 4 ሜትር, 3*4 ሜ."""
    written = found.group()
    if not re.search("[^0-9.,xX ]", written):
        return True
    follows = units().match(text, found.end()) or re.match(
        rf" [{FIDEL}]", text[found.end() : found.end() + 2]
    )
    if re.search("[^0-9.,xX× ]", written):
        return bool(follows) and not re.search("[^0-9.,xX×*]", written)
    return " " not in written or _measured(text, found.end())


def _joined(prefix: str, number: str) -> str:
    """Join a prefix and a number; በመቶ would be "per cent": 4×100 → አራት በአንድ መቶ."""
    by_hundred = prefix == "በ" and number.startswith("መቶ")
    return f"{prefix}{numbers.cardinal(1)} {number}" if by_hundred else prefix + number


def limit(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a limit, a sign of comparison with nothing before it: <5 → ከአምስት በታች, ≥18 → ቢያንስ አስራ ስምንት."""
    found = _LIMIT.match(text, at)
    before = behind(text, at).rstrip(" ")[-1:]
    if found is None or before.isdigit() or (before in ("", "\n") and found.group().endswith("> ")):
        return None  # two numbers are compared, or a mail is quoted
    amount = amount_at(text, found.end(), year=False, reading=reading)
    if amount is None:
        return None
    opening, closing = _LIMITS[found.group(1).replace("<=", "≤").replace(">=", "≥")]
    words = f"{opening}{amount.words}{closing}"
    return Found(at, amount.end, "math", words, Message("text.why_limit"))


_LIMIT = re.compile(r"([<>]=?|[≤≥]) ?(?=\d)")
_LIMITS = {"<": ("ከ", " በታች"), ">": ("ከ", " በላይ"), "≤": ("ቢበዛ ", ""), "≥": ("ቢያንስ ", "")}


def arithmetic(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read sums: 5 + 3 = 8 → አምስት ሲደመር ሦስት እኩል ይሆናል ስምንት; needs a sign that no date, range or size has."""
    found = _EXPRESSION.match(text, at)
    if found is None or not _SUM.search(found.group()):
        return None
    if not _UNMISTAKABLE.search(found.group()):  # 10 - 4 counts down: a sum; 2010 - 2015 is a range
        pieces = _NUMBERS.findall(found.group())
        if len(pieces) != _A_PAIR or _value(pieces[0]) <= _value(pieces[1]):
            return None
    size = _is_size(text, found)  # 20x30: by, not times
    start, prefix = prefix_of(text, at, floor)
    words: list[str] = []
    held, verb = prefix, ""
    number_seen = False
    for number, sign in _PIECES.findall(found.group()):
        if number:
            words.append(_joined(held, numbers.decimal(number.replace("፣", ","))))
            words += [verb] if verb else []
            held, verb, number_seen = "", "", True
        elif number_seen and sign in _COMPARISONS:
            held, verb, number_seen = "ከ", _COMPARISONS[sign], False
        elif not number_seen:
            words.append(held + numbers.MINUS)
            held = ""
        else:
            wording = " በ" if size else _OPERATORS[sign]
            head, _, tail = wording.rpartition(" ")
            words += [wording] if tail not in _PREFIXED else [head] if head else []
            held, number_seen = (tail if tail in _PREFIXED else ""), False
    return Found(start, found.end(), "math", " ".join(words), Message("text.why_arithmetic"))
