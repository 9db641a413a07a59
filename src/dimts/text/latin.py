"""Read Latin letters in Amharic text: names from a table, acronyms letter by letter, other words by rule.

Addresses (URL, e-mail, @name, #tag) are split at their signs; a short label that no table knows is spelled, a
longer one is read as a word.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.phones import to_fidel
from dimts.text.quantities import prefix_of
from dimts.text.reading import FIDEL, Found, Reading, behind, is_suffix, pairs, with_suffix, word_at

LATIN = (
    "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0250-\u02af\u1d00-\u1d25\u1d6b-\u1d77\u1e00-\u1eff"
    "\u2c60-\u2c7f\ua722-\ua787\ufb00-\ufb06"
)
"""Latin letters for a character class."""
_WORD = re.compile(rf"[{LATIN}]+(?:['][{LATIN}]+)?(?:-(?=[{LATIN}])[{LATIN}]+)?")
_DOTTED = re.compile(r"(?:[A-Za-z]\.){2,12}(?:[A-Za-z](?![A-Za-z]))?")
_NUMERO = re.compile(r"(?:No|NO|Nr)\.? ?(?=\d)")
_EMAIL = re.compile(r"[A-Za-z0-9][\w.+%-]{0,63}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}", re.ASCII)
_TOP = (
    "com|org|net|et|gov|edu|info|io|tv|me|co|uk|us|eu|de|fr|ke|"
    "app|dev|biz|news|ai|online|site|africa|am|ly|gl|be"
)
_URL = re.compile(
    rf"(?:(?:https?|ftp)://|www\.)[\w.~:/?#@!$&*+,;=%-]{{1,400}}|[A-Za-z0-9][A-Za-z0-9-]{{0,62}}(?:\.[A-Za-z0-9-]{{1,62}}){{0,4}}\.(?:{_TOP})(?![\w@])(?:/[\w.~/?#=&%+-]{{0,300}})?",
    re.ASCII,
)
_TAG = re.compile(rf"#([0-9_{LATIN}{FIDEL}፩-፼]{{1,100}})")
_MENTION = re.compile(r"@([A-Za-z0-9_][\w.]{0,60})", re.ASCII)
_SIGNS = {".": numbers.POINT, "/": "ስላሽ", "@": "አት", "-": "ሰረዝ", "_": "አንደርስኮር", "+": "ፕላስ", ":": "ኮለን",
          "?": "ጥያቄ ምልክት",
          "=": "እኩል", "&": "ኤንድ", "#": "ሃሽ", "%": "ፐርሰንት", "~": "ቲልድ"}  # fmt: skip
_SHORT_LABEL = 3
"""Longest label of an address, in letters, that is spelled unless the table knows it."""
_LONGEST_ACRONYM = 6
_LONGEST_WORD = 40
"""Letters of the longest word; more are read in pieces of this size."""


def address(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read addresses by their parts and signs: www.ena.et, info@ena.et."""
    if found := _EMAIL.match(text, at):
        start, prefix = prefix_of(text, at, floor)
        written = found.group().rstrip(".-")
        return Found(
            start,
            at + len(written),
            "email",
            prefix + read_address(written),
            Message("text.why_email_address"),
        )
    found = _URL.match(text, at)
    if found is None:
        return None
    written = found.group().rstrip(".,;:!?/-")
    if text[at].isdigit() and not re.search("[A-Za-z]{2}", written):
        return None
    start, prefix = prefix_of(text, at, floor)
    shown = re.sub("^[a-z]+://", "", written)
    if not shown:
        return None
    return Found(
        start, at + len(written), "url", prefix + read_address(shown), Message("text.why_web_address")
    )


def read_address(written: str) -> str:
    """Read the parts and signs of an address: ena.et → ኢ ኤን ኤ ነጥብ ኢ ቲ."""
    wording = []
    for label in re.findall(r"[A-Za-z]+|\d+|[^A-Za-z\d]", written):
        if label.isdigit():
            wording.append(
                numbers.digits(label) if len(label) > 4 or label[0] == "0" else numbers.cardinal(int(label))
            )
        elif label.isalpha():
            known = _names().get(label.lower())
            wording.append(
                known or (spell_out(label) if len(label) <= _SHORT_LABEL else transliterate(label))
            )
        elif label in _SIGNS:
            wording.append(_SIGNS[label])
    return " ".join(wording)


def hashtag(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a hashtag: #ኢትዮጵያ → ኢትዮጵያ; #AddisAbaba and #አዲስ_አበባ in words; #5 → ቁጥር አምስት."""
    found = _TAG.match(text, at)
    if found is None:
        return None
    tag = found.group(1)
    if tag.isdigit() and tag.isascii():
        named = "" if behind(text, at).rstrip().endswith("ቁጥር") else "ቁጥር "
        return Found(
            at, found.end(), "number", f"{named}{numbers.decimal(tag)}", Message("text.why_hash_number")
        )
    numbered = re.fullmatch(rf"(\d{{1,9}})([{FIDEL}]+)", tag, re.ASCII)
    if numbered and is_suffix(numbered.group(2)):  # #1ኛ
        words = with_suffix(numbers.decimal(numbered.group(1)), numbered.group(2), numbers.ordinal_of)
        return Found(at, found.end(), "number", words, Message("text.why_hash_numeral"))
    return Found(at, found.end(), "hashtag", _split_tag(tag, reading), Message("text.why_hashtag"))


def mention(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a mention: @EthioTelecom → አት ኢትዮ ቴሌኮም."""
    found = _MENTION.match(text, at)
    if found is None:
        return None
    written = found.group(1).rstrip(".")
    return Found(
        at,
        at + 1 + len(written),
        "mention",
        f"አት {_split_tag(written, reading)}",
        Message("text.why_mention"),
    )


def _split_tag(tag: str, reading: Reading) -> str:
    wording = []
    for part in re.findall(rf"[{FIDEL}]+|[፩-፼]+|\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[{LATIN}]+", tag):
        if part.isdigit() and part.isascii():
            wording.append(numbers.decimal(part))
        elif "፩" <= part[0] <= "፼":
            wording.append(numbers.ethiopic(part))
        elif part[0] >= "ሀ" or not part[0].isalpha():
            wording.append(part)
        else:
            wording.append(read_word(part, reading))
    return " ".join(wording)


def word(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read one Latin word, with Amharic prefix and suffix: በGoogle → በጉግል, BBCን → ቢ ቢ ሲን."""
    if numero := _NUMERO.match(text, at):
        return Found(at, numero.end(), "latin", "ቁጥር", Message("text.why_numero"))
    if dotted := _DOTTED.match(text, at):  # U.S.A.
        start, prefix = prefix_of(text, at, floor)
        return Found(
            start,
            dotted.end(),
            "acronym",
            prefix + spell_out(dotted.group()),
            Message("text.why_dotted_letters"),
        )
    found = _WORD.match(text, at, at + _LONGEST_WORD)
    if found is None:
        return None
    written = found.group()
    start, prefix = prefix_of(text, at, floor)
    if title := _titled(text, at, found, prefix, start):
        return title
    suffix = word_at(text, found.end())
    suffix = suffix if suffix and is_suffix(suffix) else ""
    kind, spoken, why, english = _among_amharic(text, at, found.end(), reading) or _read_word(
        written, reading
    )
    if suffix and spoken and kind != "english":
        spoken = with_suffix(spoken, suffix, numbers.ordinal_of)
    elif suffix:
        suffix = ""
    if kind == "english" and prefix:
        start, prefix = at, ""
    english = english if reading.latin == "read" and not suffix else ""
    return Found(start, found.end() + len(suffix), kind, prefix + spoken, why, english)


_LATIN_WORDS = re.compile(rf"[{LATIN}']+")
_BESIDE = 40
"""Letters on either side in which other Latin words are looked for."""


def _among_amharic(text: str, at: int, end: int, reading: Reading) -> LatinReading | None:
    """Read a short word that English has too as Amharic, where the words beside it are Amharic: dehna new."""
    spoken = _lower("romanised_words").get(text[at:end].lower())
    if spoken is None or reading.latin != "read" or text[at:end].isupper():
        return None
    left = text[max(0, at - _BESIDE) : at].rpartition("\n")[2]
    right = text[end : end + _BESIDE].partition("\n")[0]
    beside = (*_LATIN_WORDS.findall(left)[-3:], *_LATIN_WORDS.findall(right)[:3])
    judged = [_is_amharic(one) for one in beside]
    if judged.count(True) > judged.count(False):
        return LatinReading("latin", spoken, Message("text.why_romanised"))
    return None


def _is_amharic(written: str) -> bool | None:
    """Whether a Latin word is Amharic; None for one that either language, or neither, may have."""
    from dimts.text import romanised

    lower = written.lower()
    is_name = written[0].isupper() and lower in _lower("ethiopian_names")
    if not lower.isalpha() or lower in _names() or is_name:
        return None
    amharic = lower in _lower("romanised_words") or lower in _lower("ethiopian_names")
    english = lower in _lower("english") or lower in _lower("english_words")
    if amharic or english:
        return None if amharic and english else amharic
    return True if romanised.looks_amharic(lower) else None


_TITLES = {
    "Dr": "ዶክተር", "DR": "ዶክተር", "Mr": "ሚስተር", "MR": "ሚስተር", "Mrs": "ሚስስ", "MRS": "ሚስስ", "Ms": "ሚስ",
    "Prof": "ፕሮፌሰር", "Eng": "ኢንጂነር", "Engr": "ኢንጂነር", "St": "ሴንት", "Gen": "ጄኔራል", "Col": "ኮሎኔል", "Maj": "ሜጀር",
    "Capt": "ካፒቴን", "Cpt": "ካፒቴን", "Lt": "ሌተናል", "Sgt": "ሳጅን", "Rev": "ሬቨረንድ", "Hon": "ኦነረብል",
    "Pres": "ፕሬዚዳንት", "Amb": "አምባሳደር", "Sen": "ሴናተር", "Gov": "ገቨርነር", "Fr": "ፋዘር", "Sr": "ሲስተር", "Ato": "አቶ",
    "W/ro": "ወይዘሮ", "Wro": "ወይዘሮ", "Insp": "ኢንስፔክተር", "Com": "ኮሚሽነር", "Hosp": "ሆስፒታል", "Min": "ሚኒስትር",
    "Mt": "ማውንት", "Jr": "ጁኒየር", "vs": "ቨርሰስ", "Vs": "ቨርሰስ", "VS": "ቨርሰስ", "Univ": "ዩኒቨርሲቲ", "Dept": "ዲፓርትመንት",
    "Ltd": "ሊሚትድ", "Inc": "ኢንክ", "Co": "ካምፓኒ", "Corp": "ኮርፖሬሽን", "approx": "በግምት", "Tel": "ስልክ", "tel": "ስልክ",
    "Fig": "ምስል", "Vol": "ቅጽ", "Art": "አንቀጽ", "Sec": "ክፍል", "Ch": "ምዕራፍ", "pp": "ገጽ", "p": "ገጽ", "ed": "እትም",
    "Bldg": "ህንፃ", "Ave": "አቬኑ",
}  # fmt: skip
"""Latin abbreviations whose point ends no sentence where a name or a number follows."""
_NAME_FOLLOWS = re.compile(rf"\. ?(?=[A-Z{FIDEL}\d])")


def _titled(text: str, at: int, found: re.Match[str], prefix: str, start: int) -> Found | None:
    """Read an abbreviation with its point before a name: Dr. Abiy, St. George."""
    spoken = _TITLES.get(found.group())
    point = _NAME_FOLLOWS.match(text, found.end()) if spoken else None
    if spoken is None or point is None:
        return None
    if found.group() in ("p", "pp", "Fig", "Vol", "Art", "Sec", "Ch") and not text[point.end()].isdigit():
        return None
    return Found(start, found.end() + 1, "latin", prefix + spoken, Message("text.why_latin_abbreviation"))


def read_word(written: str, reading: Reading) -> str:
    """Read a Latin word under the settings; a very long one in the pieces that a text would be read in."""
    pieces = (written[at : at + _LONGEST_WORD] for at in range(0, len(written), _LONGEST_WORD))
    return " ".join(_read_word(piece, reading).spoken for piece in pieces)


class LatinReading(NamedTuple):
    """Reading of a Latin word."""

    kind: str
    spoken: str
    why: Message
    english: str = ""
    """The word itself where it is English: its phones may be taken from an English voice."""


def _read_word(written: str, reading: Reading) -> LatinReading:
    if written in pairs("names"):
        return LatinReading("latin", pairs("names")[written], Message("text.why_names_table"))
    known = _in_tables(written)
    if known and known.english and reading.latin != "read" and not is_acronym(written):
        known = None
    if known and (not written.isupper() or len(written) > _LONGEST_SURE_ACRONYM):
        return known
    if is_acronym(written):
        return LatinReading("acronym", spell_out(written), Message("text.why_capitals"))
    if len(written) == 1:
        return LatinReading("acronym", spell_out(written), Message("text.why_single_letter"))
    if reading.latin == "hand_on":
        return LatinReading("english", written, Message("text.why_latin_handed_on"))
    if reading.latin == "drop":
        return LatinReading("dropped", "", Message("text.why_latin_dropped"))
    if reading.latin == "spell":
        return LatinReading("acronym", spell_out(written), Message("text.why_latin_spelt"))
    return _sounded_out(written, reading)


_LONGEST_SURE_ACRONYM = 3
"""Capitals of the longest sure acronym; a longer word in capitals that a table lists is a word: NEWS, but
WHO."""


def _in_tables(written: str) -> LatinReading | None:
    """Look a word up in the tables of names, of Ethiopian names and of English words, whatever its case."""
    lower = written.lower()
    if spoken := _names().get(lower):
        return LatinReading("latin", spoken, Message("text.why_names_table"))
    if spoken := _lower("ethiopian_names").get(lower):
        return LatinReading("latin", spoken, Message("text.why_ethiopian_names_table"))
    if spoken := _lower("english").get(lower) or _lower("english_words").get(lower):
        return LatinReading("latin", spoken, Message("text.why_english_table"), lower)
    if spoken := _lower("romanised_words").get(lower):
        return LatinReading("latin", spoken, Message("text.why_romanised"))
    return None


def _sounded_out(written: str, reading: Reading) -> LatinReading:
    """Read a word that no table knows: its parts, else as romanised Amharic or as English, by its letters."""
    from dimts.text import romanised  # imports the pronunciation tables too

    if "-" in written:
        parts = [part for part in re.split("[-']", written) if part]
        return LatinReading(
            "latin", " ".join(_read_word(part, reading).spoken for part in parts), Message("text.why_parts")
        )
    pieces = re.findall("[A-Z]?[a-z]+|[A-Z]+", written)
    if len(pieces) > 1 and all(len(piece) > 2 for piece in pieces) and "".join(pieces) == written:
        spoken = " ".join(_read_word(piece, reading).spoken for piece in pieces)
        return LatinReading("latin", spoken, Message("text.why_parts_by_capitals"))
    plain = written.isascii() and written.replace("'", "").isalpha()
    amharic = plain and "'" not in written and romanised.looks_amharic(written)
    if amharic and (spoken := romanised.to_fidel(written)):
        return LatinReading("latin", spoken, Message("text.why_romanised"))
    spoken = transliterate(written)
    if not spoken:
        return LatinReading("dropped", "", Message("text.why_no_reading"))
    return LatinReading("latin", spoken, Message("text.why_transliterated"), written.lower() if plain else "")


@cache
def _names() -> dict[str, str]:
    return _lower("names")


@cache
def _lower(name: str) -> dict[str, str]:
    return {written.lower(): spoken for written, spoken in pairs(name).items()}


def is_acronym(written: str) -> bool:
    """Whether a Latin word is read letter by letter: capitals, at most six or without a vowel."""
    plain = written.isascii() and written.isalpha()
    if not plain:
        return False
    if written.isupper() and len(written) > 1:
        return len(written) <= _LONGEST_ACRONYM or not re.search("[AEIOU]", written)
    return len(written) > 1 and not re.search("[aeiouyAEIOUY]", written)


def spell_out(written: str) -> str:
    """Spell an acronym: WHO → ደብሊው ኤች ኦ."""
    return " ".join(pairs("letters")[char] for char in _plain(written).upper() if char in pairs("letters"))


def _plain(written: str) -> str:
    """Remove accents from Latin letters: é → e, ß → ss, ø → o."""
    base = written.translate(_LETTERS)
    return "".join(
        char for char in unicodedata.normalize("NFKD", base) if "A" <= char <= "z" and char.isalpha()
    )


_LETTERS = str.maketrans({
    "ß": "ss", "ẞ": "SS", "ø": "o", "Ø": "O", "æ": "e", "Æ": "E", "œ": "e", "Œ": "E", "ł": "l",
    "Ł": "L", "đ": "d", "Đ": "D",
    "ð": "z", "Ð": "Z", "þ": "th", "Þ": "Th", "ı": "i", "ħ": "h", "Ħ": "H", "ə": "e", "ɨ": "i", "ŋ": "ng",
    "ɡ": "g", "ʃ": "sh", "ʒ": "j", "ɲ": "ny",
})  # fmt: skip

# Longest first; on the right phones by spaces.
_RULES = tuple(
    sorted(
        {
            "tion": "ʃ ɨ n", "sion": "ʒ ɨ n", "cious": "ʃ ə s", "tious": "ʃ ə s", "ture": "tʃ ə r",
            "ough": "o", "augh": "o",
            "eigh": "e j", "igh": "a j", "sch": "ʃ", "tch": "tʃ", "dge": "dʒ", "ch": "tʃ", "sh": "ʃ",
            "ph": "f", "th": "z",
            "wh": "w", "gh": "ɡ", "kh": "k", "zh": "ʒ", "ck": "k", "qu": "k w", "ng": "n ɡ", "ny": "ɲ",
            "ee": "i", "ea": "i", "oo": "u", "ou": "a w", "ow": "a w", "oa": "o", "ai": "e j", "ay": "e j",
            "ei": "a j", "ey": "i",
            "ie": "i", "au": "o", "aw": "o", "oi": "o j", "oy": "o j", "ue": "u", "ui": "u", "ew": "j u",
            "eu": "j u", "er": "ə r",
            "ethio": "i t i j o", "ia": "i j a", "io": "i j o", "eo": "i j o",
            "a": "a", "b": "b", "c": "k", "d": "d", "e": "e", "f": "f", "g": "ɡ", "h": "h", "i": "i",
            "j": "dʒ", "k": "k",
            "l": "l", "m": "m", "n": "n", "o": "o", "p": "p", "q": "k", "r": "r", "s": "s", "t": "t",
            "u": "u", "v": "v",
            "w": "w", "x": "k s", "y": "j", "z": "z",
        }.items(),
        key=lambda rule: -len(rule[0]),
    )
)  # fmt: skip
_BY_FIRST: dict[str, list[tuple[str, str]]] = {}
for _written, _phones in _RULES:
    _BY_FIRST.setdefault(_written[0], []).append((_written, _phones))
_VOWELS = "aeiou"


def transliterate(written: str) -> str:
    """Transliterate a Latin word to fidel as an Ethiopian reader would sound it out: Manager → ማናገር."""
    letters = _plain(written).lower()
    phones: list[str] = []
    at = 0
    while at < len(letters):
        char, rest = letters[at], letters[at + 1 :]
        if char == "e" and not rest and len(letters) > 3 and letters[at - 1] not in _VOWELS:
            at += 1  # a silent last e: Bible
        elif char in "cg" and rest[:1] in ("e", "i", "y") and char == "c":
            phones.append("s")
            at += 1
        elif char == "t" and at == 0 and rest[:1] == "s":
            phones.append("sʼ")  # Tsegaye, Tsehay
            at += 2
        elif char == "y" and at and (not rest or rest[0] not in _VOWELS) and letters[at - 1] not in _VOWELS:
            phones.append("i")
            at += 1
        elif rest[:1] == char and char not in _VOWELS:
            at += 1  # doubled consonants are read once
        else:
            pattern, wording = next(rule for rule in _BY_FIRST[char] if letters.startswith(rule[0], at))
            phones += wording.split()
            at += len(pattern)
    return to_fidel(phones)
