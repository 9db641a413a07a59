"""Read telephone, account and other code numbers digit by digit."""

from __future__ import annotations

import re

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.quantities import prefix_of
from dimts.text.reading import AMHARIC, Found, Reading, any_spelling, behind

PLUS = "ፕላስ"
_INTERNATIONAL = re.compile(r"(?:\+ ?|00)\d{1,3}[ \-.]?\(?\d{1,4}\)?(?:[ \-.]?\d{2,4}){1,4}(?!\d)")
_ETHIOPIAN = re.compile(
    r"(?:0[79]\d{8}|0\d{3}[ \-.]\d{6}|0\d{3}(?:[ \-.]\d{2}){3}|0\d{3}[ "
    r"\-.]\d{3}[ \-.]\d{3}|0\d(?:[ \-.]\d{2}){4}"
    r"|0\d{2}[ \-./]?\d{3}[ \-.]?\d{2}[ \-.]?\d{2}|0\d{2}[ \-.]\d{7}|0\d[ \-.]\d{7,8}"
    r"|251[ \-.]?\d{2,3}[ \-.]?\d{3}[ \-.]?\d{3,4})(?!\d)"
)
_GROUPED = re.compile(r"(?:0[79]|0(?:11|22|25|33|34|46|47|57|58))(?:[ \-./]?\d){7,8}(?![ \-./]?\d)")
"""Mobile and area numbers in any grouping: 09-11-234567, 0911/23 45 67."""
_DATE = re.compile(r"\d{1,2}([-./])\d{1,2}\1(?:19|20)\d\d(?!\d)")
_CODE = re.compile(r"\*\d{1,6}(?:\*\d{1,16}){0,5}#")
_DIAL_AFTER = re.compile(
    any_spelling(r"(?:\d{4,5})(?= ?(?:ላይ )?(?:ይደውሉ|ደውሉ|ደውል|ደውዪ|በመደወል|መደወል|ይላኩ|ላኩ|ብለው ይላኩ|ነጻ የስልክ))")
)
_BANK_BEFORE = re.compile(
    any_spelling(
        rf"(?:CBE|[Aa]cc(?:ount|t)?(?: ?[Nn]o\.?)?|A/C|IBAN|(?<![{AMHARIC}])[በየከለ]?"
        "(?:ንግድ ባንክ|አዋሽ|ዳሸን|አቢሲኒያ|ቴሌብር|ሲቢኢ|አካውንት|ሂሳብ|ሂሳብ ቁጥር|ኅብረት ባንክ|ወጋገን))"
        r"[ :፡፦-]{0,3}$"
    )
)
_ACCOUNT = re.compile(r"\d(?:[ -]?\d){5,19}(?![ -]?\d)")
STAR, HASH = "ኮከብ", "መሰላል"
_AREA = re.compile(r"\((?:\+?251[ \-]?|0)\d{1,3}\) ?\d{2,3}(?:[ \-.]?\d{2,4}){1,3}(?!\d)")
_KEYED = re.compile(r"\+?\d(?:[ \-./]{0,2}\d){2,17}(?![ \-./]?\d)")
_KEY = re.compile(
    any_spelling(
        r"(?:ስልክ(?: ?ቁጥር)?|ስ[./]ቁ\.?|ስ[./]ልክ|ሞባይል|ፋክስ|ስልኮች|አጭር (?:የስልክ )?ቁጥር|ቀጥታ መስመር|ነፃ መስመር|ነጻ መስመር|"
        r"ሂሳብ ቁጥር|ሒሳብ ቁጥር|ሂ[./]ቁ\.?|አካውንት(?: ቁጥር)?|"
        r"መለያ ቁጥር|ፓስፖርት ቁጥር|ኮድ|[Tt]el|TEL|[Pp]hone|[Ff]ax|[Mm]ob(?:ile)"
        r"?|P\.?I\.?N|TIN)[.:፡፦]{0,2} ?(?:በ|የ|ለ|ወደ)?$"
    )
)
_SPACED = re.compile(r"0\d{1,3}(?:[ \-]\d{1,4}){2,5}(?![\d/])")
_LOCAL_DIGITS = (9, 10)
_SHORT_DATE = re.compile(r"(?:0[1-9]|[12]\d|30)-(?:0[1-9]|1[0-3])-\d\d")
_SEVEN = re.compile(r"\d{3}-\d{2}-\d{2}(?!\d)|\d{2}-\d{2}-\d{2}(?:-\d{2})?(?![\d/])")


def telephone(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read 0911-23-45-67, +251 911 234567, (011) 551 7700; after ስልክ or ሂሳብ ቁጥር any number: digit by
    digit."""
    if text[at] == "(":
        found = _AREA.match(text, at)
        return _read_out(text, at, found.end(), "", Message("text.why_area_code")) if found else None
    if text[at] in "+0" and (found := _INTERNATIONAL.match(text, at)):
        start, prefix = prefix_of(text, at, floor)
        return _read_out(text, start, found.end(), prefix, Message("text.why_international_telephone"), at)
    if text[at] == "+":
        return None
    found, why = _by_shape(text, at)
    if found is None:
        return keyed(text, at, floor, reading)
    start, prefix = prefix_of(text, at, floor)
    return _read_out(text, start, found.end(), prefix, why, at)


def _by_shape(text: str, at: int) -> tuple[re.Match[str] | None, Message]:
    """Match numbers that look like telephone numbers wherever they occur."""
    if text[at] in "02" and (found := _ETHIOPIAN.match(text, at)):
        return found, Message("text.why_ethiopian_telephone")
    if text[at] == "0":
        if (found := _GROUPED.match(text, at)) and not _DATE.match(text, at):
            return found, Message("text.why_grouped_telephone")
        if (found := _SPACED.match(text, at)) and len(re.sub(r"\D", "", found.group())) in _LOCAL_DIGITS:
            return found, Message("text.why_zero_groups")
    return None, Message("text.why_number")


def keyed(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a number beside a word for telephone, account or code, or to be dialled, digit by digit."""
    left = behind(text, at)
    found: re.Match[str] | None = None
    why = Message("text.why_number")
    if left.rstrip(_PUNCTUATION)[-1:] in _LAST_LETTERS:
        if _KEY.search(left) and (found := _KEYED.match(text, at)):
            why = Message("text.why_keyed_number")
        elif (found := _ACCOUNT.match(text, at)) and _BANK_BEFORE.search(left):
            why = Message("text.why_bank_account")
        else:
            found = None
    if found is None and (found := _DIAL_AFTER.match(text, at)):
        why = Message("text.why_dialled")
    if found is None and (found := _SEVEN.match(text, at)):
        why = Message("text.why_hyphen_groups")
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    if prefix and found.re is _SEVEN and _SHORT_DATE.fullmatch(found.group()):
        return None  # በ26-02-90: a day
    return _read_out(text, start, found.end(), prefix, why, at)


_PUNCTUATION = " .:፡፦-"
_LAST_LETTERS = frozenset("ክቁርልስችትድሽንያኢብበየለወደጥlLEexXbNntTcC.")
"""Last letters of the words that _KEY and _BANK_BEFORE match, with their prefixes of the number."""


def service_code(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a code to dial sign by sign: *804# → ኮከብ ስምንት ዜሮ አራት መሰላል."""
    found = _CODE.match(text, at)
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    names = {"*": STAR, "#": HASH}
    words = " ".join(names.get(char) or numbers.digits(char) for char in found.group())
    return Found(start, found.end(), "phone", prefix + words, Message("text.why_service_code"))


def _read_out(text: str, start: int, end: int, prefix: str, why: Message, at: int | None = None) -> Found:
    written = text[start if at is None else at : end]
    plus = f"{PLUS} " if "+" in written else ""
    return Found(start, end, "phone", f"{prefix}{plus}{numbers.digits(written)}", why)
