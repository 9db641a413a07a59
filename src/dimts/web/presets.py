"""Settings of training for a kind of machine, from `recipes/`: chosen whole instead of field by field.

A preset sets every key of [train] that any of them names, to its own value or to the default; so nothing of
the one chosen before is left behind. Other tables, and other keys of [train], stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from dimts.base.config import read_toml
from dimts.base.errors import ConfigError
from dimts.base.project import Project
from dimts.web import project_settings
from dimts.web.controls import default

if TYPE_CHECKING:
    from dimts.train.capabilities import MachineInfo

NAMES = ("cpu-tiny", "4gb-lora", "8gb-lora", "12gb", "24gb-full", "80gb")
"""Recipes that one run of training carries out; "small-base" takes several, which the command line starts."""
_GIGABYTE = 1e9
_CARDS = {70.0: "80gb", 22.0: "24gb-full", 11.0: "12gb", 7.0: "8gb-lora", 0.0: "4gb-lora"}
"""Least memory of a CUDA card in GB → the preset for it."""


@cache
def values(name: str) -> Mapping[str, Any]:
    """Dotted key of dimts.toml → value, as a preset's recipe says. ConfigError for an unknown preset."""
    if name not in NAMES:
        raise ConfigError("web.unknown_preset", name=name[:60], known=NAMES)
    with resources.as_file(resources.files("dimts") / "recipes" / f"{name}.toml") as path:
        return _flat(read_toml(path)["train"], "train")


def suits(machine: MachineInfo) -> str:
    """The preset for a machine."""
    if machine.device != "cuda":
        return NAMES[0]
    return next(name for least, name in _CARDS.items() if machine.memory_bytes / _GIGABYTE >= least)


def wanted(name: str) -> dict[str, Any]:
    """Every key that a preset sets, with those that it takes back to their defaults."""
    keys = {key: None for one in NAMES for key in values(one)}
    return {key: values(name).get(key, default(key)) for key in keys}


def apply(project: Project, name: str) -> None:
    """Write a preset into the project's settings. ConfigError as `values` and `project_settings.put`."""
    now = project_settings.get(project)
    changes = {key: value for key, value in wanted(name).items() if now[key] != value}
    project_settings.put(project, changes)


def chosen(project: Project) -> str | None:
    """The preset that the project's settings are; None where a person has set something else."""
    now = project_settings.get(project)
    return next((name for name in NAMES if all(now[k] == v for k, v in wanted(name).items())), None)


def _flat(table: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}.{key}"
        out.update(_flat(value, name) if isinstance(value, Mapping) else {name: value})
    return out
