"""A run's snapshots → folders that speak, so that they can be heard and compared: runs/<when>/voices/step-000100/.

The engine is made as the run made it, and refused if it would not be the same; then each snapshot's weights are put
into it. What was written before is not written again.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dimts.base.config import from_table
from dimts.base.errors import CheckpointError
from dimts.base.plugins import nearest
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project, ProjectSettings
from dimts.data.manifest import Manifest
from dimts.train.base_model import configure, load_base
from dimts.train.dataset import load_training_set
from dimts.train.export import clone_voice
from dimts.train.runs import RunFolder
from dimts.train.settings import TrainSettings
from dimts.train.snapshot import Checkpoints, load, load_weights
from dimts.xtts import lora
from dimts.xtts.bundle_files import BUNDLE
from dimts.xtts.checkpoint import Bundle, save_bundle

VOICES = "voices"


def find_run(project: Project, name: str = "last") -> RunFolder:
    """A run by its folder's name, or the newest that has snapshots. CheckpointError if there is none."""
    if name != "last":
        root = project.inside(f"runs/{name}")
        if not root.is_dir():
            known = sorted(path.name for path in project.runs.glob("*/"))
            raise CheckpointError(
                "train.no_run", project=project.root, name=name, nearest=nearest(name, [*known, "last"])
            )
        return RunFolder(root)
    for root in sorted(project.runs.glob("*/"), reverse=True):
        folder = RunFolder(root)
        if Checkpoints(folder.checkpoints, 1).all():
            return folder
    raise CheckpointError("train.no_run_snapshots", project=project.root)


def export_snapshots(project: Project, run: RunFolder, on_progress: ProgressCallback = ignore) -> dict[str, Path]:
    """Name ("step-000100") → folder of a voice, for every snapshot of `run`, oldest first.

    CheckpointError when the run has none, or when settings, clips or base are no longer those of the run.
    """
    snapshots = Checkpoints(run.checkpoints, 1).all()
    if not snapshots:
        raise CheckpointError("train.no_snapshots", run=run.root)
    where = {path.name: run.root / VOICES / path.name for path in snapshots}
    waiting = [path for path in snapshots if not (where[path.name] / BUNDLE).is_file()]
    if not waiting:
        return where
    info = run.info()
    settings = from_table(TrainSettings, _set(info["settings"]), "train")
    rows = Manifest.read(project.manifest)
    engine = load_base(project, settings, rows, ignore)
    if info["engine"] != engine.name:
        raise CheckpointError("train.began_another_engine", run=run.root.name)
    data = load_training_set(project, settings, engine, rows, ignore)
    configure(engine.model, settings, "eager")
    owner = project.settings("project", ProjectSettings)
    speaker = data.speaker or owner.name or project.root.resolve().name
    for done, path in enumerate(waiting, start=1):
        snapshot = load(path)
        load_weights(engine.model, snapshot.average or snapshot.weights)
        voice = clone_voice(engine, data, name=speaker, licence=owner.licence, consent=owner.consent)
        meta: dict[str, Any] = {
            "name": path.name,
            "base": engine.origin,
            "rehearsal": engine.random,
            "licence_of_base": engine.licence,
            "run": run.root.name,
            "steps": snapshot.step,
        }
        model = copy.deepcopy(engine.model)  # adapters are folded into the copy
        lora.merge(model, keep=False)
        bundle = Bundle(model, engine.vocabulary, engine.front_end, {speaker: voice}, meta, engine.config)
        save_bundle(bundle, where[path.name], dvae=model.dvae is not None)
        on_progress(Progress("export_snapshots", done, len(waiting), "snapshots"))
    return where


def _set(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table without the values that were never set."""
    return {
        key: _set(value) if isinstance(value, Mapping) else value for key, value in table.items() if value is not None
    }
