"""Check before any work what a run would refuse; `fine_tune` and the forecast call the same checks."""

from __future__ import annotations

from dimts.base.errors import ConfigError
from dimts.base.project import Project
from dimts.train.capabilities import Choice, MachineInfo, plan_precision
from dimts.train.metrics import LOSS, Metric, Metrics, metric_for
from dimts.train.optim import choose_kernel
from dimts.train.settings import TrainSettings
from dimts.train.stages import stage_class
from dimts.train.track import require_tracker


def preflight(
    project: Project, settings: TrainSettings, machine: MachineInfo, scorers: Metrics | None
) -> tuple[Choice, Metric | None]:
    """Return the precision and the metric of a run.

    Raises ConfigError for what cannot run here or is unknown, MissingExtra for a library that is not
    installed.
    """
    precision = plan_precision(settings.precision, machine)
    metric = metric_for(settings.best_by, project, scorers)
    kind = stage_class(settings.stage)
    for option, value in (("best_by", settings.best_by != LOSS), ("sample_every", settings.sample_every > 0)):
        if value and not kind.speaks:
            raise ConfigError("train.stage_makes_no_speech", option=option, stage=kind.name)
    require_tracker(settings.tracker)
    choose_kernel(settings.optimizer, machine.device)
    return precision, metric
