"""Settings of `[data]`, and the common context of all recordings."""

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
"""Version of the processing, raised when the same recording and settings would give other clips."""


@dataclass(frozen=True, slots=True)
class RayPrepareSettings:
    """[data.ray]: the cluster of `dimts data prepare --ray`."""

    address: str = ""
    """Of the cluster, e.g. "auto" or "10.0.0.1:6379"; empty starts one on this machine, on loopback only."""
    retries: int = 3
    """Times a recording is worked on again when its worker is lost."""

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ConfigError("data.ray_retries_below_zero", retries=self.retries)


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """[data]: preparation of recordings."""

    speaker: str = ""
    """Speaker of recordings that do not name theirs."""
    speakers: str = ""
    """Rule for the speakers of recordings that do not name theirs: "folder" (the name of their folder), or a
    file of the project with a line for each: name of a recording, file or folder, TAB, speaker."""
    jobs: int = 1
    """Recordings processed in parallel, each on a core."""
    ray: RayPrepareSettings = field(default_factory=RayPrepareSettings)
    """Cluster of --ray."""
    segment: SegmentSettings = field(default_factory=SegmentSettings)
    """Segmentation."""
    clean: CleanSettings = field(default_factory=CleanSettings)
    """Processing of the audio."""
    check: CheckSettings = field(default_factory=CheckSettings)
    """Checks, and which issues set a clip aside."""
    split: SplitSettings = field(default_factory=SplitSettings)
    """Held-out sets."""
    transcribe: TranscribeSettings = field(default_factory=TranscribeSettings)
    """Recogniser for clips without a text."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ConfigError("data.jobs_below_one", jobs=self.jobs)


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that processing needs besides the recording; small, as it is sent to workers."""

    root: Path
    settings: PrepareSettings
    text: FrontendSettings
    lexicon: Path | None
    fingerprint: str
    """Fingerprint of the settings that affect clips and texts."""

    @classmethod
    def of(cls, project: Project, settings: PrepareSettings) -> Context:
        """Build it from a project."""
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
        """Build the tools, once per process, as some backends take seconds. MissingExtra without the formant
        voice."""
        from dimts.data.text_match import Matcher
        from dimts.text.frontend import Frontend

        return PrepareTools(Frontend(self.text, lexicon=self.lexicon), Matcher())


@dataclass(frozen=True, slots=True)
class PrepareTools:
    """Objects that a process shares between recordings."""

    frontend: Frontend
    matcher: Matcher


def relative(path: Path, root: Path) -> str:
    """Return a path relative to `root`, with slashes."""
    return Path(os.path.relpath(path, root)).as_posix()


def digest(content: object) -> str:
    """Return the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
