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
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from dimts.base.errors import SourceError
from dimts.base.messages import Message
from dimts.data.text_files import is_unicode, read_text
from dimts.text.ethiopic import fold_homophones, is_ethiopic_letter

_COLUMNS = {
    "path": """
        path audio_path audio_file audio file file_name filename wav wav_path audio_filepath wav_filename
        wav_file audio_filename audio_file_name file_path filepath sound sound_file clip recording mp3
        audiofile wavfile audio_name sound_path clip_path clip_name recording_path recording_file media
        video video_file audio_url url ፋይል የፋይል_ስም ድምጽ የድምጽ_ፋይል የድምጽ_ፋይል_ስም ቅጂ የድምጽ_ቅጂ ኦዲዮ
    """,
    "text": """
        text sentence transcript transcription raw_text normalized_text raw_transcription ጽሁፍ አረፍተ_ነገር
        የአማርኛ_ጽሁፍ ንባብ ቃል amharic amharic_text text_am sentence_am transcript_text transcribed_text
        sentence_text utterance_text orthographic
    """,
    "speaker": """
        speaker speaker_id speaker_name client_id spk spk_id ተናጋሪ አንባቢ የተናጋሪ_ስም የአንባቢ_ስም reader
        reader_id reader_name narrator speaker_code speakerid
    """,
    "id": "id utt_id utterance_id key name utt clip_id audio_id file_id recording_id segment_id መለያ",
    "split": "split subset partition",
    "licence": "licence license ፈቃድ ፍቃድ",
    "consent": "consent ስምምነት",
    "start": """
        start start_time begin onset begin_time start_timestamp start_ts time_start t_start from offset መነሻ
        መጀመሪያ የመጀመሪያ_ሰአት የመነሻ_ሰአት
    """,
    "end": """
        end end_time stop stop_time end_timestamp end_ts time_end t_end to finish መጨረሻ መድረሻ የመጨረሻ_ሰአት
    """,
    "duration": "duration seconds length ርዝመት ቆይታ",
}
COLUMNS = {name: tuple(spellings.split()) for name, spellings in _COLUMNS.items()}
"""Column names of other programs, as `column_key` writes them, by our names; the preferred first."""
_TIMES = ("start", "end", "duration")
_UNIT = re.compile(r"(.+)_(s|secs?|seconds?|ms|msecs?|millis|milliseconds?)")
"""A column name that states a unit of time."""
SEPARATORS = ("|", "\t", ";", ",")
_QUOTED = (",", ";")
"""Separators of files in which a cell may be in quotes (RFC 4180)."""
_QUOTED_LINES = 40
"""Most lines of a quoted cell."""
_SAMPLE_ROWS = 200
_TITLE_LINES = 6
"""Lines in which a header is looked for: programs write titles, comments and "sep=;" before it."""
_FILE_NAME = re.compile(r"\w\.[A-Za-z]\w{1,4}\s*$")
"""End of a cell that names a file, which no title does."""
_SEPARATOR_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*")
"""First line by which a spreadsheet is told its separator."""
_FEW_ROWS = 4
"""Rows below which it says nothing that no value comes twice."""
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
        return _json_rows(path, content, is_sound)
    return _delimited_rows(path, content, is_sound)


# --- delimited text -------------------------------------------------------------------------------


def _delimited_rows(path: Path, content: str, is_sound: Callable[[str], bool]) -> Rows:
    separator, content = _separator(path, content)
    lines = list(_split_lines(content, separator))
    whole = [cells for _, cells in lines if not isinstance(cells, Message)]
    if not whole:
        raise SourceError("data.no_rows", path=path)
    head = _header_place(whole, is_sound)
    if head is not None:
        first = whole[head]
        columns = header(first) or {}
        passed = set(map(id, whole[: head + 1]))
        lines = [line for line in lines if id(line[1]) not in passed]
        rows = [cells for _, cells in lines if not isinstance(cells, Message)]
        columns = _amharic_column(columns, first, rows[:_SAMPLE_ROWS])
        width = max(len(_without_empty_end(first)), max(columns.values()) + 1)
    else:
        lines, columns, width = _by_content(path, lines, separator, is_sound)
    if not lines:
        raise SourceError("data.no_rows", path=path)
    return _named_cells(lines, columns, width, separator)


def _header_place(rows: Sequence[Sequence[str]], is_sound: Callable[[str], bool]) -> int | None:
    """Return the place of the header; None if there is none before the first row that names a recording."""
    for place, cells in enumerate(rows[:_TITLE_LINES]):
        if header(cells) is not None:
            return place
        if any(is_sound(cell.strip()) for cell in cells):
            return None
    return None


def _amharic_column(
    columns: dict[str, int], first: Sequence[str], rows: Sequence[Sequence[str]]
) -> dict[str, int]:
    """Take another column with the name of a text, where the preferred one has no Ethiopic letter."""
    keys = [column_key(cell) for cell in first]
    for at in (columns["text"], *(at for at, key in enumerate(keys) if key in COLUMNS["text"])):
        if any(_amharic(row[at]) for row in rows if at < len(row)):
            return {**columns, "text": at}
    return columns


def _by_content(
    path: Path, lines: list[_Line], separator: str, is_sound: Callable[[str], bool]
) -> tuple[list[_Line], dict[str, int], int]:
    """Return the rows, the columns and the width of a table without a header, or with an unknown one."""

    def is_title(cells: list[str] | Message) -> bool:
        return not isinstance(cells, Message) and not any(
            is_sound(cell.strip()) or _amharic(cell) or _FILE_NAME.search(cell) for cell in cells
        )

    if separator in _QUOTED:
        lines = [(number, _continued(cells, separator)) for number, cells in lines]
    whole = [cells for _, cells in lines if not isinstance(cells, Message)]
    columns = _columns_by_content(path, whole[:_SAMPLE_ROWS], is_sound)
    width = max(Counter(len(cells) for cells in whole).items(), key=lambda item: (item[1], -item[0]))[0]
    width = max(width, max(columns.values()) + 1)
    titles = 0
    while titles < min(len(lines), _TITLE_LINES) and is_title(lines[titles][1]):
        titles += 1
    first = lines[titles - 1][1] if titles else lines[0][1]
    cells = () if isinstance(first, Message) else first
    named = _known_columns(cells)
    if titles or (len(named) > 1 and not any(is_sound(cell.strip()) for cell in cells)):
        taken = {columns["path"], columns["text"]}
        columns = {name: at for name, at in columns.items() if name != "speaker"}
        columns |= {name: at for name, at in named.items() if at not in taken and name not in columns}
        lines = lines[max(titles, 1) :]
    return lines, columns, width


def _without_empty_end(cells: Sequence[str]) -> Sequence[str]:
    """Return cells without the empty ones behind the last."""
    count = len(cells)
    while count and not cells[count - 1].strip():
        count -= 1
    return cells[:count]


def _named_cells(lines: Iterable[_Line], columns: dict[str, int], width: int, separator: str) -> Rows:
    needed = max(place for name, place in columns.items() if name in ("path", "text", "id")) + 1
    for number, cells in lines:
        if isinstance(cells, Message):
            yield number, cells
            continue
        if len(cells) > width:
            filled = _without_empty_end(cells)
            cells = [*filled, *cells[len(filled) : width]]
        if len(cells) > width:
            if columns["text"] != width - 1:
                yield number, Message("data.too_many_columns", count=len(cells), width=width)
                continue
            cells = [*cells[: width - 1], separator.join(cells[width - 1 :])]  # a text with a separator
        if len(cells) < min(width, needed):
            yield number, Message("data.too_few_columns", count=len(cells), width=width)
        else:
            row = {name: cells[at].strip() for name, at in columns.items() if at < len(cells)}
            if separator not in _QUOTED:
                row = {name: _unquoted(cell) for name, cell in row.items()}
            yield number, row


def _unquoted(cell: str) -> str:
    """Return a cell without the quotes that a spreadsheet writes around it (RFC 4180)."""
    inner = cell[1:-1]
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted else cell


def _separator(path: Path, content: str) -> tuple[str, str]:
    """Find the separator: the one that is stated, that makes a line a header, or that most lines have.

    Also returns the content without the line that states it.
    """
    first, _, rest = content.partition("\n")
    if found := _SEPARATOR_LINE.fullmatch(first):
        return found[1], f"\n{rest}"
    head = [line for line in content.splitlines()[:50] if line.strip()]
    if path.suffix.lower() == ".tsv" and "\t" in head[0]:
        return "\t", content
    for line in head[:_TITLE_LINES]:
        for separator in SEPARATORS:
            if separator in line and header(line.split(separator)) is not None:
                return separator, content
    votes = {mark: sum(mark in line for line in head) for mark in SEPARATORS}
    return (max(votes, key=lambda mark: votes[mark]) if any(votes.values()) else "|"), content


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
                line, taken = _continued_line(lines[at : at + _QUOTED_LINES], separator)
                yield number, line.split(separator)
        at += taken


def _continued_line(lines: Sequence[str], separator: str) -> tuple[str, int]:
    """Join a line whose last cell is an open quote with the lines to its end, if none of them is a row."""
    if not lines[0].rpartition(separator)[2].startswith('"') or lines[0].count('"') % 2 == 0:
        return lines[0], 1
    for count, line in enumerate(lines[1:], start=2):
        if separator in line:
            break
        if line.rstrip().endswith('"'):
            return " ".join(lines[:count]), count
    return lines[0], 1


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


def column_key(cell: str) -> str:
    """Normalise a column's name: "Start Time (ms)", "startTimeMs" and "start-time-ms" are start_time_ms.

    Amharic letters that are read alike are one letter, so that every spelling of ጽሑፍ is found.
    """
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cell.strip())
    return fold_homophones(re.sub(r"\W+", "_", name).strip("_").lower())


def header(cells: Sequence[str]) -> dict[str, int] | None:
    """Return places by our column names, if a row is a header; None if it is a row like any other.

    Columns of times in milliseconds are start_ms, end_ms and duration_ms.
    """
    found = _known_columns(cells)
    return found if "text" in found and ("path" in found or "id" in found) else None


def _known_columns(cells: Sequence[str]) -> dict[str, int]:
    keys = [column_key(cell) for cell in cells]
    found: dict[str, int] = {}
    for name, spellings in COLUMNS.items():
        for spelling in spellings:
            if spelling in keys:
                found[name] = keys.index(spelling)
                break
    units = [_UNIT.fullmatch(key) for key in keys]
    for name in _TIMES:
        for spelling in COLUMNS[name]:
            places = [(at, unit[2]) for at, unit in enumerate(units) if unit and unit[1] == spelling]
            if places and name not in found:
                at, unit_name = places[0]
                found[f"{name}_ms" if unit_name.startswith("m") else name] = at
                break
    if "end" not in found and "onset" in keys and "offset" in keys:
        found["end"] = keys.index("offset")
    return found


def _columns_by_content(
    path: Path, rows: Sequence[Sequence[str]], is_sound: Callable[[str], bool]
) -> dict[str, int]:
    """Identify the columns by which cells are recordings, and by where the Ethiopic letters are."""
    width = max((len(row) for row in rows), default=0)
    if width < 2:
        raise SourceError("data.columns_unclear", path=path)
    sounds = [sum(is_sound(row[at].strip()) for row in rows if at < len(row)) for at in range(width)]
    named = sounds.index(max(sounds)) if any(sounds) else 0
    share = [sum(_amharic(row[at]) for row in rows if at < len(row)) for at in range(width)]
    share[named] = 0
    texts = [at for at in range(width) if share[at] and share[at] >= max(share) / 2]
    texts = [at for at in texts if not _spelt_out(rows, at)] or texts
    if not texts:
        raise SourceError("data.no_amharic_column", path=path)
    texts = [at for at in texts if 2 * _letters(rows, at) > max(_letters(rows, one) for one in texts)]
    text = texts[-1]
    while text - 1 in texts and _same_text(rows, text - 1, text):
        text -= 1
    columns = {"path": named, "text": text}
    if named == 0 and width == 3 and text == 1 and (_numbers(rows, 2) or (share[2] and 2 not in texts)):
        columns["speaker"] = 2  # StyleTTS 2: path|text|number of the speaker
    elif text >= 2 and named == 0 and _may_be_speaker(rows, 1):
        columns["speaker"] = 1  # Piper: id|speaker|text; GPT-SoVITS: path|speaker|language|text
    return columns


def _letters(rows: Sequence[Sequence[str]], at: int) -> int:
    """Return the letters of a column, by which texts and names of speakers are told apart."""
    return sum(len(row[at].strip()) for row in rows if at < len(row))


def _may_be_speaker(rows: Sequence[Sequence[str]], at: int) -> bool:
    """Whether a column may hold names of speakers: they come again, and are no measured values."""
    cells = [row[at].strip() for row in rows if at < len(row)]
    measured = sum(bool(re.fullmatch(r"\d+[.,]\d+", cell)) for cell in cells)
    return 2 * measured < len(cells) and (len(cells) < _FEW_ROWS or len(set(cells)) < len(cells))


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


def _json_rows(path: Path, content: str, is_sound: Callable[[str], bool]) -> Rows:
    """Read one JSON object per line, or one document: a list of objects, or an object with them."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        whole = None
    found = _json_list(whole, is_sound)
    if found is not None:
        objects: list[tuple[int, object]] = list(enumerate(found, start=1))
    else:
        objects = [
            (number, _json(line)) for number, line in enumerate(content.split("\n"), start=1) if line.strip()
        ]
    keys = {column_key(str(key)) for _, one in objects[:_SAMPLE_ROWS] if isinstance(one, dict) for key in one}
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


def _json_list(whole: object, is_sound: Callable[[str], bool]) -> list[object] | None:
    """Return the objects of a JSON document: a list, a list under a name, objects or texts by their names,
    or columns; None for another document."""
    if isinstance(whole, list):
        return whole
    if not isinstance(whole, dict) or not whole:
        return None
    values = list(whole.values())
    if all(isinstance(one, list) for one in values) and len(set(map(len, values))) == 1 and len(whole) > 1:
        return [dict(zip(whole, row, strict=True)) for row in zip(*values, strict=True)]
    for one in values:
        if isinstance(one, list) and any(isinstance(row, dict) for row in one):
            return one
    if all(isinstance(one, dict) for one in values):
        return [{"id": key, **one} for key, one in whole.items()]
    if all(isinstance(one, str) for one in values) and any(map(is_sound, whole)):
        return [{"path": key, "text": one} for key, one in whole.items()]
    return None


def _json(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return Message("data.not_json", error=str(error))


def _json_cells(row: dict[str, object]) -> Cells | Message:
    names = list(map(str, row))
    values = list(row.values())
    cells: Cells = {}
    for name, at in _known_columns(names).items():
        spellings = COLUMNS.get(name, ())
        same = [place for place, key in enumerate(names) if column_key(key) in spellings]
        same.sort(key=lambda place: spellings.index(column_key(names[place])))
        value = next((values[one] for one in (*same, at) if values[one] not in (None, "")), None)
        if isinstance(value, dict):  # Hugging Face: {"path": …, "bytes": …}
            value = value.get("path")
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            value = " ".join(value)
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            cells[name] = str(value).strip()
    return cells if all(map(is_unicode, cells.values())) else Message("data.half_characters")


def read_spaced(path: Path) -> Rows:
    """Read lines of a recording's id or name, white space, and its text (Kaldi's text, LibriSpeech)."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        name, text = _kaldi_split(line)
        if name:
            yield number, {"path": name, "text": text}


def read_kaldi(path: Path) -> Rows:
    """Read Kaldi's wav.scp with text, utt2spk and segments: one "id value" per line, by any white space."""
    if not (path.parent / "text").is_file():
        raise SourceError("data.no_such_source", path=path.parent / "text")
    text, twice = _kaldi_map(path.parent / "text")
    speakers, _ = _kaldi_map(path.parent / "utt2spk")
    sounds, _ = _kaldi_map(path)
    segments = path.parent / "segments"
    seen: dict[str, int] = {}

    def row(number: int, name: str, sound: str, **times: str) -> Cells | Message:
        if name in seen:
            return Message("data.repeated_row", id=name, first=seen[name])
        seen[name] = number
        if sound.endswith("|"):
            return Message("data.command_not_run")
        if name in twice:
            return Message("data.two_texts", id=name)
        if name not in text:
            return Message("data.no_line_in_text", id=name)
        return {"id": name, "path": sound, "text": text[name], "speaker": speakers.get(name, ""), **times}

    if segments.is_file():
        for number, line in enumerate(read_text(segments).splitlines(), start=1):
            parts = line.split()
            if parts and (len(parts) != 4 or parts[1] not in sounds):
                seen.setdefault(parts[0], number)
                yield number, Message("data.wrong_segment", line=line)
            elif parts:
                yield number, row(number, parts[0], sounds[parts[1]], start=parts[2], end=parts[3])
    else:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            name, value = _kaldi_split(line)
            if name:
                yield number, row(number, name, value)
    for number, name in enumerate(text, start=1):
        if name not in seen:  # a text whose sound is listed nowhere
            yield number, {"id": name, "text": text[name], "speaker": speakers.get(name, "")}


def _kaldi_map(path: Path) -> tuple[Cells, frozenset[str]]:
    """Return values by id, and the ids that have two different values."""
    found: Cells = {}
    twice = set()
    for name, value in map(_kaldi_split, read_text(path).splitlines() if path.is_file() else ()):
        if name and found.setdefault(name, value) != value:
            twice.add(name)
    return found, frozenset(twice)


def _kaldi_split(line: str) -> tuple[str, str]:
    name, _, rest = line.strip().replace("\t", " ").partition(" ")
    return name, rest.strip()


def _amharic(text: str) -> bool:
    return any(map(is_ethiopic_letter, text))
