"""Long work of a project, outside the page: jobs/<id>.json holds what is asked, jobs/<id>.log its events.

A job is the command line itself (`dimts data prepare`, `dimts train`), run one at a time by a runner process
of the project (`runner.py`) in a session of its own. Neither a reload, nor a second browser, nor the death of
the page ends it: whoever looks into the folder finds it again. The page writes a job once and then only asks
(a `.stop` file, a signal); its state is written by the runner alone.
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
"""lost: the process is gone and nobody saw how it ended."""
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "add": ("data", "add", "{project}", "--", "{links}"),
    "prepare": ("data", "prepare", "{project}"),
    "train": ("train", "{project}"),
    "train_new": ("train", "{project}", "--new"),
    "fetch_base": ("fetch", "--accept-licence"),
    "fetch_recogniser": ("data", "fetch", "large-v3"),
    "cost": ("train", "{project}", "--dry-run", "--json"),
}
"""Kind of job → arguments of `dimts`; of a browser's words only checked links get into them (`links.py`)."""
TRAINING = ("train", "train_new")
"""Kinds of which a project has one at a time, waiting ones included."""
PAUSED = ".paused"
"""File whose presence keeps the runner from starting the next job; `Jobs.start` removes it."""
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
    """Seconds since 1970, as the others."""
    started: float = 0.0
    ended: float = 0.0
    pid: int = 0
    born: float = 0.0
    """When the process began, to tell it from a later one of the same number."""
    runner: int = 0
    """Process that waits for it, to write down how it ended."""
    runner_born: float = 0.0
    code: int | None = None
    """Its exit code."""
    links: tuple[str, ...] = ()
    """What is to be fetched, of a job of that kind."""

    def arguments(self, root: str) -> list[str]:
        """What `dimts` is called with for it."""
        parts = [part.replace("{project}", root) for part in COMMANDS[self.kind] if part != "{links}"]
        return [*parts, *self.links]

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in OVER


class Jobs:
    """The jobs of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.root / "jobs"

    def all(self) -> list[Job]:
        """Every job, oldest first; one whose process has died unseen is "lost"."""
        # not those that are just being written aside, which begin with a dot
        found = [job for path in sorted(self.folder.glob("[!.]*.json")) if (job := _read(path)) is not None]
        return [self._seen(job) for job in found]

    def _seen(self, job: Job) -> Job:
        """The job, "lost" if it has died and nobody is there to say how, "stopped" if it was removed while it
        waited."""
        if job.state == "queued" and (wish := self.stop_file(job)).exists():
            return replace(job, state="stopped", ended=wish.stat().st_mtime)
        if job.state != "running" or alive(job) or _lives(job.runner, job.runner_born):
            return job
        again = _read(self.folder / f"{job.id}.json")  # the runner may have written and left meanwhile
        return again if again is not None and again.state != "running" else replace(job, state="lost")

    def waiting(self) -> list[Job]:
        """Jobs that are not over, in the order of their turn."""
        return sorted(
            (job for job in self.all() if not job.over), key=lambda job: (job.state != "running", job.id)
        )

    def get(self, identity: str) -> Job:
        """The job of that id. DataError for one that is not there."""
        for job in self.all():
            if job.id == identity:
                return job
        raise DataError("web.no_such_job", identity=str(identity)[:60])

    def latest(self) -> Job | None:
        """What the page shows: the job at work, else the next, else the last that was."""
        waiting = self.waiting()
        everything = self.all()
        return waiting[0] if waiting else everything[-1] if everything else None

    def start(self, kind: str, links: Sequence[str] = ()) -> Job:
        """Put a job into the queue and see to it that a runner is there. DataError when the same one waits
        already."""
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
        """Whoever looks at the queue to add to it is alone, also between two pages on one folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _ONE_STARTS, (self.folder / ".start").open("w") as file:
            end = time.monotonic() + _START_SECONDS
            while not lock(file.fileno()):
                if time.monotonic() > end:
                    raise DataError("web.job_queue_busy")
                time.sleep(0.01)
            yield

    def run(self) -> None:
        """Start a runner; if one is there already, the new one leaves at once."""
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
        """Ask a job to save and end as Ctrl-C does; `now` ends it without asking. A waiting one never
        starts."""
        job = self.get(identity)
        if job.over:
            return job
        write_text(self.stop_file(job), "")
        job = self.get(identity)
        if job.state == "running":
            _signal(job, now=now)
        return job

    def pause(self) -> Job | None:
        """Ask the training to save and end, and keep what waits behind it from starting; None if none is at
        work."""
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
        """Its presence is the wish that the job end."""
        return self.folder / f"{job.id}.stop"

    def log_file(self, job: Job) -> Path:
        """The job's events, one JSON object a line, and whatever else it writes on stderr."""
        return self.folder / f"{job.id}.log"

    def output_file(self, job: Job) -> Path:
        """What the job writes on stdout."""
        return self.folder / f"{job.id}.out"

    def log(self, job: Job) -> list[events.Event | str]:
        """The end of the job's log, oldest first."""
        return events.read(_tail(self.log_file(job)).replace("\r", "\n").splitlines())

    def reason(self, job: Job) -> Message:
        """Why a job failed: its last error, or the last line of a crash."""
        found = self.log(job)
        text = next((one for one in reversed(found) if isinstance(one, str)), "")
        return events.last_error(found) or Message("web.job_crashed", line=text, exit_code=job.code)

    def write(self, job: Job) -> None:
        """Write a job down, whole or not at all."""
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
    """What an exit code means; `asked` says that someone wanted the job to end."""
    if code == 0:
        return "done"
    return "stopped" if asked or code in (_INTERRUPTED, -signal.SIGINT, -signal.SIGTERM) else "failed"


def _signal(job: Job, *, now: bool) -> None:
    """Tell the whole group of a job, as a terminal would."""
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
    except (OSError, ValueError, TypeError):  # of another program, or just being removed
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
