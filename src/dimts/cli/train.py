"""dimts train: fine-tune a voice on a prepared project, or forecast the cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dimts.base.messages import Message
from dimts.cli.groups import DefaultGroup
from dimts.cli.help import CommandLine
from dimts.cli.output import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dimts.base.progress import ProgressCallback
    from dimts.base.project import Project
    from dimts.train.fine_tune import FineTuneResult
    from dimts.train.forecast import Forecast, PipelineForecast
    from dimts.train.settings import TrainSettings


class _Group(DefaultGroup):
    default = "run"


def register(app: typer.Typer) -> None:
    """Add the group `train`."""
    group = CommandLine(
        cls=_Group,
        help=train.__doc__,
    )
    group.command("run")(train)
    group.command("export")(export)
    group.command("clean")(clean)
    app.add_typer(group, name="train")


_BASE = typer.Option(
    "",
    "--base",
    metavar="FOLDER",
    help="Weights to start from: a folder of XTTS v2 (coqui's layout) "
    "or a voice, 'xtts-v2' for those of 'dimts fetch', or 'small' for the small model where the package "
    "holds it. Without, a small engine with random weights is trained: a rehearsal, no real voice.",
    show_default=False,
)
_STAGES = typer.Option(
    "",
    "--stages",
    metavar="LIST",
    help=(
        "Parts to train one after another: all, or some of "
        "speaker,dvae,gpt,decoder; without, train.stage alone."
    ),
    show_default=False,
)


def train(
    project: Path = typer.Argument(
        ...,
        metavar="PROJECT",
        help="A prepared project folder (see 'dimts data prepare').",
        show_default=False,
    ),
    base: str = _BASE,
    size: str = typer.Option(
        "",
        "--size",
        help="Size of a model with random weights: tiny, small or v2.",
        show_default=False,
    ),
    steps: int = typer.Option(0, "--steps", min=0, help="Optimizer steps of the run; 0: as dimts.toml says."),
    stages: str = _STAGES,
    lora: bool = typer.Option(
        False, "--lora", help="Train adapters beside frozen weights: a third of the memory."
    ),
    settings: list[str] = typer.Option(
        None,
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Another value for a setting of dimts.toml, e.g. train.learning_rate=2e-5; may be repeated.",
        show_default=False,
    ),
    dry_run: bool = typer.Option(
        False,
        "--dry-run",
        help="Only say what would run here, how much memory and time it takes, and on which cards.",
    ),
    as_json: bool = typer.Option(False, "--json", help="With --dry-run: one JSON object instead of a table."),
    new: bool = typer.Option(False, "--new", help="Begin a new run even if one was broken off."),
    pause: bool = typer.Option(
        False, "--pause", help="Ask the run that is going on to save, and to end after a step."
    ),
    ray: bool = typer.Option(
        False,
        "--ray",
        help="Train in several processes by Ray, here or on a cluster: see [train.ray].",
    ),
) -> None:
    """Fine-tune a voice on the project's clips, and save it below voices/; or train it from nothing (--stages
    all).

    Ctrl-C, a crash or a power cut lose nothing: the same command goes on where the last checkpoint was, bit
    for bit on a processor. Losses go to runs/<when>/log.jsonl; what each setting did to
    runs/<when>/options.json. Several processes: torchrun --nproc-per-node N -m dimts train PROJECT, or --ray.

    `dimts train export` makes a voice from any checkpoint, `dimts train clean` frees the disk.
    """
    from dimts.base.errors import ConfigError
    from dimts.base.project import Project

    if as_json and not dry_run:
        raise ConfigError("cli.json_needs_dry_run")
    opened = Project.open(project)
    if pause:
        from dimts.train.runs import request_pause

        show(Message("cli.pause_asked", run=request_pause(opened), project=project))
        return
    flags = [f"train.base={base}"] if base else []
    if size:  # random weights, unless a base is named too
        flags += [f"train.size={size}", *([] if base else ["train.base="])]
    flags += ["train.trainable=lora"] if lora else []
    chosen, names = _chosen(opened, stages, steps, flags, settings or ())
    if len(names) > 1 and ray:
        raise ConfigError("train.stages_one_by_one", option="--ray")
    for run in _run(opened, chosen, names, dry_run=dry_run, as_json=as_json, new=new, ray=ray):
        _show(run)


def _chosen(
    project: Project, stages: str, steps: int, flags: list[str], settings: Sequence[str]
) -> tuple[TrainSettings, tuple[str, ...]]:
    """Return the settings, and the stages that --stages names."""
    from dimts.base.errors import ConfigError
    from dimts.train.settings import TrainSettings, read_stages, steps_of

    names = read_stages(stages) if stages else ()
    flags = [*flags, f"train.stage={names[0]}"] if len(names) == 1 else flags
    chosen = project.settings("train", TrainSettings, (*flags, *settings))
    if steps:
        if len(names) > 1:
            raise ConfigError("train.steps_of_several_stages", stages=stages)
        chosen = project.settings("train", TrainSettings, (*flags, *steps_of(chosen.stage, steps), *settings))
    return chosen, names


def _run(
    project: Project,
    chosen: TrainSettings,
    names: tuple[str, ...],
    *,
    dry_run: bool,
    as_json: bool,
    new: bool,
    ray: bool,
) -> list[FineTuneResult]:
    """Train one stage or several, or show their forecast; returns the runs."""
    from dimts.base.errors import storage_error
    from dimts.cli.output import progress_bar

    with progress_bar() as on_progress:
        try:
            if len(names) <= 1:
                from dimts.base.progress import Progress
                from dimts.train.pipeline import base_of_earlier_stages

                chosen, base = base_of_earlier_stages(project, chosen, (chosen.stage,))
                if base is not None:
                    on_progress(Progress("train", 0, None, "steps", base))
            if dry_run:
                _forecast(project, chosen, names, on_progress, as_json=as_json)
                return []
            from dimts.cli.metrics import SCORERS

            if len(names) > 1:
                from dimts.train.pipeline import train_stages

                return train_stages(project, chosen, names, on_progress, new=new, scorers=SCORERS)
            if ray:
                from dimts.train.cluster import fine_tune_on_ray

                return [fine_tune_on_ray(project, chosen, on_progress, new=new, scorers=SCORERS)]
            from dimts.train.fine_tune import fine_tune

            return [fine_tune(project, chosen, on_progress, new=new, scorers=SCORERS)]
        except OSError as error:
            raise storage_error(error) or error from error


def export(
    project: Path = typer.Argument(..., metavar="PROJECT", help="The project folder.", show_default=False),
    run: str = typer.Option("last", "--run", metavar="RUN", help="A folder below PROJECT/runs, or 'last'."),
    checkpoint: int = typer.Option(
        0, "--checkpoint", metavar="N", min=0, help="Step of the checkpoint; 0: the best one, else the last."
    ),
) -> None:
    """Make a voice from any checkpoint of a run, below voices/. How many there are is train.keep."""
    from dimts.base.project import Project
    from dimts.train.export_snapshots import export_checkpoint, find_run

    opened = Project.open(project)
    print(export_checkpoint(opened, find_run(opened, run), checkpoint or None))


def clean(
    project: Path = typer.Argument(..., metavar="PROJECT", help="The project folder.", show_default=False),
    keep: int = typer.Option(1, "--keep", help="Newest runs whose best checkpoint stays."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
) -> None:
    """Remove checkpoints of runs that have ended, after saying what that frees. Voices, logs and reports
    stay."""
    from dimts.base.project import Project
    from dimts.train.clean import plan_cleaning

    opened = Project.open(project)
    plan = plan_cleaning(opened, keep=keep)
    if not plan.folders:
        show(Message("train.clean_nothing", project=opened.root))
        return
    for folder, size in plan.folders:
        show(Message("train.clean_frees", folder=folder, megabytes=size / 1e6))
    if not yes and not _agreed():
        show(Message("train.clean_asked", megabytes=plan.bytes / 1e6))
        return
    plan.remove()
    show(Message("train.clean_freed", megabytes=plan.bytes / 1e6))


def _agreed() -> bool:
    """Whether a person at a terminal agrees."""
    return sys.stdin.isatty() and input("? [y/N] ").strip().lower() in ("y", "yes", "አዎ")


def _forecast(
    project: Project,
    chosen: TrainSettings,
    names: tuple[str, ...],
    on_progress: ProgressCallback,
    *,
    as_json: bool,
) -> None:
    """Print the forecast of one stage or of several; DimtsError after it where a stage would fail."""
    from dimts.base.errors import DataError
    from dimts.cli.metrics import SCORERS
    from dimts.train.estimate import forecast, forecast_stages

    if len(names) > 1:
        several = forecast_stages(project, chosen, names, on_progress, scorers=SCORERS)
        _show_forecast(several, as_json=as_json)
        if several.failing:
            failing = several.failing[0]
            raise DataError("train.stage_would_fail", stage=failing.stage, reason=failing.reason)
    else:
        _show_forecast(forecast(project, chosen, on_progress, scorers=SCORERS), as_json=as_json)


def _show_forecast(found: Forecast | PipelineForecast, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(found.as_dict(), ensure_ascii=False, default=Message.as_dict))
    else:
        print(found.table())


def _show(run: FineTuneResult) -> None:
    from dimts.train.fine_tune import PAUSED
    from dimts.train.option_table import table

    if run.options:  # the first of several processes has it
        print(table(list(run.options)))
    first, last = (run.losses[0], run.losses[-1]) if run.losses else (float("nan"),) * 2
    show(
        Message("cli.run_ended", steps=run.steps, first=first, last=last, ended=run.ended, folder=run.folder)
    )
    if run.bundle is None:
        if run.ended.code == PAUSED:
            show(Message("cli.paused"))
        return
    if run.dev_losses:
        show(Message("cli.voice_saved_dev", path=run.bundle, loss=min(run.dev_losses)))
    else:
        show(Message("cli.voice_saved", path=run.bundle))
    print(run.bundle)
