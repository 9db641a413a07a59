"""Read transcript tables of many programs: rows of named cells, and what is wrong with a row.

Understood: tables with a header (any of `COLUMNS`, separated by tab, `|`, comma or semicolon), tables without
one (LJSpeech and Piper `id|text`, `id|speaker|text`; GPT-SoVITS `path|speaker|language|text`), JSON lines
(NeMo, Hugging Face), Kaldi's `wav.scp` + `text` (+ `utt2spk`, `segments`). A wrong row is a Message; the rows
behind it are read.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from dimts.base.errors import SourceError
from dimts.base.messages import Message
from dimts.data.text_files import read_text

COLUMNS = {
    "path": [
        *("path", "audio_path", "audio_file", "audio", "file", "file_name", "filename", "wav", "wav_path"),
        *(
            "audio_filepath",
            "wav_filename",
            "wav_file",
            "audio_filename",
            "audio_file_name",
            "file_path",
            "filepath",
        ),
        *("sound", "sound_file", "clip", "recording", "mp3"),
    ],
    "text": [
        *(
            "text",
            "sentence",
            "transcript",
            "transcription",
            "raw_text",
            "normalized_text",
            "raw_transcription",
        ),
        "ጽሑፍ",
    ],
    "speaker": ["speaker", "speaker_id", "speaker_name", "client_id", "spk", "spk_id", "ተናጋሪ"],
    "id": ["id", "utt_id", "utterance_id", "key", "name", "utt"],
    "split": ["split", "subset", "partition"],
    "licence": ["licence", "license"],
    "consent": ["consent"],
    "start": ["start", "start_seconds", "start_time", "begin", "offset"],
    "end": ["end", "end_seconds", "end_time", "stop"],
    "duration": ["duration", "seconds", "duration_seconds", "length"],
}
"""Column names of other programs, in lower case, by our names."""
SEPARATORS = ("|", "\t", ";", ",")
_QUOTED = (",", ";")
"""Separators of files in which a cell may be in quotes (RFC 4180)."""
_QUOTED_LINES = 40
"""Most lines of a quoted cell."""
_SAMPLE_ROWS = 200
_ALIKE = 0.5
"""Similarity from which two texts of a row are one text written twice (LJSpeech's raw and normalised)."""

_LETTERS_SPELT_OUT = 1.5
"""Letters of a word on average, below which a text is spelt out."""

Cells = dict[str, str]
Rows = Iterator[tuple[int, Cells | Message]]
"""Line numbers with the cells of a row by our column name, or with the error of the row."""
_Line = tuple[int, list[str] | Message]


def read_table(path: Path, is_sound: Callable[[str], bool]) -> Rows:
    """Read the rows of a table. `is_sound` tells whether a cell names an existing recording.

    SourceError for a file that cannot be read, or in which no columns of recordings and texts can be told
    apart.
    """
    content = read_text(path)
    if not content.strip():
        raise SourceError("data.no_rows", path=path)
    if content.lstrip()[0] in "{[" and path.suffix.lower() in (".json", ".jsonl", ".ndjson", ".manifest"):
        return _json_rows(path, content)
    return _delimited_rows(path, content, is_sound)


# --- delimited text -------------------------------------------------------------------------------


def _delimited_rows(path: Path, content: str, is_sound: Callable[[str], bool]) -> Rows:
    separator = _separator(path, content)
    lines = list(_split_lines(content, separator))
    first = next((cells for _, cells in lines if not isinstance(cells, Message)), None)
    if first is None:
        raise SourceError("data.no_rows", path=path)
    columns = header(first)
    whole = [cells for _, cells in lines if not isinstance(cells, Message)]
    if columns is not None:
        width = len(first)
        lines.remove(next(line for line in lines if line[1] is first))
    else:
        if separator in _QUOTED:
            lines = [(number, _continued(cells, separator)) for number, cells in lines]
            whole = [cells for _, cells in lines if not isinstance(cells, Message)]
        columns = _columns_by_content(path, whole[:_SAMPLE_ROWS], is_sound)
        width = max(Counter(len(cells) for cells in whole).items(), key=lambda item: (item[1], -item[0]))[0]
        if not any(map(_amharic, first)) and not is_sound(first[columns["path"]].strip()):
            lines.remove(next(line for line in lines if line[1] is first))  # a header in other words
    return _named_cells(lines, columns, width, separator)


def _named_cells(lines: Iterable[_Line], columns: dict[str, int], width: int, separator: str) -> Rows:
    needed = max(place for name, place in columns.items() if name in ("path", "text", "id")) + 1
    for number, cells in lines:
        if isinstance(cells, Message):
            yield number, cells
            continue
        if len(cells) > width and separator in _QUOTED:
            if columns["text"] != width - 1:
                yield number, Message("data.too_many_columns", count=len(cells), width=width)
                continue
            cells = [*cells[: width - 1], separator.join(cells[width - 1 :])]  # a text with a comma, unquoted
        if len(cells) < min(width, needed):
            yield number, Message("data.too_few_columns", count=len(cells), width=width)
        else:
            yield number, {name: cells[at].strip() for name, at in columns.items() if at < len(cells)}


def _separator(path: Path, content: str) -> str:
    """Find the separator: the one that makes the first line a header, else the one that most lines have."""
    head = [line for line in content.splitlines()[:50] if line.strip()]
    if path.suffix.lower() == ".tsv" and "\t" in head[0]:
        return "\t"
    for separator in SEPARATORS:
        if separator in head[0] and header(head[0].split(separator)) is not None:
            return separator
    votes = {mark: sum(mark in line for line in head) for mark in SEPARATORS}
    return max(votes, key=lambda mark: votes[mark]) if any(votes.values()) else "|"


def _split_lines(content: str, separator: str) -> Iterator[_Line]:
    """Split lines into cells; a quoted cell may span several lines. A line with a wrong quote is a
    Message."""
    lines = content.split("\n")
    at = 0
    while at < len(lines):
        number, line, taken = at + 1, lines[at], 1
        if line.strip():
            if separator in _QUOTED and '"' in line:
                cells, taken = _quoted_row(lines[at : at + _QUOTED_LINES], separator)
                yield number, cells
            else:
                yield number, line.split(separator)
        at += taken


def _quoted_row(lines: Sequence[str], separator: str) -> tuple[list[str] | Message, int]:
    """Return the cells of the first row, and the number of its lines."""
    for count in range(1, len(lines) + 1):
        chunk = lines[:count]
        if sum(line.count('"') for line in chunk) % 2:  # a quote is open
            continue
        try:
            rows = list(csv.reader([f"{line}\n" for line in chunk], delimiter=separator, strict=True))
        except csv.Error:
            break
        if len(rows) == 1:
            return rows[0], count
        break
    return Message("data.wrong_quote"), 1


def _continued(cells: list[str] | Message, separator: str) -> list[str] | Message:
    """Join cells of a table without a header: one that begins with a space continues a text behind a
    comma."""
    if isinstance(cells, Message):
        return cells
    out: list[str] = []
    for cell in cells:
        if out and cell.startswith(" "):
            out[-1] += separator + cell
        else:
            out.append(cell)
    return out


def header(cells: Sequence[str]) -> dict[str, int] | None:
    """Return places by our column names, if a row is a header; None if it is a row like any other."""
    lower = [cell.strip().strip('"').lower().lstrip("\ufeff").replace(" ", "_") for cell in cells]
    found: dict[str, int] = {}
    for name, spellings in COLUMNS.items():
        for spelling in spellings:
            if spelling in lower:
                found[name] = lower.index(spelling)
                break
    return found if "text" in found and ("path" in found or "id" in found) else None


def _columns_by_content(
    path: Path, rows: Sequence[Sequence[str]], is_sound: Callable[[str], bool]
) -> dict[str, int]:
    """Identify the columns by which cells are recordings, and by where the Ethiopic letters are."""
    width = max((len(row) for row in rows), default=0)
    if width < 2:
        raise SourceError("data.columns_unclear", path=path)
    share = [sum(_amharic(row[at]) for row in rows if at < len(row)) for at in range(width)]
    texts = [at for at in range(1, width) if share[at] and share[at] >= max(share) / 2]
    texts = [at for at in texts if not _spelt_out(rows, at)] or texts
    if not texts:
        raise SourceError("data.no_amharic_column", path=path)
    text = texts[-1]
    while text - 1 in texts and _same_text(rows, text - 1, text):
        text -= 1
    sounds = [sum(is_sound(row[at].strip()) for row in rows if at < len(row)) for at in range(text)]
    named = sounds.index(max(sounds)) if any(sounds) else 0
    columns = {"path": named, "text": text}
    if text == 1 and width == 3 and _numbers(rows, 2):  # StyleTTS 2: path|text|number of the speaker
        columns["speaker"] = 2
    if text >= 2 and named == 0:  # Piper: id|speaker|text; GPT-SoVITS: path|speaker|language|text
        columns["speaker"] = 1
    return columns


def _numbers(rows: Sequence[Sequence[str]], at: int) -> bool:
    """Whether a column holds whole numbers and nothing else."""
    return all(row[at].strip().isdecimal() for row in rows if at < len(row))


def _spelt_out(rows: Sequence[Sequence[str]], at: int) -> bool:
    """Whether a column holds texts letter by letter, as FLEURS' fifth does."""
    marks = [mark for row in rows[:20] if at < len(row) for mark in row[at].split()]
    return (
        bool(marks) and sum(map(len, marks)) < _LETTERS_SPELT_OUT * len(marks) and len(marks) > len(rows[:20])
    )


def _same_text(rows: Sequence[Sequence[str]], first: int, second: int) -> bool:
    pairs = [(row[first], row[second]) for row in rows[:20] if second < len(row)]
    alike = [
        difflib.SequenceMatcher(None, one, other, autojunk=False).ratio() > _ALIKE for one, other in pairs
    ]
    return sum(alike) > len(alike) / 2


# --- JSON lines, Kaldi ----------------------------------------------------------------------------


def _json_rows(path: Path, content: str) -> Rows:
    """Read one JSON object per line, or one list of objects."""
    try:
        whole = json.loads(content) if content.lstrip().startswith("[") else None
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, list):
        objects: list[tuple[int, object]] = list(enumerate(whole, start=1))
    else:
        objects = [
            (number, _json(line)) for number, line in enumerate(content.split("\n"), start=1) if line.strip()
        ]
    keys = {str(key).lower() for _, one in objects[:_SAMPLE_ROWS] if isinstance(one, dict) for key in one}
    if not any(name in keys for name in COLUMNS["text"]) or not any(
        name in keys for name in (*COLUMNS["path"], *COLUMNS["id"])
    ):
        raise SourceError("data.columns_unclear", path=path)
    for number, one in objects:
        if isinstance(one, Message):
            yield number, one
        elif not isinstance(one, dict):
            yield number, Message("data.not_json_object")
        else:
            yield number, _json_cells(one)


def _json(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return Message("data.not_json", error=str(error))


def _json_cells(row: dict[str, object]) -> Cells:
    lower = {str(key).lower(): value for key, value in row.items()}
    cells: Cells = {}
    for name, spellings in COLUMNS.items():
        value = next((lower[one] for one in spellings if lower.get(one) not in (None, "")), None)
        if isinstance(value, dict):  # Hugging Face: {"path": …, "bytes": …}
            value = value.get("path")
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            cells[name] = str(value).strip()
    return cells


def read_kaldi(path: Path) -> Rows:
    """Read Kaldi's wav.scp with text, utt2spk and segments: one "id value" per line, by any white space."""
    text = _kaldi_map(path.parent / "text")
    speakers = _kaldi_map(path.parent / "utt2spk")
    sounds = _kaldi_map(path)
    segments = path.parent / "segments"

    def row(name: str, sound: str, **times: str) -> Cells | Message:
        if sound.endswith("|"):
            return Message("data.command_not_run")
        if name not in text:
            return Message("data.no_line_in_text", id=name)
        return {"id": name, "path": sound, "text": text[name], "speaker": speakers.get(name, ""), **times}

    if not segments.is_file():
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            name, value = _kaldi_split(line)
            if name:
                yield number, row(name, value)
        return
    for number, line in enumerate(read_text(segments).splitlines(), start=1):
        parts = line.split()
        if parts and (len(parts) != 4 or parts[1] not in sounds):
            yield number, Message("data.wrong_segment", line=line)
        elif parts:
            yield number, row(parts[0], sounds[parts[1]], start=parts[2], end=parts[3])


def _kaldi_map(path: Path) -> Cells:
    return dict(map(_kaldi_split, read_text(path).splitlines())) if path.is_file() else {}


def _kaldi_split(line: str) -> tuple[str, str]:
    name, _, rest = line.strip().replace("\t", " ").partition(" ")
    return name, rest.strip()


def _amharic(text: str) -> bool:
    from dimts.text.ethiopic import is_ethiopic_letter

    return any(is_ethiopic_letter(char) for char in text)
