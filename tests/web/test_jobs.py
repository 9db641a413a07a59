"""Jobs outlive whoever started them: found again, stopped, queued, one at a time, and honest about their
end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dimts.base.errors import DataError
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.web import events
from dimts.web import jobs as module
from dimts.web.jobs import Job, Jobs, alive, ended_as

DEADLINE_SECONDS = 300.0


def until(what: Callable[[], object]) -> object:
    """The first true answer; fails after a minute."""
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")


@pytest.fixture
def jobs(project: Project) -> Iterator[Jobs]:
    """The jobs of a project; whatever still runs at the end is ended."""
    found = Jobs(project)
    yield found
    for job in found.waiting():
        found.stop(job.id, now=True)
    until(lambda: not found.waiting())


def test_a_job_is_the_command_line_itself(jobs: Jobs) -> None:
    job = jobs.start("prepare")  # there is nothing to prepare: the command says so
    ended = until(lambda: (one := jobs.get(job.id)).over and one)
    assert isinstance(ended, Job)
    assert (ended.state, ended.code) == ("failed", 2)
    reason = jobs.reason(ended)
    assert reason.code.startswith("data.")
    assert "put sound files" in reason.remedy("en")
    assert jobs.latest() == ended


def test_an_unknown_kind_is_no_job(jobs: Jobs) -> None:
    with pytest.raises(DataError, match="unknown kind"):
        jobs.start("rm -rf /")
    with pytest.raises(DataError, match="no such job"):
        jobs.get("../../etc/passwd")
    assert jobs.all() == []


SLEEPER = """
import signal, sys, time
print('{"event": "progress", "stage": "train", "done": 3, "total": 50, "unit": "steps", "seconds_left": 9.5}',
      file=sys.stderr, flush=True)
try:
    time.sleep(300)
except KeyboardInterrupt:
    print("saved", file=sys.stderr, flush=True)
    sys.exit(130)
"""


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dimts`, for the runner and its jobs, is a program that works until it is told to stop."""
    fake = tmp_path / "fake" / "dimts_sleeper.py"
    fake.parent.mkdir()
    fake.write_text(SLEEPER, encoding="utf-8")
    runner = fake.with_name("sitecustomize.py")
    # the runner is ours; only the command that it starts is another
    runner.write_text(
        "import subprocess\n"
        "class Popen(subprocess.Popen):\n"
        "    def __init__(self, args, **more):\n"
        "        args = ['-m' if a == '-m' else a for a in args]\n"
        "        if args[2:4] == ['-m', 'dimts']:\n"
        f"            args = [args[0], {str(fake)!r}]\n"
        "        super().__init__(args, **more)\n"
        "subprocess.Popen = Popen\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(fake.parent), prepend=os.pathsep)


@pytest.mark.usefixtures("sleeper")
def test_it_is_found_again_told_to_stop_and_saves(jobs: Jobs) -> None:
    job = jobs.start("train")
    again = Jobs(Project.open(jobs.project.root))  # a second browser, a page that came back
    until(lambda: again.get(job.id).state == "running" and again.log(again.get(job.id)))
    found = events.last_progress(again.log(again.get(job.id)))
    assert found == events.Event("progress", None, Progress("train", 3.0, 50.0, "steps"), 9.5)
    running = again.get(job.id)
    assert os.getsid(running.pid) == running.pid  # a session of its own: no terminal or page takes it along
    again.stop(job.id)
    ended = until(lambda: (one := jobs.get(job.id)).over and one)
    assert isinstance(ended, Job)
    assert (ended.state, ended.code) == ("stopped", 130)
    assert "saved" in jobs.log(ended)


@pytest.mark.usefixtures("sleeper")
def test_one_at_a_time_and_the_next_waits(jobs: Jobs) -> None:
    first, second = jobs.start("train"), jobs.start("prepare")
    until(lambda: jobs.get(first.id).state == "running")
    assert [job.id for job in jobs.waiting()] == [first.id, second.id]
    assert jobs.get(second.id).state == "queued"
    with pytest.raises(DataError, match="waiting already"):
        jobs.start("prepare")
    jobs.stop(first.id, now=True)
    until(lambda: jobs.get(second.id).state == "running")
    assert jobs.get(first.id).state == "stopped"


@pytest.mark.usefixtures("sleeper")
@pytest.mark.parametrize("kind", ["train", "train_new"])
def test_a_second_training_is_refused_while_one_runs_or_waits(jobs: Jobs, kind: str) -> None:
    jobs.start("train")
    with pytest.raises(DataError) as caught:
        jobs.start(kind)
    assert caught.value.code == "web.training_already"
    assert [job.kind for job in jobs.all()] == ["train"]


@pytest.mark.usefixtures("sleeper")
def test_two_presses_at_once_start_one_training(jobs: Jobs) -> None:
    def press(_: int) -> str:
        try:
            return jobs.start("train").kind
        except DataError as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(press, range(4))) == ["train"] + ["web.training_already"] * 3


@pytest.mark.usefixtures("sleeper")
def test_pausing_a_training_keeps_what_waits_behind_it_waiting(jobs: Jobs) -> None:
    training, waiting = jobs.start("train"), jobs.start("prepare")
    until(lambda: jobs.get(training.id).state == "running" and jobs.log(jobs.get(training.id)))
    runner = psutil.Process(jobs.get(training.id).runner)
    assert jobs.pause() is not None
    until(lambda: jobs.get(training.id).over)
    runner.wait(timeout=DEADLINE_SECONDS)  # it leaves, although a job waits
    assert jobs.get(waiting.id).state == "queued"
    assert jobs.pause() is None
    jobs.start("cost")  # whatever is started next lets the queue go on
    until(lambda: jobs.get(waiting.id).state == "running")


@pytest.mark.usefixtures("sleeper")
def test_a_job_is_removed_from_a_paused_queue(jobs: Jobs) -> None:
    training, waiting = jobs.start("train"), jobs.start("prepare")
    until(lambda: jobs.get(training.id).state == "running" and jobs.log(jobs.get(training.id)))
    jobs.pause()
    until(lambda: jobs.get(training.id).over)
    jobs.stop(waiting.id)
    until(lambda: jobs.get(waiting.id).state == "stopped")
    assert jobs.waiting() == []


@pytest.mark.usefixtures("sleeper")
def test_a_waiting_job_that_is_stopped_never_starts(jobs: Jobs) -> None:
    first, second = jobs.start("train"), jobs.start("prepare")
    until(lambda: jobs.get(first.id).state == "running")
    jobs.stop(second.id)
    assert jobs.get(second.id).state == "stopped", "at once, not when the work before it is over"
    assert jobs.get(first.id).state == "running"
    again = jobs.start("prepare")  # the same may be asked for anew
    jobs.stop(again.id)
    jobs.stop(first.id)
    until(lambda: not jobs.waiting())
    for ended in (jobs.get(second.id), jobs.get(again.id)):
        assert (ended.state, ended.pid) == ("stopped", 0)
        assert ended.ended > 0


@pytest.mark.usefixtures("sleeper")
def test_the_death_of_runner_and_page_ends_no_job(jobs: Jobs) -> None:
    job = jobs.start("train")
    until(lambda: jobs.get(job.id).state == "running")
    running = jobs.get(job.id)
    runner = psutil.Process(running.pid).parent()
    assert runner is not None
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    assert alive(running)
    second = jobs.start("prepare")  # its runner waits for the orphan
    assert jobs.get(second.id).state == "queued"
    jobs.stop(job.id)
    until(lambda: jobs.get(second.id).state == "running")
    assert jobs.get(job.id).state == "lost"  # nobody saw how it ended


def test_a_job_whose_process_is_gone_is_lost(jobs: Jobs) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    jobs.write(Job("1", "train", "running", pid=process.pid, born=time.time()))
    assert jobs.get("1").state == "lost"


def test_another_process_of_the_same_number_is_not_the_job() -> None:
    own = psutil.Process()
    assert alive(Job("1", "train", "running", pid=own.pid, born=own.create_time()))
    assert not alive(Job("1", "train", "running", pid=own.pid, born=own.create_time() - 100))


def test_what_is_no_job_is_passed_over(jobs: Jobs) -> None:
    jobs.write(Job("2", "train", "done"))
    (jobs.folder / "3.json").write_text("{", encoding="utf-8")
    (jobs.folder / "4.json").write_text('{"unknown": 1}', encoding="utf-8")
    assert [job.id for job in jobs.all()] == ["2"]


def test_a_job_that_crashes_names_its_last_line_and_exit_code(jobs: Jobs) -> None:
    job = replace(Job("5", "train", "failed"), code=1)
    jobs.write(job)
    jobs.log_file(job).write_text(
        "Traceback (most recent call last):\nValueError: {broken}\n", encoding="utf-8"
    )
    reason = jobs.reason(job)
    assert (reason.code, reason.parameters["exit_code"]) == ("web.job_crashed", 1)
    assert "ValueError: {broken}" in reason.text("am")


@pytest.mark.parametrize(
    ("code", "asked", "state"),
    [(0, False, "done"), (0, True, "done"), (2, False, "failed"), (130, False, "stopped"),
     (-9, True, "stopped"), (-9, False, "failed"), (-2, False, "stopped")],
)  # fmt: skip
def test_what_an_exit_code_means(code: int, asked: bool, state: str) -> None:
    assert ended_as(code, asked=asked) == state


OWN_WORDS = {
    "data", "add", "prepare", "train", "{project}", "--new", "--dry-run", "--json", "--", "{links}", "fetch",
    "--accept-licence", "large-v3",
}  # fmt: skip


def test_no_word_of_a_browser_gets_into_a_command() -> None:
    assert all(part in OWN_WORDS for row in module.COMMANDS.values() for part in row)
