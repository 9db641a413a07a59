"""Convert TOML to frozen dataclasses and back, strictly: an unknown key, a wrong type or choice is an error.

A settings class is a frozen dataclass whose fields have defaults and a docstring each; allowed
choices are a `Literal`, a range is checked in the class's own `__post_init__` (raise ConfigError).
A key that was renamed is listed in the class's `RENAMED: ClassVar[dict[str, str]]`, old → new whole key
("parts": "train.trainable"): the error for the old one names the new one.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import textwrap
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.base.plugins import nearest

S = TypeVar("S")


def read_toml(path: Path | str) -> dict[str, Any]:
    """Read a TOML file; ConfigError with the line for a syntax error."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))  # Windows editors begin with a BOM
    except FileNotFoundError as error:
        raise ConfigError("base.no_such_file", path=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("base.toml_invalid", path=path, error=error) from error


def from_table(kind: type[S], values: Mapping[str, Any], where: str, overrides: Sequence[str] = ()) -> S:
    """Build settings class `kind` from a TOML table named `where`, then apply "where.key=value" texts."""
    merged: dict[str, Any] = _copy(values)
    for text in overrides:
        path, value = parse_override(text)
        if path[: len(where.split("."))] == where.split("."):
            _put(merged, path[len(where.split(".")) :], value, text)
    return _build(kind, merged, where)


def parse_override(text: str) -> tuple[list[str], Any]:
    """Parse "train.learning_rate=2e-5" as (["train", "learning_rate"], 2e-05). Bare words count as
    strings."""
    key, sign, raw = text.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not sign or not all(path) or len(path) < 2:
        raise ConfigError("base.override_unreadable", text=text)
    try:
        return path, tomllib.loads(f"value = {raw.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return path, raw.strip()


def to_dict(settings: Any) -> dict[str, Any]:
    """Convert a settings object to nested plain values (tuples become lists), e.g. for JSON or TOML."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            out[field.name] = to_dict(value)
        elif isinstance(value, Mapping):
            out[field.name] = dict(value)
        elif isinstance(value, tuple):
            out[field.name] = list(value)
        else:
            out[field.name] = value
    return out


def to_toml(settings: Any, table: str, *, comments: bool = False) -> str:
    """Format a settings object as a TOML table; with `comments`, each key under its docstring.

    A value of None (an unset optional) is written as a comment, as TOML has no null.
    """
    notes = field_notes(type(settings)) if comments else {}
    lines = [f"[{table}]"]
    nested: list[str] = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            nested.append(to_toml(value, f"{table}.{field.name}", comments=comments))
            continue
        lines += [f"# {line}" for line in textwrap.wrap(notes.get(field.name, ""), 96)]
        lines.append(f"# {field.name} =" if value is None else f"{field.name} = {_toml(value)}")
    return "\n".join([*lines, "", *nested])


def field_notes(kind: type) -> dict[str, str]:
    """Return the docstring under each field in the class body, by field name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = typing.cast(ast.ClassDef, tree.body[0]).body
    notes: dict[str, str] = {}
    for first, second in itertools.pairwise(body):
        if (
            isinstance(first, ast.AnnAssign)
            and isinstance(first.target, ast.Name)
            and isinstance(second, ast.Expr)
            and isinstance(second.value, ast.Constant)
            and isinstance(second.value.value, str)
        ):
            notes[first.target.id] = " ".join(second.value.value.split())
    return notes


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in values.items()}


def _put(values: dict[str, Any], path: list[str], value: Any, text: str) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError("base.override_not_table", text=text, part=part)
    if not path:
        raise ConfigError("base.override_names_table", text=text)
    values[path[-1]] = value


def _build(kind: type[S], values: Mapping[str, Any], where: str) -> S:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    renamed: Mapping[str, str] = getattr(kind, "RENAMED", {})
    for key in values:
        if new := renamed.get(key):
            raise ConfigError("base.setting_renamed", where=where, key=key, new=new)
        if key not in names:
            raise ConfigError("base.unknown_setting", where=where, key=key, nearest=nearest(key, names))
    return kind(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigError("base.not_a_table", where=where, value=value)
        return _build(hint, value, where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(
                "base.not_choice", where=where, value=value, nearest=nearest(str(value), map(str, arguments))
            )
        return value
    if origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        errors = []
        for argument in inner:
            try:
                return _convert(argument, value, where)
            except ConfigError as error:
                errors.append(error)
        raise errors[-1]
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if isinstance(value, dict):
            return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif (hint is int and isinstance(value, int) and not isinstance(value, bool)) or (
        hint in (str, bool) and isinstance(value, hint)
    ):
        return value
    raise ConfigError("base.wrong_type", where=where, value=value, expected=Message(_kind_code(hint)))


def _kind_code(hint: Any) -> str:
    codes = {
        str: "base.a_text",
        bool: "base.true_or_false",
        int: "base.a_whole_number",
        float: "base.a_number",
    }
    return codes.get(hint, "base.a_list" if typing.get_origin(hint) is tuple else "base.a_table")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_text(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"no TOML for {type(value)}")


def _toml_text(text: str) -> str:
    # a JSON string is a TOML basic string, but for DEL, which TOML wants escaped
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
