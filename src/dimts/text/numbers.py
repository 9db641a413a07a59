"""Convert numbers to Amharic words and back, and Ethiopic numerals to numbers: `read_cardinal(cardinal(n)) ==
n`.

The words are those of everyday written Amharic (ሦስት, ሃምሳ, ሺህ); a leading hundred is plain መቶ,
a leading thousand is አንድ ሺህ. Years from 1100 to 1999 are counted in hundreds (አስራ ዘጠኝ መቶ …).
"""

from __future__ import annotations

from functools import cache

from dimts.base.errors import TextError
from dimts.text.ethiopic import fold_homophones

ZERO = "ዜሮ"
ONES = ("", "አንድ", "ሁለት", "ሦስት", "አራት", "አምስት", "ስድስት", "ሰባት", "ስምንት", "ዘጠኝ")
TENS = ("", "አስር", "ሃያ", "ሰላሳ", "አርባ", "ሃምሳ", "ስልሳ", "ሰባ", "ሰማንያ", "ዘጠና")
TEEN = "አስራ"
HUNDRED, THOUSAND = "መቶ", "ሺህ"
MAGNITUDES = ("", THOUSAND, "ሚሊዮን", "ቢሊዮን", "ትሪሊዮን", "ኳድሪሊዮን")
"""Word of each group of three digits, from the right."""
POINT, MINUS = "ነጥብ", "አሉታዊ"
LARGEST = 1000 ** len(MAGNITUDES) - 1
"""Largest number that is read as one; above it, digit by digit."""
CENTURY_YEARS = range(1100, 2000)
"""Years that are counted in hundreds: 1974 is አስራ ዘጠኝ መቶ ሰባ አራት."""

ETHIOPIC_ONES, ETHIOPIC_TENS = "፩፪፫፬፭፮፯፰፱", "፲፳፴፵፶፷፸፹፺"
ETHIOPIC_HUNDRED, ETHIOPIC_MYRIAD = "፻", "፼"
ETHIOPIC_NUMERALS = ETHIOPIC_ONES + ETHIOPIC_TENS + ETHIOPIC_HUNDRED + ETHIOPIC_MYRIAD

_ORDINAL_STEMS = {
    "አንድ": "አንደ", "ሁለት": "ሁለተ", "ሦስት": "ሦስተ", "አራት": "አራተ", "አምስት": "አምስተ", "ስድስት": "ስድስተ",
    "ሰባት": "ሰባተ", "ስምንት": "ስምንተ", "ዘጠኝ": "ዘጠነ", "አስር": "አስረ", "ሚሊዮን": "ሚሊዮነ", "ቢሊዮን": "ቢሊዮነ",
    "ትሪሊዮን": "ትሪሊዮነ", "ኳድሪሊዮን": "ኳድሪሊዮነ",
}  # fmt: skip
_SPELLINGS = {
    "አምሳ": "ሃምሳ", "ሀምሳ": "ሃምሳ", "ስድሳ": "ስልሳ", "ሰማኒያ": "ሰማንያ", "ሺ": "ሺህ", "ሺሕ": "ሺህ", "ሠላሳ": "ሰላሳ",
    "ሶስት": "ሦስት", "አሥር": "አስር", "ዐሥር": "አስር", "አሥራ": "አስራ", "ሚልዮን": "ሚሊዮን", "ሚሊየን": "ሚሊዮን", "ቢልዮን": "ቢሊዮን",
    "ቢሊየን": "ቢሊዮን", "ትሪልዮን": "ትሪሊዮን", "ትሪሊየን": "ትሪሊዮን",
}  # fmt: skip


def cardinal(number: int) -> str:
    """Word a number: 1234 → አንድ ሺህ ሁለት መቶ ሰላሳ አራት; negative with አሉታዊ; digit by digit above `LARGEST`."""
    if number < 0:
        return f"{MINUS} {cardinal(-number)}"
    if number < 1000:
        return _below_thousand(number) or ZERO
    if number > LARGEST:
        return digits(str(number))
    words: list[str] = []
    for power in range(len(MAGNITUDES) - 1, -1, -1):
        group = number // 1000**power % 1000
        if not group:
            continue
        wording = _below_thousand(group)
        if words and wording.startswith(HUNDRED):  # መቶ inside a number keeps its one: አንድ ሺህ አንድ መቶ
            wording = f"{ONES[1]} {wording}"
        words.append(f"{wording} {MAGNITUDES[power]}" if power else wording)
    return " ".join(words)


@cache
def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = []
    if hundreds:
        words.append(HUNDRED if hundreds == 1 else f"{ONES[hundreds]} {HUNDRED}")
    tens, ones = divmod(rest, 10)
    if tens == 1 and ones:
        words.append(f"{TEEN} {ONES[ones]}")
    else:
        words += [word for word in (TENS[tens], ONES[ones]) if word]
    return " ".join(words)


def ordinal(number: int) -> str:
    """Word an ordinal: 9 → ዘጠነኛ, 20 → ሃያኛ, 21 → ሃያ አንደኛ."""
    return ordinal_of(cardinal(number))


def ordinal_of(words: str) -> str:
    """Turn number words into their ordinal; only the last word changes its stem."""
    head, gap, last = words.rpartition(" ")
    return f"{head}{gap}{_ORDINAL_STEMS.get(last, last)}ኛ"


def digits(text: str) -> str:
    """Read digit by digit: "0911" → ዜሮ ዘጠኝ አንድ አንድ. Anything but ASCII digits is skipped."""
    return " ".join(ONES[ord(char) - 48] or ZERO for char in text if "0" <= char <= "9")


def decimal(text: str) -> str:
    """Read a decimal: "2.05" → ሁለት ነጥብ ዜሮ አምስት, "15,000" → አስራ አምስት ሺህ, "007" digit by digit, "-5" with
    አሉታዊ."""
    if text[:1] in "-−–":
        return f"{MINUS} {decimal(text[1:])}"
    whole, dot, fraction = text.replace(",", "").partition(".")
    if len(whole) > 1 and whole[0] == "0" and not dot:
        return digits(whole)
    wording = whole_number(whole)
    return f"{wording} {POINT} {digits(fraction)}" if fraction else wording


def whole_number(text: str) -> str:
    """Read ASCII digits of any length as a cardinal; more than 18 digit by digit."""
    significant = text.lstrip("0")
    return cardinal(int(significant or "0")) if len(significant) <= 3 * len(MAGNITUDES) else digits(text)


def year(number: int) -> str:
    """Read a year: 1974 → አስራ ዘጠኝ መቶ ሰባ አራት, 2016 → ሁለት ሺህ አስራ ስድስት."""
    if number not in CENTURY_YEARS:
        return cardinal(number)
    rest = number % 100
    return f"{cardinal(number // 100)} {HUNDRED}" + (f" {cardinal(rest)}" if rest else "")


def fraction(above: int, below: int) -> str:
    """Read a fraction: 3, 4 → ሦስት አራተኛ."""
    return f"{cardinal(above)} {ordinal(below)}"


def read_cardinal(words: str) -> int:
    """Convert number words (in any usual spelling) to the number. TextError names the word it cannot read."""
    total = group = 0
    values, multipliers = _values()
    seen = False
    negative = False
    for word in fold_homophones(words).split():
        if word == fold_homophones(MINUS) and not seen:
            negative = True
        elif word in values:
            group += values[word]
        elif word == HUNDRED:
            # the ones before መቶ multiply it: ሁለት መቶ; alone it is one hundred
            group = (group or 1) * 100
        elif word in multipliers:
            total += (group or 1) * multipliers[word]
            group = 0
        else:
            raise TextError("text.number_word_unknown", word=word)
        seen = seen or word != fold_homophones(MINUS)
    if not seen:
        raise TextError("text.number_words_empty")
    return -(total + group) if negative else total + group


@cache
def _values() -> tuple[dict[str, int], dict[str, int]]:
    values = {ZERO: 0, TEEN: 10}
    values |= {word: value for value, word in enumerate(ONES) if word}
    values |= {word: 10 * value for value, word in enumerate(TENS) if word}
    multipliers = {word: 1000**power for power, word in enumerate(MAGNITUDES) if word}
    for spelling, usual in _SPELLINGS.items():
        for table in (values, multipliers):
            if usual in table:
                table[spelling] = table[usual]
    return tuple(
        {fold_homophones(word): value for word, value in table.items()} for table in (values, multipliers)
    )  # type: ignore[return-value]


def to_ethiopic(number: int) -> str:
    """Write an Ethiopic numeral: 1997 → ፲፱፻፺፯. The rule of CSS Counter Styles 3; TextError below 1.

    Pairs of digits from the right; odd pairs take ፻, even ones ፼; a one is unwritten before ፻ and at the
    front.
    """
    if number < 1:
        raise TextError("text.ethiopic_numeral_below_one", number=number)
    if number == 1:
        return ETHIOPIC_ONES[0]
    pairs = []
    while number:
        number, pair = divmod(number, 100)
        pairs.append(pair)
    out = []
    for index in range(len(pairs) - 1, -1, -1):
        pair = pairs[index]
        if pair and not (pair == 1 and (index % 2 == 1 or index == len(pairs) - 1)):
            tens, ones = divmod(pair, 10)
            out.append((ETHIOPIC_TENS[tens - 1] if tens else "") + (ETHIOPIC_ONES[ones - 1] if ones else ""))
        if index % 2 == 1 and pair:
            out.append(ETHIOPIC_HUNDRED)
        elif index % 2 == 0 and index:
            out.append(ETHIOPIC_MYRIAD)
    return "".join(out)


def from_ethiopic(numeral: str) -> int:
    """Convert an Ethiopic numeral: ፲፱፻፺፯ → 1997, ፻፼ → 1000000. TextError for signs in an order no numeral
    has."""
    total = part = pending = 0
    limit = 100  # the next sign must be worth less, unless it multiplies
    for sign in numeral:
        if sign in ETHIOPIC_ONES:
            worth, value = 1, ETHIOPIC_ONES.index(sign) + 1
        elif sign in ETHIOPIC_TENS:
            worth, value = 10, 10 * (ETHIOPIC_TENS.index(sign) + 1)
        elif sign == ETHIOPIC_HUNDRED and not part:
            part, pending, limit = (pending or 1) * 100, 0, 100
            continue
        elif sign == ETHIOPIC_MYRIAD:
            total = (total + part + pending or 1) * 10_000
            part, pending, limit = 0, 0, 100
            continue
        else:
            worth, value = limit, 0
        if worth >= limit:
            raise TextError("text.ethiopic_numeral_malformed", numeral=numeral)
        pending, limit = pending + value, worth
    if not numeral:
        raise TextError("text.ethiopic_numeral_empty")
    return total + part + pending


def ethiopic(numeral: str) -> str:
    """Read an Ethiopic numeral; counted in hundreds when written so (፲፱፻…), sign by sign when ill formed."""
    if len(numeral) > _LONGEST_NUMERAL:
        return " ".join(cardinal(from_ethiopic(sign)) for sign in numeral)
    try:
        number = from_ethiopic(numeral)
    except TextError:
        return " ".join(cardinal(from_ethiopic(sign)) for sign in numeral)
    return year(number) if ETHIOPIC_MYRIAD not in numeral else cardinal(number)


_LONGEST_NUMERAL = 40
"""Signs of the longest numeral; more are a pattern, not a number."""
