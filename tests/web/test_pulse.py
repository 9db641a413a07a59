"""What an open page asks each second changes when the page has something new to draw, and stays otherwise."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dimts.base.project import Project
from dimts.web import project_settings, pulse
from dimts.web.jobs import Job, Jobs
from dimts.web.workspace import Workspace


def _run(project: Project) -> Path:
    folder = project.runs / "2026-11-30-100000"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}", encoding="utf-8")
    return folder


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


CHANGES: dict[str, Callable[[Project], object]] = {
    "setting": lambda project: project_settings.put(project, {"train.steps": 77}),
    "recording": lambda project: _write(project.recordings / "a.wav", "x"),
    "clips": lambda project: _write(project.manifest, "{}\n"),
    "voice": lambda project: _write(project.voices / "new" / "bundle.json", "{}"),
    "run": _run,
    "step": lambda project: _write(_run(project) / "log.jsonl", '{"step": 1}\n'),
    "sample": lambda project: _write(_run(project) / "samples" / "step-1.wav", "x"),
    "title": lambda project: _write(_run(project) / "title.txt", "good"),
    "job": lambda project: Jobs(project).write(Job("1", "prepare", "done")),
    "log of a job": lambda project: _write(Jobs(project).folder / "1.log", "line\n"),
    "pause": lambda project: _write(Jobs(project).folder / ".paused", ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_changes_it(workspace: Workspace, project: Project, change: str) -> None:
    if change not in ("run", "job"):
        _run(project)
        Jobs(project).folder.mkdir(parents=True, exist_ok=True)
        Jobs(project).write(Job("1", "prepare", "done"))
    for path in project.root.rglob("*"):  # so that times of change differ on any file system
        os.utime(path, (1, 1))
    before = pulse.pulse(workspace, project.root.name)
    assert pulse.pulse(workspace, project.root.name) == before
    CHANGES[change](project)
    assert pulse.pulse(workspace, project.root.name) != before


def test_a_job_that_waits_has_a_clock(
    workspace: Workspace, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(pulse.time, "time", lambda: now[0])

    def later() -> bool:
        before = pulse.pulse(workspace, project.root.name)
        now[0] += pulse.JOB_SECONDS
        return pulse.pulse(workspace, project.root.name) != before

    assert not later()
    Jobs(project).folder.mkdir(parents=True)
    Jobs(project).write(Job("1", "prepare", "queued"))
    assert later()
    Jobs(project).write(Job("1", "prepare", "done"))
    assert not later()


def test_projects_differ_and_none_is_no_error(workspace: Workspace, project: Project) -> None:
    none = pulse.pulse(workspace, "")
    assert none == pulse.pulse(workspace, "nobody") == pulse.pulse(workspace, "../abebe")
    assert none != pulse.pulse(workspace, project.root.name)
    (project.runs / "broken").mkdir(parents=True)
    (project.runs / "broken" / "run.json").write_text(json.dumps([]), encoding="utf-8")
    pulse.pulse(workspace, project.root.name)
