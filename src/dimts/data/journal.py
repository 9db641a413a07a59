"""Record what is done, a line for each recording, so that an interrupted run continues.

One writer: the journal is locked, and a second run on the same project is refused. A line that was cut in
the middle is not used; that recording is done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from dimts.base.errors import DataError, ManifestError, storage_error
from dimts.data.manifest import Utterance, parse

_NAME = ".journal.jsonl"
_LOCK = ".lock"


class Journal:
    """Use it in a `with` block: the lock is held as long."""

    def __init__(self, path: Path, file: IO[str], lock: IO[str], rows: dict[str, list[Utterance]]) -> None:
        self._path, self._file, self._lock = path, file, lock
        self.rows = rows
        """Rows by work key, of the interrupted run."""

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Read the record of an earlier run. DataError while another run is active, DimtsError if not
        writable."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / _LOCK).open("w")
        except OSError as error:
            raise storage_error(error, folder) or error from error
        if not _locked(lock):
            lock.close()
            raise DataError("data.busy", folder=folder.parent)
        path = folder / _NAME
        rows, whole_bytes = _read(path)
        try:
            if path.is_file():
                os.truncate(path, whole_bytes)  # without the line that was cut
            file = path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            lock.close()
            raise storage_error(error, path) or error from error
        return cls(path, file, lock, rows)

    def note(self, key: str, rows: Sequence[Utterance]) -> None:
        """Record that one recording is done."""
        line = json.dumps(
            {"work": key, "rows": [row.as_dict() for row in rows]}, ensure_ascii=False, allow_nan=False
        )
        try:
            self._file.write(line + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())  # the clips are on the disk by now: so must be this line
        except OSError as error:
            raise storage_error(error, self._path) or error from error

    def close(self, *, finished: bool) -> None:
        """End a run; when all is in the manifest, the journal is removed."""
        self._file.close()
        if finished:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.close()


def _read(path: Path) -> tuple[dict[str, list[Utterance]], int]:
    """Read rows by work key, and the bytes of the file's complete lines."""
    rows: dict[str, list[Utterance]] = {}
    whole_bytes = 0
    if not path.is_file():
        return rows, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            whole_bytes += len(line)
            try:
                content = json.loads(line)
                texts = [json.dumps(row) for row in content["rows"]]
                rows[str(content["work"])] = [parse(text, str(path), number, placed=False) for text in texts]
            except (ValueError, KeyError, TypeError, ManifestError):  # of an older program: done again
                continue
    return rows, whole_bytes


def noted_sources(folder: Path) -> set[str]:
    """Recordings (`Utterance.source`) of a run that was cut short, by the journal in `folder`."""
    return {row.source for rows in _read(folder / _NAME)[0].values() for row in rows}


def _locked(lock: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks on Windows: the user keeps to one run
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
