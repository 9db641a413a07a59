"""One key of dimts.toml ↔ one value: what a control of the page reads and writes. Comments and order stay.

The edit is on the text of the file, so that people's own remarks survive; it is believed only when the
changed file, read again, differs from the old one in that key alone and is accepted by the settings class.
"""

from __future__ import annotations

import re
import threading
import tomllib
from collections.abc import Mapping
from typing import Any

from dimts.base.config import from_table, to_dict
from dimts.base.errors import ConfigError
from dimts.base.files import write_text
from dimts.base.project import SETTINGS_FILE, Project, ProjectSettings

_ONE_WRITER = threading.Lock()
_HEADER = re.compile(r"^\s*\[([^\[\]]+)\]\s*(?:#.*)?$")


def classes() -> dict[str, type]:
    """Table of dimts.toml → its settings class."""
    from dimts.data.prepare import PrepareSettings
    from dimts.speak import SpeakSettings
    from dimts.text.frontend import FrontendSettings
    from dimts.train.settings import TrainSettings

    return {
        "project": ProjectSettings,
        "text": FrontendSettings,
        "data": PrepareSettings,
        "train": TrainSettings,
        "speak": SpeakSettings,
    }


def get(project: Project) -> dict[str, Any]:
    """Every setting of the project by its dotted key, defaults included; lists for tuples.

    Raises ConfigError for a dimts.toml that cannot be used.
    """
    out: dict[str, Any] = {}
    for table, kind in classes().items():
        _flatten(to_dict(project.settings(table, kind)), table, out)
    return out


def put(project: Project, changes: Mapping[str, Any]) -> None:
    """Write some settings, all of them or none. ConfigError for a value that is not allowed; the file then stays."""
    with _ONE_WRITER:
        path = project.root / SETTINGS_FILE
        old = text = path.read_text(encoding="utf-8")
        for key, value in changes.items():
            text = edited(text, key, value)
        if text == old:
            return
        content = tomllib.loads(text)
        for table, kind in classes().items():
            from_table(kind, content.get(table, {}), table)
        write_text(path, text)


def edited(text: str, key: str, value: Any) -> str:
    """The text of a TOML file with the dotted `key` set to `value`; None unsets it.

    Raises ConfigError where the file is written in a way that cannot be edited line by line.
    """
    wanted = tomllib.loads(text)
    *path, name = key.split(".")
    table = wanted
    for part in path:
        table = table.setdefault(part, {})
    if table.get(name) == value and type(table.get(name)) is type(value):
        return text
    if value is None:
        table.pop(name, None)
    else:
        table[name] = value
    # not splitlines, to which more signs than the line feed end a line
    result = _with_line(text.removesuffix("\n").split("\n"), ".".join(path), name, value)
    try:
        same = _whole(tomllib.loads(result)) == _whole(wanted)
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise ConfigError("web.setting_not_editable", key=key, settings_file=SETTINGS_FILE)
    return result


def _with_line(lines: list[str], table: str, name: str, value: Any) -> str:
    line = f"# {name} =" if value is None else f"{name} = {toml(value)}"
    start = next((at for at, text in enumerate(lines) if (m := _HEADER.match(text)) and m[1].strip() == table), None)
    if start is None:
        return "\n".join([*lines, "", f"[{table}]", line, ""])
    end = next((at for at in range(start + 1, len(lines)) if _HEADER.match(lines[at])), len(lines))
    set_, unset = re.compile(rf"^\s*{re.escape(name)}\s*="), re.compile(rf"^#\s*{re.escape(name)}\s*=\s*$")
    for pattern in (set_, unset):
        for at in range(start + 1, end):
            if pattern.match(lines[at]):
                last = _extent(lines, at, end) if pattern is set_ else at + 1
                return "\n".join([*lines[:at], line, *lines[last:], ""])
    return "\n".join([*lines[: start + 1], line, *lines[start + 1 :], ""])


def _extent(lines: list[str], at: int, end: int) -> int:
    """The line after a value that may stand on several."""
    for last in range(at + 1, end + 1):
        try:
            tomllib.loads("\n".join(lines[at:last]))
        except tomllib.TOMLDecodeError:
            continue
        return last
    return at + 1


def toml(value: Any) -> str:
    """A value as TOML."""
    import json

    if isinstance(value, str):
        # a JSON string is a TOML basic string, but for DEL, which TOML wants escaped
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value)


def _whole(content: Any) -> Any:
    """Tables that hold nothing are no tables."""
    if not isinstance(content, dict):
        return content
    inner = {key: _whole(value) for key, value in content.items()}
    return {key: value for key, value in inner.items() if value != {}}


def _flatten(values: Mapping[str, Any], prefix: str, out: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _flatten(value, f"{prefix}.{name}", out)
        else:
            out[f"{prefix}.{name}"] = value
