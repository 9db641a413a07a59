"""Estimate what preparing recordings takes: hours of sound, time, disk."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dimts.audio.media import probe
from dimts.base.errors import AudioError
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project, ProjectSettings
from dimts.data.clean import RATE
from dimts.data.context import PrepareSettings, relative
from dimts.data.journal import noted_sources
from dimts.data.manifest import Manifest
from dimts.data.sources import Known, find_recordings

SPEED = 40.0
"""Seconds of sound that a core prepares in a second (docs/data.md, "Measured")."""
SPEED_WITHOUT_MATCH = 60.0
"""The same where texts are not compared with sounds."""
_BYTES_PER_SAMPLE = 2
_ROW_BYTES_PER_SECOND = 1_000.0
"""Of the manifest: 6 kB for a clip of six seconds."""


@dataclass(frozen=True, slots=True)
class PrepareForecast:
    """What a run of `prepare` would take."""

    recordings: int
    new: int
    """Recordings whose file is in no row yet; the others are not worked on again unless they have changed."""
    seconds: float
    """Sound in the new recordings, as their headers state it."""
    unknown: int
    """New recordings whose length no header states, or that cannot be read; not counted in `seconds`."""
    cores: int
    speed: float
    """Seconds of sound that a core prepares in a second."""
    unwritten: int
    """New recordings without a text that a recogniser would transcribe, which takes longer than stated."""
    bytes: int
    """Of the clips and rows at most."""
    free_bytes: int

    @property
    def work_seconds(self) -> float:
        """Time of the run."""
        return self.seconds / (self.speed * self.cores)

    def messages(self) -> list[Message]:
        """The forecast in sentences."""
        out = [
            Message(
                "data.forecast_hours", recordings=self.recordings, new=self.new, hours=self.seconds / 3600
            ),
            Message(
                "data.forecast_time",
                minutes=math.ceil(self.work_seconds / 60),
                cores=self.cores,
                speed=self.speed,
            ),
            Message("data.forecast_disk", gigabytes=self.bytes / 1e9, free_gigabytes=self.free_bytes / 1e9),
        ]
        if self.unknown:
            out.append(Message("data.forecast_unknown", unknown=self.unknown))
        if self.unwritten:
            out.append(Message("data.forecast_unwritten", unwritten=self.unwritten))
        if self.bytes > self.free_bytes:
            out.append(Message("data.forecast_disk_full"))
        return out


def forecast_prepare(
    project: Project,
    sources: Sequence[Path | str] = (),
    settings: PrepareSettings | None = None,
    on_progress: ProgressCallback = ignore,
    *,
    cores: int = 0,
) -> PrepareForecast:
    """Look at the recordings' headers; nothing is worked on or written.

    `cores`: of a cluster; 0: `settings.jobs`. SourceError for a source that is not there.
    """
    settings = settings or project.settings("data", PrepareSettings)
    owner = project.settings("project", ProjectSettings)
    known = Known(settings.speaker, owner.licence, owner.consent)
    recordings = list(find_recordings(sources or [project.recordings], known))
    there = {row.source for row in Manifest.rows(project.manifest)} if project.manifest.exists() else set()
    there |= noted_sources(project.clips)
    new = [one for one in recordings if relative(one.path, project.root) not in there]
    seconds, unknown, unwritten = 0.0, 0, 0
    lengths: dict[Path, float | None] = {}
    for number, recording in enumerate(new):
        on_progress(Progress("measure", number, len(new), "recordings"))
        if recording.path in lengths:  # rows of one file
            continue
        try:
            length = probe(recording.path).seconds
        except AudioError:
            length = None
        lengths[recording.path] = length
        seconds += length or 0.0
        unknown += length is None
        unwritten += bool(settings.transcribe.by) and not recording.cues
    on_progress(Progress("measure", len(new), len(new), "recordings"))
    return PrepareForecast(
        recordings=len(recordings),
        new=len(new),
        seconds=seconds,
        unknown=unknown,
        cores=cores or settings.jobs,
        speed=SPEED if settings.check.match else SPEED_WITHOUT_MATCH,
        unwritten=unwritten,
        bytes=round(seconds * (RATE * _BYTES_PER_SAMPLE + _ROW_BYTES_PER_SECOND)),
        free_bytes=shutil.disk_usage(project.root).free,
    )
