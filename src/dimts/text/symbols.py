"""Read signs between words as marks of the spoken form, words, or nothing: points, quotes, digraphs, emoji.

The spoken form has the marks ። ፣ ፤ ፥ ፦ ? ! and no others. ASCII look-alikes become these; :: and ፡፡ are a
full stop; ፡ between words is the old word space, after a word and before a space a colon.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from dimts.text import numbers
from dimts.text.latin import LATIN
from dimts.text.quantities import prefix_of
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
        return Found(at, end, "mark", QUESTION, "፧ is a question mark")
    if written in "፨፠":
        return Found(at, end, "mark", FULL_STOP, "a paragraph mark")
    if written[0] in ":፡" and len(written) > 1:
        if written[-1] in "-–":
            return Found(at, end, "mark", PREFACE, "a colon typed with a hyphen")
        return Found(at, end, "mark", FULL_STOP, "two colons typed for ።")
    if written in ":፡":
        if left in " \n" or right not in " \n":
            return Found(at, end, "space", "", "a word space")
        return Found(at, end, "mark", PREFACE, "a colon after a word")
    if written == ",":
        return Found(at, end, "mark", COMMA, "a comma")
    if written == ";":
        return Found(at, end, "mark", SEMICOLON, "a semicolon")
    if len(written) > 1 or written == "…":
        follows = word_at(text, end + 1) if right == " " else word_at(text, end)
        return Found(at, end, "mark", COMMA if follows else FULL_STOP, "points of omission")
    if left in " \n(" and (bare := _POINT_FIRST.match(text, at)):
        words = f"{numbers.ZERO} {numbers.POINT} {numbers.digits(bare.group(1))}"
        return Found(at, bare.end(), "decimal", words, "a decimal number without its zero")
    if _LATIN_LETTER.match(left) and right in "0123456789":
        return Found(at, end, "sign", numbers.POINT, "a point inside a name: BA.2")
    if left in " \n":
        return Found(at, end, "sign", "", "a point that ends nothing")
    return Found(at, end, "mark", FULL_STOP, "a point after a word")


def quote(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Skip quotation marks and brackets; an apostrophe inside a word joins it (ከ'ኔ → ከኔ)."""
    char = text[at]
    if char == "'":
        left = word_before(text, at, floor)
        found = _ELISION.match(text, at)
        if left and found:
            return Found(
                at - len(left), found.end(), "elision", left + found.group(1), "an apostrophe inside a word"
            )
    if char in QUOTES:
        return Found(at, at + 1, "quote", "", "a quotation mark is not read")
    if char in BRACKETS:
        return Found(at, at + 1, "bracket", "", "a bracket is not read")
    return None


def dash(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Skip a hyphen inside a word; between spaces it is a break."""
    end = at
    while end < len(text) and text[end] in _DASHES:
        end += 1
    if end == at:
        return None
    if end == at + 1 and text[end : end + 1] == " " and _LISTED.search(behind(text, at)):
        return Found(at, end, "mark", COMMA, "a stroke or dash after a number in a list")
    inside = at > 0 and end < len(text) and text[at - 1] not in " \n" and text[end] not in " \n"
    return Found(
        at, end, "hyphen" if inside else "dash", "", "a hyphen is not read" if inside else "a dash: a break"
    )


def slash(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a stroke that belongs to no abbreviation, fraction or date."""
    if text[at] != "/":
        return None
    if text[at + 1 : at + 2] == " " and _LISTED.search(behind(text, at)):
        return Found(at, at + 1, "mark", COMMA, "a stroke or dash after a number in a list")
    return Found(at, at + 1, "bracket", "", "a stroke is not read")


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
            start, found.end() + len(suffix), "ethiopic", prefix + words, "an Ethiopic numeral with a suffix"
        )
    return Found(start, found.end(), "ethiopic", prefix + words, "an Ethiopic numeral")


def odd_number(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read signs that represent numbers: ½, ², ①, Ⅷ."""
    char = text[at]
    value = unicodedata.numeric(char, None)
    if value is None or unicodedata.category(char) == "Lo":
        return None
    start, prefix = prefix_of(text, at, floor)
    if char in _POWERS:
        return Found(start, at + 1, "number", prefix + _POWERS[char], "a power")
    ratio = Fraction(value).limit_denominator(1000)
    if ratio.denominator == 1:
        return Found(start, at + 1, "number", prefix + numbers.cardinal(int(ratio)), "a sign for a number")
    if abs(ratio.numerator) < ratio.denominator:
        words = "ግማሽ" if ratio == Fraction(1, 2) else numbers.fraction(ratio.numerator, ratio.denominator)
        return Found(start, at + 1, "fraction", prefix + words, "a sign for a fraction")
    words = f"{numbers.cardinal(ratio.numerator)} {numbers.cardinal(ratio.denominator)}ኛ"
    return Found(start, at + 1, "fraction", prefix + words, "a sign for a fraction")


def number_and_fraction(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a number and a fraction: 2½ → ሁለት ተኩል."""
    found = re.compile(r"(\d{1,9}) ?([¼-¾⅐-⅞])").match(text, at)
    if found is None:
        return None
    ratio = Fraction(unicodedata.numeric(found.group(2))).limit_denominator(10)
    start, prefix = prefix_of(text, at, floor)
    words = f"{numbers.cardinal(int(found.group(1)))} {mixed(ratio.numerator, ratio.denominator)}"
    return Found(start, found.end(), "fraction", prefix + words, "a whole number and a fraction")


def emoji(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Skip an emoji, or read its name with the setting `emoji`."""
    char = text[at]
    if unicodedata.category(char) not in ("So", "Sk") or char in _WORDS:
        return None
    name = pairs("emoji").get(char) if reading.emoji == "read" else None
    why = "an emoji: its name" if name else "an emoji or picture: not read"
    return Found(at, at + 1, "emoji", name or "", why)


def sign(text: str, at: int, floor: int, reading: Reading) -> Found:
    """Read any other sign: by its name, or not at all."""
    char = text[at]
    if char in _WORDS and not (char.isalpha() and _beside_letters(text, at)):
        if char == "+" and at and text[at - 1] not in " \n":
            return Found(at, at + 1, "sign", "ፕላስ", "a plus after a word")
        start, prefix = prefix_of(text, at, floor)
        return Found(start, at + 1, "sign", prefix + _WORDS[char], f"the sign {char}")
    if char in pairs("money"):
        return Found(at, at + 1, "sign", pairs("money")[char], "a currency without an amount")
    if unicodedata.category(char)[0] == "L":
        end = at + 1
        while end < len(text) and _is_foreign(text[end]):
            end += 1
        return Found(at, end, "foreign", "", "letters of another script: not read")
    return Found(
        at, at + 1, "sign", "", f"{unicodedata.name(char, 'a sign without a name').lower()}: not read"
    )


def _beside_letters(text: str, at: int) -> bool:
    return any(char.isalpha() and _is_foreign(char) for char in (text[at - 1 : at] + text[at + 1 : at + 2]))


def _is_foreign(char: str) -> bool:
    return unicodedata.category(char)[0] == "L" and not _READABLE.match(char)
