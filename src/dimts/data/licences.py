"""Classify licences of recordings by their names: which allow all uses of a voice.

A licence is a text as its source states it: an SPDX name, the hub's spelling of one, or nothing at all.
"""

from __future__ import annotations

import re

UNKNOWN = "unknown"
"""Licence name where a source states none."""

_PARTS = re.compile(r"\s+(?:AND|WITH)\s+|\s*[;,/]\s*")
_CHOICES = re.compile(r"\s+OR\s+")
_SPACES = re.compile(r"[\s_]+")
_FREE = re.compile(
    r"CC0(-1\.0)?|CC-?ZERO|CC-BY(-SA)?(-\d(\.\d)?)?(-[A-Z]{2})?|PUBLIC-DOMAIN|PDDL(-1\.0)?|ODC-BY(-1\.0)?|ODBL(-1\.0)?|"
    r"MIT|ISC|0BSD|BSD(-\d-CLAUSE)?|APACHE(-LICENSE)?(-2\.0)?|CDLA-PERMISSIVE-\d\.\d|UNLICENSE"
)
"""Licences that allow use, change and sale; at most the author must be named and terms passed on."""


def is_free(licence: str) -> bool:
    """Whether a licence allows anybody to use, change and sell; False for an unknown one.

    Example: is_free("cc-by-4.0") is True, is_free("CC-BY-NC-4.0") and is_free("") are False.
    """
    parts = [part for part in _PARTS.split(licence.strip().upper()) if part]
    return bool(parts) and all(
        any(_FREE.fullmatch(_SPACES.sub("-", one.strip("() "))) for one in _CHOICES.split(part))
        for part in parts
    )


def spdx(name: str) -> str:
    """Convert a licence from the hub's lower-case name to SPDX; other names are unchanged."""
    upper = name.strip().upper()
    return upper if _FREE.fullmatch(upper) or upper.startswith("CC-") else name.strip()
