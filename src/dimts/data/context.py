"""Settings of `[data]`, and what the work on every recording needs besides the recording."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dimts.base.config import to_dict
from dimts.base.errors import ConfigError
from dimts.base.files import fingerprint
from dimts.base.project import Project
from dimts.data.check import CheckSettings
from dimts.data.clean import CleanSettings
from dimts.data.segment import SegmentSettings
from dimts.data.split import SplitSettings
from dimts.data.transcribe import TranscribeSettings

if TYPE_CHECKING:
    from dimts.data.text_match import Matcher
    from dimts.text.frontend import Frontend, FrontendSettings

WORK_VERSION = 3
"""Raised when the same recording and settings would give other clips."""


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """[data]: how recordings become clips."""

    speaker: str = ""
    """Speaker of recordings that do not name theirs."""
    speakers: str = ""
    """What names the speakers of recordings that do not: "folder" (the name of the folder a recording lies
    in), or a file of the project with a line for each: name of a recording, file or folder, TAB, speaker."""
    jobs: int = 1
    """Recordings worked on at the same time, each on a core."""
    segment: SegmentSettings = field(default_factory=SegmentSettings)
    """Where recordings are cut."""
    clean: CleanSettings = field(default_factory=CleanSettings)
    """What is done to the sound."""
    check: CheckSettings = field(default_factory=CheckSettings)
    """What is doubted, and what sets a clip aside."""
    split: SplitSettings = field(default_factory=SplitSettings)
    """What is held out of training."""
    transcribe: TranscribeSettings = field(default_factory=TranscribeSettings)
    """Who writes down what nobody has written down."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ConfigError("data.jobs_below_one", jobs=self.jobs)


@dataclass(frozen=True, slots=True)
class Context:
    """All that the work on one recording needs besides the recording; small, so that it travels to
    workers."""

    root: Path
    settings: PrepareSettings
    text: FrontendSettings
    lexicon: Path | None
    fingerprint: str
    """Of the settings that shape clips and texts."""

    @classmethod
    def of(cls, project: Project, settings: PrepareSettings) -> Context:
        """Gather it from a project."""
        from dimts.text.frontend import FrontendSettings

        text = project.settings("text", FrontendSettings)
        lexicon = project.lexicon if project.lexicon.is_file() else None
        shaping = [
            WORK_VERSION,
            to_dict(settings.segment),
            to_dict(settings.clean),
            to_dict(settings.check),
            to_dict(text),
            fingerprint(lexicon) if lexicon else "",
        ]
        return cls(project.root, settings, text, lexicon, digest(shaping))

    def tools(self) -> PrepareTools:
        """Made once a process, as some backends take seconds. MissingExtra without the formant voice."""
        from dimts.data.text_match import Matcher
        from dimts.text.frontend import Frontend

        return PrepareTools(Frontend(self.text, lexicon=self.lexicon), Matcher())


@dataclass(frozen=True, slots=True)
class PrepareTools:
    """What a process keeps for all recordings."""

    frontend: Frontend
    matcher: Matcher


def relative(path: Path, root: Path) -> str:
    """A path as seen from the project, with slashes."""
    return Path(os.path.relpath(path, root)).as_posix()


def digest(content: object) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
