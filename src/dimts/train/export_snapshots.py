"""Export a run's snapshots as voices for comparison:
runs/<when>/voices/step-000100/.

The model is built as the run built it, and refused if it would differ; then each snapshot's weights are
loaded into it. Voices that exist already are not written again.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimts.base.config import from_table
from dimts.base.errors import CheckpointError
from dimts.base.files import write_text
from dimts.base.plugins import nearest
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project, ProjectSettings
from dimts.base.version import __version__
from dimts.data.corpora import attributions
from dimts.data.manifest import Manifest
from dimts.train.base_model import TrainableModel, configure, load_base
from dimts.train.dataset import TrainingSet, load_training_set
from dimts.train.export import CARD, card, clone_voice, voice_name
from dimts.train.runs import RunFolder
from dimts.train.settings import TrainSettings
from dimts.train.snapshot import Checkpoints, load, load_snapshot
from dimts.xtts import lora
from dimts.xtts.bundle_files import BUNDLE
from dimts.xtts.checkpoint import Bundle, save_bundle

VOICES = "voices"


def find_run(project: Project, name: str = "last") -> RunFolder:
    """Find a run by its folder's name, or the newest that has snapshots. CheckpointError if there is none."""
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


def export_snapshots(
    project: Project, run: RunFolder, on_progress: ProgressCallback = ignore
) -> dict[str, Path]:
    """Export every snapshot of `run`, oldest first; returns {"step-000100": folder of the voice}.

    CheckpointError when the run has none, or when settings, clips or base are no longer those of the run.
    """
    snapshots = Checkpoints(run.checkpoints, 1).all()
    if not snapshots:
        raise CheckpointError("train.no_snapshots", run=run.root)
    where = {path.name: run.root / VOICES / path.name for path in snapshots}
    waiting = [path for path in snapshots if not (where[path.name] / BUNDLE).is_file()]
    if not waiting:
        return where
    restored = _Restored.of(project, run)
    for done, path in enumerate(waiting, start=1):
        restored.write(path, where[path.name], path.name)
        on_progress(Progress("export_snapshots", done, len(waiting), "snapshots"))
    return where


def export_checkpoint(project: Project, run: RunFolder, step: int | None = None) -> Path:
    """Make a voice, voices/<project>-step-<N>, from one checkpoint of a run: the best where `step` is None.

    CheckpointError when there is no such checkpoint, or when clips or base are no longer those of the run.
    """
    checkpoints = Checkpoints(run.checkpoints, 1)
    path = checkpoints.best() or checkpoints.last()
    if step is not None:
        path = next((one for one in checkpoints.all() if int(one.name.rpartition("-")[2]) == step), None)
    if path is None:
        known = [int(one.name.rpartition("-")[2]) for one in checkpoints.all()]
        raise CheckpointError("train.no_such_checkpoint", run=run.root.name, step=step or 0, known=known)
    owner = project.settings("project", ProjectSettings)
    name = f"{voice_name(owner.name or project.root.resolve().name)}-{path.name}"
    restored = _Restored.of(project, run)
    restored.write(path, project.voices / name, name)
    return project.voices / name


@dataclass(frozen=True, slots=True)
class _Restored:
    """A run's model as the run built it, for the weights of its snapshots."""

    run: RunFolder
    engine: TrainableModel
    data: TrainingSet
    owner: ProjectSettings
    speaker: str
    stage: str
    attribution: tuple[str, ...]
    """Names to credit for the recordings."""

    @classmethod
    def of(cls, project: Project, run: RunFolder) -> _Restored:
        info = run.info()
        settings = from_table(TrainSettings, _set(info["settings"]), "train")
        synthetic = settings.synthetic.share == 1 and not project.manifest.exists()
        rows = [] if synthetic else Manifest.read(project.manifest)
        engine = load_base(project, settings, rows, ignore)
        if info["engine"] != engine.name:
            raise CheckpointError("train.began_another_engine", run=run.root.name)
        data = load_training_set(project, settings, engine, rows, ignore)
        configure(engine.model, settings, "eager")
        owner = project.settings("project", ProjectSettings)
        speaker = data.speaker or owner.name or project.root.resolve().name
        return cls(run, engine, data, owner, speaker, settings.stage, attributions(project))

    def write(self, path: Path, where: Path, name: str) -> None:
        """Save the voice of one snapshot as a bundle."""
        engine, owner, snapshot = self.engine, self.owner, load(path)
        load_snapshot(engine.model, snapshot)
        engine.note_trained(self.stage)
        voice = clone_voice(
            engine, self.data, name=self.speaker, licence=owner.licence, consent=owner.consent
        )
        meta: dict[str, Any] = {
            "name": name,
            "base": engine.origin.text("en"),
            "base_message": engine.origin.as_dict(),
            "rehearsal": engine.rehearsal,
            "stages": sorted(engine.learnt),
            "codes_of_gpt": engine.codes_of_gpt,
            "licence_of_recordings": owner.licence,
            "consent": owner.consent,
            "licence_of_base": engine.licence,
            "attribution": list(self.attribution),
            "run": self.run.root.name,
            "steps": snapshot.step,
        }
        model = copy.deepcopy(engine.model)  # adapters are merged into the copy
        lora.merge(model, keep=False)
        bundle = Bundle(
            model, engine.vocabulary, engine.front_end, {self.speaker: voice}, meta, engine.config
        )
        save_bundle(bundle, where, dvae=model.dvae is not None)
        write_text(where / CARD, card({**meta, **self._of_card()}, engine))

    def _of_card(self) -> dict[str, Any]:
        """Return the model card's metadata besides the bundle's own notes."""
        clips = self.data.train[: len(self.data.train) - self.data.replayed]
        return {
            "made_with": f"dimts {__version__}",
            "made": time.strftime("%Y-%m-%d"),
            "clips": len(clips),
            "seconds_of_speech": sum(clip.seconds for clip in clips),
            "metrics": {},
        }


def _set(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table without the values that were never set."""
    return {
        key: _set(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }
