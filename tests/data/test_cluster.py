"""Recordings spread over a real Ray cluster of two nodes: what one process makes, whoever is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from dimts.base.errors import ConfigError, DataError
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.cli.main import main
from dimts.data.context import PrepareSettings, RayPrepareSettings
from dimts.data.journal import noted_sources
from dimts.data.prepare import prepare

COUNT = 6
WORKER = "_in_worker"


def slow(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that starts Ray."""
    for mark in (pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")):
        test = mark(test)
    return test


def started(cluster: Any, **options: Any) -> None:
    """Start a node; Ray gives it 30 seconds, which a busy machine may not have."""
    for _ in range(5):
        try:
            cluster.add_node(wait=True, **options)
            return
        except Exception as error:  # Ray raises no class of its own here
            if "timed out during startup" not in str(error):
                raise
    pytest.fail("no node of Ray started within 30 seconds, five times")


@pytest.fixture(scope="module")
def two_machines() -> Iterator[Any]:
    """A Ray cluster of two nodes with a core each, both here, which this program is connected to."""
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'dimts[ray]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        node = {"num_cpus": 1, "object_store_memory": 100 << 20}
        cluster = Cluster()
        started(cluster, include_dashboard=False, **node)
        started(cluster, **node)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def contents(project: Project) -> dict[str, bytes]:
    """Manifest and clips, to the byte."""
    files = [project.manifest, *sorted(project.clips.glob("*.wav"))]
    return {path.name: path.read_bytes() for path in files}


def with_recordings(project: Project, corpus: Callable[..., Path], count: int = COUNT) -> Project:
    """A project with recordings of its own, one of them broken and one without a text."""
    shutil.copytree(corpus(count), project.recordings, dirs_exist_ok=True)
    (project.recordings / "audio" / "s001.wav").write_bytes(b"RIFF, but no sound")
    shutil.copyfile(project.recordings / "audio" / "s002.wav", project.recordings / "audio" / "alone.wav")
    return project


def afresh(project: Project) -> Project:
    """The same project before its first run."""
    project.manifest.unlink()
    shutil.rmtree(project.clips)
    return project


def test_the_forecast_says_hours_time_and_disk(
    project: Project, corpus: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from dimts.audio.media import probe
    from dimts.data.estimate import SPEED, forecast_prepare

    with_recordings(project, corpus, 4)
    sounds = [path for path in (project.recordings / "audio").glob("*.wav") if path.stem != "s001"]
    seconds = sum(probe(path).seconds or 0.0 for path in sounds)
    found = forecast_prepare(project, cores=4)
    assert (found.recordings, found.new, found.unknown) == (5, 5, 1)
    assert found.seconds == pytest.approx(seconds)
    assert found.work_seconds == pytest.approx(seconds / SPEED / 4)
    assert found.bytes == pytest.approx(seconds * 45_100, abs=1)
    codes = [message.code for message in found.messages()]
    assert codes == [
        "data.forecast_hours",
        "data.forecast_time",
        "data.forecast_disk",
        "data.forecast_unknown",
    ]
    full = replace(found, free_bytes=1, unwritten=2)
    assert [one.code for one in full.messages()][-2:] == [
        "data.forecast_unwritten",
        "data.forecast_disk_full",
    ]
    thousand = replace(found, seconds=3.6e6, cores=64)
    assert thousand.work_seconds == pytest.approx(3.6e6 / 40 / 64)
    assert main(["data", "prepare", str(project.root), "--dry-run"]) == 0
    assert "5 are new" in capsys.readouterr().out
    assert not project.manifest.exists()


@pytest.mark.parametrize(
    ("text", "address"),
    [("10.0.0.1:6379", True), ("auto", True), ("[::1]:6379", True), ("recordings", False), ("a/b:1", False)],
)
def test_what_follows_ray_is_an_address_or_a_source(text: str, address: bool) -> None:
    from dimts.cli.data import is_address

    assert is_address(Path(text)) is address


@slow
def test_a_cluster_that_is_not_there_is_one_line(project: Project, corpus: Callable[..., Path]) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dimts[ray]'")
    settings = PrepareSettings(ray=RayPrepareSettings(address="127.0.0.1:1"))
    with pytest.raises(ConfigError) as caught:
        prepare(project, [corpus(2)], settings, on_ray=True)
    assert caught.value.code == "base.no_ray_cluster"
    assert not project.manifest.exists()


@slow
def test_an_interrupted_run_goes_on_without_the_cluster(
    project: Project, corpus: Callable[..., Path]
) -> None:
    """The command starts a cluster of its own; interrupted, it leaves its journal to a run without."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'dimts[ray]'")
    prepare(with_recordings(project, corpus))
    alone = contents(project)
    afresh(project)
    command = [sys.executable, "-m", "dimts", "--log", "json", "data", "prepare", str(project.root), "--ray"]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell may ignore it
    )
    assert running.stderr is not None
    for line in running.stderr:  # until a recording is in the journal
        if noted_sources(project.clips):
            break
        assert "Traceback" not in line
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=300)
    assert running.returncode == 130, told
    assert "Traceback" not in told
    done = noted_sources(project.clips)
    assert done
    prepare(project)
    assert contents(project) == alone


@slow
def test_a_project_that_a_machine_does_not_see_is_one_line(
    project: Project, corpus: Callable[..., Path], two_machines: Any
) -> None:
    from dimts.data.cluster import map_on_ray
    from dimts.data.context import Context
    from dimts.data.sources import find_recordings

    found = list(find_recordings([corpus(2)]))
    settings = project.settings("data", PrepareSettings)
    elsewhere = replace(Context.of(project, settings), root=Path("/nowhere/voice"))
    with pytest.raises(DataError) as caught:
        list(map_on_ray(found, {}, elsewhere, lambda key, rows: None, lambda progress: None))
    assert caught.value.code == "base.project_not_on_machine"


@slow
def test_a_cluster_makes_what_processes_make(
    project: Project, corpus: Callable[..., Path], two_machines: Any
) -> None:
    settings = replace(project.settings("data", PrepareSettings), jobs=2)
    prepare(with_recordings(project, corpus), settings=settings)
    alone = contents(project)
    seen: list[Progress] = []
    result = prepare(afresh(project), on_progress=seen.append, on_ray=True)
    assert contents(project) == alone
    (size,) = [one.message for one in seen if one.message and one.message.code == "data.cluster"]
    assert (size.parameters["machines"], size.parameters["cores"]) == (2, 2)
    assert result.recordings == COUNT + 1

    # nothing is worked on again, with Ray or without
    before = {path: path.stat().st_mtime_ns for path in project.clips.glob("*.wav")}
    assert prepare(project, on_ray=True).new == 0
    assert {path: path.stat().st_mtime_ns for path in project.clips.glob("*.wav")} == before


def working() -> list[psutil.Process]:
    """The processes that work on a recording, once there is one: a worker may be between two."""
    for _ in range(2000):
        every = psutil.process_iter(["cmdline"])
        if found := [one for one in every if WORKER in " ".join(one.info["cmdline"] or ())]:
            return found
        threading.Event().wait(0.02)
    raise AssertionError("no worker was found")


def kill_a_worker() -> None:
    """SIGKILL to a process that works on a recording."""
    working()[0].send_signal(signal.SIGKILL)


@slow
@pytest.mark.parametrize("retries", [3, 0])
def test_a_lost_worker_is_replaced(
    project: Project, corpus: Callable[..., Path], two_machines: Any, retries: int
) -> None:
    prepare(with_recordings(project, corpus))
    alone = contents(project)
    afresh(project)
    killed = threading.Event()

    def kill(progress: Progress) -> None:
        if progress.stage == "prepare" and progress.done >= 1 and not killed.is_set():
            killed.set()
            kill_a_worker()

    settings = project.settings("data", PrepareSettings)
    settings = replace(settings, ray=RayPrepareSettings(retries=retries))
    if retries:
        prepare(project, settings=settings, on_progress=kill, on_ray=True)
    else:
        with pytest.raises(DataError) as caught:
            prepare(project, settings=settings, on_progress=kill, on_ray=True)
        assert caught.value.code == "data.cluster_worker_lost"
        done = noted_sources(project.clips)
        assert done
        prepare(project, settings=settings, on_ray=True)
    assert killed.is_set()
    assert contents(project) == alone


@slow
def test_workers_that_are_stopped_are_not_used_again(
    project: Project, corpus: Callable[..., Path], two_machines: Any
) -> None:
    """One that was interrupted while it imported a library gave other rows, or an error, later."""
    with_recordings(project, corpus)
    stopped: list[psutil.Process] = []

    def stop(progress: Progress) -> None:
        if progress.stage == "prepare" and progress.done >= 1:
            stopped.extend(working())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(project, on_progress=stop, on_ray=True)
    gone, _ = psutil.wait_procs(stopped, timeout=60)
    assert gone
    prepare(project, on_ray=True)
    found = contents(project)
    prepare(afresh(project))
    assert contents(project) == found


@slow
def test_a_lost_machine_is_no_matter(
    project: Project, corpus: Callable[..., Path], two_machines: Any
) -> None:
    prepare(with_recordings(project, corpus))
    alone = contents(project)
    afresh(project)
    removed = threading.Event()

    def remove(progress: Progress) -> None:
        if progress.stage == "prepare" and progress.done >= 1 and not removed.is_set():
            removed.set()
            two_machines.remove_node(two_machines.list_all_nodes()[1], allow_graceful=False)

    prepare(project, on_progress=remove, on_ray=True)
    assert removed.is_set()
    assert contents(project) == alone
