"""A project's runs: runs/<when>/ with settings, log and checkpoints; one run at a time, resumable.

    runs/2026-03-01-101500/  run.json log.jsonl plan.json options.json checkpoints/ samples/ tensorboard/

`run.json` records what a run was made from and how it ended. A run that has not ended and was made from the
same settings, clips and base is continued; `pause` in its folder asks it to save and end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimts.base.errors import TrainingError, storage_error
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.base.project import Project

_RUN, _LOG, _LOCK = "run.json", "log.jsonl", ".running"
PAUSE = "pause"
"""A file of this name in a run's folder asks it to save and end."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    root: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's snapshots."""
        return self.root / "checkpoints"

    @property
    def log(self) -> Path:
        """Path of the log, one JSON line per step and per evaluation."""
        return self.root / _LOG

    @property
    def samples(self) -> Path:
        """Folder of the samples spoken during training."""
        return self.root / "samples"

    def info(self) -> dict[str, Any]:
        """Contents of run.json: what the run was made from, and how it ended (None while it has not)."""
        content: dict[str, Any] = json.loads((self.root / _RUN).read_text(encoding="utf-8"))
        return content

    def update(self, **values: Any) -> None:
        """Change values in run.json."""
        self.write(_RUN, {**self.info(), **values})

    def end(self, how: Message, **more: Any) -> None:
        """Record that the run is over, and why."""
        self.update(ended=how.as_dict(), **more)

    def reopen(self) -> None:
        """Mark the run as not ended, as it is to be lengthened."""
        if self.info().get("ended"):
            self.update(ended=None)

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file of the run atomically."""
        write_text(self.root / name, json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    @property
    def pause_wanted(self) -> bool:
        """Whether the run was asked to save and end."""
        return (self.root / PAUSE).exists()

    def unpause(self) -> None:
        """Remove such a request."""
        (self.root / PAUSE).unlink(missing_ok=True)


class Log:
    """log.jsonl, line by line; after a crash, lines beyond the last checkpoint are dropped and written
    again."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        if path.exists():
            kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= step]
            write_text(path, "".join(line + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Write one line and flush it."""
        self._file.write(json.dumps({"kind": kind, "step": step, **values}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read all lines of a log.jsonl; a last line cut short by a crash is left out."""
    return [json.loads(line) for line in _whole_lines(path)]


def _whole_lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            json.loads(line)
            yield line


def identity(**parts: Any) -> str:
    """Return a fingerprint of what a run is made from."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def find(project: Project, made_of: str) -> tuple[RunFolder | None, str]:
    """Return the newest run that has not ended and is made from the same; else None and the name of a newer
    one that differs."""
    for root in sorted(project.runs.glob("*/"), reverse=True):
        folder = RunFolder(root)
        try:
            info = folder.info()
        except (FileNotFoundError, ValueError):
            continue
        if info.get("ended"):
            return None, ""
        if info.get("made_of") == made_of:
            return folder, ""
        return None, root.name
    return None, ""


def find_ended(project: Project, made_of: str, *, newest: bool = False) -> RunFolder | None:
    """Return the newest run made from the same that has ended; with `newest`, only where it is the newest of
    all."""
    for root in sorted(project.runs.glob("*/"), reverse=True):
        folder = RunFolder(root)
        try:
            info = folder.info()
        except (FileNotFoundError, ValueError):
            continue
        if info.get("ended") and info.get("made_of") == made_of:
            return folder
        if newest:
            return None
    return None


def create(project: Project, made_of: str, **info: Any) -> RunFolder:
    """Create a run folder, named by the time."""
    name = time.strftime("%Y-%m-%d-%H%M%S")
    for extra in ("", *(f"-{number}" for number in range(2, 100))):
        folder = RunFolder(project.runs / f"{name}{extra}")
        try:
            folder.root.mkdir(parents=True)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise storage_error(error, folder.root) or error from error
    folder.write(_RUN, {"made_of": made_of, "started": name, "ended": None, **info})
    return folder


def request_pause(project: Project) -> Path:
    """Ask the running run to save and end. TrainingError if there is none."""
    for root in sorted(project.runs.glob("*/"), reverse=True):
        if (root / _RUN).is_file() and not RunFolder(root).info().get("ended") and _alive(project):
            write_text(root / PAUSE, "")
            return root
    raise TrainingError("train.no_run_going_project", project=project.root)


@contextlib.contextmanager
def run_lock(project: Project) -> Iterator[None]:
    """Lock the project against other trainings during the block. TrainingError if it is locked."""
    lock = project.runs / _LOCK
    if _alive(project):
        raise TrainingError("train.process_training_project", read_text=lock.read_text())
    write_text(lock, str(os.getpid()))
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _alive(project: Project) -> bool:
    """Whether the process that wrote the lock still runs, and is not a later process of the same number."""
    import psutil

    lock = project.runs / _LOCK
    try:
        number, written = int(lock.read_text()), lock.stat().st_mtime
        return number != os.getpid() and bool(psutil.Process(number).create_time() <= written + 1)
    except (OSError, ValueError, psutil.Error):
        return False
