"""Long-running jobs of a project, independent of the page: jobs/<id>.json has the request, jobs/<id>.log its
events.

A job is a command (`dimts data prepare`, `dimts train`), run one at a time by a runner process of the project
(`runner.py`) in a session of its own. Neither a reload, nor a second browser, nor the end of the page stops
it: it is found again in the folder. The page writes a job once and then only sends requests (a `.stop` file,
a signal); its state is written by the runner alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dimts.base.errors import DataError, DimtsError, storage_error
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.web import events

State = Literal["queued", "running", "done", "failed", "stopped", "lost"]
"""State of a job; lost: the process has ended without a recorded exit code."""
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "add": ("data", "add", "{project}", "--", "{links}"),
    "prepare": ("data", "prepare", "{project}"),
    "train": ("train", "{project}"),
    "train_new": ("train", "{project}", "--new"),
    "fetch_base": ("fetch", "--accept-licence"),
    "fetch_recogniser": ("data", "fetch", "large-v3"),
    "cost": ("train", "{project}", "--dry-run", "--json"),
}
"""Arguments of `dimts` by kind of job; of a browser's input only checked links are added (`links.py`)."""
TRAINING = ("train", "train_new")
"""Kinds of which a project has at most one, waiting ones included."""
PAUSED = ".paused"
"""File that keeps the runner from starting the next job; `Jobs.start` removes it."""
OVER: tuple[State, ...] = ("done", "failed", "stopped", "lost")
_TAIL_BYTES = 65_536
_INTERRUPTED = 130
_START_SECONDS = 30.0
_ONE_STARTS = threading.Lock()


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work."""

    id: str
    kind: str
    state: State = "queued"
    created: float = 0.0
    """Time of creation in seconds since 1970, as the other times."""
    started: float = 0.0
    ended: float = 0.0
    pid: int = 0
    born: float = 0.0
    """Start of the process, to distinguish it from a later one of the same number."""
    runner: int = 0
    """Process that waits for it and records its exit."""
    runner_born: float = 0.0
    code: int | None = None
    """Its exit code."""
    links: tuple[str, ...] = ()
    """Links to fetch, for a job of that kind."""

    def arguments(self, root: str) -> list[str]:
        """Return the arguments of `dimts` for the job."""
        parts = [part.replace("{project}", root) for part in COMMANDS[self.kind] if part != "{links}"]
        return [*parts, *self.links]

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state in OVER


class Jobs:
    """The jobs of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.root / "jobs"

    def all(self) -> list[Job]:
        """Return every job, oldest first; one whose process died without a record is "lost"."""
        # without temporary files, which begin with a dot
        found = [job for path in sorted(self.folder.glob("[!.]*.json")) if (job := _read(path)) is not None]
        return [self._seen(job) for job in found]

    def _seen(self, job: Job) -> Job:
        """Return the job, "lost" if it died without a record, "stopped" if it was removed while waiting."""
        if job.state == "queued" and (wish := self.stop_file(job)).exists():
            return replace(job, state="stopped", ended=wish.stat().st_mtime)
        if job.state != "running" or alive(job) or _lives(job.runner, job.runner_born):
            return job
        again = _read(self.folder / f"{job.id}.json")  # the runner may have written and left meanwhile
        return again if again is not None and again.state != "running" else replace(job, state="lost")

    def waiting(self) -> list[Job]:
        """Return jobs that have not ended, in the order of the queue."""
        return sorted(
            (job for job in self.all() if not job.over), key=lambda job: (job.state != "running", job.id)
        )

    def get(self, identity: str) -> Job:
        """Return the job of an id. DataError for one that does not exist."""
        for job in self.all():
            if job.id == identity:
                return job
        raise DataError("web.no_such_job", identity=str(identity)[:60])

    def latest(self) -> Job | None:
        """Return the job to show: the running one, else the next, else the last."""
        waiting = self.waiting()
        everything = self.all()
        return waiting[0] if waiting else everything[-1] if everything else None

    def start(self, kind: str, links: Sequence[str] = ()) -> Job:
        """Queue a job and make sure that a runner exists. DataError when an equal one waits already."""
        if kind not in COMMANDS:
            raise DataError("web.unknown_job_kind", kind=kind[:60], known=tuple(COMMANDS))
        with self._one_starts():
            waiting = self.waiting()
            if kind in TRAINING and any(job.kind in TRAINING for job in waiting):
                raise DataError("web.training_already")
            if any(
                (job.kind, job.links) == (kind, tuple(links)) and job.state == "queued" for job in waiting
            ):
                raise DataError("web.job_queued_already")
            identity = f"{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(3)}"
            job = Job(identity, kind, created=time.time(), links=tuple(links))
            self.write(job)
            (self.folder / PAUSED).unlink(missing_ok=True)
        self.run()
        return job

    @contextlib.contextmanager
    def _one_starts(self) -> Iterator[None]:
        """Lock the queue while a job is added, also between two pages on one folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _ONE_STARTS, (self.folder / ".start").open("w") as file:
            end = time.monotonic() + _START_SECONDS
            while not lock(file.fileno()):
                if time.monotonic() > end:
                    raise DataError("web.job_queue_busy")
                time.sleep(0.01)
            yield

    def run(self) -> None:
        """Start a runner; if one exists already, the new one ends at once."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "runner.log").open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 (our own module on our own folder)
                    [sys.executable, "-P", "-m", "dimts.web.runner", str(self.project.root.resolve())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise storage_error(error, self.folder) or error from error
        threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie

    def stop(self, identity: str, *, now: bool = False) -> Job:
        """Ask a job to save and end as Ctrl-C does; `now` kills it. A waiting one never starts."""
        job = self.get(identity)
        if job.over:
            return job
        write_text(self.stop_file(job), "")
        job = self.get(identity)
        if job.state == "running":
            _signal(job, now=now)
        return job

    def pause(self) -> Job | None:
        """Ask the training to save and end, and hold the queue; None if none is running."""
        found = next((job for job in self.waiting() if job.kind in TRAINING), None)
        if found is None:
            return None
        write_text(self.folder / PAUSED, "")
        return self.stop(found.id)

    @property
    def paused(self) -> bool:
        """Whether waiting jobs stay waiting until another one is started."""
        return (self.folder / PAUSED).exists()

    def stop_file(self, job: Job) -> Path:
        """Return the path of the file that asks a job to end."""
        return self.folder / f"{job.id}.stop"

    def log_file(self, job: Job) -> Path:
        """Return the path of the job's events, one JSON object per line, and its other output on stderr."""
        return self.folder / f"{job.id}.log"

    def output_file(self, job: Job) -> Path:
        """Return the path of the job's stdout."""
        return self.folder / f"{job.id}.out"

    def log(self, job: Job) -> list[events.Event | str]:
        """Return the end of the job's log, oldest first."""
        return events.read(_tail(self.log_file(job)).replace("\r", "\n").splitlines())

    def reason(self, job: Job) -> Message:
        """Return why a job failed: its last error, or the last line of a crash."""
        found = self.log(job)
        text = next((one for one in reversed(found) if isinstance(one, str)), "")
        return events.last_error(found) or Message("web.job_crashed", line=text, exit_code=job.code)

    def write(self, job: Job) -> None:
        """Write a job's file atomically."""
        write_text(self.folder / f"{job.id}.json", json.dumps(asdict(job)) + "\n")


def lock(handle: int) -> bool:
    """Lock an open file for this process alone; False if another has it. The system frees it when a process
    dies."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def alive(job: Job) -> bool:
    """Whether the process of a job still runs (and is not a later one of the same number)."""
    return _lives(job.pid, job.born)


def _lives(pid: int, born: float) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        return bool(
            pid and abs(process.create_time() - born) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.Error:
        return False


def ended_as(code: int, *, asked: bool) -> State:
    """Return the state for an exit code; `asked`: the user wanted the job to end."""
    if code == 0:
        return "done"
    return "stopped" if asked or code in (_INTERRUPTED, -signal.SIGINT, -signal.SIGTERM) else "failed"


def _signal(job: Job, *, now: bool) -> None:
    """Send a signal to the whole process group of a job, as a terminal would."""
    if not alive(job):
        return
    try:
        if hasattr(os, "killpg"):
            os.killpg(job.pid, signal.SIGKILL if now else signal.SIGINT)
        else:
            os.kill(job.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise DimtsError("web.job_of_another_user") from error


def _read(path: Path) -> Job | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Job(**{**content, "links": tuple(content.get("links", ()))})
    except (OSError, ValueError, TypeError):  # of another program, or being removed
        return None


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            start = max(0, file.tell() - _TAIL_BYTES)
            file.seek(start)
            text = file.read().decode("utf-8", errors="replace")
            return text.partition("\n")[2] if start else text  # the first line may be cut
    except OSError:
        return ""
