"""Fine-tuning, read top to bottom: project + settings → a run that can be broken off anywhere, and a voice.

    rows → engine → codes → plan → steps ( batch → losses → gradients → step → log ) → truth → voice

Exact: everything random in a step follows from seed and step, a step's loss is the mean over all its
tokens however it is split, and a snapshot holds all else. So a run killed at any moment and started again
ends bit for bit (on a CPU) where an uninterrupted one does, and two processes do what one does.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dimts.base.config import to_dict
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.train import runs
from dimts.train.base_model import configure, load_base
from dimts.train.capabilities import Choice, MachineInfo, plan_attention, plan_precision
from dimts.train.dataset import load_training_set
from dimts.train.distributed import ClusterInfo, Processes
from dimts.train.export import adapter_folder, export
from dimts.train.interrupt import Abandoned, Interrupt
from dimts.train.latent_cache import latents_plan
from dimts.train.metrics import Metrics, metric_for
from dimts.train.option_report import option_report
from dimts.train.probe import OptionRow, as_json
from dimts.train.settings import RayTrainSettings, TrainSettings
from dimts.train.snapshot import Checkpoints, load
from dimts.train.track import Tracker, check_available
from dimts.train.trainer import Trainer


@dataclass(frozen=True, slots=True)
class FineTuneResult:
    """What a run came to."""

    folder: Path
    log: Path
    """JSON lines, one per step and evaluation."""
    bundle: Path | None
    """The voice; None when the run was paused."""
    steps: int
    """Optimizer steps taken, all sittings together."""
    seconds: float
    """Of this sitting."""
    losses: tuple[float, ...]
    """Total training loss of every step."""
    dev_losses: tuple[float, ...]
    """Of every evaluation."""
    ended: str
    """Why it ended; "paused" when it can go on."""
    truth: tuple[OptionRow, ...] = field(default_factory=tuple)
    """Each option: asked, applied, measured."""


def fine_tune(
    project: Project | Path | str,
    settings: TrainSettings | None = None,
    on_progress: ProgressCallback = ignore,
    *,
    new: bool = False,
    scorers: Metrics | None = None,
    place: ClusterInfo | None = None,
) -> FineTuneResult:
    """Fine-tune the project's voice and save it below voices/; goes on with a run that was broken off.

    `new` begins a new run in any case; `scorers` are what `train.best_by` may name besides the loss; `place` is where
    in a cluster this process stands, whose caller keeps other trainings away.

    Raises DataError for an empty or unusable manifest, ConfigError for
    what cannot run here, CheckpointError for weights or a vocabulary that do not fit, TrainingError when the
    loss is not finite; KeyboardInterrupt after Ctrl-C or SIGTERM, when all is saved.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("train", TrainSettings)
    machine = MachineInfo.look()
    precision = plan_precision(settings.precision, machine)
    scorer = metric_for(settings.best_by, project, scorers)
    check_available(settings.tracker)
    processes = Processes(precision.name, machine, settings.sharding, place)
    if not processes.main:
        on_progress = ignore
    alone = runs.only_one(project) if processes.main and place is None else contextlib.nullcontext()
    with Interrupt() as interrupt, alone:
        rows = Manifest.read(project.manifest)
        engine = load_base(project, settings, rows, on_progress)
        head = engine.model.spec.head_width
        attention = plan_attention(
            settings.attention,
            machine,
            precision.name,  # type: ignore[arg-type]
            head,
            fallback=settings.attention_fallback,
        )
        engine.model.to(processes.device)
        with processes.first_alone():
            data = load_training_set(project, settings, engine, rows, on_progress if processes.main else ignore)
        compiled = configure(engine.model, settings, attention.name)
        training = Trainer(settings, engine, data, processes, scorer)
        with processes.first_alone():
            training.listen(project, on_progress)
        folder = _open_run(project, settings, engine.name, data.name, processes, on_progress, new=new)
        checkpoints = Checkpoints(folder.checkpoints, settings.keep)
        if last := checkpoints.last():
            training.restore(load(last))
            on_progress(
                Progress(
                    "train", training.taken, training.total, "steps", Message("train.going", folder=folder.root.name)
                )
            )
        plan = _plan(machine, precision, attention, training, compiled)
        if processes.main:
            folder.write("plan.json", plan)
        for line in (*engine.remarks, *data.remarks):
            on_progress(Progress("train", training.taken, training.total, "steps", line))
        tracker = Tracker(settings.tracker if processes.main else "none", folder.root, folder.root.name)
        log = runs.Log(folder.log, training.taken) if processes.main else None
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
        losses = tuple(line["loss"] for line in lines if line["kind"] == "step")
        dev = tuple(line["dev_loss"] for line in lines if line["kind"] == "evaluation")
        training.finish()
        if ended != "paused":
            training.join()
        bundle = None
        if processes.main and ended != "paused":
            training.take_best(checkpoints)
            metrics = {"dev_loss": training.watcher.best, "train_loss": losses[-1] if losses else None}
            if scorer is not None:
                measured = math.isfinite(training.best_score)
                metrics[settings.best_by] = training.best_score if measured else None
                if not measured:
                    told = f"{settings.best_by} could be measured at no evaluation: the voice has the last weights"
                    on_progress(Progress("train", training.taken, training.total, "steps", told))
            bundle = export(project, settings, engine, data, metrics, folder, on_progress, step=training.taken)
            training.coqui_files = len(list(bundle.with_name(f"{bundle.name}-coqui").glob("*")))
            training.adapter_bytes = sum(path.stat().st_size for path in adapter_folder(bundle).glob("*.safetensors"))
            folder.end(ended)
        facts = option_report(settings, training, lines, plan, tracker, checkpoints) if processes.main else []
        if processes.main:
            folder.write("truth.json", as_json(facts))
        processes.wait()
        return FineTuneResult(
            folder.root, folder.log, bundle, training.taken, seconds, losses, dev, ended, tuple(facts)
        )


def _steps(
    training: Trainer,
    folder: runs.RunFolder,
    checkpoints: Checkpoints,
    log: runs.Log | None,
    tracker: Tracker,
    interrupt: Interrupt,
    on_progress: ProgressCallback,
) -> str:
    """Take steps until the last, or until there is a reason to stop; returns the reason."""
    settings, processes = training.settings, training.processes

    def note(kind: str, message: str = "", **values: Any) -> None:
        if log is not None:
            log.write(kind, training.taken, **values)
        numbers = {key: value for key, value in values.items() if isinstance(value, float)}
        tracker.write(training.taken, numbers)
        shown = {key: numbers[key] for key in (*_SHOWN, settings.best_by) if key in numbers}
        on_progress(Progress("train", training.taken, training.total, "steps", message, shown))

    def save(*, best: bool = False) -> None:
        training.saved += 1
        snapshot = training.snapshot()
        if snapshot is not None:
            figure = training.watcher.best if training.scorer is None else training.best_score
            name = "dev_loss" if training.scorer is None else settings.best_by
            checkpoints.save(snapshot, figure if best else None, name)
        processes.wait()

    interrupt.looping = True
    for step in training.steps():
        try:
            taken = training.step(step, watched=training.sitting == 0, folder=folder, interrupt=interrupt)
        except Abandoned:  # the step is forgotten; what was reached before it is kept
            if training.taken:
                save()
            raise KeyboardInterrupt from None
        note("step", **taken)
        over = training.taken >= training.total
        if training.due_for_evaluation() or over:
            values, verdict = training.judge()
            unheard = [
                f"{name} could be measured in no sentence at this step" for name in values if values[name] is None
            ]
            note("evaluation", "; ".join(filter(None, (verdict.stop, *unheard))), **values)
            save(best=verdict.best)
            if verdict.stop:
                training.stopped = verdict.stop
                return verdict.stop
        elif training.taken % settings.save_every == 0:
            save()
        if settings.sample_every and training.taken % settings.sample_every == 0:
            path = training.speak(folder.samples)
            note("sample", f"spoke {path.name}", path=path.name)
        if processes.any(bool(interrupt.wanted)):
            save()
            raise KeyboardInterrupt
        if processes.any(processes.main and folder.pause_wanted):
            save()
            folder.unpause()
            return "paused"
    return "all steps taken"


_SHOWN = ("loss", "loss_mel", "dev_loss", "audio_seconds_per_second")


def _open_run(
    project: Project,
    settings: TrainSettings,
    engine: str,
    data: str,
    processes: Processes,
    on_progress: ProgressCallback,
    *,
    new: bool,
) -> runs.RunFolder:
    """The run to go on with, or a new one."""
    made_of = runs.identity(
        settings=_lasting(settings), engine=engine, data=data, parts=settings.batches.accumulate * processes.count
    )
    with processes.first_alone():
        folder, why = (None, "") if new and processes.main else runs.find(project, made_of)
        if why:
            on_progress(Progress("train", 0, None, "steps", why))
        if folder is None:
            folder = runs.create(project, made_of, settings=to_dict(settings), engine=engine, data=data)
        folder.unpause()
    return folder


def _lasting(settings: TrainSettings) -> dict[str, Any]:
    """What must stay the same for a run to be gone on with: not how many processes share its steps, nor how."""
    alike = replace(settings, sharding="off", ray=RayTrainSettings(), batches=replace(settings.batches, accumulate=1))
    same: dict[str, Any] = _as_floats(to_dict(alike))  # 8 and 8.0 are one setting
    return same


def _as_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_floats(entry) for key, entry in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _plan(
    machine: MachineInfo, precision: Choice, attention: Choice, training: Trainer, compiled: int
) -> dict[str, Any]:
    """What was chosen for this run, for plan.json."""
    return {
        "device": f"{machine.device}: {machine.name}",
        "processes": training.processes.count,
        "machines": training.machines or 1,
        "sharded": training.processes.sharded,
        "precision": str(precision),
        "attention": str(attention),
        "attention_kind": attention.name,
        "optimizer": training.kernel_why,
        "compiled_modules": compiled,
        "latents": latents_plan(training.settings),
        "learning_rate": training.learning_rate,
        "steps": training.total,
        "steps_per_epoch": training.steps_per_epoch,
        "clips": len(training.data.train),
        "dev_clips": len(training.data.dev),
        "seconds_of_speech": sum(clip.seconds for clip in training.data.train),
        "trainable_parameters": training.trainable,
    }
