"""Write and read the manifest as Parquet, with or without audio; and unpack Parquet corpora of others.

What is written is what the hub's datasets have: a column `audio` of {bytes, path}, typed columns for all
else, rows in groups, so that a reader needs no more memory than one. `read` gives back equal rows. Stands on
pyarrow (Apache-2.0).
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dimts.base.errors import DataError, ManifestError, SourceError
from dimts.base.files import atomic_path, write_bytes, write_text
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.data.manifest import Manifest, Utterance, parse
from dimts.data.sources import SOUND
from dimts.data.tables import COLUMNS

_GROUP_ROWS = 256
_ISSUE_TEXTS = ("kind", "code", "parameters", "text")
"""Columns of text of an issue; `parameters` is JSON."""
_SOUND_COLUMN = "audio"
_FORMAT_KEY = b"dimts.manifest"
_UNSAFE = re.compile(r"[^\w.-]+")
_MAX_STEM = 60


def write(
    path: Path, rows: Iterable[Utterance], sounds: Path | None = None, on_progress: ProgressCallback = ignore
) -> int:
    """Write rows as one Parquet file, atomically; returns their number. With `sounds`, the project's root,
    the clips are included.

    MissingExtra without pyarrow, DataError for a clip that is not there.
    """
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    schema = _schema(arrow, sounds is not None)
    count = 0
    with (
        atomic_path(path) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for group in _groups(rows):
            writer.write_table(arrow.Table.from_pylist([_plain(row, sounds) for row in group], schema=schema))
            count += len(group)
            on_progress(Progress("export", count, None, "rows"))
    return count


def read(path: Path) -> Iterator[Utterance]:
    """Yield the rows of a file that `write` wrote. DataError for another file, ManifestError for a wrong
    row."""
    file = _opened(path)
    if _FORMAT_KEY not in (file.schema_arrow.metadata or {}):
        raise DataError("data.not_our_export", path=path)
    names = [one.name for one in dataclasses.fields(Utterance)]
    number = 0
    for batch in file.iter_batches(
        _GROUP_ROWS, columns=[name for name in names if name in file.schema_arrow.names]
    ):
        for row in batch.to_pylist():
            number += 1
            row["measures"] = dict(row.get("measures") or ())
            row["issues"] = [
                {**issue, "parameters": _parameters(issue.get("parameters"), path, number)}
                for issue in row["issues"]
            ]
            yield parse(
                json.dumps({name: one for name, one in row.items() if one is not None}), str(path), number
            )


def _parameters(text: str | None, path: Path, number: int) -> object:
    try:
        return json.loads(text or "{}")
    except ValueError as error:
        raise ManifestError(str(path), number, "issues", Message("data.wrong_shape")) from error


def unpack(path: Path, folder: Path, on_progress: ProgressCallback = ignore) -> list[Path]:
    """Unpack a Parquet or Arrow corpus with audio into files and their metadata.tsv in `folder`; returns the
    files, the table last.

    Ours, or one of the hub's: `audio` {bytes, path} and a column of text. SourceError where there is neither.
    """
    file = _opened_arrow(path) if path.suffix.lower() == ".arrow" else _opened(path)
    names = file.schema_arrow.names
    sound = next(
        (name for name in (_SOUND_COLUMN, *COLUMNS["path"]) if name in names and _holds_bytes(file, name)), ""
    )
    if not sound:
        raise SourceError("data.parquet_without_sounds", path=path)
    columns = {
        name: next((one for one in known if one in names and one != sound), "")
        for name, known in COLUMNS.items()
    }
    if not columns["text"]:
        raise SourceError("data.no_text_column", path=path, columns=tuple(COLUMNS["text"]))
    wanted = [sound, *dict.fromkeys(one for name, one in columns.items() if one and name != "path")]
    lines, out, number = ["id\tpath\ttext\tspeaker\tlicence\tconsent"], [], 0
    for batch in file.iter_batches(_GROUP_ROWS, columns=wanted):
        for row in batch.to_pylist():
            number += 1
            given = row[sound] or {}
            data, named = given.get("bytes") or b"", Path(str(given.get("path") or "")).name
            cells = {name: _cell(row.get(one)) for name, one in columns.items() if one}
            stem = _UNSAFE.sub("_", cells.get("id") or Path(named).stem).strip("._")[:_MAX_STEM]
            suffix = Path(named).suffix.lower() if Path(named).suffix.lower() in SOUND else _suffix(data)
            target = folder / f"{number:06d}{'-' if stem else ''}{stem}{suffix}"
            if data and not (target.is_file() and target.read_bytes() == data):
                write_bytes(target, data)
                out.append(target)
            facts = [cells.get(name, "") for name in ("text", "speaker", "licence", "consent")]
            lines.append("\t".join([cells.get("id") or target.stem, target.name, *facts]))
        on_progress(Progress("unpack", number, file.metadata.num_rows or None, "rows"))
    table, text = folder / "metadata.tsv", "\n".join(lines) + "\n"
    if not (table.is_file() and table.read_text(encoding="utf-8") == text):
        write_text(table, text)
        out.append(table)
    return out


def restore(path: Path, manifest: Path, root: Path) -> int:
    """Restore clips and manifest.jsonl of an export with audio in a project that has none yet; returns the
    number of rows.

    DataError if there is a manifest already, or if a clip is not in the file.
    """
    if manifest.exists():
        raise DataError("data.manifest_exists", path=manifest)
    rows = list(read(path))
    missing = {row.path for row in rows if row.path}
    file = _opened(path)
    if _SOUND_COLUMN in file.schema_arrow.names:
        for batch in file.iter_batches(_GROUP_ROWS, columns=["path", _SOUND_COLUMN]):
            for row in batch.to_pylist():
                if row["path"] in missing and row[_SOUND_COLUMN] and row[_SOUND_COLUMN]["bytes"]:
                    write_bytes(root / row["path"], row[_SOUND_COLUMN]["bytes"])  # `parse` keeps it inside
                    missing.discard(row["path"])
    lost = [one for one in sorted(missing) if not (root / one).is_file()]
    if lost:
        raise DataError("data.export_lacks_clips", path=path, count=len(lost), example=lost[0])
    Manifest.write(manifest, rows)
    return len(rows)


def _groups(rows: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    held: list[Utterance] = []
    for row in rows:
        held.append(row)
        if len(held) == _GROUP_ROWS:
            yield held
            held = []
    if held:
        yield held


def _schema(arrow: Any, with_sounds: bool) -> Any:
    """Return a column for each field of a row, typed as the field is."""
    text, number = arrow.string(), arrow.float64()
    issue = arrow.struct(
        [(name, text) for name in _ISSUE_TEXTS] + [("measured", number), ("allowed", number)]
    )
    special = {"issues": arrow.list_(issue), "measures": arrow.map_(text, number), "score": number}
    plain = {str: text, float: number, bool: arrow.bool_()}
    fields = []
    for name, hint in typing.get_type_hints(Utterance).items():
        if name in special:
            kind = special[name]
        elif typing.get_origin(hint) is tuple:
            kind = arrow.list_(text)
        else:
            kind = plain.get(hint, text)  # a choice of words is text
        fields.append((name, kind))
    if with_sounds:
        fields.append((_SOUND_COLUMN, arrow.struct([("bytes", arrow.binary()), ("path", text)])))
    return arrow.schema(fields, metadata={_FORMAT_KEY: b"1"})


def _plain(row: Utterance, sounds: Path | None) -> dict[str, Any]:
    out = {one.name: getattr(row, one.name) for one in dataclasses.fields(row)}
    out["issues"] = [
        {**one.as_dict(), "parameters": json.dumps(one.message.as_dict()["parameters"], ensure_ascii=False)}
        for one in row.issues
    ]
    out |= {name: list(value) for name, value in out.items() if isinstance(value, tuple)}
    out["measures"] = list(row.measures.items()) if isinstance(row.measures, Mapping) else []
    if sounds is not None:
        data = None
        if row.path:
            try:
                data = (sounds / row.path).read_bytes()
            except OSError as error:
                raise DataError("data.unreadable_clip", path=row.path, reason=error.strerror) from error
        out[_SOUND_COLUMN] = {"bytes": data, "path": Path(row.path).name} if data is not None else None
    return out


def _opened(path: Path) -> Any:
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    try:
        return parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        raise SourceError("data.unreadable_parquet", path=path, reason=str(error).splitlines()[0]) from error


class _ArrowFile:
    """An Arrow file, as `datasets` saves its tables, with the interface of a ParquetFile."""

    class _Metadata:
        num_rows = 0
        """Unknown before all is read."""

    metadata = _Metadata

    def __init__(self, arrow: Any, path: Path) -> None:
        self._arrow, self._path = arrow, path
        with self._reader() as reader:
            self.schema_arrow = reader.schema

    def _reader(self) -> Any:
        try:
            return self._arrow.ipc.open_stream(self._path)
        except self._arrow.ArrowInvalid:  # the other of Arrow's two forms
            return self._arrow.ipc.open_file(self._path)

    def iter_batches(self, rows: int, columns: list[str]) -> Iterator[Any]:
        with self._reader() as reader:
            count = getattr(reader, "num_record_batches", None)
            batches = iter(reader) if count is None else map(reader.get_batch, range(count))
            for batch in batches:
                for first in range(0, len(batch), rows):
                    yield batch.select(columns).slice(first, rows)


def _opened_arrow(path: Path) -> Any:
    arrow = require("pyarrow", "parquet")
    require("pyarrow.ipc", "parquet")
    try:
        return _ArrowFile(arrow, path)
    except (OSError, arrow.ArrowException) as error:
        raise SourceError("data.unreadable_parquet", path=path, reason=str(error).splitlines()[0]) from error


def _holds_bytes(file: Any, name: str) -> bool:
    kind = file.schema_arrow.field(name).type
    return any(kind.field(at).name == "bytes" for at in range(getattr(kind, "num_fields", 0)))


def _cell(value: object) -> str:
    return " ".join(str(value).split()) if value is not None else ""


_MAGIC = ((b"RIFF", ".wav"), (b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"ID3", ".mp3"), (b"\xff\xfb", ".mp3"))


def _suffix(data: bytes) -> str:
    return next((suffix for magic, suffix in _MAGIC if data.startswith(magic)), ".wav")
