"""Fine-tune a voice: the whole of a run, from rows to voice, that can be interrupted anywhere and resumed.

    rows → model → codes → plan → steps ( batch → losses → gradients → step → log ) → evaluation → voice

Exact: everything random in a step follows from seed and step, a step's loss is the mean over all its tokens
however it is split, and a snapshot holds all other state. So a run killed at any moment and resumed ends bit
for bit (on a CPU) where an uninterrupted one does, and two processes give the result of one.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dimts.base.config import to_dict
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.train import runs
from dimts.train.base_model import TrainableModel, configure, load_base
from dimts.train.capabilities import Choice, MachineInfo, plan_attention
from dimts.train.dataset import TrainingSet, load_training_set
from dimts.train.distributed import ClusterInfo, Processes
from dimts.train.export import adapter_folder, export, read_meta
from dimts.train.fsdp import shard
from dimts.train.interrupt import Abandoned, Interrupt
from dimts.train.latent_cache import latents_plan
from dimts.train.metrics import Metrics
from dimts.train.option_report import option_report
from dimts.train.option_table import OptionRow, as_json
from dimts.train.preflight import preflight
from dimts.train.run_identity import changed_settings, run_identity
from dimts.train.sampler import total_steps
from dimts.train.settings import TrainSettings
from dimts.train.snapshot import Checkpoints, load
from dimts.train.stages import stage_class
from dimts.train.stages.stage import Stage, StageContext
from dimts.train.track import Tracker
from dimts.train.trainer import Trainer

ALL_STEPS, PAUSED = "train.all_steps_taken", "train.paused"
"""Codes of how a run ends: after its last step, or paused to be continued."""
MODEL_FOLDER = "model"
"""Subfolder of a run for its model where that is not yet a voice."""


@dataclass(frozen=True, slots=True)
class FineTuneResult:
    """Result of a run."""

    folder: Path
    log: Path
    """JSON lines, one per step and evaluation."""
    bundle: Path | None
    """Folder of the voice; None when the run was paused."""
    steps: int
    """Optimizer steps taken, in all sessions together."""
    seconds: float
    """Duration of this session."""
    losses: tuple[float, ...]
    """Total training loss of every step."""
    dev_losses: tuple[float, ...]
    """Dev loss of every evaluation."""
    ended: Message
    """Why it ended; its code is PAUSED when it can be continued."""
    options: tuple[OptionRow, ...] = field(default_factory=tuple)
    """Each option: asked, applied, measured."""


def fine_tune(
    project: Project | Path | str,
    settings: TrainSettings | None = None,
    on_progress: ProgressCallback = ignore,
    *,
    new: bool = False,
    scorers: Metrics | None = None,
    place: ClusterInfo | None = None,
    into: Literal["voices", "run"] = "voices",
    reuse: bool = False,
) -> FineTuneResult:
    """Train the stage `train.stage` of the project's voice and save it; continues an interrupted run.

    `new` begins a new run in any case; `scorers` are the metrics `train.best_by` may name besides the loss;
    `place` is this process's position in a cluster, whose caller holds the project's lock; `into` saves the
    voice below voices/ or in the run's own folder; with `reuse` an equal run that has ended already is
    returned.

    Raises DataError for an empty or unusable manifest, ConfigError for what cannot run here, CheckpointError
    for weights or a vocabulary that do not fit, TrainingError when the loss is not finite; KeyboardInterrupt
    after Ctrl-C or SIGTERM, when all is saved.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("train", TrainSettings)
    settings = settings.for_stage(settings.stage)
    machine = MachineInfo.look()
    precision, scorer = preflight(project, settings, machine, scorers)
    kind = stage_class(settings.stage)
    processes = Processes(precision.name, machine, settings.sharding, place)
    if not processes.main:
        on_progress = ignore
    alone = runs.run_lock(project) if processes.main and place is None else contextlib.nullcontext()
    with Interrupt() as interrupt, alone:
        engine, attention, data, compiled = _load(
            project, settings, machine, precision, processes, on_progress
        )
        sampler = data.sampler(settings, processes.count)
        total = total_steps(sampler, settings.steps, settings.epochs)
        made_of = run_identity(settings, engine.name, data, processes.count)
        if reuse and (done := _ended(project, made_of, total)) is not None:
            message = Message("train.stage_done", stage=settings.stage, run=done.folder.name)
            on_progress(Progress("train", done.steps, done.steps, "steps", message))
            return done
        stage = kind(StageContext(project, settings, engine, data, sampler, total))
        stage.check_speech()
        training = Trainer(stage, processes, scorer)
        with processes.first_alone():
            stage.prepare(on_progress)
        folder = _open_run(stage, made_of, engine.name, processes, on_progress, new=new)
        plan = _plan(machine, precision, attention, training, compiled)
        return _run(training, folder, plan, into, interrupt, on_progress)


def _run(
    training: Trainer,
    folder: runs.RunFolder,
    plan: dict[str, Any],
    into: str,
    interrupt: Interrupt,
    on_progress: ProgressCallback,
) -> FineTuneResult:
    """Continue from the last checkpoint to the end, write the voice and the option report."""
    stage, settings, processes, stats = training.stage, training.settings, training.processes, training.stats
    checkpoints = Checkpoints(folder.checkpoints, settings.keep)

    def report(message: Message) -> None:
        on_progress(Progress("train", stats.steps, training.total, "steps", message))

    if last := checkpoints.last():
        training.restore(load(last))
        report(Message("train.goes_on", folder=folder.root.name))
    if processes.main:
        folder.write("plan.json", {name: _stored(value) for name, value in plan.items()})
    for message in (*stage.engine.remarks, *stage.data.remarks):
        report(message)
    tracker = Tracker(settings.tracker if processes.main else "none", folder.root, folder.root.name)
    log = runs.Log(folder.log, stats.steps) if processes.main else None
    if log is not None:
        _note_changes(folder, training, log, on_progress)
    started = time.monotonic()
    try:
        ended = _steps(training, folder, checkpoints, log, tracker, interrupt, on_progress)
    finally:
        training.probe.detach()
        tracker.close()
        if log is not None:
            log.close()
    seconds = time.monotonic() - started
    lines = runs.read_log(folder.log)
    bundle = _finish(training, checkpoints, lines, folder, ended, into, on_progress)
    rows = option_report(training, lines, plan, tracker, checkpoints) if processes.main else []
    if processes.main:
        folder.write("options.json", as_json(rows))
    processes.wait()
    losses = tuple(line["loss"] for line in lines if line["kind"] == "step")
    dev = tuple(line["dev_loss"] for line in lines if "dev_loss" in line)
    return FineTuneResult(
        folder.root, folder.log, bundle, stats.steps, seconds, losses, dev, ended, tuple(rows)
    )


def _load(
    project: Project,
    settings: TrainSettings,
    machine: MachineInfo,
    precision: Choice,
    processes: Processes,
    on_progress: ProgressCallback,
) -> tuple[TrainableModel, Choice, TrainingSet, int]:
    """Load the configured model, its attention kernel, its training set, and how many modules were
    compiled."""
    synthetic = settings.synthetic.share == 1 and not project.manifest.exists()
    rows = [] if synthetic else Manifest.read(project.manifest)
    engine = load_base(project, settings, rows, on_progress)
    attention = plan_attention(
        settings.attention,
        machine,
        precision.name,  # type: ignore[arg-type]
        engine.model.spec.head_width,
        fallback=settings.attention_fallback,
    )
    engine.model.to(processes.device)
    with processes.first_alone():
        data = load_training_set(project, settings, engine, rows, on_progress)
    compiled = configure(engine.model, settings, attention.name)
    if processes.sharded:
        shard(engine.model, processes.device)
    return engine, attention, data, compiled


def _finish(
    training: Trainer,
    checkpoints: Checkpoints,
    lines: list[dict[str, Any]],
    folder: runs.RunFolder,
    ended: Message,
    into: str,
    on_progress: ProgressCallback,
) -> Path | None:
    """Write the voice of the best checkpoint, on the first process; None when the run was paused."""
    stage, settings, stats = training.stage, training.settings, training.stats
    training.finish()
    if ended.code == PAUSED:
        return None
    training.join()
    if not training.processes.main:
        return None
    training.take_best(checkpoints)
    losses = [line["loss"] for line in lines if line["kind"] == "step"]
    metrics = {"train_loss": losses[-1] if losses else None}
    if stage.data.dev:
        metrics["dev_loss"] = training.watcher.best
    if training.scorer is not None:
        measured = math.isfinite(stats.best_score)
        metrics[settings.best_by] = stats.best_score if measured else None
        if not measured:
            message = Message("train.metric_never_measured", metric=settings.best_by)
            on_progress(Progress("train", stats.steps, training.total, "steps", message))
    stage.engine.note_trained(stage.name)
    where = folder.root / MODEL_FOLDER if into == "run" else None
    bundle = export(
        stage.project,
        settings,
        stage.engine,
        stage.data,
        metrics,
        folder,
        on_progress,
        step=stats.steps,
        where=where,
    )
    stats.coqui_files = len(list(bundle.with_name(f"{bundle.name}-coqui").glob("*")))
    stats.adapter_bytes = sum(path.stat().st_size for path in adapter_folder(bundle).glob("*.safetensors"))
    folder.end(ended, bundle=stage.project.relative(bundle))
    return bundle


def _steps(
    training: Trainer,
    folder: runs.RunFolder,
    checkpoints: Checkpoints,
    log: runs.Log | None,
    tracker: Tracker,
    interrupt: Interrupt,
    on_progress: ProgressCallback,
) -> Message:
    """Take steps until the last, or until there is a reason to stop; returns the reason."""
    settings, processes, stats = training.settings, training.processes, training.stats

    def note(kind: str, message: Message | None = None, **values: Any) -> None:
        if log is not None:
            log.write(kind, stats.steps, **values)
        numbers = {key: value for key, value in values.items() if isinstance(value, float)}
        tracker.write(stats.steps, numbers)
        names = (*_SHOWN, *training.stage.shown, settings.best_by)
        shown = {key: numbers[key] for key in names if key in numbers}
        on_progress(Progress("train", stats.steps, training.total, "steps", message, shown))

    def save(*, best: bool = False) -> None:
        stats.checkpoints += 1
        snapshot = training.snapshot()
        if snapshot is not None:
            figure = training.watcher.best if training.scorer is None else stats.best_score
            checkpoints.save(snapshot, figure if best else None, training.judged_by)
        processes.wait()

    interrupt.looping = True
    for step in training.steps():
        try:
            taken = training.step(step, watched=stats.session_steps == 0, folder=folder, interrupt=interrupt)
        except Abandoned:  # the step is discarded; what was reached before it is kept
            if stats.steps:
                save()
            raise KeyboardInterrupt from None
        note("step", **taken)
        over = stats.steps >= training.total
        if training.due_for_evaluation() or over:
            values, decision = training.evaluate()
            messages = [
                Message("train.metric_unmeasured", metric=name) for name in values if values[name] is None
            ]
            if decision.stop is not None:
                messages.insert(0, decision.stop)
            note("evaluation", messages[0] if messages else None, **values)
            for message in messages[1:]:
                on_progress(Progress("train", stats.steps, training.total, "steps", message))
            save(best=decision.best)
            if decision.stop is not None:
                stats.stop_reason = decision.stop
                return decision.stop
        elif stats.steps % settings.save_every == 0:
            save()
        if settings.sample_every and stats.steps % settings.sample_every == 0:
            path = training.speak(folder.samples)
            note("sample", Message("train.sample_spoken", path=path.name), path=path.name)
        if processes.any(bool(interrupt.wanted)):
            save()
            raise KeyboardInterrupt
        if processes.any(processes.main and folder.pause_wanted):
            save()
            folder.unpause()
            return Message(PAUSED)
    return Message(ALL_STEPS)


_SHOWN = ("loss", "dev_loss", "audio_seconds_per_second")


def _open_run(
    stage: Stage, made_of: str, engine: str, processes: Processes, on_progress: ProgressCallback, *, new: bool
) -> runs.RunFolder:
    """Open the run to continue, or a new one. A run that has ended can be lengthened."""
    project, settings = stage.project, stage.settings
    with processes.first_alone():
        folder, other = (None, "") if new and processes.main else runs.find(project, made_of)
        if other:
            on_progress(Progress("train", 0, None, "steps", Message("train.new_run_begins", run=other)))
        if folder is None and not (new and processes.main):
            folder = runs.find_ended(project, made_of, newest=True)
            if folder is not None and not _steps_taken(folder) < stage.total_steps:
                folder = None
        if folder is None:
            folder = runs.create(
                project, made_of, settings=to_dict(settings), engine=engine, data=stage.data.name
            )
        folder.reopen()
        folder.unpause()
    return folder


def _steps_taken(folder: runs.RunFolder) -> float:
    """Return the steps at a run's last checkpoint; infinity where it has none to continue from."""
    last = Checkpoints(folder.checkpoints, 1).last()
    return math.inf if last is None else int(last.name.rpartition("-")[2])


def _note_changes(
    folder: runs.RunFolder, training: Trainer, log: runs.Log, on_progress: ProgressCallback
) -> None:
    """Log which settings differ from those of the session before."""
    settings, stats = training.settings, training.stats
    changed = changed_settings(folder.info().get("settings", {}), settings)
    if not changed or not stats.steps:
        return
    log.write("settings", stats.steps, changed=changed)
    folder.update(settings=to_dict(settings))
    lines = [f"{name}: {before} → {now}" for name, (before, now) in changed.items()]
    message = Message("train.settings_changed", step=stats.steps, changed=lines)
    on_progress(Progress("train", stats.steps, training.total, "steps", message))


def _ended(project: Project, made_of: str, steps: int) -> FineTuneResult | None:
    """Return the newest equal run that has ended with so many steps, if its model still exists."""
    folder = runs.find_ended(project, made_of)
    if folder is None:
        return None
    info = folder.info()
    bundle = project.root / info.get("bundle", "")
    if not info.get("bundle") or read_meta(bundle).get("run") != folder.root.name:
        return None
    lines = runs.read_log(folder.log)
    losses = tuple(line["loss"] for line in lines if line["kind"] == "step")
    dev = tuple(line["dev_loss"] for line in lines if "dev_loss" in line)
    ended = Message.from_dict(info["ended"])
    if ended.code == ALL_STEPS and len(losses) < steps:
        return None
    return FineTuneResult(folder.root, folder.log, bundle, len(losses), 0.0, losses, dev, ended)


def _stored(value: Any) -> Any:
    """Return a value for JSON: a message with code, parameters and English text."""
    return {**value.as_dict(), "text": value.text("en")} if isinstance(value, Message) else value


def _plan(
    machine: MachineInfo, precision: Choice, attention: Choice, training: Trainer, compiled: int
) -> dict[str, Any]:
    """Return the choices made for this run, with messages for the reasons."""
    data = training.data
    return {
        "stage": training.stage.name,
        "device": f"{machine.device}: {machine.name}",
        "processes": training.processes.count,
        "machines": training.machines or 1,
        "sharded": training.processes.sharded,
        "precision": precision.message,
        "attention": attention.message,
        "attention_kind": attention.name,
        "optimizer": Message("train.choice", name=training.kernel, why=training.kernel_why),
        "compiled_modules": compiled,
        "latents": latents_plan(training.settings),
        "learning_rate": training.learning_rate,
        "steps": training.total,
        "steps_per_epoch": training.steps_per_epoch,
        "clips": len(data.train),
        "dev_clips": len(data.dev),
        "generated_clips_per_pass": data.generated_per_part,
        "seconds_of_speech": sum(clip.seconds for clip in data.train),
        "trainable_parameters": training.trainable,
    }
