"""Run the training loop in workers of Ray Train, on this machine or many, and report its progress here.

    run = fine_tune_on_ray(project, settings, on_progress)

The project's folder must have the same path on every machine, as on a shared disk: the first worker
writes into it, the others read from it. Ray keeps no state: a run continues from its own checkpoints, with
--ray or without. When a worker is lost or killed, all workers are restarted (`train.ray.retries`) from the
last checkpoint. An error that the user can correct is raised here as a DimtsError.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimts.base.errors import DimtsError, TrainingError
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.base.ray_cluster import be_quiet, connected, first_line
from dimts.train import runs
from dimts.train.distributed import ClusterInfo
from dimts.train.fine_tune import FineTuneResult, fine_tune
from dimts.train.interrupt import Interrupt
from dimts.train.metrics import Metrics
from dimts.train.settings import RayTrainSettings, TrainSettings

_LOOK_SECONDS = 0.5
_SCRATCH = ".ray"
"""Folder below runs/ for Ray Train's own files, removed after the run."""


@dataclass(frozen=True, slots=True)
class _WorkerTask:
    """Arguments of a worker process."""

    project: Path
    settings: TrainSettings
    new: bool
    folder: Path
    """The caller's working folder, which relative paths in the settings refer to."""
    where: str
    restarts: int
    scorers: Metrics | None
    queue: Any
    """Queue to the calling process: Progress events, or the error of a worker."""


def fine_tune_on_ray(
    project: Project | Path | str,
    settings: TrainSettings | None = None,
    on_progress: ProgressCallback = ignore,
    *,
    new: bool = False,
    scorers: Metrics | None = None,
) -> FineTuneResult:
    """Run `fine_tune` in `train.ray.workers` processes of a Ray cluster.

    Raises what `fine_tune` does, MissingExtra without Ray, ConfigError when the cluster cannot be reached,
    and TrainingError when it has no room or lost workers more often than `train.ray.retries`. Ctrl-C and
    SIGTERM save, then KeyboardInterrupt.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("train", TrainSettings)
    be_quiet()
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    ray = require("ray", "ray")
    require("ray.train", "ray")
    with Interrupt() as interrupt, runs.run_lock(project), _cluster(ray, settings.ray, on_progress) as where:
        interrupt.reinstall()
        for restarts in range(settings.ray.retries + 1):
            queue = _queue()
            task = _WorkerTask(
                project.root.resolve(),
                settings,
                new and not restarts,
                Path.cwd(),
                where,
                restarts,
                scorers,
                queue,
            )
            run, error = _once(ray, task, project, interrupt, on_progress)
            if run is not None:
                if interrupt.wanted and run.bundle is None:
                    raise KeyboardInterrupt
                return run
            if isinstance(error, DimtsError):
                raise error
            reason = first_line(error)
            if interrupt.wanted:
                raise KeyboardInterrupt
            on_progress(Progress("train", 0, None, "steps", Message("train.workers_lost", reason=reason)))
    raise TrainingError("train.workers_lost_too_often", retries=settings.ray.retries + 1, reason=reason)


def _once(
    ray: Any, task: _WorkerTask, project: Project, interrupt: Interrupt, on_progress: ProgressCallback
) -> tuple[FineTuneResult | None, BaseException | None]:
    """Start the workers once and wait; returns the result of the run, or the error that ended it."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    wanted = task.settings.ray
    cards = ray.cluster_resources().get("GPU", 0) >= wanted.workers
    scratch = task.project / "runs" / _SCRATCH
    each: dict[str, float] = {"CPU": wanted.cores, **({"GPU": 1} if cards else {})}
    trainer = TorchTrainer(
        _work,  # type: ignore[arg-type]
        train_loop_config={"task": task},
        scaling_config=ScalingConfig(num_workers=wanted.workers, use_gpu=cards, resources_per_worker=each),
        run_config=RunConfig(storage_path=str(scratch), failure_config=FailureConfig(max_failures=0)),
    )
    outcome: dict[str, Any] = {}

    def fit() -> None:
        try:
            outcome["run"] = trainer.fit().return_value  # type: ignore[attr-defined]
        except Exception as error:  # noqa: BLE001 (whatever Ray raises is reported by the waiting thread)
            outcome["error"] = error

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    interrupt.looping = True
    fault: DimtsError | None = None
    asked = False
    try:
        while True:
            over = not thread.is_alive()
            for event in _drain(task.queue, 0.0 if over else _LOOK_SECONDS):
                if isinstance(event, Progress):
                    on_progress(event)
                else:
                    fault = fault or event
            if interrupt.wanted and not asked:
                asked = _ask_to_save(project)
            if over:
                break
    finally:
        interrupt.looping = False
        task.queue.shutdown(force=True)
        shutil.rmtree(scratch, ignore_errors=True)
    return outcome.get("run"), fault or outcome.get("error")


def _ask_to_save(project: Project) -> bool:
    """Ask the workers to save by the run's `pause` file, as signals of this process do not reach them."""
    for root in sorted(project.runs.glob("2*/"), reverse=True):
        (root / runs.PAUSE).touch()
        return True
    return False


def _work(config: dict[str, Any]) -> FineTuneResult:
    """Run the training loop in one worker."""
    task: _WorkerTask = config["task"]
    try:
        return _fine_tune(task)
    except DimtsError as error:
        task.queue.put(error)
        raise


def _fine_tune(task: _WorkerTask) -> FineTuneResult:
    import ray
    import torch
    from ray import train

    if task.folder.is_dir():
        os.chdir(task.folder)
    if not task.project.is_dir():
        raise TrainingError("base.project_not_on_machine", project=task.project, nodename=os.uname().nodename)
    torch.set_num_threads(task.settings.ray.cores)
    place = ClusterInfo(task.where, str(ray.get_runtime_context().get_node_id()), task.restarts)
    first = train.get_context().get_world_rank() == 0
    return fine_tune(
        task.project,
        task.settings,
        task.queue.put if first else ignore,
        new=task.new,
        scorers=task.scorers,
        place=place,
    )


@contextlib.contextmanager
def _cluster(ray: Any, wanted: RayTrainSettings, on_progress: ProgressCallback) -> Iterator[str]:
    """Connect to a cluster that is large enough; yields its name."""
    with connected(ray, wanted.address, wanted.workers * wanted.cores, on_progress) as where:
        _large_enough(ray, wanted)
        yield where


def _large_enough(ray: Any, wanted: RayTrainSettings) -> None:
    """Raise TrainingError for more workers than there are cores: Ray would wait for them without end."""
    have = ray.cluster_resources().get("CPU", 0)
    if have < wanted.workers * wanted.cores:
        raise TrainingError("train.too_few_cores", have=have, workers=wanted.workers, cores=wanted.cores)


def _queue() -> Any:
    from ray.util.queue import Queue

    return Queue(actor_options={"num_cpus": 0})


def _drain(queue: Any, seconds: float) -> Iterator[Any]:
    """Yield the queue's items, waiting for the first for at most `seconds`."""
    from ray.exceptions import RayError
    from ray.util.queue import Empty

    try:
        if seconds:
            yield queue.get(timeout=seconds)
        yield from queue.get_nowait_batch(queue.qsize())
    except (Empty, RayError):
        return
