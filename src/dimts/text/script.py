"""Clean raw Unicode: NFC, one kind of space, ASCII digits, no invisible signs.

All changes but composition and the removal of invisible signs keep the length, so that spans refer to the
given text; `Clean.place` maps back where the length has changed.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from dimts.text.reading import FIDEL

_USUAL = re.compile(f"[^ -~\\n{FIDEL}፠-፨፩-፼]+")
_INVISIBLE_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Me")
_KEPT_MARKS = "\u135d\u135e\u135f"
_EMOJI_JOINERS = "\u200d\ufe0f"
"""Zero-width joiner and emoji selector: part of an emoji, dropped like all invisible signs."""
_TYPED = {
    "\u2018": "'", "\u2019": "'", "\u201b": "'", "\u02bc": "'", "\u00b4": "'", "\u0060": "'",
    "\u2010": "-", "\u2011": "-", "\u2012": "–", "\u2015": "—", "\u2212": "−", "\ufe63": "-",
    "\u2236": ":", "\u2044": "/", "\u2215": "/", "\u29f8": "/", "\u066b": ".", "\u066c": ",", "\u060c": ",",
    "\u061b": ";", "\u061f": "?", "\u3002": ".", "\u3001": ",", "\u066a": "%", "\u00ba": "°", "\u2219": "·",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clean:
    """`text` to read, and the position of each of its characters in `written`."""

    written: str
    text: str
    places: array[int] | None = None
    """Index into `written` of every character of `text`; None where they are the same."""

    def place(self, index: int) -> int:
        """Return the index in `written` of index `index` in `text` (its length maps to the end)."""
        if self.places is None:
            return index
        return self.places[index] if index < len(self.places) else len(self.written)


def clean(raw: str) -> Clean:
    """Clean a text: NFC; every space a plain one; digits of all scripts ASCII; full-width signs plain;
    invisible signs removed."""
    if not unicodedata.is_normalized("NFC", raw):
        return _composed(raw)
    written = raw
    if _USUAL.search(written) is None and not _CONTROL.search(written):
        return Clean(written, written)
    text = _USUAL.sub(_replace, written)
    text = _CONTROL.sub(lambda found: "".join(map(_plain, found.group())), text)
    if _GONE not in text:
        return Clean(written, text)
    kept = array("q", (index for index, char in enumerate(text) if char != _GONE))
    return Clean(written, text.replace(_GONE, ""), kept)


def _composed(raw: str) -> Clean:
    """Clean a text that is not in NFC, with positions in the text as given."""
    whole = unicodedata.normalize("NFC", raw)
    pieces: list[str] = []
    origins = array("q")
    for start, cluster in _clusters(raw):
        piece = unicodedata.normalize("NFC", cluster)
        pieces.append(piece)
        origins.extend([start] * len(piece))
    if "".join(pieces) != whole:  # letters that compose although none of them is a mark, as in Hangul
        origins = array("q", (min(at, len(raw) - 1) for at in range(len(whole))))
    inner = clean(whole)
    places = origins if inner.places is None else array("q", (origins[at] for at in inner.places))
    return Clean(raw, inner.text, places)


def _clusters(raw: str) -> Iterator[tuple[int, str]]:
    """Yield each character with the combining marks behind it, and where it begins."""
    start = 0
    for at in range(1, len(raw) + 1):
        if at == len(raw) or not unicodedata.combining(raw[at]):
            yield start, raw[start:at]
            start = at


_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f`]")
_GONE = "\x00"
"""Placeholder of a sign to remove, until all are removed at once."""
_cache: dict[str, str] = {}


def _replace(found: re.Match[str]) -> str:
    return "".join([_cache.get(char) or _plain(char) for char in found.group()])


def _plain(char: str) -> str:
    plain = _look_up(char)
    if len(_cache) < _CACHE_SIZE:
        _cache[char] = plain
    return plain


_CACHE_SIZE = 4096


def _look_up(char: str) -> str:
    """Return the one character that represents `char`; _GONE for what is invisible."""
    if char in _TYPED:
        return _TYPED[char]
    if char.isspace() or char == "\u180e":
        return " "
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.digit(char))
    if category in _INVISIBLE_CATEGORIES and char not in _KEPT_MARKS:
        return _GONE
    if "\uff01" <= char <= "\uff5e":
        return chr(ord(char) - 0xFEE0)
    return char
