"""Folders, tables and files as people keep them → Recordings with what is known about them.

Understood: metadata tables with a header (id, path, text, speaker … in .csv or .tsv: ours, coqui's,
Common Voice's), tables without one (LJSpeech and Piper `id|text`, `id|speaker|text`; GPT-SoVITS
`path|speaker|language|text`), Kaldi's `wav.scp` + `text`, sound or video with a .txt or .lab of the same name beside
it, and sound alone. A row without its sound, or a text without its recording, is a Recording too, with
its `problem`: it is set aside with that reason and the rest goes on.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dimts.base.errors import SourceError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import has
from dimts.data.recording import Cue, Recording

SOUND = frozenset(
    [
        ".wav",
        ".flac",
        ".mp3",
        ".ogg",
        ".oga",
        ".opus",
        ".m4a",
        ".aac",
        ".aiff",
        ".aif",
        ".wma",
        ".amr",
        ".mp4",
        ".mkv",
        ".webm",
        ".mov",
        ".avi",
        ".m4v",
        ".3gp",
    ]
)
"""Suffixes taken for sound or video when a folder is searched."""
TEXT = (".txt", ".lab")
"""Suffixes of a text beside a recording of the same name."""
SUBTITLES = (".srt", ".vtt", ".ass", ".ssa")
TABLES = (
    *("metadata.tsv", "metadata.csv", "validated.tsv", "train.tsv", "dev.tsv", "test.tsv"),
    *("metadata_train.csv", "metadata_eval.csv", "transcript.txt", "transcripts.tsv", "line_index.tsv"),
)
"""Names of transcript tables looked for in a folder; also every *.list, and wav.scp beside text."""
COLUMNS = {
    "path": [
        "path",
        "audio_path",
        "audio_file",
        "audio",
        "file",
        "file_name",
        "filename",
        "wav",
        "wav_path",
        "audio_filepath",
    ],
    "text": ["text", "sentence", "transcript", "transcription", "raw_text", "normalized_text"],
    "speaker": ["speaker", "speaker_id", "speaker_name", "client_id"],
    "id": ["id", "utt_id", "utterance_id", "key", "name"],
    "licence": ["licence", "license"],
    "consent": ["consent"],
}
_FOLDERS = ("", "wavs", "wav", "audio", "clips", "audios", "recordings")
"""Folders beside a table in which its sounds may lie."""
Rows = Iterator[tuple[int, dict[str, str] | Message]]
"""Row numbers with what stands in them by column name, or with what is wrong with the row."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of every recording of a source unless the source itself says otherwise."""

    speaker: str = ""
    licence: str = ""
    consent: str = ""


SOURCE_NOTE = ".source.json"
"""Ending of the note beside a fetched recording that says where it is from."""


@dataclass(frozen=True, slots=True)
class RecordingSource:
    """Where a fetched recording comes from."""

    link: str = ""
    title: str = ""
    channel: str = ""
    licence: str = ""
    """As the site states it."""


def find_recordings(sources: Iterable[Path | str], known: Known | None = None) -> Iterator[Recording]:
    """Every recording of the sources, in a fixed order, each file once.

    Raises SourceError for a source that is not there, or a table that cannot be read at all.
    """
    known = known or Known()
    seen: set[tuple[Path, str]] = set()
    for source in sources:
        path = Path(source)
        if not path.exists():
            raise SourceError("data.no_such_source", path=path)
        for recording in _folder(path, known) if path.is_dir() else _file(path, known):
            key = (recording.path.absolute(), recording.name)
            if key not in seen:
                seen.add(key)
                yield recording


def _folder(folder: Path, known: Known) -> Iterator[Recording]:
    """Tables first, then what no table names, then the folders inside."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise SourceError("data.unreadable_folder", folder=folder, reason=error.strerror) from error
    named: set[Path] = set()
    tables = [entry for entry in entries if entry.is_file() and _is_table(entry)]
    for table in tables:
        for recording in _table(table, known):
            named.add(recording.path.absolute())
            yield recording
    yield from _loose([entry for entry in entries if entry.is_file() and entry not in tables], named, known)
    for entry in entries:
        if entry.is_dir():
            for recording in _folder(entry, known):
                if recording.path.absolute() not in named:
                    yield recording


def _loose(entries: Sequence[Path], named: set[Path], known: Known) -> Iterator[Recording]:
    """Sounds no table names, each with the text beside it; texts without a sound."""
    sounds = [entry for entry in entries if entry.suffix.lower() in SOUND]
    for sound in sounds:
        if sound.absolute() not in named:
            yield _with_text_beside(sound, known)
    stems = {sound.stem for sound in sounds} | {path.stem for path in named}
    for entry in entries:
        suffix = entry.suffix.lower()
        # a .txt may be a readme; only among sounds and in fidel is it a transcript that lost its sound
        spoken = suffix in (*SUBTITLES, ".lab") or (suffix == ".txt" and bool(sounds) and _looks_amharic(entry))
        if spoken and entry.stem not in stems:
            yield _problem(entry, known, "no_audio", Message("data.no_recording_beside", path=entry.name))


def _file(path: Path, known: Known) -> Iterator[Recording]:
    """One file named by the user: a table, a text or subtitles (with the sound beside it), or a sound."""
    suffix = path.suffix.lower()
    if suffix in TEXT + SUBTITLES and not _is_table(path):
        beside = [path.with_suffix(one) for one in sorted(SOUND) if path.with_suffix(one).is_file()]
        if not beside:
            raise SourceError("data.no_recording_beside", path=path)
        yield _with_text_beside(beside[0], known)
    elif suffix in (".csv", ".tsv", ".list") or _is_table(path):
        yield from _table(path, known)
    else:
        yield _with_text_beside(path, known)


def _with_text_beside(sound: Path, known: Known) -> Recording:
    """A sound with the subtitles or the text of the same name, if there are any."""
    source = _source(sound)
    base = Recording(
        sound,
        sound.stem,
        speaker=known.speaker,
        licence=source.licence or known.licence,
        consent=known.consent,
        origin=source.link or sound.name,
    )
    for suffix in SUBTITLES:
        beside = sound.with_suffix(suffix)
        if beside.is_file():
            return _subtitled(base, beside)
    for suffix in TEXT:
        beside = sound.with_suffix(suffix)
        if not beside.is_file():
            continue
        try:
            lines = [clean for line in _read(beside).splitlines() if (clean := " ".join(line.split()))]
        except SourceError as error:
            return _replaced(base, problem=Issue("text_unreadable", error.message))
        if not lines:
            return _replaced(base, problem=Issue("no_text", Message("data.text_file_empty", path=beside.name)))
        cues = tuple(Cue(line) for line in lines)
        return _replaced(
            base, cues=cues, by="script" if len(cues) > 1 else "transcript", origin=source.link or beside.name
        )
    return base


def _subtitled(base: Recording, beside: Path) -> Recording:
    if not has("pysubs2"):
        return _replaced(base, problem=Issue("no_text", Message("data.subtitles_need_pysubs2", path=beside.name)))
    from dimts.data.subtitles import read_subtitles

    try:
        cues, doubts = read_subtitles(beside)
    except SourceError as error:
        return _replaced(base, problem=Issue("subtitles_unreadable", error.message))
    origin = base.origin if base.origin != base.path.name else beside.name
    return _replaced(base, cues=cues, by="subtitle", origin=origin, notes=doubts)


def _source(sound: Path) -> RecordingSource:
    """The note beside a fetched recording; empty if there is none, or none that can be read."""
    note = sound.with_suffix(SOURCE_NOTE)
    if not note.is_file():
        return RecordingSource()
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        return RecordingSource(**{name: str(content.get(name, "")) for name in ("link", "title", "channel", "licence")})
    except (OSError, ValueError, AttributeError):
        return RecordingSource()


def _replaced(base: Recording, **changes: object) -> Recording:
    return replace(base, **changes)  # type: ignore[arg-type]


def _problem(path: Path, known: Known, kind: str, message: Message, row: int = 0) -> Recording:
    name = path.stem if not row else f"{path.stem}-{row}"
    origin = path.name if not row else f"{path.name}:{row}"
    return Recording(
        path,
        name,
        speaker=known.speaker,
        licence=known.licence,
        consent=known.consent,
        origin=origin,
        problem=Issue(kind, message),
    )


# --- tables ---------------------------------------------------------------------------------------


def _is_table(path: Path) -> bool:
    if path.name == "wav.scp":
        return (path.parent / "text").is_file()
    return path.name.lower() in TABLES or path.suffix.lower() == ".list"


def _table(path: Path, known: Known) -> Iterator[Recording]:
    """Rows of a transcript table → recordings; wrong rows → recordings with a problem."""
    rows = _kaldi(path) if path.name == "wav.scp" else _rows(path)
    finder = _finder(path.parent)
    for number, row in rows:
        if isinstance(row, Message):
            yield _problem(path, known, "transcript_row", _row_message(path, number, row), number)
            continue
        given = row.get("path") or row.get("id", "")
        name = row.get("id") or Path(given.replace("\\", "/")).stem
        if not given:
            nameless = _row_message(path, number, Message("data.row_names_nothing"))
            yield _problem(path, known, "transcript_row", nameless, number)
            continue
        sound = finder(given)
        text = " ".join(row.get("text", "").split())
        problem = None
        if sound is None:
            problem = Issue("no_audio", Message("data.row_without_sound", path=path.name, row=number, given=given))
        elif not text:
            problem = Issue("no_text", Message("data.row_without_text", path=path.name, row=number))
        yield Recording(
            sound or path.parent / given,
            name,
            cues=(Cue(text),) if text else (),
            by="transcript" if text else "",
            speaker=row.get("speaker", "") or known.speaker,
            licence=row.get("licence", "") or known.licence,
            consent=row.get("consent", "") or known.consent,
            origin=f"{path.name}:{number}",
            problem=problem,
        )


def _row_message(path: Path, number: int, reason: Message) -> Message:
    return Message("data.bad_row", path=path.name, row=number, reason=reason)


def _rows(path: Path) -> Rows:
    """A table with or without a header, in any of the usual dialects."""
    content = _read(path)
    separator = _separator(path, content)
    reader = csv.reader(
        io.StringIO(content, newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE,
        strict=True,
    )
    lines: list[tuple[int, list[str] | Message]] = []
    try:
        lines.extend((reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row))
    except csv.Error as error:
        lines.append((reader.line_num, Message("data.not_table_row", error=error)))
    if not lines:
        raise SourceError("data.no_rows", path=path)
    first = lines[0][1]
    columns = _header(first) if isinstance(first, list) else None
    if columns is None:
        columns = _columns_without_header(path, [row for _, row in lines if isinstance(row, list)])
        width = max(columns.values()) + 1
    else:
        lines, width = lines[1:], len(first) if isinstance(first, list) else 0
    for number, line in lines:
        if isinstance(line, Message):
            yield number, line
        elif len(line) < min(width, max(columns.values()) + 1):
            yield number, Message("data.too_few_columns", count=len(line), width=width)
        else:
            yield number, {name: line[index] for name, index in columns.items() if index < len(line)}


def _separator(path: Path, content: str) -> str:
    head = [line for line in content.splitlines()[:50] if line.strip()]
    if path.suffix.lower() == ".tsv":
        return "\t"
    votes = {mark: sum(mark in line for line in head) for mark in ("|", "\t", ",")}
    return max(votes, key=lambda mark: votes[mark]) if any(votes.values()) else "|"


def _header(cells: Sequence[str]) -> dict[str, int] | None:
    """Our column names → places, if the row is a header; None if it is a row like any other."""
    lower = [cell.lower().lstrip("\ufeff") for cell in cells]
    found: dict[str, int] = {}
    for name, spellings in COLUMNS.items():
        for spelling in spellings:
            if spelling in lower:
                found[name] = lower.index(spelling)
                break
    return found if "text" in found and ("path" in found or "id" in found) else None


def _columns_without_header(path: Path, rows: Sequence[Sequence[str]]) -> dict[str, int]:
    """Which column is which, by where the Ethiopic letters are."""
    width = max((len(row) for row in rows), default=0)
    if width < 2:
        raise SourceError("data.columns_unclear", path=path)
    share = [sum(_amharic(row[at]) for row in rows if at < len(row)) for at in range(width)]
    text = next((at for at in range(1, width) if share[at] and share[at] >= max(share) / 2), None)
    if text is None:
        raise SourceError("data.no_amharic_column", path=path)
    columns = {"path": 0, "text": text}
    if text >= 2:  # Piper: id|speaker|text; GPT-SoVITS: path|speaker|language|text
        columns["speaker"] = 1
    return columns


def _kaldi(path: Path) -> Rows:
    """wav.scp and text (and utt2spk) of Kaldi: one "id value" a line."""
    tables = {}
    for name in ("text", "utt2spk"):
        beside = path.parent / name
        tables[name] = dict(_split(line) for line in _read(beside).splitlines()) if beside.is_file() else {}
    for number, line in enumerate(_read(path).splitlines(), start=1):
        name, value = _split(line)
        if not name:
            continue
        if value.endswith("|"):
            yield number, Message("data.command_not_run")
        elif name not in tables["text"]:
            yield number, Message("data.no_line_in_text", id=name)
        else:
            yield (
                number,
                {"id": name, "path": value, "text": tables["text"][name], "speaker": tables["utt2spk"].get(name, "")},
            )


def _split(line: str) -> tuple[str, str]:
    name, _, rest = line.strip().partition(" ")
    return name, rest.strip()


def _finder(folder: Path) -> Callable[[str], Path | None]:
    """A function from what a table names to the file meant by it."""
    listings: dict[Path, dict[str, Path]] = {}

    def by_stem(where: Path) -> dict[str, Path]:
        if where not in listings:
            listings[where] = (
                {one.stem: one for one in sorted(where.iterdir(), reverse=True) if one.suffix.lower() in SOUND}
                if where.is_dir()
                else {}
            )
        return listings[where]

    def find(given: str) -> Path | None:
        name = Path(given.replace("\\", "/"))
        for inner in _FOLDERS:
            path = name if name.is_absolute() else folder / inner / name
            if path.is_file():
                return path
            if (
                name.suffix.lower() not in SOUND
                and (found := by_stem(path.parent).get(unicodedata.normalize("NFC", name.name))) is not None
            ):
                return found
        # a table made elsewhere: the folders are others, the names the same
        for inner in _FOLDERS:
            if (folder / inner / name.name).is_file():
                return folder / inner / name.name
        return None

    return find


def _read(path: Path) -> str:
    try:
        return unicodedata.normalize("NFC", path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SourceError("data.not_utf8_file", path=path, reason=error.reason) from error
    except OSError as error:
        raise SourceError("data.unreadable_file", path=path, reason=error.strerror) from error


def _amharic(text: str) -> bool:
    from dimts.text.ethiopic import is_ethiopic_letter

    return any(is_ethiopic_letter(char) for char in text)


def _looks_amharic(path: Path) -> bool:
    try:
        return _amharic(_read(path))
    except SourceError:
        return False
