"""Telephone, account and other code numbers → digit by digit."""

from __future__ import annotations

import re

from dimts.text import numbers
from dimts.text.quantities import prefix_of
from dimts.text.reading import Found, Reading, behind

PLUS = "ፕላስ"
_INTERNATIONAL = re.compile(r"(?:\+ ?|00)\d{1,3}[ \-.]?\(?\d{1,4}\)?(?:[ \-.]?\d{2,4}){1,4}(?!\d)")
_ETHIOPIAN = re.compile(
    r"(?:0[79]\d{8}|0\d{3}[ \-.]\d{6}|0\d{3}(?:[ \-.]\d{2}){3}|0\d{3}[ \-.]\d{3}[ \-.]\d{3}|0\d(?:[ \-.]\d{2}){4}"
    r"|0\d{2}[ \-./]?\d{3}[ \-.]?\d{2}[ \-.]?\d{2}|0\d{2}[ \-.]\d{7}|0\d[ \-.]\d{7,8}"
    r"|251[ \-.]?\d{2,3}[ \-.]?\d{3}[ \-.]?\d{3,4})(?!\d)"
)
_AREA = re.compile(r"\((?:\+?251[ \-]?|0)\d{1,3}\) ?\d{2,3}(?:[ \-.]?\d{2,4}){1,3}(?!\d)")
_KEYED = re.compile(r"\+?\d(?:[ \-./]{0,2}\d){2,17}(?![ \-./]?\d)")
_KEY = re.compile(
    r"(?:ስልክ(?: ?ቁጥር)?|ስ[./]ቁ\.?|ስ[./]ልክ|ሞባይል|ፋክስ|ስልኮች|አጭር (?:የስልክ )?ቁጥር|ቀጥታ መስመር|ነፃ መስመር|ነጻ መስመር|"
    r"ሂሳብ ቁጥር|ሒሳብ ቁጥር|ሂ[./]ቁ\.?|አካውንት(?: ቁጥር)?|"
    r"መለያ ቁጥር|ፓስፖርት ቁጥር|ኮድ|[Tt]el|TEL|[Pp]hone|[Ff]ax|[Mm]ob(?:ile)?|P\.?I\.?N|TIN)[.:፡፦]{0,2} ?(?:በ|የ|ለ|ወደ)?$"
)
_SPACED = re.compile(r"0\d{1,3}(?:[ \-]\d{1,4}){2,5}(?![\d/])")
_LOCAL_DIGITS = (9, 10)
_SEVEN = re.compile(r"\d{3}-\d{2}-\d{2}(?!\d)|\d{2}-\d{2}-\d{2}(?:-\d{2})?(?![\d/])")


def telephone(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """0911-23-45-67, +251 911 234567, (011) 551 7700; after ስልክ or ሂሳብ ቁጥር any number: digit by digit."""
    if text[at] == "(":
        found = _AREA.match(text, at)
        return _said(text, at, found.end(), "", "an area code in brackets") if found else None
    start, prefix = prefix_of(text, at, floor)
    if found := _INTERNATIONAL.match(text, at):
        if text[at] == "+" or text.startswith("00", at):
            return _said(text, start, found.end(), prefix, "an international telephone number", at)
        return None
    if text[at] == "+":
        return None
    if found := _ETHIOPIAN.match(text, at):
        return _said(text, start, found.end(), prefix, "the shape of an Ethiopian telephone number", at)
    if (found := _SPACED.match(text, at)) and len(re.sub(r"\D", "", found.group())) in _LOCAL_DIGITS:
        return _said(text, start, found.end(), prefix, "groups of digits that begin with 0", at)
    if _KEY.search(behind(text, at)) and (found := _KEYED.match(text, at)):
        return _said(text, start, found.end(), prefix, "a number after a word for telephone, account or code", at)
    if found := _SEVEN.match(text, at):
        return _said(text, start, found.end(), prefix, "groups of digits joined by hyphens", at)
    return None


def _said(text: str, start: int, end: int, prefix: str, why: str, at: int | None = None) -> Found:
    written = text[start if at is None else at : end]
    plus = f"{PLUS} " if "+" in written else ""
    return Found(start, end, "phone", f"{prefix}{plus}{numbers.digits(written)}", why)
