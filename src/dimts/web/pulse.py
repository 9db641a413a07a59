"""A short text that changes when a project changes, so that a page only draws when there is something new.

Each open page asks for it once a second, and lets gradio work when it differs from the last one: events of
gradio keep a browser busy even where they change nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from dimts.base.errors import DimtsError
from dimts.base.project import Project
from dimts.web import project_settings, run_view
from dimts.web.jobs import Jobs
from dimts.web.workspace import Workspace

PULSE_SECONDS = 1.0
"""Seconds between two questions of an open page whether its project has changed."""
JOB_SECONDS = 2.0
"""Seconds between two changes while a job waits or runs, whose clock is shown."""
_PROCESS = secrets.token_hex(4)
"""Another server means another session of gradio, which is to be filled."""


def pulse(workspace: Workspace, name: str) -> str:
    """Return the state of a project as a digest; of none, or one that is not there, that of the process."""
    try:
        project = workspace.project(name) if name else None
    except DimtsError:
        project = None
    parts = [_PROCESS, *(() if project is None else _parts(project))]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _parts(project: Project) -> Iterator[object]:
    """What the page draws is made from, by time of change and size."""
    yield project_settings.stamp(project)
    for path in (project.recordings, project.manifest, project.voices, project.runs, project.root / "jobs"):
        yield _changed(path)
    jobs = Jobs(project)
    job = jobs.latest()
    yield job, jobs.paused, job and _changed(jobs.folder / f"{job.id}.log")
    if job is not None and not job.over:
        yield int(time.time() / JOB_SECONDS)
    for run in run_view.runs(project)[:1]:
        folder = project.runs / run
        yield run, [_changed(folder / one) for one in ("", "run.json", "log.jsonl", "samples", "title.txt")]


def _changed(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
