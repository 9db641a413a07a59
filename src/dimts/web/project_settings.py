"""Read and write single keys of dimts.toml for the page's controls. Comments and order are kept.

The edit is on the file's own syntax tree (tomlkit); it is written only when the changed file, read again,
differs from the old one in that key alone and is accepted by the settings class.
"""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Mapping, MutableMapping
from typing import Any

from dimts.base.config import from_table, to_dict
from dimts.base.errors import ConfigError
from dimts.base.files import write_text
from dimts.base.plugins import require
from dimts.base.project import SETTINGS_FILE, Project, ProjectSettings

_ONE_WRITER = threading.Lock()


def classes() -> dict[str, type]:
    """Return the settings class of each table of dimts.toml."""
    from dimts.data.context import PrepareSettings
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
    """Return every setting of the project by its dotted key, defaults included; lists for tuples.

    Raises ConfigError for a dimts.toml that cannot be used.
    """
    out: dict[str, Any] = {}
    for table, kind in classes().items():
        _flatten(to_dict(project.settings(table, kind)), table, out)
    return out


def stamp(project: Project) -> tuple[int, int]:
    """Return a pair that changes when dimts.toml is written: time in ns, size in bytes. (0, 0) where there is
    none."""
    try:
        found = (project.root / SETTINGS_FILE).stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def put(project: Project, changes: Mapping[str, Any]) -> None:
    """Write some settings, all of them or none. ConfigError for an invalid value; the file is then
    unchanged."""
    with _ONE_WRITER:
        path = project.root / SETTINGS_FILE
        old = path.read_text(encoding="utf-8-sig")
        text = edited(old, changes)
        if text == old:
            return
        content = tomllib.loads(text)
        for table, kind in classes().items():
            from_table(kind, content.get(table, {}), table)
        write_text(path, text)


def edited(text: str, changes: Mapping[str, Any]) -> str:
    """Set dotted keys in the text of a TOML file to their values; None unsets a key.

    Raises ConfigError where the file is written in a way that cannot be edited.
    """
    tomlkit = require("tomlkit", "ui")
    wanted = tomllib.loads(text)
    moved = {key: value for key, value in changes.items() if _set(wanted, key, value)}
    if not moved:
        return text
    try:
        document = tomlkit.parse(text)
        for key, value in moved.items():
            _set(document, key, value, tomlkit.table)
        result: str = tomlkit.dumps(document)
        same = _whole(tomllib.loads(result)) == _whole(wanted)
    except (tomlkit.exceptions.TOMLKitError, tomllib.TOMLDecodeError):
        same = False
    if not same:
        raise ConfigError("web.setting_not_editable", key=", ".join(moved), settings_file=SETTINGS_FILE)
    return result


def _set(tables: MutableMapping[str, Any], key: str, value: Any, new_table: Any = dict) -> bool:
    """Set a dotted key in nested tables; False where it has that value already."""
    *path, name = key.split(".")
    for part in path:
        if part not in tables:
            if value is None:
                return False
            tables[part] = new_table()
        tables = tables[part]
    if value is None:
        return tables.pop(name, None) is not None
    if name in tables and tables[name] == value and isinstance(tables[name], bool) == isinstance(value, bool):
        return False
    tables[name] = list(value) if isinstance(value, tuple) else value
    return True


def _whole(content: Any) -> Any:
    """Remove empty tables."""
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
