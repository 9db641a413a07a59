"""Train several stages one after another: the model of each is the base of the next, and the last is the
voice.

    runs = train_stages(project, settings, ("speaker", "dvae", "gpt", "decoder"))

A stage is a run of its own. Runs that have ended with the same settings, clips and base are not repeated, and
an interrupted one is continued, so that the same command can be repeated after any failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.train.export import read_meta
from dimts.train.fine_tune import FineTuneResult, fine_tune
from dimts.train.metrics import LOSS, Metrics
from dimts.train.settings import STAGES, TrainSettings
from dimts.train.stages import stage_class


def train_stages(
    project: Project | Path | str,
    settings: TrainSettings | None = None,
    stages: Sequence[str] = STAGES,
    on_progress: ProgressCallback = ignore,
    *,
    new: bool = False,
    scorers: Metrics | None = None,
) -> list[FineTuneResult]:
    """Train `stages` in order; returns their runs, up to one that was paused. Raises what `fine_tune` does.

    The speaker encoder of a base that has one is left as it is. `new` repeats runs that have ended already.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("train", TrainSettings)
    base, found = settings.base, list[FineTuneResult]()
    wanted = [stage for stage in stages if not (stage == "speaker" and _has_speaker_encoder(base))]
    if len(wanted) < len(stages):
        on_progress(Progress("train", 0, None, "steps", Message("train.speaker_encoder_kept", base=base)))
    for stage in wanted:
        own = replace(settings, stage=stage, base=base)  # type: ignore[arg-type]
        if not stage_class(stage).speaks:
            own = replace(own, best_by=LOSS, sample_every=0)
        last = stage == wanted[-1]
        run = fine_tune(
            project,
            own,
            on_progress,
            new=new,
            scorers=scorers,
            into="voices" if last else "run",
            reuse=not new,
        )
        found.append(run)
        if run.bundle is None:
            break
        base = str(run.bundle)
    return found


def _has_speaker_encoder(base: str) -> bool:
    """Whether a base has a trained speaker encoder: published weights do, a bundle records it."""
    if not base:
        return False
    meta = read_meta(Path(base))  # empty for a coqui folder, or the fetched base
    return "speaker" in meta.get("stages", () if meta.get("rehearsal") else STAGES)
