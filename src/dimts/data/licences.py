"""Judge licences of recordings by their names: which allow everything a voice may be used for.

A licence is a text as its source states it: an SPDX name, the hub's spelling of one, or nothing at all.
"""

from __future__ import annotations

import re

UNKNOWN = "unknown"
"""Stands where a source states no licence."""

_PARTS = re.compile(r"\s+(?:AND|WITH)\s+|\s*[;,/]\s*")
_CHOICES = re.compile(r"\s+OR\s+")
_SPACES = re.compile(r"[\s_]+")
_FREE = re.compile(
    r"CC0(-1\.0)?|CC-?ZERO|CC-BY(-SA)?(-\d(\.\d)?)?(-[A-Z]{2})?|PUBLIC-DOMAIN|PDDL(-1\.0)?|ODC-BY(-1\.0)?|ODBL(-1\.0)?|"
    r"MIT|ISC|0BSD|BSD(-\d-CLAUSE)?|APACHE(-LICENSE)?(-2\.0)?|CDLA-PERMISSIVE-\d\.\d|UNLICENSE"
)
"""Licences that allow use, change and sale; at most the author must be named and terms passed on."""


def is_free(licence: str) -> bool:
    """Whether anybody may use, change and sell what is under a licence; False for an unknown one.

    Example: is_free("cc-by-4.0") is True, is_free("CC-BY-NC-4.0") and is_free("") are False.
    """
    parts = [part for part in _PARTS.split(licence.strip().upper()) if part]
    return bool(parts) and all(
        any(_FREE.fullmatch(_SPACES.sub("-", one.strip("() "))) for one in _CHOICES.split(part))
        for part in parts
    )


def spdx(name: str) -> str:
    """A licence in the hub's small letters as SPDX writes it; other names stay as they are."""
    upper = name.strip().upper()
    return upper if _FREE.fullmatch(upper) or upper.startswith("CC-") else name.strip()
