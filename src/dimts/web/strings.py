"""Texts of the page in English and Amharic: one table, `strings.tsv`, with a column for each language.

Every text of the page is in the table. A missing key is a bug and raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

LANGUAGES = ("en", "am")
"""Languages in the order of the table's columns."""
_NAMES = {"en": "English", "am": "አማርኛ"}
_FIELD = re.compile(r"\{(\w+)")


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Read the table: language → key → text; rows that begin with # are comments."""
    out: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    content = resources.files("dimts.web").joinpath("strings.tsv").read_text(encoding="utf-8")
    for line in content.splitlines():
        if not line or line.startswith("#"):
            continue
        key, *texts = line.split("\t")
        for language, text in zip(LANGUAGES, texts, strict=True):
            if key in out[language]:
                raise KeyError(f"strings.tsv says {key!r} twice")
            out[language][key] = text.replace("\\n", "\n")
    return out


class Strings:
    """Texts of the page in one language: `strings("jobs.step", done=3, total=50)`."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = table()[language]

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of `key` with `values` filled in. KeyError for an unknown key."""
        text = self._texts[key]
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Whether the table has a key."""
        return key in self._texts

    @property
    def other(self) -> tuple[str, str]:
        """Return the other language and its own name."""
        code = next(language for language in LANGUAGES if language != self.language)
        return code, _NAMES[code]


def fields(text: str) -> frozenset[str]:
    """Return the names of the values in a text."""
    return frozenset(_FIELD.findall(text))


def chosen(accepted: str, languages: Iterable[str] = LANGUAGES) -> str:
    """Choose the language that a browser prefers, by its Accept-Language header (RFC 9110, 12.5.4)."""
    known = list(languages)
    best, weight = known[0], 0.0
    for item in accepted.split(","):
        tag, _, rest = item.strip().partition(";")
        code = tag.split("-")[0].lower()
        quality = rest.strip().removeprefix("q=").strip()
        try:
            share = float(quality) if quality else 1.0
        except ValueError:
            continue
        if code in known and share > weight:
            best, weight = code, share
    return best
