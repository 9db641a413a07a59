"""Read chapter and verse after the name of a book of the Bible or a sura, with the books' abbreviations.

`tables/books.tsv` holds the books in Ethiopian naming. Between chapter and verse is : ፡ or ፥; Ethiopic
numerals count like digits. A form that is also a word (ነገ, ዜና) is a book only where the writing shows it.
"""

from __future__ import annotations

import re
from functools import cache

from dimts.base.errors import TextError
from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.ethiopic import fold_homophones
from dimts.text.quantities import prefix_of
from dimts.text.reading import AMHARIC, Found, Reading, any_spelling, behind, is_prefix, table

_N = r"(\d{1,3}|[፩-፻]{1,4})(?![\d፩-፼])"
_REFERENCE = re.compile(
    rf"{_N} ?([:፡፥]) ?{_N}(?: ?[-–—] ?{_N}(?:[:፡፥] ?{_N})?)?((?:[፣,] ?\d{{1,3}}(?![\d:፡፥,./]))*)(?![\d:፡፥])"
)
_TIME_AFTER = re.compile(any_spelling(" ?(?:ሰአት|ላይ|ገደማ|ሲሆን|[aApP]\\.?[mM])"))
_KIND = any_spelling("(?: ወንጌል| መልእክት| መልዕክት| መጽሐፍ)?")
_SURA = re.compile(
    any_spelling(
        rf"(?<![{AMHARIC}])(?:[በከየለ])?(?:ቅዱስ )?(?:ሱረት|ሱራ|ሱረ|ሱራት|ቁርአን)[{AMHARIC}]{{0,3}}"
        rf"(?:[ -][{AMHARIC}]{{1,9}}){{0,3}} ?\(?$|"
        rf"(?<![{AMHARIC}])[በከየለ]?አ[ልንስርሽድዝጥት][- ][{AMHARIC}]{{2,8}} \(?$"
    )
)
"""A sura by its title (ሱረቱ አል-በቀራ), by the Quran, or by a name with the Arabic article."""


@cache
def _books() -> tuple[dict[str, tuple[str, str]], str]:
    """Return (spoken name, grade "", "name" or "word") by folded form; and all forms as one alternative of a
    pattern."""
    rows = {fold_homophones(row[0]): (row[1], row[2] if len(row) > 2 else "") for row in table("books")}
    return rows, any_spelling("|".join(sorted(rows, key=len, reverse=True)))


@cache
def _before() -> re.Pattern[str]:
    """Return the pattern of a book just before its chapter, with its ordinal and prefix."""
    return re.compile(
        rf"(?:^|[^{AMHARIC}])(?P<whole>(?P<prefix>[{AMHARIC}]{{0,5}}?)(?P<book>{_books()[1]}))"
        rf"(?P<kind>{_KIND})(?P<point>[.፡]?) ?\(?$"
    )


@cache
def _after_number() -> re.Pattern[str]:
    """Return the pattern of a numbered book and the reference behind it: 2ቆሮ., 1ኛ ጢሞቴዎስ."""
    return re.compile(
        rf"(?P<number>[1-4፩-፬])(?:ኛው?|ተኛ|ኛይቱ)?[. ]{{0,2}}(?P<book>{_books()[1]})(?P<kind>{_KIND})[.፡]? ?"
        rf"(?={_REFERENCE.pattern})"
    )


_EARLIER = re.compile(r"(?:[\d፩-፻]{1,4}[:፡፥] ?[\d፩-፻]{1,4}(?:[-–][\d፩-፻]{1,4})?[፤፣;,] ?)+$")
"""References before this one, of the same book: ማቴ 5፥3፤ 6፥9."""


def verse(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a reference: ማቴ. 5፥3-12 → ማቴዎስ ምዕራፍ አምስት ቁጥር ሦስት እስከ አስራ ሁለት; also 2ቆሮ 5:17, ሱራ አል-በቀራ 2:255."""
    if numbered := _after_number().match(text, at):
        found = _REFERENCE.match(text, numbered.end())
        words = _wording(found) if found else None
        if found and words:
            start, prefix = prefix_of(text, at, floor)
            book, _ = _books()[0][fold_homophones(numbered.group("book"))]
            ordinal = numbers.ordinal(_value(numbered.group("number")))
            spoken = f"{prefix}{ordinal} {book}{numbered.group('kind')} {words}"
            return Found(start, found.end(), "verse", spoken, Message("text.why_numbered_book"))
    found = _REFERENCE.match(text, at)
    if found is None or (words := _wording(found)) is None:
        return _psalm(text, at, floor)
    left = behind(text, at)
    left = left[: len(left) - len(earlier.group())] if (earlier := _EARLIER.search(left)) else left
    if (book_before := _before().search(left)) and is_prefix_or_none(book_before.group("prefix")):
        if not _meant(book_before, found, text, left):
            return None
        start = at - len(left) + book_before.start("whole")
        spoken, _ = _books()[0][fold_homophones(book_before.group("book"))]
        same = fold_homophones(spoken) == fold_homophones(book_before.group("book"))
        if earlier or start < floor or same:
            return Found(at, found.end(), "verse", words, Message("text.why_verse_after_book"))
        spoken = f"{_with_prefix(book_before.group('prefix'), spoken)}{book_before.group('kind')} {words}"
        return Found(start, found.end(), "verse", spoken, Message("text.why_verse"))
    if _SURA.search(left):
        return Found(at, found.end(), "verse", words, Message("text.why_sura_verse"))
    return None


def _psalm(text: str, at: int, floor: int) -> Found | None:
    """Read a psalm without a verse by its short name: መዝ 23 → መዝሙር ሃያ ሦስት."""
    short, psalm = _PSALM.search(behind(text, at)), _PSALM_NUMBER.match(text, at)
    if short is None or psalm is None or at - len(short.group()) < floor:
        return None
    if not 1 <= _value(psalm.group()) <= _PSALMS:
        return None
    spoken = f"{short.group(1)}መዝሙር {_number(psalm.group())}"
    return Found(at - len(short.group()), psalm.end(), "verse", spoken, Message("text.why_verse"))


_PSALM = re.compile(rf"(?<![{AMHARIC}])([በከየለ]?)መዝ ?$")
_PSALM_NUMBER = re.compile(r"(?:\d{1,3}|[፩-፻]{1,4})(?![\d፩-፼:፡፥./])")
_PSALMS = 151
"""Number of psalms in Ethiopian editions."""


def pointed(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a book from its point, with its name in full: ዘፍ. 1፥1, በዮሐ. ወንጌል, የሐዋ. ሥራ."""
    title = _SECOND_WORD.match(text, at + 1)
    found = _REFERENCE.match(text, title.end() if title else at + 1 + text.startswith(" ", at + 1))
    words = _wording(found) if found else None
    book = _before().search(behind(text, at) + ".") if words or title else None
    if book is None or not is_prefix_or_none(book.group("prefix")):
        return None
    start = at + 1 - (book.end() - book.start("whole"))
    if start < floor:
        return None
    spoken, _ = _books()[0][fold_homophones(book.group("book"))]
    second = fold_homophones(title.group().strip(" .፡")) if title else ""
    is_whole = bool(second) and fold_homophones(spoken).endswith(" " + second)
    kind = f" {second}" if second in _KINDS and not is_whole else ""
    spoken = f"{_with_prefix(book.group('prefix'), spoken)}{book.group('kind')}{kind}"
    if found is not None and words is not None:
        return Found(start, found.end(), "verse", f"{spoken} {words}", Message("text.why_verse"))
    if title is None or not (kind or is_whole):
        return None
    return Found(start, title.end(), "verse", spoken, Message("text.why_verse"))


def _with_prefix(prefix: str, book: str) -> str:
    """Join a prefix and a book's name, whose genitive የ it replaces: በሐዋ. → በሐዋርያት ሥራ."""
    return prefix + (book.removeprefix("የ") if prefix else book)


_SECOND_WORD = re.compile(
    any_spelling(" ?(?:(?:ስራ|መአልክት|ዘ ?ሰሎሞን|ዳዊት|መዋእል|መልእክት|ወንጌል|ምእ|ምእራፍ)(?![ሀ-ፚ])|ም(?=[.፡]))[.፡]? ?")
)
"""The rest of a book's title, or the word chapter, behind a first word with a point: የሐዋ. ሥራ, ዘፍ. ም. 1፥1."""
_KINDS = frozenset(map(fold_homophones, ("ወንጌል", "መልእክት")))


def is_prefix_or_none(word: str) -> bool:
    """Whether `word` is empty or made of prefixes."""
    return not word or is_prefix(word)


def _meant(book: re.Match[str], reference: re.Match[str], text: str, left: str) -> bool:
    """Whether a form that may also be a name or a word is a book here."""
    grade = _books()[0][fold_homophones(book.group("book"))][1]
    by_sign = reference.group(2) == "፥" or reference.group(1)[0] >= "፩"
    shown = by_sign or bool(book.group("point") or book.group("kind"))
    if not grade or shown or re.search(r"(?:\d|[፩-፬]) ?(?:ኛ|ተኛ)? ?$", left[: book.start("whole")]):
        return True
    return grade == "name" and not _TIME_AFTER.match(text, reference.end())


def _wording(found: re.Match[str]) -> str | None:
    chapter, _, first, last, last_verse, others = found.groups()
    if not _value(chapter) or not _value(first):
        return None
    words = f"ምዕራፍ {_number(chapter)} ቁጥር {_number(first)}"
    if last_verse:
        return f"{words} እስከ ምዕራፍ {_number(last)} ቁጥር {_number(last_verse)}"
    words += f" እስከ {_number(last)}" if last else ""
    return words + "".join(f"፣ {numbers.decimal(one)}" for one in re.findall(r"\d+", others or ""))


def _value(written: str) -> int:
    return int(written) if written[0] in "0123456789" else _of_numeral(written)


def _of_numeral(written: str) -> int:
    try:
        return numbers.from_ethiopic(written)
    except TextError:
        return 0


def _number(written: str) -> str:
    return numbers.decimal(written) if written[0] in "0123456789" else numbers.ethiopic(written)
