"""The manifest: one Utterance per line, JSON, typed and validated; written atomically.

Kept and set-aside utterances are both listed, each with its issues, so that nothing disappears without a
reason. Paths are relative to the project, so that a project can be moved.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from dimts.base.errors import DataError, ManifestError
from dimts.base.files import atomic_path
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import nearest
from dimts.data.recording import By

NO_NOISE_DB = 99.0
"""Value in `measures` for a ratio to no noise at all, as JSON has no infinity."""
Split = Literal["train", "dev", "test", ""]
"""Use of an utterance; "" when it was set aside before it got one."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row: a clip, its text, its source, and its issues."""

    id: str
    """Stable id, made of the recording's content, its name and the clip's place in it."""
    path: str = ""
    """The cleaned clip (mono, 22 050 Hz, 16-bit wav) relative to the project; "" when there is none."""
    text: str = ""
    """Text as written in the source."""
    spoken: str = ""
    """Spoken form of the text: numbers and abbreviations in words."""
    spelling: str = ""
    """Model input, by the front end's settings at the time of preparing."""
    phones: str = ""
    """Phones with spaces between, words with " # "."""
    seconds: float = 0.0
    """Length of the clip in seconds."""
    speaker: str = ""
    split: Split = ""
    source_split: Split = ""
    """Split named by its source, e.g. by train.tsv; used if `data.split.keep` is set."""
    kept: bool = False
    """Whether it is used for training and evaluation."""
    issues: tuple[Issue, ...] = ()
    """Issues found; `rejections` gives those for which it was set aside."""
    rejected_for: tuple[str, ...] = ()
    """Kinds of the issues for which it was set aside; empty when kept."""
    decision: Literal["keep", "drop", ""] = ""
    """A person's decision, which overrides the checks."""
    by: By = ""
    """Source of the text: "transcript", "subtitle", "script", "whisper", "recogniser", "person"."""
    score: float | None = None
    """Match of text and audio, 0 to 1; None where nothing was aligned."""
    recording: str = ""
    """Key of the recording: its content and its name."""
    name: str = ""
    """Name of the recording in its source."""
    source: str = ""
    """The original file, relative to the project, or its link."""
    origin: str = ""
    """Place where it was listed, e.g. "metadata.tsv:12"."""
    start_seconds: float = 0.0
    """Start of the clip in the recording."""
    end_seconds: float = 0.0
    licence: str = ""
    consent: str = ""
    cleaned: tuple[str, ...] = ()
    """Processing of the audio, in order, e.g. "high-pass 60 Hz"."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Measured values: snr_db, loudness_lufs, clipped_share, bandwidth_hz, silence_share, phones_per_second
    ..."""
    sketch: str = ""
    """Compact spectrum for finding duplicates (see acoustics.sketch)."""
    voice: str = ""
    """Compact speaker embedding (see speaker_outliers.packed)."""
    work: str = ""
    """Fingerprint of all it was made from: the recording's content, its text, the settings."""

    @property
    def rejections(self) -> tuple[Issue, ...]:
        """The issues for which it was set aside."""
        return tuple(issue for issue in self.issues if issue.kind in self.rejected_for)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without fields that hold their default."""
        out: dict[str, Any] = {}
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if one.name == "issues":
                value = [issue.as_dict() for issue in value]
            elif isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = {name: round(number, _DIGITS) for name, number in sorted(value.items())}
            elif isinstance(value, float):
                value = round(value, _DIGITS)
            if value not in ("", [], {}, None) or one.name in _ALWAYS:
                out[one.name] = value
        return out


_DIGITS = 6
_SHOWN_LETTERS = 80
_ALWAYS = ("id", "path", "text", "seconds", "speaker", "split", "kept")
_FIELDS = tuple(one.name for one in dataclasses.fields(Utterance))
_HINTS = typing.get_type_hints(Utterance)


class Manifest:
    """Reader and writer of manifest files. Each has one writer; readers see complete files only."""

    @staticmethod
    def read(path: Path | str) -> list[Utterance]:
        """Read all rows in order. DataError when there is no manifest, ManifestError for a wrong row."""
        return list(Manifest.rows(path))

    @staticmethod
    def rows(path: Path | str) -> Iterator[Utterance]:
        """Yield the rows one by one, in constant memory; the same errors as `read`."""
        path = Path(path)
        try:
            file = path.open(encoding="utf-8")
        except FileNotFoundError as error:
            raise DataError("data.no_manifest", path=path) from error
        except OSError as error:
            raise DataError("data.unreadable_file", path=path, reason=error.strerror) from error
        seen: dict[str, int] = {}
        with file:
            for number, line in enumerate(_lines(file, path), start=1):
                if not line.strip():
                    continue
                row = parse(line, str(path), number)
                if row.id in seen:
                    raise ManifestError(
                        str(path), number, "id", Message("data.id_twice", id=row.id, first=seen[row.id])
                    )
                seen[row.id] = number
                yield row

    @staticmethod
    def write(path: Path | str, rows: Iterable[Utterance]) -> None:
        """Replace the manifest atomically: a reader sees the old one or the new one."""
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(line_of(row) + "\n")

    @staticmethod
    def append(path: Path | str, rows: Iterable[Utterance]) -> None:
        """Append rows; rows of the same id are replaced in their place."""
        old = Manifest.read(path) if Path(path).exists() else []
        merged = {row.id: row for row in old}
        merged.update((row.id, row) for row in rows)
        Manifest.write(path, merged.values())


def line_of(row: Utterance) -> str:
    """Format a row as one JSON line, without its end; the inverse of `parse`."""
    return json.dumps(row.as_dict(), ensure_ascii=False, allow_nan=False)


def parse(line: str, path: str, number: int, *, placed: bool = True) -> Utterance:
    """Parse one JSON line; ManifestError names file, row and field. `placed`: a kept row must have a
    split."""
    try:
        content = json.loads(line)
    except json.JSONDecodeError as error:
        raise ManifestError(path, number, "", Message("data.not_json", error=error)) from error
    if not isinstance(content, dict):
        raise ManifestError(path, number, "", Message("data.not_json_object"))
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name not in _FIELDS:
            raise ManifestError(
                path, number, name, Message("data.unknown_field", nearest=nearest(name, _FIELDS))
            )
        try:
            values[name] = _value(_HINTS[name], name, value)
        except _WrongValue as error:
            problem = Message("data.wrong_value", value=str(value)[:_SHOWN_LETTERS], reason=error.reason)
            raise ManifestError(path, number, name, problem) from error
        except (TypeError, ValueError, KeyError) as error:
            raise ManifestError(path, number, name, Message("data.wrong_shape")) from error
    for name in _ALWAYS:
        if name not in values:
            raise ManifestError(path, number, name, Message("data.field_missing"))
    row = Utterance(**values)
    _validate(row, path, number, placed)
    return row


class _WrongValue(ValueError):
    """A value of another type or outside the allowed ones."""

    def __init__(self, code: str, /, **parameters: Any) -> None:
        self.reason = Message(code, **parameters)
        super().__init__(self.reason)


def _lines(file: typing.TextIO, path: Path) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise ManifestError(str(path), 0, "", Message("data.not_utf8", reason=error.reason)) from error


def _value(hint: Any, name: str, value: Any) -> Any:
    if name == "issues":
        return tuple(map(Issue.from_dict, value))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None:
            return None
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
    if typing.get_origin(hint) is Literal:
        if value not in typing.get_args(hint):
            raise _WrongValue("data.not_one_of", choices=typing.get_args(hint))
        return value
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise _WrongValue("data.not_list_of_texts")
        return tuple(value)
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _WrongValue("data.not_number")
        return float(value)
    if name == "measures":
        return {str(key): _value(float, key, number) for key, number in dict(value).items()}
    if not isinstance(value, hint):
        raise _WrongValue("data.not_text" if hint is str else "data.not_true_or_false")
    return unicodedata.normalize("NFC", value) if hint is str and name in ("text", "spoken") else value


def _validate(row: Utterance, path: str, number: int, placed: bool) -> None:
    """Check relations between fields: enough to train on a kept row without looking again."""
    if not row.id:
        raise ManifestError(path, number, "id", Message("data.field_empty"))
    if row.path and (PurePosixPath(row.path).is_absolute() or ".." in PurePosixPath(row.path).parts):
        raise ManifestError(path, number, "path", Message("data.path_outside_project", value=row.path))
    if row.seconds < 0:
        raise ManifestError(path, number, "seconds", Message("data.seconds_negative"))
    if not row.kept:
        return
    for name in ("path", "text", "split") if placed else ("path", "text"):
        if not getattr(row, name):
            raise ManifestError(path, number, name, Message("data.field_empty_in_kept_row"))
    if row.seconds <= 0:
        raise ManifestError(path, number, "seconds", Message("data.no_length_in_kept_row"))
