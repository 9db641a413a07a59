"""Read digits in running text: numbers with prefixes, suffixes, units, percent.

The number in the middle is read by `numbers`; this file decides what it counts. Every step looks a
fixed distance around its number, so reading stays linear in the text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.ethiopic import fold_homophones
from dimts.text.number_context import (
    COUNTED,
    COUNTED_PLURAL,
    ERA_AFTER,
    ERA_BEFORE,
    MODERN_YEARS,
    MONTH_DAY_BEFORE,
    YEAR_BEFORE,
    YEAR_PREFIXES,
)
from dimts.text.reading import (
    AMHARIC,
    FIDEL,
    Found,
    Reading,
    any_spelling,
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
_ERA_RUN_TOGETHER = re.compile(any_spelling(rf" ?አም(?![{FIDEL}./])"))
LOOSE_GROUPS = re.compile(
    r"(?:\d{1,3}(?:, 000){1,5}|\d{1,3}(?: 000){1,5}|\d{1,2}(?: \d{3}){2,5})(?![\d,./:-]?\d)"
)
"""Thousands grouped by spaces, or by a comma and a space: 1 250 000; 15, 000."""
_POINT_GROUPS = re.compile(r"\d{1,3}(?:\.\d{3}){2,8}")
_CHAIN = re.compile(r"\d+(?:[.,]\d+)+")
_POINT_THOUSANDS = re.compile(r"[1-9]\d{0,2}\.000(?![\d.,])")
_LONG_CODE = re.compile(r"\d{10,18}(?!\d|[.,]\d)")
_ROUND_END = "000000"
"""A number of ten digits and more that ends so is an amount; others are account numbers and codes."""
LATIN_MAGNITUDES = {
    "k": "ሺህ", "K": "ሺህ", "M": "ሚሊዮን", "mn": "ሚሊዮን", "MN": "ሚሊዮን", "bn": "ቢሊዮን", "BN": "ቢሊዮን", "B": "ቢሊዮን",
}  # fmt: skip
_MAGNITUDE = re.compile(r"(?:([kKM]|mn|MN|bn|BN)|(?<=[.]\d)(B)|(?<=[.]\d\d)(B))(?![A-Za-z0-9/²³])")
_RESOLUTION = re.compile(any_spelling(r"[248][kK](?= ?(?:ቪዲዮ|ጥራት|ቲቪ|ቴሌቪዥን|ስክሪን|ካሜራ|TV|UHD|ultra|[Vv]ideo))"))
"""4K ቪዲዮ is no number of thousands."""
_DECADE = re.compile(r"((?:1[0-9]|20)\d0|[2-9]0)['’]?[sS](?![A-Za-z])")
_INCH = re.compile("″|''|\"(?=[ \\n.,;:!?)፣።፤]|$)|”(?=[ \\n.,;:!?)፣።፤]|$)")
_FEET = re.compile(r"(\d{1,2})['’′] ?(\d{1,2})(?:\"|”|″|'')")
_EXPONENT = re.compile(r"[⁻⁺]?[⁰¹²³⁴-⁹]{1,3}|\^\(?[-−+]?\d{1,3}\)?(?![.,]?\d)")
_PARAGRAPHS = re.compile(rf"((?: ?\(\d{{1,3}}\))+)((?: ?\([{FIDEL}]\))?)")
_ARTICLE_BEFORE = re.compile(any_spelling(rf"(?<![{AMHARIC}])(?:በየ|እንደ|ስለ|[በከየለ])?(?:አንቀጽ|አንቀጾች) ?[በከለ]?$"))
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_NAMED_NUMBER = re.compile(
    any_spelling(
        rf"(?:(?<![{AMHARIC}])[በከየለ]?(?:ኮቪድ|ኮሮና|ሚግ|ሱኮይ|ቦይንግ|ኤርባስ|አፖሎ|አንቶኖቭ|ቡድን|ኤፍ|ኤስ|ቲ|ኤኬ|ኤም|ጂ|ምዕራፍ|ክፍል|ዙር|ቀበሌ|ወረዳ|አንቀጽ|ገጽ|መስመር|ሞዴል|ሻለቃ|ብርጌድ)|"
        r"(?<![A-Za-z])(?:[Cc][Oo][Vv][Ii][Dd]|SARS-CoV|[A-Z]{1,3}|[Mm]i[Gg]|Su|Boeing|Airbus|Apollo)) ?$"
    )
)
"""Names that a hyphen joins to their number, even with a space before it: ኮቪድ -19, MiG -29."""
_FIDEL_ZERO = re.compile(r"\d[\dዐ]{0,15}ዐ\d{0,15}(?![ሀ-ፚ\d])")


class Amount(NamedTuple):
    """A number and what follows it directly: its end, its reading, the reason."""

    end: int
    words: str
    kind: str
    why: Message


def prefix_of(text: str, at: int, floor: int) -> tuple[int, str]:
    """Return where the phrase of the number at `at` begins, and the prefix written on it ("" if none)."""
    word = word_before(text, at, floor)
    if is_prefix(word):
        return at - len(word), word
    loose = at - 2 >= floor and text[at - 1] == " " and text[at - 2] in "በከለየ"  # በ 10: the same, with a space
    if loose and (at - 2 == floor or text[at - 3] in " \n"):
        return at - 2, text[at - 2]
    return at, ""


def numeral(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read one number, with its prefix, suffix, unit: the last step for digits."""
    if not text[at].isdigit():
        return None
    start, prefix = prefix_of(text, at, floor)
    amount = amount_at(text, at, year=is_year(text, at, prefix), reading=reading)
    if amount is None:
        return None
    words = prefix + amount.words
    if amount.why.code == "text.why_number_and_more" and prefix:
        words = prefix + amount.words.removeprefix("ከ")
    if (paragraphs := _PARAGRAPHS.match(text, amount.end)) and _ARTICLE_BEFORE.search(behind(text, at)):
        counted = re.findall(r"\d+", paragraphs.group(1))
        parts = "".join(f" ንዑስ አንቀጽ {numbers.decimal(one)}" for one in counted)
        parts += "".join(f" {one}" for one in re.findall(f"[{FIDEL}]", paragraphs.group(2)))
        return Found(start, paragraphs.end(), amount.kind, words + parts, Message("text.why_paragraph"))
    if era := _ERA_RUN_TOGETHER.match(text, amount.end):
        return Found(start, era.end(), "year", f"{words} ዓመተ ምህረት", Message("text.why_before_era"))
    return Found(start, amount.end, amount.kind, words, amount.why)


def negative(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a negative number: -5 → አሉታዊ አምስት; a hyphen after a word or number is no minus."""
    if text[at] not in "-−–" or not text[at + 1 : at + 2].isdigit():
        return None
    start, prefix = prefix_of(text, at, floor)
    left = text[start - 1 : start] if start else ""
    if start == at and _NAMED_NUMBER.search(behind(text, at)):
        return Found(at, at + 1, "hyphen", "", Message("text.why_name_and_number"))
    if left and not left.isspace() and left not in "([«“\"'፣=<>,:":
        return None
    amount = amount_at(text, at + 1, year=False, reading=reading)
    if amount is None:
        return None
    return Found(
        start, amount.end, "negative", f"{prefix}{numbers.MINUS} {amount.words}", Message("text.why_minus")
    )


def amount_at(text: str, at: int, *, year: bool, reading: Reading) -> Amount | None:
    """Read the number at `at` with its suffix, unit or percent sign."""
    found = _NUMBER.match(text, at)
    if found is None:
        return None
    if special := _special_amount(text, at, found, reading):
        return special
    written = found.group().replace("፣", ",")
    end = found.end()
    suffix, suffix_at = suffix_after(text, end)
    if "." not in written and suffix and is_suffix(suffix):
        plain = int(written.replace(",", "")) if len(written) <= 20 else None
        words = numbers.year(plain) if year and plain is not None else numbers.decimal(written)
        kind = "ordinal" if is_ordinal(suffix) else "year" if year else "number"
        wording = with_suffix(words, suffix, numbers.ordinal_of)
        return Amount(suffix_at + len(suffix), wording, kind, Message("text.why_suffix", suffix=suffix))
    if year:
        return Amount(end, numbers.year(int(written)), "year", Message("text.why_year_expected"))
    kind = "decimal" if "." in written else "number"
    if written.endswith(".00"):
        return with_unit(
            text, end, numbers.decimal(written[:-3]), "number", Message("text.why_no_hundredths"), reading
        )
    why = (
        Message("text.why_thousands_grouped")
        if "," in written
        else Message("text.why_decimal")
        if kind == "decimal"
        else Message("text.why_number")
    )
    if len(written) > 1 and written[0] == "0" and kind == "number":
        why = Message("text.why_leading_zero")
    return with_unit(text, end, numbers.decimal(written), kind, why, reading)


def suffix_after(text: str, end: int) -> tuple[str, int]:
    """Return the Ethiopic letters on a number, after a hyphen too, and where they begin; 10 ኛ counts as
    10ኛ."""
    hyphenated = word_at(text, end + 1) if text[end : end + 1] == "-" else ""
    if hyphenated and is_suffix(hyphenated):
        return hyphenated, end + 1
    suffix = word_at(text, end)
    if not suffix and text[end : end + 1] == " " and is_ordinal(word_at(text, end + 1)):
        return word_at(text, end + 1), end + 1
    return suffix, end


def _special_amount(text: str, at: int, found: re.Match[str], reading: Reading) -> Amount | None:
    """Read numbers that are not what their digits suggest: grouped in unusual ways, codes, decades."""
    if zero := _FIDEL_ZERO.match(text, at):  # 9ዐ: ዐ typed for 0, common before Unicode fonts
        return Amount(
            zero.end(),
            numbers.whole_number(zero.group().replace("ዐ", "0")),
            "number",
            Message("text.why_fidel_zero"),
        )
    if loose := LOOSE_GROUPS.match(text, at):  # 15, 000: a slip of the typist, and frequent
        words = numbers.whole_number(re.sub(r"\D", "", loose.group()))
        return with_unit(text, loose.end(), words, "number", Message("text.why_thousands_grouped"), reading)
    if decade := _decade(text, at):
        return decade
    if feet := _FEET.match(text, at):
        words = f"{numbers.cardinal(int(feet.group(1)))} ጫማ ከ{numbers.cardinal(int(feet.group(2)))} ኢንች"
        return Amount(feet.end(), words, "unit", Message("text.why_feet_and_inches"))
    if (thousands := _POINT_THOUSANDS.match(text, at)) and COUNTED_PLURAL.match(text, thousands.end()):
        words = numbers.whole_number(thousands.group().replace(".", ""))
        return Amount(thousands.end(), words, "number", Message("text.why_point_thousands"))
    if code := _long_code(text, at):
        return Amount(code.end(), numbers.digits(code.group()), "code", Message("text.why_long_code"))
    chain = _CHAIN.match(text, at)
    if chain and chain.end() > found.end() and text[found.end()] in ".,":
        joined = chain.group()
        if joined.count(",") == 1 and "." not in joined:  # 9,5: a decimal comma
            whole, _, rest = joined.partition(",")
            words = f"{numbers.decimal(whole)} {numbers.POINT} {numbers.digits(rest)}"
            return with_unit(text, chain.end(), words, "decimal", Message("text.why_decimal_comma"), reading)
        if _POINT_GROUPS.fullmatch(joined):
            words = numbers.whole_number(joined.replace(".", ""))
            return with_unit(text, chain.end(), words, "number", Message("text.why_point_groups"), reading)
        return Amount(chain.end(), _read_chain(joined), "number", Message("text.why_number_chain"))
    return None


def _long_code(text: str, at: int) -> re.Match[str] | None:
    """Match a number of an account: ten digits or more, neither round nor followed by what they count."""
    code = _LONG_CODE.match(text, at)
    if code is None or code.group().endswith(_ROUND_END):
        return None
    return None if COUNTED.match(text, code.end()) or units().match(text, code.end()) else code


def _decade(text: str, at: int) -> Amount | None:
    """Read decades: 90s, 1990s → ዘጠናዎቹ; 30s without a prefix are seconds."""
    found = _DECADE.match(text, at)
    if found is None:
        return None
    number = int(found.group(1))
    if number < _FIRST_SURE_DECADE and not (at and text[at - 1] in "የበከለ"):
        return None
    return Amount(
        found.end(), f"{numbers.year(number).removesuffix('ህ')}ዎቹ", "decade", Message("text.why_decade")
    )


_FIRST_SURE_DECADE = 50


def _read_chain(written: str) -> str:
    """Read chains: 1.2.3 → አንድ ነጥብ ሁለት ነጥብ ሦስት; 1,2,3 → አንድ፣ ሁለት፣ ሦስት."""
    parts = re.split("([.,])", written)
    between = {".": f" {numbers.POINT} ", ",": "፣ "}
    return "".join(between.get(part) or numbers.decimal(part) for part in parts)


def with_unit(text: str, end: int, words: str, kind: str, why: Message, reading: Reading) -> Amount:
    """Join number words and the unit or percent sign that follows them, or a + that means "more than"."""
    if text[end : end + 1] == "+" and text[end + 1 : end + 2] in ("", " ", "\n"):
        return Amount(end + 1, f"ከ{words} በላይ", kind, Message("text.why_number_and_more"))
    if exponent := _EXPONENT.match(text, end):
        return Amount(
            exponent.end(), f"{words} {_power(exponent.group())}", "number", Message("text.why_power")
        )
    if (magnitude := _MAGNITUDE.match(text, end)) and not _RESOLUTION.match(text, end - 1):
        name = LATIN_MAGNITUDES[next(filter(None, magnitude.groups()))]
        plus = text[magnitude.end() : magnitude.end() + 1] == "+"
        wording = f"ከ{words} {name} በላይ" if plus else f"{words} {name}"
        return Amount(
            magnitude.end() + plus, wording, kind, Message("text.why_magnitude", magnitude=magnitude.group())
        )
    if "units" in reading.off:
        return Amount(end, words, kind, why)
    if (inch := _INCH.match(text, end)) and not _closes_quotation(text, end):
        return Amount(inch.end(), f"{words} ኢንች", "unit", Message("text.why_inches"))
    found = units().match(text, end)
    if found is None:
        return Amount(end, words, kind, why)
    unit = found.group(1)
    kind = "percent" if unit in "%٪‰" else "unit"
    stop = found.end()
    if unit[0] in "ኪሜሴሳሚካስግኩሊሄጊዲሰደ" and text[stop : stop + 1] == ".":
        stop += 1
    return Amount(
        stop, f"{words} {_unit_names()[_unit_key(unit)]}", kind, Message("text.why_unit", unit=unit)
    )


def _power(written: str) -> str:
    """Read powers: ² → ስኩዌር, ³ → ኩብ, others → ኃይል ስድስት. Usage varies; the schoolbook word is taken."""
    plain = written.translate(_SUPERSCRIPTS).strip("^()").replace("−", "-")
    return {"²": "ስኩዌር", "³": "ኩብ"}.get(written) or f"ኃይል {numbers.decimal(plain.lstrip('+'))}"


def _closes_quotation(text: str, end: int) -> bool:
    """Whether the quotation mark at `end` closes one that was opened on its line before."""
    line = text[max(0, end - _QUOTATION_REACH) : end].rpartition("\n")[2]
    if text[end] == "”":
        return line.count("“") > line.count("”")
    return text[end] == '"' and line.count('"') % 2 == 1


_QUOTATION_REACH = 200
_BASE_UNITS = "ግራም ሊትር ሜትር ዋት ቮልት አምፒር ሰከንድ ባይት ኸርዝ ሄርዝ ቶን ካሎሪ"
_MULTIPLES = "ሚሊ ኪሎ ሴንቲ ሳንቲ ማይክሮ ናኖ ሜጋ ጊጋ ዴሲ ሄክቶ"


@cache
def _unit_names() -> dict[str, str]:
    """Return the names of units by key (folded, without spaces after points)."""
    return {_unit_key(written): spoken for written, spoken in pairs("units").items()}


def _unit_key(written: str) -> str:
    return fold_homophones(written).replace(". ", ".")


@cache
def units() -> re.Pattern[str]:
    """Return the pattern of a unit after a number; points in it may have a space behind them (ኪ. ሜ).

    A multiple in full (ሚሊ) is an abbreviation only where no unit follows: ሚሊ ግራም is no ሚሊ ሊትር.
    """
    names = sorted(pairs("units"), key=len, reverse=True)
    base = any_spelling("|".join(word[:2] for word in _BASE_UNITS.split()))
    in_full = dict.fromkeys(_MULTIPLES.split(), rf"(?! ?-?(?:{base}))")
    loose = (re.escape(name).replace(r"\.", r"\. ?").removesuffix(" ?") for name in names)
    forms = (any_spelling(form) + in_full.get(name, "") for form, name in zip(loose, names, strict=True))
    return re.compile(rf" ?({'|'.join(forms)})(?![A-Za-z0-9{FIDEL}²³/])")


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
