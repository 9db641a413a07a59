"""The loop in the workers of a real Ray cluster: as one process does it, through deaths and bad input."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dimts.base.errors import DataError, DimtsError, TrainingError
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.train import runs
from dimts.train.fine_tune import FineTuneResult, fine_tune
from dimts.train.settings import BatchSettings, RayTrainSettings, TrainSettings

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'dimts[ray]'")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")]
MakeProject = Callable[..., Project]
ONE = TrainSettings(steps=4, dropout=0.0, save_every=1, batches=BatchSettings(seconds=16))
TWO = dataclasses.replace(ONE, batches=BatchSettings(seconds=8), ray=RayTrainSettings(workers=2))


@pytest.fixture
def two_machines(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster of two nodes, both here, which this program is connected to."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    node = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def _effect(run: FineTuneResult, option: str) -> str:
    return next(fact.effect.text("en") for fact in run.options if fact.option == option)


def test_ray_workers_do_what_one_process_does(make_project: MakeProject, two_machines: Any) -> None:
    from dimts.train.cluster import fine_tune_on_ray

    alone = fine_tune(make_project("one"), ONE)
    told: list[Progress] = []
    project = make_project("two")
    run = fine_tune_on_ray(project, TWO, told.append)
    assert list(run.losses) == pytest.approx(list(alone.losses), abs=1e-5)
    assert run.bundle is not None
    assert run.bundle.is_dir()
    assert [progress.done for progress in told if "loss" in progress.values] == [1, 2, 3, 4]
    plan = json.loads((run.folder / "plan.json").read_text())
    assert (plan["processes"], plan["machines"]) == (2, 2)
    for option in ("ray.workers", "ray.address", "ray.cores"):
        assert _effect(run, option) != _effect(alone, option) or option == "ray.cores"
    assert _effect(run, "ray.workers") == "2 processes on 2 machines"
    assert _effect(run, "ray.cores") == "1 threads in a process"
    assert not (project.runs / ".ray").exists()

    # bad input in a worker is the one line it is, and is not tried again
    Manifest.write(project.manifest, [])
    with pytest.raises(DimtsError, match="nothing to train on") as caught:
        fine_tune_on_ray(project, TWO)
    assert "\n" not in str(caught.value)
    assert caught.value.message.remedy()


def _kill_a_worker() -> None:
    for process in psutil.process_iter(["cmdline", "name"]):
        if "RayTrainWorker" in " ".join(process.info["cmdline"] or ()):
            process.send_signal(signal.SIGKILL)
            return
    raise AssertionError("no worker was found")


@pytest.mark.parametrize("retries", [1, 0])
def test_a_worker_that_is_killed_is_replaced(
    make_project: MakeProject, two_machines: Any, retries: int
) -> None:
    from dimts.train.cluster import fine_tune_on_ray

    project = make_project()
    settings = dataclasses.replace(TWO, steps=12, ray=RayTrainSettings(workers=2, retries=retries))
    killed = threading.Event()

    def kill(progress: Progress) -> None:
        if progress.done >= 2 and "loss" in progress.values and not killed.is_set():
            killed.set()
            _kill_a_worker()

    if not retries:
        with pytest.raises(TrainingError, match="workers were lost 1 times"):
            fine_tune_on_ray(project, settings, kill)
        assert (
            fine_tune(
                project, dataclasses.replace(settings, batches=BatchSettings(seconds=8, accumulate=2))
            ).steps
            == 12
        )
    else:
        run = fine_tune_on_ray(project, settings, kill)
        assert killed.is_set()
        assert run.steps == 12
        assert _effect(run, "ray.retries") == "1 of 1 restarts"
    assert len(list(project.runs.glob("2*"))) == 1
    assert [
        line["step"]
        for line in runs.read_log(next(project.runs.glob("2*")) / "log.jsonl")
        if line["kind"] == "step"
    ] == [*range(1, 13)]


def test_the_command_starts_a_cluster_of_its_own_saves_at_a_signal_and_goes_on(
    make_project: MakeProject,
) -> None:
    project = make_project()
    command = [sys.executable, "-m", "dimts", "train", str(project.root), "--ray", "--steps", "60"]
    command += [
        "--set",
        "train.batches.seconds=4",
        "--set",
        "train.save_every=1000",
        "--set",
        "train.evaluate_every=1000",
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = _wait_for_log(project, running)
    running.send_signal(signal.SIGTERM)
    _, told = running.communicate(timeout=120)
    assert running.returncode == 130, told
    assert "what is done is kept" in told
    reached = max(line["step"] for line in runs.read_log(log))
    assert list((log.parent / "checkpoints").glob("step-*"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "going on with" in done.stderr
    assert "Traceback" not in done.stderr
    assert reached < 60
    assert [line["step"] for line in runs.read_log(log) if line["kind"] == "step"] == [*range(1, 61)]


def _wait_for_log(project: Project, running: subprocess.Popen[str]) -> Path:
    import time

    while True:
        assert running.poll() is None, running.communicate()[1][-3000:]
        for log in project.runs.glob("2*/log.jsonl"):
            if sum(line["kind"] == "step" for line in runs.read_log(log)) >= 2:
                return log
        time.sleep(0.1)  # only so as not to spin; the loop waits for the steps


def test_a_cluster_that_is_not_there_is_one_line(make_project: MakeProject) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dimts", "train", str(make_project().root), "--ray"),
            *("--set", "train.ray.address=127.0.0.1:1"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr[-2000:]
    assert "no Ray cluster at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_more_workers_than_cores_are_refused(make_project: MakeProject, two_machines: Any) -> None:
    from dimts.train.cluster import fine_tune_on_ray

    with pytest.raises((TrainingError, DataError), match="need more"):
        fine_tune_on_ray(make_project(), dataclasses.replace(TWO, ray=RayTrainSettings(workers=40)))
