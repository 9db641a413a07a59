"""Run pip for this Python as a list of arguments: resolve, install, and restore the earlier state."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from dimts.base.errors import InstallError
from dimts.base.messages import Message
from dimts.install.plan import PlanItem, index_of

_LIST_SECONDS = 120.0
_TRY_SECONDS = 900.0
_INSTALL_SECONDS = 7200.0
_NETWORK = ("--retries", "2", "--timeout", "20")


@dataclass(frozen=True, slots=True)
class Installed:
    """The installed distributions: the version of each, and the line of pip that reinstalls it."""

    versions: dict[str, str]
    """Versions by normalised name."""
    lines: dict[str, str]
    """Lines of `pip freeze` by normalised name: a requirement, a file, or an editable folder."""


def installed() -> Installed:
    """List all distributions of this Python."""
    listed = json.loads(_checked(["list", "--format", "json"], _LIST_SECONDS))
    lines = {}
    for line in _checked(["freeze", "--all"], _LIST_SECONDS).splitlines():
        if name := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line):
            lines[_normal(name[0])] = line
    return Installed({_normal(one["name"]): one["version"] for one in listed}, lines)


def would_install(item: PlanItem) -> tuple[str, ...]:
    """Return `name version` of all that pip would install for an item. InstallError where it does not
    resolve."""
    report = _checked(
        [*_command(item), "--dry-run", "--quiet", "--report", "-"],
        _TRY_SECONDS,
        "install.does_not_resolve",
        item.name,
    )
    found = [one["metadata"] for one in json.loads(report).get("install", [])]
    return tuple(f"{one['name']} {one['version']}" for one in found)


def install(item: PlanItem) -> None:
    """Install an item, with pip's own progress on stderr. InstallError where pip fails."""
    try:
        done = subprocess.run(  # noqa: S603 (this Python, words of our own, no shell)
            [sys.executable, "-m", "pip", *_command(item)],
            stdout=sys.stderr,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError("install.pip_took_too_long", name=item.name, seconds=error.timeout) from error
    if done.returncode:
        raise InstallError("install.pip_failed", name=item.name, code=done.returncode)


@dataclass(frozen=True, slots=True)
class Rollback:
    """Steps from one state back to another: distributions to remove, lines to reinstall."""

    remove: tuple[str, ...]
    restore: tuple[str, ...]


def rollback_between(before: Installed, after: Installed) -> Rollback:
    """Compute the steps from `after` back to `before`."""
    added = tuple(sorted(set(after.versions) - set(before.versions)))
    changed = sorted(name for name, version in before.versions.items() if after.versions.get(name) != version)
    return Rollback(
        added, tuple(before.lines.get(name, f"{name}=={before.versions[name]}") for name in changed)
    )


def roll_back(before: Installed) -> tuple[str, ...]:
    """Restore what was installed before; returns the distributions that could not be restored."""
    way = rollback_between(before, installed())
    if way.remove:
        _run(["uninstall", "--yes", "--quiet", *way.remove], _INSTALL_SECONDS)
    for line in way.restore:
        index = index_of(line)
        source = ["--index-url", index] if index else []
        words = line.removeprefix("-e ") if line.startswith("-e ") else line
        editable = ["--editable"] if line.startswith("-e ") else []
        command = ["install", "--no-deps", "--quiet", *_NETWORK, *source, *editable, words]
        if (
            _run(command, _INSTALL_SECONDS).returncode and source
        ):  # a mirror or a folder of wheels may have it
            _run(["install", "--no-deps", "--quiet", *_NETWORK, words], _INSTALL_SECONDS)
    left = rollback_between(before, installed())
    return (*left.remove, *left.restore)


def _command(item: PlanItem) -> list[str]:
    upgrade = ["--upgrade", "--upgrade-strategy", "only-if-needed"] if item.index else []
    index = ["--index-url", item.index] if item.index else []
    return ["install", "--no-input", *_NETWORK, *upgrade, *index, *item.requirements]


def _run(arguments: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (this Python, words of our own, no shell)
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def _checked(
    arguments: Sequence[str], seconds: float, code: str = "install.pip_failed_to_list", name: str = ""
) -> str:
    """Return the output of pip. InstallError with the last line of its error."""
    try:
        done = _run(arguments, seconds)
    except subprocess.TimeoutExpired as error:
        raise InstallError("install.pip_took_too_long", name=name, seconds=seconds) from error
    if done.returncode:
        complaint = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()
        raise InstallError(
            Message(code, name=name, reason=complaint[-1].strip() if complaint else done.returncode)
        )
    return done.stdout


def _normal(name: str) -> str:
    """Normalise a distribution's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()
