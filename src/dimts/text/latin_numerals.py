"""Read what Latin letters say about numbers: Roman numerals, eras (E.C, G.C, BC), English ordinals (21st)."""

from __future__ import annotations

import re

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.latin import LATIN
from dimts.text.quantities import prefix_of, suffix_after
from dimts.text.reading import AMHARIC, Found, Reading, any_spelling, behind, is_suffix, with_suffix, word_at

_LATIN_BEFORE = re.compile(rf"[{LATIN}0-9'.]$")
_ROMAN = re.compile(rf"(?=[IVX])(X{{0,3}})(IX|IV|V?I{{0,3}})(?![{LATIN}0-9'&/]|\.[{LATIN}]|-[{LATIN}])")
_VALUES = {"I": 1, "V": 5, "X": 10}
_SURE_LETTERS = 3
"""Letters of a Roman numeral from which it is no acronym: VII, XIV; shorter ones need a context."""
_COUNTED_BEFORE = re.compile(
    any_spelling(
        rf"(?:(?<![{AMHARIC}])[በከየለ]?(?:ምእራፍ|ክፍል|ቅጽ|ቅፅ|ጥራዝ|ደረጃ|ዙር|ምድብ|መጽሀፍ|መጽሃፍ|አንቀጽ|ፌዝ|ገጽ|ጦርነት)|"
        rf"(?<![{LATIN}])(?:[Cc]hapter|[Pp]art|[Vv]ol(?:ume|\.)?|[Ss]ection|[Pp]hase|[Tt]ype|[Ll]evel|[Gg]rade|[Bb]ook|"
        r"[Aa]rticle|[Vv]ersion|[Ss]tage|[Ww]ar|[Aa]ct|[Uu]nit)) ?$"
    )
)
"""Words that a number follows: ምዕራፍ IV, World War II."""
_RULER_BEFORE = re.compile(
    any_spelling(
        rf"(?:(?<![{AMHARIC}])[በከየለ]?(?:ምኒልክ|ሚኒሊክ|ምንሊክ|ቴዎድሮስ|ዮሀንስ|ሀይለ ስላሴ|ኤልሳቤጥ|ኤሊዛቤት|ቻርልስ|ሄንሪ|ጆርጅ|ጳውሎስ|ፖል|"
        r"ጴጥሮስ|ቤኔዲክት|ቤነዲክት|ዊሊያም|ሉዊስ|ናፖሊዮን|ኒኮላስ|ራምሴስ|ሊዮ|ፒተር|ልብነ ድንግል|ፋሲል|ኢያሱ|ሺኖዳ|ሽኖዳ|ፊሊፕ|ኤድዋርድ)|"
        rf"(?<![{LATIN}])(?:Menelik|Menilik|Tewodros|Theodore|Yohannes|John|Haile Selassie|Elizabeth|Charles|"
        r"Henry|George|Paul|Peter|Benedict|William|Louis|Napoleon|Nicholas|Ramses|Ramesses|Leo|Pius|Philip|Edward|James|"
        r"Richard|Alexander|Catherine|Frederick|Iyasu|Shenouda)) ?$"
    )
)
"""Rulers and popes, whose number is their place."""
_CENTURY_AFTER = re.compile(any_spelling(" (?:ክፍለ ዘመን|[Cc]entury)"))
_PLACE_AFTER = re.compile(any_spelling(" (?:ምእራፍ|ክፍል|ደረጃ|ዙር|ምድብ|ጥራዝ)"))
_LISTED = re.compile(r"[.)/](?: |$)")


def roman(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a Roman numeral up to 39: ምዕራፍ IV → ምዕራፍ አራት, Elizabeth II → ኤልሳቤጥ ሁለተኛ, XXI ክፍለ ዘመን."""
    found = _ROMAN.match(text, at)
    if found is None or not found.group() or (at and _LATIN_BEFORE.match(text[at - 1])):
        return None
    written, left = found.group(), behind(text, at)
    number, end = _value(written), found.end()
    start, prefix = prefix_of(text, at, floor)
    suffix, suffix_at = suffix_after(text, end)
    why = Message("text.why_roman_numeral", number=number)

    def answer(words: str, stop: int) -> Found:
        return Found(start, stop, "number", prefix + words, why)

    if suffix and is_suffix(suffix):
        return answer(
            with_suffix(numbers.cardinal(number), suffix, numbers.ordinal_of), suffix_at + len(suffix)
        )
    if suffix:
        return None
    if _COUNTED_BEFORE.search(left):
        return answer(numbers.cardinal(number), end)
    if len(written) == 1:
        return None
    if _RULER_BEFORE.search(left):
        return answer(numbers.ordinal(number), end)
    if _CENTURY_AFTER.match(text, end):
        return answer(f"{numbers.ordinal(number)}ው", end)
    if _PLACE_AFTER.match(text, end) and written != "IV":
        return answer(numbers.ordinal(number), end)
    listed = not left.strip() and _LISTED.match(text, end)
    if listed or written == "II" or (len(written) >= _SURE_LETTERS and written != "XXX"):
        return answer(numbers.cardinal(number), end)
    return None


def _value(written: str) -> int:
    """Return the value of a Roman numeral: XIV → 14."""
    values = [_VALUES[letter] for letter in written]
    return sum(-one if one < max(values[at:]) else one for at, one in enumerate(values))


_ERAS = {
    "EC": "በኢትዮጵያ አቆጣጠር",
    "GC": "በጎርጎሮሳውያን አቆጣጠር",
    "AD": "ከክርስቶስ ልደት በኋላ",
    "CE": "ከክርስቶስ ልደት በኋላ",
    "BC": "ከክርስቶስ ልደት በፊት",
    "BCE": "ከክርስቶስ ልደት በፊት",
}
_ERA = re.compile(
    rf"(E\.?C|G\.?C|A\.?D|B\.?C(?:\.?E)?|C\.?E)(?![{LATIN}0-9])(\.(?= [{LATIN}{AMHARIC}0-9(]))?"
)
_YEAR_ENDS = re.compile(r"(?<![\d.,])\d{1,4}(?:ቱ|ዎቹ)? ?\(?$")
_NUMERAL_ENDS = re.compile(r"[፩-፼] ?\(?$")
_YEAR_FOLLOWS = re.compile(r" ?\d{1,4}(?![\d.,])")


def era(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read the era of a year: 2012 E.C → … በኢትዮጵያ አቆጣጠር, 500 BC, AD 70."""
    found = _ERA.match(text, at)
    if found is None:
        return None
    name = found.group(1).replace(".", "")
    left = behind(text, at)
    is_after = _YEAR_ENDS.search(left) or _NUMERAL_ENDS.search(left)
    if not is_after and not (name == "AD" and _YEAR_FOLLOWS.match(text, found.end())):
        return None
    return Found(at, found.end(), "year", _ERAS[name], Message("text.why_latin_era"))


_ORDINAL = re.compile(r"(\d{1,4}|\d{1,3}(?:,\d{3}){1,2})(?:st|nd|rd|th|ST|ND|RD|TH)(?![A-Za-z0-9])")


def english_ordinal(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read an English ordinal in digits: 21st → ሃያ አንደኛ."""
    found = _ORDINAL.match(text, at)
    if found is None:
        return None
    start, prefix = prefix_of(text, at, floor)
    suffix = word_at(text, found.end())
    suffix = suffix if suffix and is_suffix(suffix) else ""
    words = numbers.ordinal(int(found.group(1).replace(",", "")))
    return Found(
        start,
        found.end() + len(suffix),
        "ordinal",
        f"{prefix}{words}{suffix}",
        Message("text.why_english_ordinal"),
    )
