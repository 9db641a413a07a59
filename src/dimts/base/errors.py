"""Define the tree of errors that users can meet.

DimtsError                      for people: one line, one remedy, exit code 2
├ ConfigError                   unknown key, wrong type, contradiction in the settings
├ ProjectError                  a project folder is missing, taken, or not to be written
├ MissingExtra                  an optional library is not installed
├ TextError                     nothing that can be read aloud
│ └ PronunciationError          no backend gave a believable answer
├ AudioError                    a sound cannot be read, decoded or written
├ DataError                     the training set as a whole is unusable
│ ├ SourceError                 a recording, subtitle or link cannot be used
│ └ ManifestError               a row of the manifest is wrong
├ CheckpointError               weights that do not fit, or must not be loaded
├ DownloadError                 published files could not be fetched or verified
├ InstallError                  a library could not be installed, or does not work here
├ TrainingError                 training cannot start or go on
└ SynthesisError                nothing could be spoken, too long, no voice

Anything else that is raised is a bug of ours.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from dimts.base.messages import Message


class DimtsError(Exception):
    """An error for the user: a message with a code, parameters, a text and a remedy.

    DataError("data.no_clips", project=project.root)
    """

    def __init__(self, code: str | Message, /, **parameters: Any) -> None:
        self.message = code if isinstance(code, Message) else Message(code, **parameters)
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """Code of the message, for branching and counting."""
        return self.message.code

    def __str__(self) -> str:
        remedy = " ".join(self.message.remedy().split())
        return f"{self.message.line()} ({remedy})" if remedy else self.message.line()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), dict(self.__dict__))


def _restored(kind: type[DimtsError], state: dict[str, Any]) -> DimtsError:
    """Restore an error that another process has raised, whatever its constructor takes."""
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (error.message,)
    return error


class ConfigError(DimtsError):
    """A setting is unknown, of the wrong type, out of range, or contradicts another."""


class ProjectError(DimtsError):
    """A project folder is missing, already there, or cannot be written."""


class MissingExtra(DimtsError):
    """A library that only some users need is not installed."""

    def __init__(self, library: str, extra: str, why: str = "") -> None:
        code = "base.extra_broken" if why else "base.extra_missing"
        super().__init__(Message(code, library=library, extra=extra, why=why))
        self.library = library
        self.extra = extra


class TextError(DimtsError):
    """The text holds nothing that can be read aloud in Amharic."""


class PronunciationError(TextError):
    """No backend gave an answer for a word that the judge believed."""

    def __init__(self, word: str, reasons: Sequence[str | Message]) -> None:
        super().__init__(Message("text.no_believable_pronunciation", word=word, reasons=tuple(reasons)))
        self.word = word
        self.reasons = tuple(reasons)


class AudioError(DimtsError):
    """A sound file cannot be read, decoded or written."""


class DataError(DimtsError):
    """The training set as a whole cannot be made or used."""


class SourceError(DataError):
    """A recording, a subtitle file or a link cannot be used."""


class ManifestError(DataError):
    """A row of a manifest is wrong; names the file, the row and the field."""

    def __init__(self, path: str, row: int, field: str, problem: str | Message) -> None:
        super().__init__(Message("data.manifest_row", path=path, row=row, field=field, problem=problem))
        self.path, self.row, self.field = path, row, field


class CheckpointError(DimtsError):
    """Weights are truncated, unsafe, or of another shape than the model."""


class DownloadError(DimtsError):
    """Published files could not be fetched, or are not what they should be."""


class InstallError(DimtsError):
    """A library could not be installed, or does not work on this machine."""


class TrainingError(DimtsError):
    """Training cannot start, or had to stop."""


class SynthesisError(DimtsError):
    """No speech could be made."""


_PATH_NOT_FOUND, _FILENAME_TOO_LONG = 3, 206
_WINDOWS_PATH = 248
"""Characters of a folder's path from which Windows refuses it, unless long paths are switched on."""
_STORAGE = {
    errno.ENOSPC: "base.disk_full",
    errno.EDQUOT: "base.disk_quota",
    errno.EROFS: "base.read_only",
    errno.EACCES: "base.permission_denied",
    errno.ENOTDIR: "base.not_a_folder",
    errno.ENAMETOOLONG: "base.name_too_long",
    errno.EPERM: "base.not_permitted",
}


def _too_long(error: OSError, path: object) -> bool:
    """Whether Windows refused a path for its length, which it also calls "not found"."""
    number = getattr(error, "winerror", None)
    return number == _FILENAME_TOO_LONG or (number == _PATH_NOT_FOUND and len(str(path)) >= _WINDOWS_PATH)


def storage_error(error: OSError, path: object = None) -> DimtsError | None:
    """Return the error for a full, read-only or forbidden disk; None for any other OSError."""
    where = path if path is not None else error.filename
    code = "base.path_too_long" if _too_long(error, where) else _STORAGE.get(error.errno or 0)
    if code is None:
        return None
    return DimtsError(
        Message("base.cannot_write", path=where, reason=Message(code)) if where else Message(code)
    )
