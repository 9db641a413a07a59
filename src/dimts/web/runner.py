"""`python -m dimts.web.runner PROJECT`: run the queued jobs of one project, one after the other, then exit.

It is independent of terminal and page. There is one runner per project: others find the lock held and exit.
If it is killed, its job continues; the next runner waits for that job before it starts another.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dimts.base.project import Project
from dimts.web.jobs import Job, Jobs, alive, ended_as, lock

_LOOK_SECONDS = 0.5


def main(arguments: list[str]) -> int:
    """Run until the queue is empty."""
    jobs = Jobs(Project.open(Path(arguments[0])))
    while True:
        with _only_one(jobs.folder) as mine:
            if not mine:
                return 0
            _write_off_lost(jobs)
            while job := _next(jobs):
                if job.state == "running":  # of a runner that was killed
                    _wait_for(jobs, job)
                else:
                    _run(jobs, job)
        # a job queued while the lock was still held, after the last check
        if _next(jobs) is None:
            return 0


def _next(jobs: Jobs) -> Job | None:
    """Return the next job; of a paused queue only a running one."""
    waiting = jobs.waiting()
    if jobs.paused:
        waiting = [job for job in waiting if job.state == "running"]
    return next(iter(waiting), None)


def _run(jobs: Jobs, job: Job) -> None:
    import psutil

    if jobs.stop_file(job).exists():
        jobs.write(replace(job, state="stopped", ended=time.time()))
        return
    root = str(jobs.project.root.resolve())
    arguments = job.arguments(root)
    # a shell that started the page in the background may have set it to ignore Ctrl-C, which jobs must
    # receive
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with jobs.log_file(job).open("ab") as log, jobs.output_file(job).open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 (arguments of our own table)
            [sys.executable, "-P", "-m", "dimts", "--log", "json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            cwd=root,
        )
        with contextlib.suppress(psutil.Error):  # it may have ended already
            job = replace(job, born=psutil.Process(process.pid).create_time())
        own = psutil.Process()
        job = replace(job, state="running", started=time.time(), pid=process.pid)
        job = replace(job, runner=own.pid, runner_born=own.create_time())
        jobs.write(job)
        if jobs.stop_file(job).exists():  # requested between the check above and now
            jobs.stop(job.id)
        code = process.wait()
    asked = jobs.stop_file(job).exists()
    jobs.write(replace(job, state=ended_as(code, asked=asked), code=code, ended=time.time()))


def _wait_for(jobs: Jobs, job: Job) -> None:
    while alive(job):
        time.sleep(_LOOK_SECONDS)
    jobs.write(replace(job, state="lost", ended=time.time()))


def _write_off_lost(jobs: Jobs) -> None:
    for job in jobs.all():
        if job.state == "lost" and not job.ended:
            jobs.write(replace(job, ended=time.time()))


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[bool]:
    """Whether this process holds the lock; the system frees it when the process ends in any way."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        yield lock(file.fileno())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
