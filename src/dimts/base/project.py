"""Paths of a project folder, and its settings.

dimts.toml recordings/ clips/ manifest.jsonl lexicon.tsv codes/ runs/<when>/ voices/
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dimts.base.config import from_table, read_toml
from dimts.base.errors import ConfigError, ProjectError
from dimts.base.files import write_text
from dimts.base.plugins import nearest

S = TypeVar("S")

SETTINGS_FILE = "dimts.toml"
TABLES = ("project", "text", "data", "train", "speak", "serve")
"""Tables that dimts.toml may have; each is a dataclass beside the code it configures."""


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """[project]: name, licence and consent of the voice."""

    name: str = ""
    """Name of the voice, shown in reports and in the bundle; empty: the folder's name."""
    language: str = "am"
    """Language of the texts (BCP 47)."""
    licence: str = ""
    """Licence of the recordings; written into every clip and into the voice."""
    consent: str = ""
    """Form of the speakers' consent, e.g. "signed form of 2026-03-01"; written into every clip."""
    free: bool = False
    """Whether anybody may use and sell the voice: recordings under non-commercial, no-derivatives or unknown
    licences are then refused or left out."""


@dataclass(frozen=True, slots=True)
class Project:
    """Paths of one project folder; nothing is created by reading them."""

    root: Path

    @classmethod
    def open(cls, folder: Path | str) -> Project:
        """Open the project in `folder`; ProjectError if it is none."""
        root = Path(folder)
        if not root.is_dir():
            raise ProjectError("base.no_such_project", path=root)
        if not (root / SETTINGS_FILE).is_file():
            raise ProjectError("base.not_a_project", path=root, settings_file=SETTINGS_FILE)
        return cls(root)

    @classmethod
    def create(cls, folder: Path | str, settings_toml: str) -> Project:
        """Create a project folder with `settings_toml` as its dimts.toml; ProjectError if there is one."""
        root = Path(folder)
        if (root / SETTINGS_FILE).exists():
            raise ProjectError("base.project_exists", path=root)
        if root.exists() and not root.is_dir():
            raise ProjectError("base.path_is_file", path=root)
        write_text(root / SETTINGS_FILE, settings_toml)
        (root / "recordings").mkdir(exist_ok=True)
        return cls(root)

    @property
    def recordings(self) -> Path:
        """Folder of the user's recordings; never changed."""
        return self.root / "recordings"

    @property
    def clips(self) -> Path:
        """Folder of cut and cleaned clips, named by content."""
        return self.root / "clips"

    @property
    def manifest(self) -> Path:
        """Path of the manifest, one JSON line per utterance."""
        return self.root / "manifest.jsonl"

    @property
    def lexicon(self) -> Path:
        """Path of the user's own pronunciations: word TAB phones."""
        return self.root / "lexicon.tsv"

    @property
    def codes(self) -> Path:
        """Folder of cached DVAE codes and text ids."""
        return self.root / "codes"

    @property
    def runs(self) -> Path:
        """Folder of the training runs, a folder for each."""
        return self.root / "runs"

    @property
    def voices(self) -> Path:
        """Folder of finished voice bundles."""
        return self.root / "voices"

    def settings(self, table: str, kind: type[S], overrides: tuple[str, ...] = ()) -> S:
        """Read table `table` of dimts.toml as the frozen dataclass `kind`.

        `overrides` are "table.key=value" texts in TOML syntax; those of other tables are left
        alone. Raises ConfigError for an unknown table or key (with the nearest) or a wrong type.
        """
        content = read_toml(self.root / SETTINGS_FILE)
        for name in content:
            if name not in TABLES:
                raise ConfigError(
                    "base.unknown_top_table",
                    path=self.root / SETTINGS_FILE,
                    name=name,
                    nearest=nearest(name, TABLES),
                )
        values = content.get(table, {})
        if not isinstance(values, dict):
            raise ConfigError("base.not_top_table", name=table)
        return from_table(kind, values, table, overrides)

    def inside(self, path: Path | str) -> Path:
        """Resolve `path` (relative to the project); ProjectError if it leads outside."""
        root = self.root.resolve()
        resolved = (root / path).resolve()
        if not resolved.is_relative_to(root):
            raise ProjectError("base.outside_project", path=path)
        return resolved

    def relative(self, path: Path) -> str:
        """Return `path` as in a manifest: relative to the project, with forward slashes.

        `path` is absolute, or relative to the working folder as `root` may be; links on the way keep their
        names. ProjectError if it leads outside.
        """
        for root, place in (
            (Path(os.path.abspath(self.root)), Path(os.path.abspath(path))),
            (self.root.resolve(), path.resolve()),
        ):
            if place.is_relative_to(root):
                return place.relative_to(root).as_posix()
        raise ProjectError("base.outside_project", path=path)
