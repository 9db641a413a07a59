"""Inventory of the Amharic phones in one spelling of IPA, with converters to and from other notations.

A pronunciation is a tuple of phones such as ("f", "ə", "lː", "ə", "ɡ", "ə"). A phone is a vowel, or a
consonant, perhaps with ʼ (ejective), then ʷ (rounded), then ː (long), always in this order.
Every converter is a pair, `to_*` and `from_*`, and `from_x(to_x(phones)) == phones` for all phones.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from dimts.base.errors import TextError
from dimts.text.ethiopic import letter, spell

LONG = "ː"
ROUND = "ʷ"
EJECTIVE = "ʼ"
WORD_MARK = "#"
"""Word separator, with spaces around it, in a line of phones."""


@dataclass(frozen=True, slots=True)
class Features:
    """Features of a phone, in the terms of the IPA chart."""

    kind: str
    """"vowel" or "consonant"."""
    manner: str
    """stop, affricate, fricative, nasal, liquid, trill, glide; for vowels the height: high, mid, low."""
    place: str
    """labial, alveolar, postalveolar, palatal, velar, glottal; for vowels front, central, back."""
    voiced: bool
    ejective: bool = False
    rounded: bool = False
    long: bool = False


def _consonants() -> dict[str, Features]:
    rows = """
        h fricative glottal -|l liquid alveolar +|m nasal labial +|s fricative alveolar -|r trill alveolar +
        ʃ fricative postalveolar -|b stop labial +|t stop alveolar -|tʃ affricate postalveolar -
        n nasal alveolar +|ɲ nasal palatal +|ʔ stop glottal -|k stop velar -|w glide labial +
        z fricative alveolar +|ʒ fricative postalveolar +|j glide palatal +|d stop alveolar +
        dʒ affricate postalveolar +|ɡ stop velar +|f fricative labial -|p stop labial -|v fricative labial +
        kʼ stop velar -|tʼ stop alveolar -|tʃʼ affricate postalveolar -|sʼ fricative alveolar -
        pʼ stop labial -
    """
    found = {}
    for row in rows.replace("\n", "|").split("|"):
        if row.strip():
            phone, manner, place, voice = row.split()
            found[phone] = Features("consonant", manner, place, voice == "+", phone.endswith(EJECTIVE))
    return found


VOWELS: Mapping[str, Features] = MappingProxyType(
    {
        "ə": Features("vowel", "mid", "central", True),
        "u": Features("vowel", "high", "back", True, rounded=True),
        "i": Features("vowel", "high", "front", True),
        "a": Features("vowel", "low", "central", True),
        "e": Features("vowel", "mid", "front", True),
        "ɨ": Features("vowel", "high", "central", True),
        "o": Features("vowel", "mid", "back", True, rounded=True),
    }
)
"""The seven vowels, in the order of the fidel."""
CONSONANTS: Mapping[str, Features] = MappingProxyType(_consonants())
"""The plain short consonants; each may take ː, and all but w j ʔ may take ʷ."""
_NEVER_ROUND = ("w", "j", "ʔ")


@cache
def inventory() -> Mapping[str, Features]:
    """Return every phone with its features: vowels, consonants, rounded and long ones."""
    found: dict[str, Features] = dict(VOWELS)
    for phone, base in CONSONANTS.items():
        for rounded in (False,) if phone in _NEVER_ROUND else (False, True):
            for long in (False, True):
                name = phone + ROUND * rounded + LONG * long
                found[name] = Features(
                    "consonant", base.manner, base.place, base.voiced, base.ejective, rounded, long
                )
    return MappingProxyType(found)


def is_phone(text: str) -> bool:
    """Whether `text` is one phone of the inventory, in its one spelling."""
    return text in inventory()


def is_vowel(phone: str) -> bool:
    """Whether `phone` is one of the seven vowels."""
    return phone in VOWELS


def short(phone: str) -> str:
    """Return `phone` without length."""
    return phone.removesuffix(LONG)


def long(phone: str) -> str:
    """Return the consonant `phone`, long; a vowel is unchanged (Amharic vowel length is not distinctive)."""
    return phone if phone in VOWELS or phone.endswith(LONG) else phone + LONG


def skeleton(phones: Iterable[str]) -> tuple[str, ...]:
    """Return `phones` without ɨ and without length, Cʷ as C w: what the fidel itself writes (ኳ = ክዋ)."""
    out: list[str] = []
    for phone in phones:
        if phone == "ɨ":
            continue
        plain = short(phone)
        out.append(plain.removesuffix(ROUND))
        if plain.endswith(ROUND):
            out.append("w")
    return tuple(out)


def to_ipa(words: Iterable[Sequence[str]]) -> str:
    """Format words as one line: phones by spaces, words by " # "."""
    return f" {WORD_MARK} ".join(" ".join(word) for word in words if word)


def from_ipa(text: str) -> tuple[str, ...]:
    """Parse one word of IPA, spaced or not, in any usual spelling: ties, g for ɡ, doubled letters, ɪ for ɨ …

    Raises TextError naming the first sign that is no Amharic phone.
    """
    return _read(_tidy(text), _ipa_signs(), "IPA")


# Other spellings of the same sound (X-SAMPA-like or typographic variants): a mapping from sign to sign.
_SAME = {
    "'": EJECTIVE, "’": EJECTIVE, "ʻ": EJECTIVE, "`": EJECTIVE, "ˀ": EJECTIVE, "ʾ": EJECTIVE,
    "g": "ɡ", ":": LONG, "ɾ": "r", "ɹ": "r", "ħ": "h", "x": "h", "χ": "h", "ɦ": "h", "ʕ": "ʔ", "β": "b",
    "ɪ": "ɨ", "ɯ": "ɨ", "ɘ": "ɨ", "ɐ": "ə", "ʌ": "ə", "ɜ": "ə", "ɑ": "a", "ɛ": "e", "ɔ": "o",
    "ʤ": "dʒ", "ʧ": "tʃ", "ŋ": "n", "ʲ": "j", "y": "j",
}  # fmt: skip
_SAME_CODES = {ord(sign): same for sign, same in _SAME.items()}
_DROPPED = dict.fromkeys(map(ord, "ˈˌ.‿|-_\u0361\u035c\u02d1ʰ\u200b\u200c\u200d"))


def _tidy(text: str) -> str:
    text = unicodedata.normalize("NFD", text)
    kept = "".join(char for char in text if char in "\u0361\u035c" or not unicodedata.combining(char))
    return kept.translate(_DROPPED).translate(_SAME_CODES)


def _read(text: str, signs: Mapping[str, str], notation: str) -> tuple[str, ...]:
    """Match the longest of `signs`; a repeated consonant or a length sign makes the one before it long."""
    longest = max(map(len, signs))
    found: list[str] = []
    joined = False  # whether nothing is between this sign and the last
    at = 0
    while at < len(text):
        if text[at].isspace():
            joined, at = False, at + 1
            continue
        for size in range(min(longest, len(text) - at), 0, -1):
            phone = signs.get(text[at : at + size])
            if phone is not None:
                break
        else:
            raise TextError("text.not_in_notation", text=text[at], text_2=text, notation=notation)
        if phone == LONG:
            if found and found[-1] not in VOWELS:
                found[-1] = long(found[-1])
        elif joined and found and found[-1] == short(phone) and phone not in VOWELS:
            found[-1] = long(phone)
        else:
            found.append(phone)
        joined, at = True, at + size
    return tuple(found)


@cache
def _ipa_signs() -> Mapping[str, str]:
    signs = {phone: phone for phone in inventory()}
    for phone in CONSONANTS:  # orders of the three marks that other sources write
        if phone in _NEVER_ROUND:
            continue
        plain = phone.removesuffix(EJECTIVE)
        if plain != phone:
            signs[plain + LONG + EJECTIVE] = phone + LONG
            signs[plain + plain + EJECTIVE] = phone + LONG
            signs[plain + ROUND + EJECTIVE] = phone + ROUND
        signs[phone + LONG + ROUND] = phone + ROUND + LONG
    signs |= {"tsʼ": "sʼ", "tsʼː": "sʼː", "tsːʼ": "sʼː", "ts": "sʼ", "tsː": "sʼː", "tsʼʷ": "sʼʷ", LONG: LONG}
    return signs


# ---------------------------------------------------------------- notations
def _notation(table: Mapping[str, str], rounded: str, length: str) -> dict[str, str]:
    """Map our phones to signs of a notation whose rounding and length are suffixes."""
    out = {vowel: table.get(vowel, vowel) for vowel in VOWELS}
    for phone in CONSONANTS:
        sign = table.get(phone, phone)
        for mark, written in (("", ""), (ROUND, rounded))[: 1 if phone in _NEVER_ROUND else 2]:
            out[phone + mark] = sign + written
            out[phone + mark + LONG] = sign + written + length
    return out


_XSAMPA = _notation(
    {"ə": "@", "ɨ": "1", "ʃ": "S", "tʃ": "tS", "ɲ": "J", "ʔ": "?", "ʒ": "Z", "dʒ": "dZ", "ɡ": "g",
     "kʼ": "k_>", "tʼ": "t_>", "tʃʼ": "tS_>", "sʼ": "s_>", "pʼ": "p_>"}, "_w", ":",
)  # fmt: skip
_ESPEAK = _notation(
    {"ə": "@", "ɨ": "y", "ʃ": "S", "tʃ": "tS", "ɲ": "n^", "ʔ": "?", "ʒ": "Z", "dʒ": "dZ", "ɡ": "g",
     "kʼ": "k`", "tʼ": "t`", "tʃʼ": "tS`", "sʼ": "s`", "pʼ": "p`"}, "w", ":",
)  # fmt: skip
_HORN = _notation(
    {"ə": "e", "e": "E", "ɨ": "I", "ʃ": "x", "tʃ": "c", "ɲ": "N", "ʔ": "'", "ʒ": "Z", "j": "y", "dʒ": "j",
     "ɡ": "g", "kʼ": "q", "tʼ": "T", "tʃʼ": "C", "sʼ": "S", "pʼ": "P"}, "W", "_",
)  # fmt: skip
_EPITRAN = _notation(
    {"tʃ": "t͡ʃ", "dʒ": "d͡ʒ", "tʃʼ": "t͡ʃʼ", "sʼ": "t͡sʼ"}, ROUND, LONG,
)  # fmt: skip


def to_xsampa(phones: Iterable[str]) -> str:
    """Write X-SAMPA, phones by spaces: "f @ l: @ g @" (Wells 1995)."""
    return " ".join(_XSAMPA[phone] for phone in phones)


def from_xsampa(text: str) -> tuple[str, ...]:
    """Parse X-SAMPA, spaced or not; TextError for a sign that is no Amharic sound."""
    return _read(text, _inverse("xsampa"), "X-SAMPA")


def to_espeak(phones: Iterable[str]) -> str:
    """Write the phoneme names of espeak-ng's voice `am`, by spaces, for its [[…]] input: "f @ l: @ g @"."""
    return " ".join(_ESPEAK[phone] for phone in phones)


def from_espeak(text: str) -> tuple[str, ...]:
    """Parse espeak-ng's phoneme names (stress marks ' and , are dropped)."""
    return _read(text.replace("'", "").replace(",", ""), _inverse("espeak"), "espeak notation")


def to_horn(phones: Iterable[str]) -> str:
    """Write the romanisation of HornMorpho (Gasser 2011), by spaces: "f e l_ e g e"; _ after a long
    consonant."""
    return " ".join(_HORN[phone] for phone in phones)


def from_horn(text: str) -> tuple[str, ...]:
    """Parse HornMorpho-style romanisation, spaced or not; also with doubled letters for length."""
    return _read(text, _inverse("horn"), "HornMorpho notation")


def to_epitran(phones: Iterable[str]) -> str:
    """Write Epitran's amh-Ethi notation, by spaces: tie bars, t͡sʼ for sʼ."""
    return " ".join(_EPITRAN[phone] for phone in phones)


def from_epitran(text: str) -> tuple[str, ...]:
    """Parse Epitran's IPA."""
    return from_ipa(text)


@cache
def _inverse(notation: str) -> Mapping[str, str]:
    tables = {"xsampa": _XSAMPA, "espeak": _ESPEAK, "horn": _HORN}
    signs = {sign: phone for phone, sign in tables[notation].items()}
    if notation == "espeak":  # its rules also write the lenited b, and ts for ጸ
        signs |= {"B": "b", "ts": "sʼ", "ts`": "sʼ", "tS`:": "tʃʼː"}
    return signs | {_XSAMPA["m" + LONG][1:] if notation != "horn" else "_": LONG}


# ---------------------------------------------------------------- phones → fidel
def to_fidel(phones: Sequence[str]) -> str:
    """Write the plainest fidel spelling of a pronunciation: length unwritten, ɨ and nothing both sixth order.

    Reading the answer letter by letter gives `skeleton(phones)` again. A vowel with no consonant
    before it is written on አ (አ ኧ ኡ …). Raises TextError for a sign that is no phone.
    """
    out: list[str] = []
    held: tuple[str, bool] | None = None  # a consonant whose vowel may follow
    for phone in phones:
        if not is_phone(phone):
            raise TextError("text.not_a_phone", phone=phone)
        if phone in VOWELS:
            consonant, labial = held or ("ʔ", False)
            if held or phone != "ɨ":
                out.append(spell(consonant, phone, labial=labial))
            elif not out:
                out.append(spell("ʔ", "ɨ"))
            held = None
            continue
        if held:
            out.append(spell(held[0], "ɨ", labial=held[1]))
        base = short(phone)
        held = (base.removesuffix(ROUND), base.endswith(ROUND))
    if held:
        out.append(spell(held[0], "ɨ", labial=held[1]))
    return "".join(out)


def fidel_skeleton(text: str) -> tuple[str, ...]:
    """Return the sounds of a fidel word without ɨ and length; other signs are skipped."""
    out: list[str] = []
    for char in text:
        entry = letter(char)
        if entry is None:
            continue
        out.append(entry.consonant)
        if entry.labial or entry.glide:
            out.append(entry.glide or "w")
        if entry.vowel != "ɨ":
            out.append(entry.vowel)
    return tuple(out)
