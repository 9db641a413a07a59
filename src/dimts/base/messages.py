"""Messages as data: a code and parameters, with texts in English and Amharic in catalogues by code.

    Message("data.no_recording", path="a.csv", row=3).text("am")

The part of a code before its first point names the catalogue (a gettext domain):
`locale/LANGUAGE/LC_MESSAGES/data.mo`, compiled from the `.po` beside it by `tools/messages.py`. The same code
under the context "remedy" says what to do about it. Parameters are filled in by name and are never read
again, so that a value with braces or newlines stays what it is. Nothing here imports more than the standard
library, and a catalogue is read when it is first needed.
"""

from __future__ import annotations

import gettext
import os
import string
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "am")
"""Languages that have catalogues; every message has the first."""
LANGUAGE_VARIABLE = "DIMTS_LANG"
REMEDY = "remedy"
"""gettext context of the remedies of messages."""

_LOCALE = Path(__file__).parent / "locale"
_SEPARATORS = {"en": (", ", "; "), "am": ("፣ ", "፤ ")}
"""Separators of a list of values, and of a list of messages."""


class Message:
    """A stable code and the values of its parameters.

    A value is text, a number, a path, another Message, or a sequence of these.
    """

    __slots__ = ("code", "parameters")

    def __init__(self, code: str, /, **parameters: Any) -> None:
        self.code = code
        """Code `catalogue.name`, e.g. "data.no_recording"."""
        self.parameters: dict[str, Any] = {name: _plain(value) for name, value in parameters.items()}

    def text(self, language: str | None = None) -> str:
        """Return the message in `language`; in that of the process (`current_language`) where none is
        given."""
        language = language or current_language()
        template = _catalogue(language, self.code).gettext(self.code)
        return _fill(template, self.parameters, language) if template != self.code else self._bare()

    def remedy(self, language: str | None = None) -> str:
        """Return the remedy in `language`; empty where none is known."""
        language = language or current_language()
        template = _catalogue(language, self.code).pgettext(REMEDY, self.code)
        return _fill(template, self.parameters, language) if template != self.code else ""

    def line(self, language: str | None = None) -> str:
        """Return the message on one line: every run of white space in it becomes one space."""
        return " ".join(self.text(language).split())

    def as_dict(self) -> dict[str, Any]:
        """Return `{"code": …, "parameters": {…}}` for JSON; messages within become dictionaries too."""
        return {
            "code": self.code,
            "parameters": {name: _to_json(value) for name, value in self.parameters.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Message:
        """Invert `as_dict`. ValueError for a dictionary of another shape."""
        code, parameters = data.get("code"), data.get("parameters", {})
        if not isinstance(code, str) or not isinstance(parameters, Mapping):
            raise ValueError(f"not a message: {data!r}")
        return cls(code, **{str(name): _from_json(value) for name, value in parameters.items()})

    def _bare(self) -> str:
        """Return the code and its values, for a message without a catalogue (a plug-in's)."""
        values = " ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.code} {values}".rstrip()

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"Message({self._bare()})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.code == other.code and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash(self.code)


def current_language() -> str:
    """Return the language of this process: `DIMTS_LANG`, else the locale's if it has a catalogue, else
    English."""
    for variable in (LANGUAGE_VARIABLE, "LC_ALL", "LC_MESSAGES", "LANG"):
        language = os.environ.get(variable, "").split("_")[0].split(".")[0].lower()
        if language:
            return language if language in LANGUAGES else LANGUAGES[0]
    return LANGUAGES[0]


def fields(template: str) -> frozenset[str]:
    """Return the names of the parameters in a template of a catalogue."""
    names = (name for _, name, _, _ in string.Formatter().parse(template) if name)
    return frozenset(name.split(".")[0].split("[")[0] for name in names)


def catalogue_text(code: str, language: str) -> str:
    """Return the text of a code as the catalogue of `language` has it, with its fields unfilled; empty where
    it has none."""
    text = _catalogue(language, code).gettext(code)
    return "" if text == code else text


@cache
def _catalogue(language: str, code: str) -> gettext.NullTranslations:
    return _read(language, code.partition(".")[0])


@cache
def _read(language: str, domain: str) -> gettext.NullTranslations:
    found = gettext.translation(domain, _LOCALE, languages=[language], fallback=True)
    if language != LANGUAGES[0]:
        found.add_fallback(_read(LANGUAGES[0], domain))
    return found


def _fill(template: str, parameters: Mapping[str, Any], language: str) -> str:
    values = {name: _rendered(value, language) for name, value in parameters.items()}
    return _Lenient().vformat(template, (), values)


class _Lenient(string.Formatter):
    """Formatter that never fails: a message read from a file is shown as far as possible."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format a value; one that does not fit its format is shown as it is."""
        try:
            return str(super().format_field(value, format_spec))
        except (ValueError, TypeError):
            return str(value)

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return a parameter; "?" for one that is absent, or has no such part."""
        try:
            return super().get_field(field_name, args, kwargs)
        except (LookupError, AttributeError, TypeError):
            return "?", field_name


class _Nested:
    """A message within a message: `{reason}` is its text, `{reason.remedy}` its remedy."""

    def __init__(self, message: Message, language: str) -> None:
        self._message, self._language = message, language

    @property
    def remedy(self) -> str:
        return self._message.remedy(self._language)

    def __format__(self, spec: str) -> str:
        return format(self._message.text(self._language), spec)

    def __str__(self) -> str:
        return self._message.text(self._language)


def _rendered(value: Any, language: str) -> Any:
    if isinstance(value, Message):
        return _Nested(value, language)
    if isinstance(value, tuple):
        between = _SEPARATORS[language][any(isinstance(one, Message) for one in value)]
        return between.join(str(_rendered(one, language)) for one in value)
    return "" if value is None else value


def _plain(value: Any) -> Any:
    """Convert a value for storage in a message: text, a number, None, a Message, or a tuple of these."""
    if value is None or isinstance(value, str | bool | int | float | Message):
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return tuple(_plain(one) for one in value)
    if hasattr(value, "item"):  # a number of numpy or torch
        return _plain(value.item())
    if isinstance(message := getattr(value, "message", None), Message):  # an error of ours
        return message
    return str(value)


def _to_json(value: Any) -> Any:
    if isinstance(value, Message):
        return value.as_dict()
    return [_to_json(one) for one in value] if isinstance(value, tuple) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Message.from_dict(value)
    return tuple(_from_json(one) for one in value) if isinstance(value, list) else value
