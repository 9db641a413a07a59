"""Expand Amharic abbreviations with strokes and points, with the prefixes and suffixes written on them.

The table `tables/abbreviations.tsv` decides; what it does not know is read by this rule:
English letter names joined by points are read one by one (ዩ.ኤስ → ዩ ኤስ); three or more single
letters form one word, as newsreaders read them (ኢ.ዜ.ማ → ኢዜማ); all other parts are read as words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.ethiopic import LABIAL_A, fold_homophones, letter
from dimts.text.reading import (
    AMHARIC,
    FIDEL,
    SIXTH,
    Found,
    Reading,
    any_spelling,
    is_prefix,
    is_suffix,
    pairs,
    table,
    with_suffix,
    word_before,
)

_CHAIN = re.compile(rf"[{FIDEL}]{{1,24}}(?:[./][{FIDEL}]{{1,24}}){{1,7}}[./]?")
_SPACED = re.compile(rf"[{FIDEL}]{{1,4}}(?:\. ?[{FIDEL}]{{1,2}}){{1,6}}(?![{FIDEL}])\.?")
_SINGLE = re.compile(rf"[{FIDEL}]{{1,5}}\.")
_STAR_LETTERS = 3
"""Least letters of a word after X/ that a star row may match."""
_SHORT_STARS = tuple(map(fold_homophones, ("ገ", "ወ", "ኃ", "ሀ", "ተ", "ደ", "ምስ", "ምሥ", "ምዕ", "ማዕ", "ሰሜ", "ደቡ")))
"""First halves of names and places after which two letters are enough: ገ/ሃና, ምዕ/ሸዋ."""
WORDS = ("እአአ", "እኤአ", "እጎአ", "እግአ", "እኢአ", "ዶር")
"""Abbreviations without any sign, which are no words: expanded wherever they occur."""
_BARE_WORD = re.compile(rf"[በከየለ]?({any_spelling('|'.join(WORDS))})(?![{AMHARIC}])")
_POINT_BEFORE_NAME = re.compile(rf"\. ?[{AMHARIC}]")
_BARE_INSIDE = re.compile(rf"(?<![{AMHARIC}])[በከየለ]?(?:{any_spelling('|'.join(WORDS))})(?![{AMHARIC}])")


def abbreviation(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Expand ከት/ቤቶች to ከትምህርት ቤቶች; called at the first point or stroke after Ethiopic letters."""
    word = word_before(text, at, floor)
    if not word:
        return None
    start = at - len(word)
    if text[at] == "." and (spaced := _SPACED.match(text, start)) and " " in spaced.group():
        parts = [part.strip() for part in spaced.group().rstrip(".").split(".")]
        if wording := _known(parts):
            return Found(
                start,
                spaced.end(),
                "abbreviation",
                wording[0],
                Message("text.why_abbreviation_table", row=wording[1]),
            )
    chain = _CHAIN.match(text, start)
    if chain is None or chain.end() <= at:
        return _single(text, start, at, word)
    parts = [part for part in re.split("[./]", chain.group()) if part]
    end = chain.end() if chain.group()[-1] == "." or text[chain.end() - 1] not in "./" else chain.end() - 1
    for count in range(len(parts), 1, -1):
        if wording := _known(parts[:count], stroke="/" in chain.group()):
            stop = _end_of(text, start, parts[:count])
            if count == len(parts):
                stop = end
            return Found(
                start,
                stop,
                "abbreviation",
                wording[0],
                Message("text.why_abbreviation_table", row=wording[1]),
            )
    if "/" in chain.group() and (both := _both_genders(parts)):
        return Found(start, end, "abbreviation", both, Message("text.why_masculine_and_feminine"))
    return Found(
        start, end, "abbreviation", _unknown(parts, "/" in chain.group()), Message("text.why_by_rule")
    )


def _both_genders(parts: list[str]) -> str:
    """Read both genders: የሆነ/ች → የሆነ ወይም የሆነች, አመልካቹ/ቿ → አመልካቹ ወይም አመልካቿ; else "". Usage varies."""
    if len(parts) != 2 or len(parts[0]) < 2:
        return ""
    word, ending = parts
    if _same_but_gender(word, ending):
        return f"{word} ወይም {ending}"
    if fold_homophones(word) in _FEMININE_T and ending == "ት":
        return f"{word} ወይም {word}ት"
    if word.endswith("ለው") and ending == "ላት":
        return f"{word} ወይም {word[:-2]}{ending}"
    last, first = letter(word[-1]), letter(ending[0])
    if last is None or first is None or len(ending) > _WORD_OF_LETTERS:
        return ""
    if ending in ("ዎች", "ዎቹ") and last.vowel in ("i", "e", "a", "u"):
        return f"{word} ወይም {word}{ending}"
    sure = ending in ("ሷ", "ቷ") or (ending == "ች" and last.order != SIXTH)
    if len(word) < _WORD_OF_LETTERS and not sure:
        return ""
    other_vowel = last.consonant == first.consonant and last.char != first.char
    if other_vowel or (first.char == "ች" and word[-1] in "ውዉ"):
        feminine = word[:-1] + ending
    elif first.char == "ች" and last.order != SIXTH:
        feminine = word + ending
    elif ending == "ዋ" and last.vowel in ("i", "e", "a"):
        return f"{word}ው ወይም {word}ዋ"
    elif ending in ("ዋ", "ቷ") and last.vowel == "u":
        feminine = word[:-1] + _sixth(word[-1]) + ending
    else:
        return ""
    return f"{word} ወይም {feminine}"


def _same_but_gender(masculine: str, feminine: str) -> bool:
    """Whether the second word is the feminine of the first: የሚሰራ/የምትሰራ, የሆነ/የሆነች, ያለው/ያላት."""
    if len(feminine) < _WORD_OF_LETTERS:
        return False
    return (
        any(masculine.startswith(one) and masculine.replace(one, two, 1) == feminine for one, two in _GENDERS)
        or feminine in (masculine + "ች", masculine + "ዋ")
        or (masculine.endswith("ለው") and feminine == masculine[:-2] + "ላት")
    )


_GENDERS = (("የሚ", "የምት"), ("የማይ", "የማት"), ("ሊ", "ልት"), ("እንዲ", "እንድት"), ("ይ", "ት"), ("ያ", "ታ"))
"""Beginnings of the third person, masculine and feminine."""
_FEMININE_T = frozenset(map(fold_homophones, ("መምህር", "ደራሲ", "ተዋናይ", "ጸሐፊ", "ገጣሚ", "የመምህር", "ለመምህር")))
"""Nouns whose feminine has ት."""


def bare_word(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Expand abbreviations written without points: እአአ → እንደ አውሮፓውያን አቆጣጠር, በዶር → በዶክተር."""
    found = _BARE_WORD.match(text, at)
    if found is None:
        return None
    written = found.group(1)
    prefix = found.group()[: -len(written)]
    wording = _known(list(written) if written[0] in "እዕ" else [written])
    if wording is None:
        return None
    end = found.end() + bool(_POINT_BEFORE_NAME.match(text, found.end()) and written[0] not in "እዕ")
    return Found(
        at,
        end,
        "abbreviation",
        _prefixed(prefix, *wording),
        Message("text.why_abbreviation_table", row=wording[1]),
    )


def expand_bare(spoken: str) -> str:
    """Expand every bare abbreviation in `spoken`, so that normalising it again changes nothing."""
    return _BARE_INSIDE.sub(lambda found: _expanded(found.group()), spoken)


def _expanded(word: str) -> str:
    found = bare_word(word, 0, 0, Reading())
    return found.spoken if found else word


def _single(text: str, start: int, at: int, word: str) -> Found | None:
    """Expand one part with a point, before a number, or before a word where its row ends in a point:
    ቁ. 5 → ቁጥር አምስት."""
    if text[at] != "." or not _SINGLE.match(text, start):
        return None
    wording = _known([word])
    if wording is None or not re.match(
        rf"\. ?[\d፩-፼{FIDEL if wording[1].endswith('.') else ''}]", text[at : at + 3]
    ):
        return None
    return Found(
        start, at + 1, "abbreviation", wording[0], Message("text.why_abbreviation_table", row=wording[1])
    )


def _end_of(text: str, start: int, parts: list[str]) -> int:
    end = start + sum(map(len, parts)) + len(parts) - 1
    return end + 1 if text[end : end + 1] == "." and text[end + 1 : end + 2] in ("", " ", "\n") else end


@cache
def _rows() -> tuple[Mapping[tuple[str, ...], tuple[str, str]], Mapping[str, str]]:
    """Read the table: parts → (spoken, row as written), as written and folded; and the star rows by first
    part."""
    whole: dict[tuple[str, ...], tuple[str, str]] = {}
    exact: dict[tuple[str, ...], tuple[str, str]] = {}  # ዓ/ዓ and አ/አ differ
    stars: dict[str, str] = {}
    for written, spoken, *_ in (*table("abbreviations"), *table("units")):
        if written.endswith("/*"):
            stars[fold_homophones(written[:-2])] = spoken.removesuffix(" *")
        elif letter(written[0]):
            parts = re.split("[./]", written.rstrip("."))
            exact[tuple(parts)] = (spoken, written)
            whole.setdefault(tuple(map(fold_homophones, parts)), (spoken, written))
    return whole | exact, stars


def _known(parts: Sequence[str], *, stroke: bool = False) -> tuple[str, str] | None:
    return _known_parts(tuple(parts), stroke)


@lru_cache(maxsize=1 << 13)
def _known_parts(parts: tuple[str, ...], stroke: bool) -> tuple[str, str] | None:
    """Look up parts in the table, with prefixes and suffixes: (spoken, its row).

    Star rows match names shortened with a stroke only: ገ/መድኅን, but ገ.መድኅን may be any initial.
    """
    folded = fold_homophones("/".join(parts)).split("/")
    for cut in _cuts(parts[0]):
        prefix = parts[0][:cut]
        found = _rows()[0].get((parts[0][cut:], *parts[1:])) or _with_ending([folded[0][cut:], *folded[1:]])
        if found:
            spoken, row = found
            return _prefixed(prefix, spoken, row), row
    if run := _run_together(parts, folded):
        return run
    if not stroke or len(parts) != 2 or len(parts[1]) < _STAR_LETTERS - folded[0].endswith(_SHORT_STARS):
        return None
    for cut in _cuts(parts[0]):
        first = _rows()[1].get(folded[0][cut:])
        if first is not None:
            row = f"{parts[0][cut:]}/*"
            return _prefixed(parts[0][:cut], f"{first} {parts[1]}", row), row
    return None


def _run_together(parts: Sequence[str], folded: list[str]) -> tuple[str, str] | None:
    """Expand a title of two parts and the name behind it, without a space: ዶ/ርአብይ."""
    if len(parts) != 2 or len(parts[1]) < _STAR_LETTERS or is_suffix(parts[1][1:]):
        return None
    for cut in _cuts(parts[0]):
        for size in (1, 2):
            found = _rows()[0].get((folded[0][cut:], folded[1][:size]))
            if found and found[1].replace("/", "")[-size:] in _TITLE_ENDS and len(parts[1]) > size + 1:
                return f"{_prefixed(parts[0][:cut], *found)} {parts[1][size:]}", found[1]
    return None


_TITLE_ENDS = ("ር", "ሮ", "ት", "ሪት", "ል", "ቃ", "ን")
"""Endings of titles of two parts: ዶ/ር, ወ/ሮ, ወ/ሪት, ጄ/ል, ሻ/ቃ, ዲ/ን."""


def _cuts(word: str) -> Iterator[int]:
    yield 0
    for cut in range(1, len(word)):
        if is_prefix(word[:cut]):
            yield cut


def _prefixed(prefix: str, spoken: str, row: str) -> str:
    """Join a prefix, which replaces the genitive የ at the start of a full name: በ + የኢትዮጵያ … → በኢትዮጵያ …"""
    if prefix and spoken.startswith(_AS):  # በእ.ኤ.አ.: by, not by as
        return prefix + spoken.removeprefix(_AS)
    genitive = spoken.startswith("የ") and not row.startswith("የ")
    return prefix + (spoken[1:] if prefix and genitive else spoken)


def _with_ending(parts: Sequence[str]) -> tuple[str, str] | None:
    whole, _ = _rows()
    if found := whole.get(tuple(parts)):
        return found
    head, last = tuple(parts[:-1]), parts[-1]
    for size in range(len(last), 0, -1):
        suffix = last[size:]
        found = whole.get((*head, last[:size]))
        if found and suffix and is_suffix(suffix):
            return with_suffix(found[0], suffix, numbers.ordinal_of), found[1]
        if not _INFLECTED.fullmatch(_vowel_order(last[size - 1]) + suffix):
            continue
        changed = _sixth(last[size - 1])
        found = whole.get((*head, last[: size - 1] + changed)) if changed != last[size - 1] else None
        if (
            found and fold_homophones(found[0][-1]) == changed
        ):  # ቤት → ቤቱ, ቤቶች: only the vowel of the last letter differs
            return found[0][:-1] + last[size - 1 :], found[1]
    return None


_INFLECTED = re.compile("(?:[258](?:ን|ና|ም|ስ|ንና|ንም)*|7ች.{0,6}|4(?:ችን|ችሁ|ቸው)(?:ን|ና|ም|ስ)*)")
"""Order of a word's changed last letter, and what follows it: ቤቱ ቤቴ ቤቷ, ቤቶች…, ቤታቸው…"""


def _vowel_order(char: str) -> str:
    entry = letter(char)
    return str(entry.order) if entry and entry.order <= LABIAL_A else "0"


def _sixth(char: str) -> str:
    """Return the sixth order of a letter's row: ቱ → ት."""
    entry = letter(char)
    if entry is None or entry.order == SIXTH or entry.order > SIXTH + 2:
        return char
    return chr(ord(char) - entry.order + SIXTH)


@cache
def _letter_names() -> frozenset[str]:
    """Return English letter names in fidel, folded, with their usual second spellings."""
    names = {
        *pairs("letters").values(),
        "ደብልዩ",
        "ደብሊዩ",
        "ዳብልዩ",
        "ዜት",
        "ዜድ",
        "ዋይ",
        "ኬው",
        "ኪዩ",
        "ኤክስ",
        "ጀ",
        "ዮ",
        "ቪ",
        "ኤች",
        "ኤቺ",
    }
    return frozenset(map(fold_homophones, names))


_AS = "እንደ "
_LETTER_ENDINGS = ("", "ን", "ና", "ም", "ንና", "ንም", "ስ")
_WORD_OF_LETTERS = 3
"""Number of single letters with points that are read as one word."""


def _unknown(parts: list[str], stroke: bool) -> str:
    if stroke:
        return " ".join(parts)
    names = _letter_names()
    rest = [fold_homophones(part) for part in parts]
    cut = next((cut for cut in _cuts(parts[0]) if rest[0][cut:] in names), None)
    if cut is not None and all(part in names for part in rest[1:-1]):
        return " ".join(parts)
    letters = [parts[0][max(_cuts(parts[0])) :], *parts[1:-1], parts[-1][:1]]
    if (
        len(parts) >= _WORD_OF_LETTERS
        and all(len(part) == 1 for part in letters)
        and parts[-1][1:] in _LETTER_ENDINGS
    ):
        return "".join(parts)
    return " ".join(parts)
