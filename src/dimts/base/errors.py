"""Every way dimts can fail on purpose, one tree.

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
├ TrainingError                 training cannot start or go on
└ SynthesisError                nothing said, too long, no voice

Anything else that is raised is a bug of ours.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence


class DimtsError(Exception):
    """What went wrong in one line (`message`) and what to do about it (`hint`)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split())

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(DimtsError):
    """A setting is unknown, of the wrong type, out of range, or contradicts another."""


class ProjectError(DimtsError):
    """A project folder is missing, already there, or cannot be written."""


class MissingExtra(DimtsError):
    """A library that only some users need is not installed."""

    def __init__(self, library: str, extra: str, why: str = "") -> None:
        reason = f": {why}" if why else ""
        super().__init__(
            f"{library} is needed for this and cannot be imported{reason}",
            f"pip install 'dimts[{extra}]'",
        )
        self.library = library
        self.extra = extra


class TextError(DimtsError):
    """The text holds nothing that can be read aloud in Amharic."""


class PronunciationError(TextError):
    """No backend gave an answer for a word that the judge believed."""

    def __init__(self, word: str, reasons: Sequence[str]) -> None:
        super().__init__(
            f"no believable pronunciation for {word!r}: {'; '.join(reasons)}",
            f"add it to the lexicon: dimts lexicon add {word} PHONES",
        )
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

    def __init__(self, path: str, row: int, field: str, problem: str) -> None:
        super().__init__(
            f"{path}, row {row}, field {field!r}: {problem}",
            "mend the row, or run 'dimts data prepare' again",
        )
        self.path, self.row, self.field = path, row, field


class CheckpointError(DimtsError):
    """Weights are truncated, unsafe, or of another shape than the model."""


class DownloadError(DimtsError):
    """Published files could not be fetched, or are not what they should be."""


class TrainingError(DimtsError):
    """Training cannot start, or had to stop."""


class SynthesisError(DimtsError):
    """Nothing could be said."""


_STORAGE = {
    errno.ENOSPC: ("the disk is full", "free some space, then run the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, then run the same command again"),
    errno.EROFS: ("the file system is read-only", "choose a folder you can write to"),
    errno.EACCES: ("permission denied", "choose a folder you can write to, or mend its permissions"),
    errno.ENOTDIR: ("a part of the path is a file", "choose another folder"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.EPERM: ("not permitted", "choose a folder you can write to, or mend its permissions"),
}


def storage_error(error: OSError, path: object = None) -> DimtsError | None:
    """What a full, read-only or forbidden disk means for a person; None for any other OSError."""
    known = _STORAGE.get(error.errno or 0)
    if known is None:
        return None
    where = path if path is not None else error.filename
    message, hint = known
    return DimtsError(f"cannot write {where}: {message}" if where else message, hint)
