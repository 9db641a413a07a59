"""Read signs between words as marks of the spoken form, words, or nothing: points, quotes, digraphs, emoji.

The spoken form has the marks ። ፣ ፤ ፥ ፦ ? ! and no others. ASCII look-alikes become these; :: and ፡፡ are a
full stop; ፡ between words is the old word space, after a word and before a space a colon.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.latin import LATIN
from dimts.text.quantities import amount_at, prefix_of
from dimts.text.reading import (
    FIDEL,
    Found,
    Reading,
    behind,
    is_suffix,
    pairs,
    with_suffix,
    word_at,
    word_before,
)
from dimts.text.relations import mixed

FULL_STOP, COMMA, SEMICOLON, COLON, PREFACE, QUESTION, EXCLAMATION = "።", "፣", "፤", "፥", "፦", "?", "!"
MARKS = FULL_STOP + COMMA + SEMICOLON + COLON + PREFACE + QUESTION + EXCLAMATION
"""Every mark that a spoken form may contain."""
QUOTES = "\"'«»‹›“”„‟‚‘’″′"
BRACKETS = "()[]{}<>⟨⟩〈〉《》「」"
_STOPS = re.compile("[:፡] ?[:፡](?:[ :፡]*[:፡])?|[:፡][-–]|[.…]+|[:፡,;፧፨፠]")
_ELISION = re.compile(rf"'([{FIDEL}]{{1,40}})")
_POINT_FIRST = re.compile(r"\.(\d{1,9})(?![\d.])")
_DASHES = "-–—−‐~"
_NUMERAL = re.compile("[፩-፼]+")
_WORDS = {
    "&": "እና", "+": "ሲደመር", "=": "እኩል ይሆናል", "%": "በመቶ", "‰": "በሺህ", "@": "አት", "°": "ዲግሪ", "℃": "ዲግሪ ሴልሺየስ",
    "℉": "ዲግሪ ፋራናይት",
    "×": "ሲባዛ", "÷": "ሲካፈል", "±": "ሲደመር ወይም ሲቀነስ", "≤": "ያንሳል ወይም እኩል ነው", "≥": "ይበልጣል ወይም እኩል ነው",
    "≠": "እኩል አይደለም", "≈": "በግምት",
    "∞": "ኢንፊኒቲ", "√": "ስኩዌር ሩት", "№": "ቁጥር", "§": "አንቀጽ", "™": "", "®": "", "©": "",
    "α": "አልፋ", "β": "ቤታ", "γ": "ጋማ", "δ": "ዴልታ", "Δ": "ዴልታ", "π": "ፓይ", "λ": "ላምዳ", "Ω": "ኦሜጋ", "ω": "ኦሜጋ",
    "μ": "ሚው", "σ": "ሲግማ",
}  # fmt: skip
_READABLE = re.compile(f"[{FIDEL}{LATIN}]")
_LATIN_LETTER = re.compile("[A-Za-z]")
_LISTED = re.compile(r"(?:^| )\d{1,2}ኛ?$")
"""A number that counts the points of a list, before / or -: 1/ …, 2- …"""
_POWERS = {"²": "ስኩዌር", "³": "ኩብ"}


def stop(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Convert a run of points, colons, commas to one mark of the spoken form."""
    found = _STOPS.match(text, at)
    if found is None:
        return None
    written, end = found.group(), found.end()
    left = text[at - 1] if at else "\n"
    right = text[end] if end < len(text) else "\n"
    if written in "፧":
        return Found(at, end, "mark", QUESTION, Message("text.why_question_mark"))
    if written in "፨፠":
        return Found(at, end, "mark", FULL_STOP, Message("text.why_paragraph_mark"))
    if written[0] in ":፡" and len(written) > 1:
        if written[-1] in "-–":
            return Found(at, end, "mark", PREFACE, Message("text.why_colon_and_hyphen"))
        return Found(at, end, "mark", FULL_STOP, Message("text.why_two_colons"))
    if written in ":፡":
        if left in " \n" or right not in " \n":
            return Found(at, end, "space", "", Message("text.why_word_space"))
        return Found(at, end, "mark", PREFACE, Message("text.why_colon_after_word"))
    if written == ",":
        return Found(at, end, "mark", COMMA, Message("text.why_comma"))
    if written == ";":
        return Found(at, end, "mark", SEMICOLON, Message("text.why_semicolon"))
    if len(written) > 1 or written == "…":
        follows = word_at(text, end + 1) if right == " " else word_at(text, end)
        return Found(at, end, "mark", COMMA if follows else FULL_STOP, Message("text.why_omission"))
    if left in " \n(" and (bare := _POINT_FIRST.match(text, at)):
        words = f"{numbers.ZERO} {numbers.POINT} {numbers.digits(bare.group(1))}"
        return Found(at, bare.end(), "decimal", words, Message("text.why_decimal_without_zero"))
    if _LATIN_LETTER.match(left) and right in "0123456789":
        return Found(at, end, "sign", numbers.POINT, Message("text.why_point_in_name"))
    if left in " \n":
        return Found(at, end, "sign", "", Message("text.why_point_alone"))
    return Found(at, end, "mark", FULL_STOP, Message("text.why_point_after_word"))


def quote(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Skip quotation marks and brackets; an apostrophe inside a word joins it (ከ'ኔ → ከኔ)."""
    char = text[at]
    if char == "'":
        left = word_before(text, at, floor)
        found = _ELISION.match(text, at)
        if left and found:
            return Found(
                at - len(left), found.end(), "elision", left + found.group(1), Message("text.why_apostrophe")
            )
    if char in QUOTES:
        return Found(at, at + 1, "quote", "", Message("text.why_quotation_mark"))
    if char in BRACKETS:
        return Found(at, at + 1, "bracket", "", Message("text.why_bracket"))
    return None


def dash(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Skip a hyphen inside a word; between spaces it is a break."""
    end = at
    while end < len(text) and text[end] in _DASHES:
        end += 1
    if end == at:
        return None
    if end == at + 1 and text[end : end + 1] == " " and _LISTED.search(behind(text, at)):
        return Found(at, end, "mark", COMMA, Message("text.why_list_number"))
    inside = at > 0 and end < len(text) and text[at - 1] not in " \n" and text[end] not in " \n"
    return Found(
        at,
        end,
        "hyphen" if inside else "dash",
        "",
        Message("text.why_hyphen") if inside else Message("text.why_dash"),
    )


def slash(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a stroke that belongs to no abbreviation, fraction or date."""
    if text[at] != "/":
        return None
    if text[at + 1 : at + 2] == " " and _LISTED.search(behind(text, at)):
        return Found(at, at + 1, "mark", COMMA, Message("text.why_list_number"))
    return Found(at, at + 1, "bracket", "", Message("text.why_stroke"))


def numeral(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read Ethiopic numerals: በ፲፱፻፺፯ → በአስራ ዘጠኝ መቶ ዘጠና ሰባት; suffixes as on digits."""
    found = _NUMERAL.match(text, at)
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    words = numbers.ethiopic(found.group())
    suffix = word_at(text, found.end())
    if suffix and is_suffix(suffix):
        words = with_suffix(words, suffix, numbers.ordinal_of)
        return Found(
            start, found.end() + len(suffix), "ethiopic", prefix + words, Message("text.why_numeral_suffix")
        )
    return Found(start, found.end(), "ethiopic", prefix + words, Message("text.why_ethiopic_numeral"))


def odd_number(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read signs that represent numbers: ½, ², ①, Ⅷ."""
    char = text[at]
    value = unicodedata.numeric(char, None)
    if value is None or unicodedata.category(char) == "Lo":
        return None
    start, prefix = prefix_of(text, at, floor)
    if char in _POWERS:
        return Found(start, at + 1, "number", prefix + _POWERS[char], Message("text.why_power"))
    ratio = Fraction(value).limit_denominator(1000)
    if ratio.denominator == 1:
        return Found(
            start, at + 1, "number", prefix + numbers.cardinal(int(ratio)), Message("text.why_number_sign")
        )
    if abs(ratio.numerator) < ratio.denominator:
        words = "ግማሽ" if ratio == Fraction(1, 2) else numbers.fraction(ratio.numerator, ratio.denominator)
        return Found(start, at + 1, "fraction", prefix + words, Message("text.why_fraction_sign"))
    words = f"{numbers.cardinal(ratio.numerator)} {numbers.cardinal(ratio.denominator)}ኛ"
    return Found(start, at + 1, "fraction", prefix + words, Message("text.why_fraction_sign"))


def number_and_fraction(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a number and a fraction: 2½ → ሁለት ተኩል."""
    found = re.compile(r"(\d{1,9}) ?([¼-¾⅐-⅞])").match(text, at)
    if found is None:
        return None
    ratio = Fraction(unicodedata.numeric(found.group(2))).limit_denominator(10)
    start, prefix = prefix_of(text, at, floor)
    words = f"{numbers.cardinal(int(found.group(1)))} {mixed(ratio.numerator, ratio.denominator)}"
    return Found(start, found.end(), "fraction", prefix + words, Message("text.why_whole_and_fraction"))


def percent_before(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a percent sign before its number: %50 → ሃምሳ በመቶ."""
    if text[at] not in "%٪" or not text[at + 1 : at + 2].isdigit() or text[at - 1 : at].isdigit():
        return None
    amount = amount_at(text, at + 1, year=False, reading=reading)
    if amount is None or amount.kind not in ("number", "decimal"):
        return None
    start, prefix = prefix_of(text, at, floor)
    words = f"{prefix}{amount.words} {_WORDS['%']}"
    return Found(start, amount.end, "percent", words, Message("text.why_sign", sign=text[at]))


def emoji(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Skip an emoji, or read its name with the setting `emoji`."""
    char = text[at]
    if unicodedata.category(char) not in ("So", "Sk") or char in _WORDS:
        return None
    name = pairs("emoji").get(char) if reading.emoji == "read" else None
    why = Message("text.why_emoji_name") if name else Message("text.why_emoji_skipped")
    return Found(at, at + 1, "emoji", name or "", why)


def sign(text: str, at: int, floor: int, reading: Reading) -> Found:
    """Read any other sign: by its name, or not at all."""
    char = text[at]
    if char in _WORDS and not (char.isalpha() and _beside_letters(text, at)):
        if char == "+" and at and text[at - 1] not in " \n" and not _between_digits(text, at):
            return Found(at, at + 1, "sign", "ፕላስ", Message("text.why_plus_after_word"))
        start, prefix = prefix_of(text, at, floor)
        return Found(start, at + 1, "sign", prefix + _WORDS[char], Message("text.why_sign", sign=char))
    if char in pairs("money"):
        return Found(at, at + 1, "sign", pairs("money")[char], Message("text.why_bare_currency"))
    if unicodedata.category(char)[0] == "L":
        end = at + 1
        while end < len(text) and _is_foreign(text[end]):
            end += 1
        return Found(at, end, "foreign", "", Message("text.why_other_script"))
    return Found(at, at + 1, "sign", "", _unread(char))


def _between_digits(text: str, at: int) -> bool:
    return text[at - 1].isdigit() and text[at + 1 : at + 2].isdigit()


def _unread(char: str) -> Message:
    name = unicodedata.name(char, "").lower()
    return Message("text.why_unread_sign", name=name) if name else Message("text.why_unnamed_sign")


def _beside_letters(text: str, at: int) -> bool:
    return any(char.isalpha() and _is_foreign(char) for char in (text[at - 1 : at] + text[at + 1 : at + 2]))


def _is_foreign(char: str) -> bool:
    return unicodedata.category(char)[0] == "L" and not _READABLE.match(char)
