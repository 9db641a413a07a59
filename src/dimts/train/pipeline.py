"""Train several stages one after another: the model of each is the base of the next, and the last is the
voice.

    ended = train_stages(project, settings, ("speaker", "dvae", "gpt", "decoder"))

A stage is a run of its own. Runs that have ended with the same settings, clips and base are not repeated, and
an interrupted one is continued, so that the same command can be repeated after any failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dimts.base import builtin_voices
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.train import runs
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
    Without `train.base`, the model of the project's last run of an earlier stage is the base.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("train", TrainSettings)
    settings, chosen = base_of_earlier_stages(project, settings, stages)
    base, found = settings.base, list[FineTuneResult]()
    planned, kept = plan_stages(settings, stages)
    for message in (*([chosen] if chosen else []), *kept.values()):
        on_progress(Progress("train", 0, None, "steps", message))
    for number, own in enumerate(planned, start=1):
        last = number == len(planned)
        run = fine_tune(
            project,
            replace(own, base=base),
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


def base_of_earlier_stages(
    project: Project, settings: TrainSettings, stages: Sequence[str]
) -> tuple[TrainSettings, Message | None]:
    """Return settings whose base is the last ended run of a stage before the first of `stages`, and a message
    that names it; the settings as they are where `train.base` is set or there is no such run."""
    earlier = STAGES[: STAGES.index(stages[0])] if stages and stages[0] in STAGES else ()
    if settings.base or not earlier:
        return settings, None
    for stage in reversed(earlier):
        for root in sorted(project.runs.glob("*/"), reverse=True):
            if (model := _model_of(project, runs.RunFolder(root), stage)) is not None:
                message = Message("train.base_of_earlier_stage", run=root.name, stage=stage)
                return replace(settings, base=str(model)), message
    return settings, None


def _model_of(project: Project, folder: runs.RunFolder, stage: str) -> Path | None:
    """Return the model of a run that has ended with `stage`, if it is still there."""
    try:
        info = folder.info()
    except (FileNotFoundError, ValueError):
        return None
    if not info.get("ended") or not info.get("bundle") or info.get("settings", {}).get("stage") != stage:
        return None
    model = project.root / str(info["bundle"])
    return model if read_meta(model).get("run") == folder.root.name else None


def plan_stages(
    settings: TrainSettings, stages: Sequence[str]
) -> tuple[list[TrainSettings], dict[str, Message]]:
    """Return the settings of each stage that is trained, and why the others are not."""
    planned, kept = [], {}
    for stage in stages:
        if stage == "speaker" and _has_speaker_encoder(settings.base):
            kept[stage] = Message("train.speaker_encoder_kept", base=settings.base)
            continue
        own = replace(settings, stage=stage)  # type: ignore[arg-type]
        if not stage_class(stage).speaks:
            own = replace(own, best_by=LOSS, sample_every=0)
        planned.append(own)
    return planned, kept


def _has_speaker_encoder(base: str) -> bool:
    """Whether a base has a trained speaker encoder: published weights do, a bundle records it."""
    if not base:
        return False
    meta = read_meta(builtin_voices.FOLDER if base == builtin_voices.NAME else Path(base))
    # empty for a coqui folder, or the fetched base
    return "speaker" in meta.get("stages", () if meta.get("rehearsal") else STAGES)
