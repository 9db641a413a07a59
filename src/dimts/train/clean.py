"""Free disk space of past training: old checkpoints, checkpoints of finished runs, unused caches.

plan = plan_cleaning(project, keep=1)      what can be removed, and how much it frees; removes nothing
plan.remove()
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dimts.base.errors import TrainingError
from dimts.base.project import Project
from dimts.train.runs import RunFolder, run_lock
from dimts.train.snapshot import Checkpoints


@dataclass(frozen=True, slots=True)
class CleaningPlan:
    """Folders that can be removed."""

    project: Project
    folders: tuple[tuple[Path, int], ...]
    """(folder, bytes in it), largest first."""

    @property
    def bytes(self) -> int:
        """Size of all folders together."""
        return sum(size for _, size in self.folders)

    def remove(self) -> None:
        """Remove the folders. TrainingError while a run is going on in the project."""
        with run_lock(self.project):
            for folder, _ in self.folders:
                shutil.rmtree(folder, ignore_errors=True)


def plan_cleaning(project: Project, *, keep: int = 1) -> CleaningPlan:
    """Return what can be removed: of finished runs, all checkpoints but the best; of those before the newest
    `keep` runs, the best too; and scratch of interrupted writes. Logs, plans, option reports and voices are
    kept.

    Runs that have not ended are left alone. TrainingError for a negative `keep`.
    """
    if keep < 0:
        raise TrainingError("train.clean_keep_negative", keep=keep)
    found: list[Path] = []
    roots = sorted(project.runs.glob("*/"), reverse=True) if project.runs.is_dir() else []
    for number, root in enumerate(root for root in roots if (root / "run.json").is_file()):
        folder = RunFolder(root)
        found += folder.checkpoints.glob(".step-*")
        if not folder.info().get("ended"):
            continue
        checkpoints = Checkpoints(folder.checkpoints, 1)
        kept = (checkpoints.best() or checkpoints.last()) if number < keep else None
        found += [path for path in checkpoints.all() if path != kept]
    sized = [(path, sum(file.stat().st_size for file in path.rglob("*") if file.is_file())) for path in found]
    return CleaningPlan(project, tuple(sorted(sized, key=lambda pair: -pair[1])))
