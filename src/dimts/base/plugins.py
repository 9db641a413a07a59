"""Resolve implementations by name, and import optional libraries.

A table is a plain dictionary in the module that owns it. Entry points are looked up only for names that the
table does not have; plug-ins and built-ins are resolved by the same function.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from importlib import metadata, util
from types import ModuleType
from typing import TypeVar

from dimts.base.errors import ConfigError, MissingExtra
from dimts.base.messages import Message

T = TypeVar("T")


def require(library: str, extra: str) -> ModuleType:
    """Import `library`, or raise MissingExtra with the command that installs it."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == library.split(".")[0]
        raise MissingExtra(library, extra, "" if absent else str(error)) from error


def has(library: str) -> bool:
    """Whether `library` could be imported, without importing it."""
    try:
        return util.find_spec(library) is not None
    except (ImportError, ValueError):
        return False


def resolve(name: str, table: Mapping[str, T], group: str) -> T:
    """Return the entry `name` of `table`, else of the entry-point `group`; ConfigError names the nearest."""
    if name in table:
        return table[name]
    points = metadata.entry_points(group=group)
    for point in points:
        if point.name == name:
            found: T = point.load()
            return found
    raise ConfigError(
        "base.unknown_plugin",
        group=group.removeprefix("dimts."),
        name=name,
        nearest=nearest(name, [*table, *points.names]),
    )


def nearest(name: str, known: Iterable[str]) -> Message:
    """Return a remedy for a misspelt name: the nearest known one, else all of them."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return Message("base.did_you_mean", name=close[0]) if close else Message("base.known_names", names=known)
