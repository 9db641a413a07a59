"""Read text files: UTF-8 or, with a byte order mark, UTF-16; always as NFC."""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from pathlib import Path

from dimts.base.errors import SourceError

_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Characters without width that word processors and web pages leave behind: soft hyphens, marks of direction,
byte order marks of joined files."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_text(path: Path) -> str:
    """Read a file as text in NFC. SourceError for a file that cannot be read or is in another encoding."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise SourceError("data.unreadable_file", path=shown(path), reason=reason) from error
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise SourceError("data.not_utf8_file", path=shown(path), reason=error.reason) from error
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def is_unicode(text: str) -> bool:
    """Whether a text has no half characters (surrogates), which cannot be written."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_utf8(path: Path) -> bool:
    """Whether the bytes of a file's name are UTF-8."""
    return is_unicode(str(path))


def shown(path: Path) -> str:
    """Format a path as text that can be written anywhere; bytes that are not UTF-8 become �."""
    return os.fsencode(path).decode("utf-8", "replace")


def name_key(name: str) -> str:
    """Normalise a file name across file systems: case, and composed or decomposed letters."""
    return unicodedata.normalize("NFC", name).casefold()
