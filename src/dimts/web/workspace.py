"""The projects in the page's folder. A browser names projects, voices and runs, never paths.

The folder is a project itself, or contains some. A name from a browser is looked up among the existing names,
so that none can lead out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from dimts.base.errors import DimtsError, ProjectError
from dimts.base.messages import LANGUAGE_VARIABLE, Message
from dimts.base.project import SETTINGS_FILE, Project
from dimts.web import events
from dimts.web.jobs import Jobs

_NAME = re.compile(r"[\w][\w.-]{0,63}")
_NEW_SECONDS = 120.0
CACHE = ".web"
"""Folder beside the projects for uploads and audio in use."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of the page's projects."""

    root: Path

    @property
    def single(self) -> bool:
        """Whether the folder is a project itself, and the only one."""
        return (self.root / SETTINGS_FILE).is_file()

    @property
    def cache(self) -> Path:
        """Folder of gradio's files: uploads, and audio that is played."""
        return self.root / CACHE

    def names(self) -> list[str]:
        """Return the projects, the one last used first."""
        if self.single:
            return [self.root.resolve().name]
        if not self.root.is_dir():
            return []
        found = [
            path.parent
            for path in self.root.glob(f"*/{SETTINGS_FILE}")
            if not path.parent.name.startswith(".")
        ]
        return [folder.name for folder in sorted(found, key=_touched, reverse=True)]

    def project(self, name: str | None) -> Project:
        """Return the project of a name. ProjectError if there is none."""
        if not name:
            raise ProjectError("web.no_project_chosen")
        if not isinstance(name, str) or name not in self.names():
            raise ProjectError("web.no_such_project", name=str(name)[:60])
        return Project.open(self.root if self.single else self.root / name)

    def name_of(self, project: Project) -> str:
        """Return the name by which the page knows a project."""
        return project.root.resolve().name if self.single else project.root.name

    def first(self) -> str | None:
        """Return the project that a browser without a choice of its own is shown: one with a job that waits
        or runs, else the one last used; None where there is none."""
        found = self.names()
        busy = (name for name in found if Jobs(self.project(name)).waiting())
        return next(busy, found[0] if found else None)

    def create(self, name: str) -> str:
        """Create a project, as `dimts new` does; returns its name. ProjectError for an invalid folder
        name."""
        name = unicodedata.normalize("NFC", name.strip())
        if self.single:
            raise ProjectError("web.single_project_page")
        if not _NAME.fullmatch(name) or name.endswith("."):
            raise ProjectError("web.project_name_wrong", name=name[:60])
        if (self.root / name).exists():
            raise ProjectError("web.project_exists", name=name)
        # settings that any computer can carry out, with samples while training
        run_command(["new", str(self.root / name), "--recipe", "cpu-tiny"], self.root, _NEW_SECONDS)
        return name


def voices(project: Project) -> list[str]:
    """Return the names of the voices trained here, newest first."""
    found = [path.parent for path in project.voices.glob("*/bundle.json")]
    return [path.name for path in sorted(found, key=_touched, reverse=True)]


def voice_folder(project: Project, name: str) -> Path:
    """Return the folder of a voice. ProjectError for an unknown name."""
    if name not in voices(project):
        raise ProjectError("web.no_such_voice", name=str(name)[:60])
    return project.voices / name


def run_command(arguments: list[str], folder: Path, seconds: float, language: str = "en") -> str:
    """Run a short `dimts` command, which speaks `language`; returns what it prints. DimtsError with the
    command's own message if it fails."""
    try:
        # the arguments are ours and a checked name; no shell
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-P", "-m", "dimts", "--log", "json", *arguments],
            cwd=folder,
            env={**os.environ, LANGUAGE_VARIABLE: language},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DimtsError("web.command_timed_out", command=arguments[0], seconds=seconds) from error
    if done.returncode:
        found = events.read(done.stderr.splitlines())
        text = next((one for one in reversed(found) if isinstance(one, str)), "")
        raise DimtsError(
            events.last_error(found)
            or Message("web.command_crashed", command=arguments[0], exit_code=done.returncode, line=text)
        )
    return done.stdout


def _touched(folder: Path) -> float:
    """Return when a project or voice was last used."""
    times = []
    for name in ("", SETTINGS_FILE, "manifest.jsonl", "jobs", "runs", "bundle.json"):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=0.0)
