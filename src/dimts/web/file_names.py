"""Names that came from a browser or a person, as names of files."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PureWindowsPath

_STEM_LETTERS = 40
_UNSAFE = re.compile(r"[^\w.-]+")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe_name(name: str) -> str:
    """The last part of a name, in letters that every file system takes; never hidden, never empty."""
    safe = _safer(name)
    while safe != name:  # what is taken away may lay another ending bare: "a.B.!"
        name, safe = safe, _safer(safe)
    return safe


def _safer(name: str) -> str:
    last = PureWindowsPath(unicodedata.normalize("NFC", name).replace("\0", "")).name
    stem, suffix = _UNSAFE.sub("_", Path(last).stem).strip("._ "), _UNSAFE.sub("", Path(last).suffix.lower())
    stem, suffix = stem[:_STEM_LETTERS].rstrip("._") or "file", suffix.rstrip(".")
    return f"{'_' if _DEVICES.fullmatch(stem) else ''}{stem}{suffix}"
