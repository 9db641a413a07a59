"""Find recordings and their texts in folders, tables and files.

The text of a recording is in a table (see `tables`), in subtitles or labels, or in a .txt or .lab of the same
name; a sound alone is a recording without text. Names are compared without case and without composed letters,
and the suffix of a sound may differ. A row without its sound, a text without its recording, a table or a name
that cannot be read is a Recording too, with its `problem`: it is set aside with that reason and the rest goes
on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

from dimts.base.errors import SourceError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import has
from dimts.data.labels import LABELS, audacity_labels, seconds
from dimts.data.recording import Cue, Recording
from dimts.data.subtitles import in_order, read_subtitles
from dimts.data.tables import Cells, Rows, read_kaldi, read_table
from dimts.data.text_files import is_utf8, name_key, read_text, shown

_SUFFIXES = """
wav wave w64 rf64 bwf flac mp1 mp2 mp3 mpa ogg oga opus spx m4a m4b m4r aac adts ac3 eac3 dts aiff aif
aifc caf au snd amr awb gsm wma wv tta ape tak mpc mka voc sph nist sds
mp4 m4v mkv mk3d webm mov qt avi wmv asf flv f4v 3gp 3g2 ts m2ts mts mpg mpeg vob ogv ogm ogx nut rm rmvb mxf
"""
SOUND = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes of audio and video files in a folder: the formats of libsndfile and FFmpeg's libraries."""
TEXT = (".txt", ".lab")
"""Suffixes of a text beside a recording of the same name."""
SUBTITLES = (".srt", ".vtt", ".ass", ".ssa", ".sub")
OWN_LABELS = frozenset({".textgrid", ".eaf", ".ttml", ".dfxp", ".sbv", ".lrc"})
"""Suffixes of label formats without ambiguity."""
PACKED = frozenset({".parquet", ".arrow"})
"""Suffixes of files with texts and audio together, which are unpacked first."""
TABLES = (
    *("metadata.tsv", "metadata.csv", "metadata.jsonl", "validated.tsv", "train.tsv", "dev.tsv", "test.tsv"),
    *("metadata_train.csv", "metadata_eval.csv", "transcript.txt", "transcripts.tsv", "line_index.tsv"),
    *(
        "train_list.txt",
        "val_list.txt",
        "metadata.json",
        "manifest.json",
        "train.json",
        "dev.json",
        "test.json",
    ),
)
"""Usual names of transcript tables; every other file with a suffix of `TABLE_SUFFIXES` is tried as well."""
TABLE_SUFFIXES = (".list", ".csv", ".tsv", ".jsonl", ".ndjson")
UNCHECKED_TABLES = ("invalidated.tsv", "other.tsv")
"""Tables of Common Voice whose clips nobody has confirmed, or people have rejected."""
NOT_TRANSCRIPTS = (
    "reported.tsv",
    "clip_durations.tsv",
    "validated_sentences.tsv",
    "unvalidated_sentences.tsv",
)
"""Tables of Common Voice without transcripts."""
_FOLDERS = ("", "wavs", "wav", "audio", "clips", "audios", "recordings")
"""Folders beside a table in which its audio files may be."""
_SPLITS: dict[str, Literal["train", "dev", "test"]] = {
    "train": "train",
    "dev": "dev",
    "test": "test",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
}
"""Our split by the names that tables use."""
_LANGUAGE = re.compile(r"(.+)\.(am|amh|am-[A-Za-z0-9-]+)")
"""Stem of a subtitle file with a language code, as yt-dlp writes it."""


@dataclass(frozen=True, slots=True)
class Known:
    """Default metadata of a source's recordings."""

    speaker: str = ""
    licence: str = ""
    consent: str = ""
    corpus: str = ""
    """The public corpus it belongs to, as in its origin."""

    def origin(self, place: str) -> str:
        """Return where something was listed, with the corpus in front."""
        return f"{self.corpus} {place}" if self.corpus else place

    def within(self, folder: Path) -> Known:
        """Return the defaults inside a folder: a public corpus has its own licence."""
        note = corpus_note(folder)
        if note is None:
            return self
        facts = {name: str(note.get(name) or "") for name in ("name", "licence", "homepage")}
        revision = next(map(str, note.get("revisions") or ()), facts["name"])
        return replace(
            self, licence=facts["licence"], consent=facts["homepage"], corpus=revision[:_CORPUS_LETTERS]
        )


CORPUS_NOTE = "corpus.json"
"""Name of the note in a folder that identifies a public corpus."""
_CORPUS_LETTERS = 80


def corpus_note(folder: Path) -> dict[str, Any] | None:
    """Read the note of a fetched corpus; None if there is none, or none that can be read."""
    try:
        note = json.loads((folder / CORPUS_NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) and "licence" in note and "name" in note else None


SOURCE_NOTE = ".source.json"
"""Suffix of the note with the source of a fetched recording."""


@dataclass(frozen=True, slots=True)
class RecordingSource:
    """Source of a fetched recording."""

    link: str = ""
    title: str = ""
    channel: str = ""
    licence: str = ""
    """Licence as the site states it."""


def find_recordings(sources: Iterable[Path | str], known: Known | None = None) -> Iterator[Recording]:
    """Yield every recording of the sources, in a fixed order, each file once.

    Raises SourceError for a source that is not there, or a folder that cannot be listed.
    """
    known = known or Known()
    seen: dict[tuple[Path, str], str] = {}
    for source in sources:
        path = Path(source)
        if not path.exists():
            raise SourceError("data.no_such_source", path=shown(path))
        for recording in _in_folder(path, known) if path.is_dir() else _in_file(path, known):
            key = (recording.path.absolute(), recording.name)
            if key not in seen:
                seen[key] = recording.text
                yield recording
            elif recording.problem is None and seen[key] and recording.text not in ("", seen[key]):
                other = Message("data.other_text_before", name=recording.name)
                yield replace(
                    recording,
                    name=f"{recording.name}-{len(seen)}",
                    problem=Issue("transcript_row", other),
                    cues=(),
                )


def with_speakers(recordings: Iterable[Recording], rule: str, root: Path, otherwise: str) -> list[Recording]:
    """Name the speakers of recordings that do not name theirs, by the rule `PrepareSettings.speakers`.

    Raises SourceError for a file that cannot be read or has a line without a speaker.
    """
    given: dict[str, str] = {}
    if rule != "folder":
        for number, line in enumerate(read_text(root / rule).splitlines(), start=1):
            name, _, person = line.strip().partition("\t")
            if name and not person.strip():
                raise SourceError("data.speaker_line_wrong", path=rule, row=number)
            given[name_key(name)] = person.strip()

    def speaker(one: Recording) -> str:
        if rule == "folder":
            return one.path.parent.name
        names = (one.name, one.path.name, one.path.stem, one.path.parent.name)
        return next((given[key] for key in map(name_key, names) if key in given), otherwise)

    return [one if one.speaker else replace(one, speaker=speaker(one)) for one in recordings]


# --- folders --------------------------------------------------------------------------------------


class _Listing:
    """The files of folders by name, each folder read once."""

    def __init__(self) -> None:
        self._folders: dict[Path, tuple[dict[str, Path], dict[str, Path]]] = {}

    def sound(self, folder: Path, name: str) -> Path | None:
        """Find the audio file in a folder by name: with its suffix, else with another one or none."""
        names, stems = self._of(folder)
        key = name_key(name)
        stem = name_key(Path(name).stem) if Path(name).suffix.lower() in SOUND else key
        return names.get(key) or stems.get(stem)

    def _of(self, folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
        if folder not in self._folders:
            names: dict[str, Path] = {}
            stems: dict[str, Path] = {}
            try:
                entries = sorted(folder.iterdir())
            except (OSError, ValueError):  # no such folder, or a name that no file can have
                entries = []
            for entry in entries:
                if entry.suffix.lower() in SOUND and _is_file(entry):
                    names.setdefault(name_key(entry.name), entry)
                    stems.setdefault(name_key(entry.stem), entry)
            self._folders[folder] = (names, stems)
        return self._folders[folder]

    def find(self, table: Path, given: str) -> Path | None:
        """Find the file that a table names; also where the table was made on another machine."""
        plain = given.replace("\\", "/").removeprefix("file://")
        name, folder = Path(plain), table.parent
        if not name.name:
            return None
        parent = name.parent
        # of train.tsv the sounds may be in train/ or audio/train/ (FLEURS)
        own = (table.stem, *(f"{inner}/{table.stem}" for inner in _FOLDERS[1:]))
        for inner in (*_FOLDERS, *own):
            where = parent if name.is_absolute() else folder / inner / parent
            if found := self.sound(where, name.name):
                return found
        for inner in (*_FOLDERS, *own):  # a table made elsewhere: the folders are others, the names the same
            if found := self.sound(folder / inner, PureWindowsPath(given).name):
                return found
        return None


def _in_folder(top: Path, known: Known) -> Iterator[Recording]:
    """Read each folder: tables first, then files no table names, then the folders inside."""
    listing, named = _Listing(), set[Path]()
    waiting: list[tuple[Path, frozenset[Path], Known]] = [(top, frozenset(), _above(top, known))]
    while waiting:
        folder, above, known = waiting.pop()
        known = known.within(folder)
        try:
            here = folder.resolve()
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            reason = getattr(error, "strerror", None) or str(error)
            if folder is top:
                raise SourceError("data.unreadable_folder", folder=shown(folder), reason=reason) from error
            unlisted = Message("data.unreadable_folder", folder=shown(folder), reason=reason)
            yield _problem(folder, known, "unreadable", unlisted)
            continue
        if here in above:
            yield _problem(folder, known, "unreadable", Message("data.link_to_parent", path=shown(folder)))
            continue
        good = []
        for entry in entries:
            if is_utf8(entry):
                good.append(entry)
            elif entry.suffix.lower() in SOUND or entry.is_dir():
                yield _problem(entry, known, "unreadable", Message("data.name_not_utf8", path=shown(entry)))
        files = [entry for entry in good if _is_file(entry) or (entry.is_symlink() and not entry.exists())]
        stems = {name_key(entry.stem) for entry in files if entry.suffix.lower() in SOUND}
        labels = [
            one
            for one in files
            if one.suffix.lower() in LABELS and name_key(one.stem) in stems and _labels(one)
        ]
        labels += [one for one in files if one.suffix.lower() in OWN_LABELS and one not in labels]
        tables = [entry for entry in files if _is_table(entry) and entry not in labels]
        for table in tables:
            if table.name.lower() in NOT_TRANSCRIPTS:
                continue
            for recording in _from_table(table, known, listing):
                named.add(recording.path.absolute())
                yield recording
        for entry in files:
            if entry.suffix.lower() in PACKED:
                yield _problem(entry, known, "unreadable", Message("data.packed_corpus", path=entry.name))
        left = [
            one for one in files if one not in tables and (one.suffix.lower() not in LABELS or one in labels)
        ]
        for recording in _loose(left, named, known):
            named.add(recording.path.absolute())
            yield recording
        waiting += [(entry, above | {here}, known) for entry in reversed(good) if _is_folder(entry)]


def _above(path: Path, known: Known) -> Known:
    """Return the defaults of a path that may be inside a public corpus."""
    for folder in reversed(path.absolute().parents):
        known = known.within(folder)
    return known


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _loose(entries: Sequence[Path], named: set[Path], known: Known) -> Iterator[Recording]:
    """Yield audio files no table names, each with the text beside it; texts without audio."""
    sounds = [entry for entry in entries if entry.suffix.lower() in SOUND]
    beside = _texts_by_stem(entries)
    for sound in sounds:
        if sound.absolute() not in named:
            yield _with_text(sound, beside.get(name_key(sound.stem), []), known)
    stems = {name_key(path.stem) for path in (*sounds, *named)}
    for entry in entries:
        suffix = entry.suffix.lower()
        # a .txt may be a readme; only among sounds and in fidel is it a transcript that lost its sound
        spoken = suffix in (*SUBTITLES, *OWN_LABELS, ".lab") or (
            suffix == ".txt" and bool(sounds) and _looks_amharic(entry)
        )
        if spoken and _stem(entry) not in stems:
            yield _problem(entry, known, "no_audio", Message("data.no_recording_beside", path=entry.name))


def _stem(text: Path) -> str:
    """Return the stem of a text's name, without a language code."""
    found = _LANGUAGE.fullmatch(text.stem)
    return name_key(found[1] if found else text.stem)


def _texts_by_stem(entries: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the texts of each recording by the key of its stem, the best first: subtitles before plain
    texts."""
    order = (*SUBTITLES, *LABELS, *TEXT)
    texts = [entry for entry in entries if entry.suffix.lower() in order]
    # NAME.srt before NAME.am.srt before NAME.am-ET.srt
    texts.sort(key=lambda one: (order.index(one.suffix.lower()), len(one.name), one.name))
    out: dict[str, list[Path]] = {}
    for text in texts:
        out.setdefault(name_key(text.stem), []).append(text)
        if (stem := _stem(text)) != name_key(text.stem):
            out.setdefault(stem, []).append(text)
    return out


def _labels(path: Path) -> tuple[Cue, ...] | None:
    """Read the cues of a label file; None for a file of another kind, or that cannot be read."""
    try:
        return LABELS[path.suffix.lower()](read_text(path))
    except SourceError:
        return None


def _beside(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.parent.iterdir() if is_utf8(entry))
    except OSError:
        return []


def _in_file(path: Path, known: Known) -> Iterator[Recording]:
    """Read one file named by the user: a table, a text or subtitles (with the audio beside it), or audio."""
    suffix, known = path.suffix.lower(), _above(path, known)
    if not is_utf8(path):
        yield _problem(path, known, "unreadable", Message("data.name_not_utf8", path=shown(path)))
    elif suffix in PACKED:
        yield _problem(path, known, "unreadable", Message("data.packed_corpus", path=path.name))
    elif suffix in (*TEXT, *SUBTITLES, *OWN_LABELS) and not _is_table(path):
        sounds = [one for one in _beside(path) if one.suffix.lower() in SOUND]
        mine = [one for one in sounds if name_key(one.stem) in (name_key(path.stem), _stem(path))]
        if not mine:
            raise SourceError("data.no_recording_beside", path=path)
        yield _with_text(mine[0], [path], known)
    elif suffix in (*TABLE_SUFFIXES, ".json") or _is_table(path):
        yield from _from_table(path, known, _Listing())
    else:
        texts = [
            one
            for one in _beside(path)
            if one.suffix.lower() not in LABELS.keys() - OWN_LABELS or _labels(one)
        ]
        yield _with_text(path, _texts_by_stem(texts).get(name_key(path.stem), []), known)


def _with_text(sound: Path, texts: Sequence[Path], known: Known) -> Recording:
    """Return a recording with the first of the texts that belong to it, if there are any."""
    source = _source(sound)
    base = Recording(
        sound,
        sound.stem,
        speaker=known.speaker,
        licence=source.licence or known.licence,
        consent=known.consent,
        origin=source.link or known.origin(sound.name),
    )
    if not texts:
        return base
    beside = texts[0]
    if beside.suffix.lower() in SUBTITLES:
        return _subtitled(base, beside, known)
    base = replace(base, origin=source.link or known.origin(beside.name))
    if beside.suffix.lower() in LABELS:
        if cues := _labels(beside):
            overlap = any(
                (one.end_seconds or 0.0) > (two.start_seconds or 0.0) for one, two in pairwise(cues)
            )
            cues, notes = in_order(cues) if overlap else (cues, ())
            return replace(base, cues=cues, by="subtitle", notes=notes)
        if len(texts) > 1:
            return _with_text(sound, texts[1:], known)
        unread = Message("data.no_spoken_text", path=beside.name)
        return replace(base, problem=Issue("subtitles_unreadable", unread))
    try:
        content = read_text(beside)
    except SourceError as error:
        return replace(base, problem=Issue("text_unreadable", error.message))
    if labels := audacity_labels(content):
        return replace(base, cues=labels, by="subtitle")
    lines = [clean for line in content.splitlines() if (clean := " ".join(line.split()))]
    if not lines:
        return replace(base, problem=Issue("no_text", Message("data.text_file_empty", path=beside.name)))
    return replace(base, cues=tuple(map(Cue, lines)), by="script" if len(lines) > 1 else "transcript")


def _subtitled(base: Recording, beside: Path, known: Known) -> Recording:
    if not has("pysubs2"):
        return replace(
            base, problem=Issue("no_text", Message("data.subtitles_need_pysubs2", path=beside.name))
        )
    try:
        cues, issues = read_subtitles(beside)
    except SourceError as error:
        return replace(base, problem=Issue("subtitles_unreadable", error.message))
    origin = base.origin if not base.origin.endswith(base.path.name) else known.origin(beside.name)
    return replace(base, cues=cues, by="subtitle", origin=origin, notes=issues)


def _source(sound: Path) -> RecordingSource:
    """Read the note beside a fetched recording; empty if there is none, or none that can be read."""
    try:
        content = json.loads(sound.with_suffix(SOURCE_NOTE).read_text(encoding="utf-8"))
        return RecordingSource(
            **{name: str(content.get(name, "")) for name in ("link", "title", "channel", "licence")}
        )
    except (OSError, ValueError, AttributeError, RecursionError):
        return RecordingSource()


def _problem(path: Path, known: Known, kind: str, message: Message, row: int = 0) -> Recording:
    path = Path(shown(path))
    return Recording(
        path,
        path.stem if not row else f"{path.stem}-{row}",
        speaker=known.speaker,
        licence=known.licence,
        consent=known.consent,
        origin=known.origin(path.name if not row else f"{path.name}:{row}"),
        problem=Issue(kind, message),
    )


# --- tables ---------------------------------------------------------------------------------------


def _is_table(path: Path) -> bool:
    if path.name == "wav.scp":
        return (path.parent / "text").is_file()
    return path.name.lower() in TABLES or path.suffix.lower() in TABLE_SUFFIXES


def _from_table(path: Path, known: Known, listing: _Listing) -> Iterator[Recording]:
    """Convert rows of a transcript table to recordings; rows with times of one file to one recording;
    problems in place."""
    if path.name.lower() in UNCHECKED_TABLES:
        yield _problem(path, known, "transcript_row", Message("data.unchecked_table", path=path.name))
        return
    try:
        if path.name == "wav.scp":
            rows = read_kaldi(path)
        else:
            rows = read_table(path, lambda cell: len(cell) < 4096 and listing.find(path, cell) is not None)
        yield from _recordings(path, rows, known, listing)
    except SourceError as error:
        unread = Message("data.table_passed_over", path=path.name, reason=error.message)
        yield _problem(path, known, "transcript_row", unread)


@dataclass(slots=True)
class _Timed:
    """The rows with times of one audio file."""

    first: Cells
    number: int
    cues: list[Cue] = field(default_factory=list)


def _recordings(path: Path, rows: Rows, known: Known, listing: _Listing) -> Iterator[Recording]:
    texts: dict[tuple[Path, str], tuple[int, str]] = {}
    timed: dict[Path, _Timed] = {}

    def refused(number: int, reason: Message) -> Recording:
        message = Message("data.bad_row", path=path.name, row=number, reason=reason)
        return _problem(path, known, "transcript_row", message, number)

    for number, row in rows:
        if isinstance(row, Message):
            yield refused(number, row)
            continue
        given = row.get("path") or row.get("id", "")
        if not given:
            yield refused(number, Message("data.row_names_nothing"))
            continue
        sound = listing.find(path, given)
        recording = _of_row(path, number, row, sound, given, known)
        if row.get("start") or row.get("end"):
            times = _times(row)
            if isinstance(times, Message):
                yield refused(number, times)
                continue
            if sound is not None and recording.text:
                one = timed.setdefault(sound, _Timed(row, number))
                one.cues.append(Cue(recording.text, *times, recording.speaker))
                continue
        key = (recording.path, recording.name)
        if key in texts:
            yield refused(number, Message("data.repeated_row", id=recording.name, first=texts[key][0]))
            continue
        texts[key] = (number, recording.text)
        yield recording
    for sound, one in timed.items():
        cues = tuple(sorted(one.cues, key=lambda cue: (cue.start_seconds or 0.0, cue.end_seconds or 0.0)))
        base = _of_row(path, one.number, one.first, sound, sound.name, known)
        yield replace(
            base,
            name=sound.stem,
            cues=cues,
            by="subtitle",
            speaker=known.speaker,
            origin=known.origin(path.name),
        )


def _of_row(path: Path, number: int, row: Cells, sound: Path | None, given: str, known: Known) -> Recording:
    text = " ".join(row.get("text", "").split())
    problem = None
    if sound is None:
        problem = Issue(
            "no_audio", Message("data.row_without_sound", path=path.name, row=number, given=given[:200])
        )
    elif not text:
        problem = Issue("no_text", Message("data.row_without_text", path=path.name, row=number))
    long = len(given.encode("utf-8", "replace")) > 200
    missing = f"{path.stem}-{number}" if long else Path(given.replace("\\", "/")).name
    return Recording(
        sound or path.parent / (missing if long else given.replace("\0", "")),
        row.get("id") or Path(missing).stem or f"{path.stem}-{number}",
        cues=(Cue(text),) if text else (),
        by="transcript" if text else "",
        speaker=row.get("speaker", "") or known.speaker,
        licence=row.get("licence", "") or known.licence,
        consent=row.get("consent", "") or known.consent,
        split=_SPLITS.get((row.get("split") or re.split(r"[._-]", path.stem)[0]).lower(), ""),
        origin=known.origin(f"{path.name}:{number}"),
        problem=problem,
    )


def _times(row: Cells) -> tuple[float, float] | Message:
    """Parse start and end of a row in seconds."""
    start = seconds(row.get("start", ""))
    end = seconds(row.get("end", ""))
    if end is None and start is not None and (length := seconds(row.get("duration", ""))) is not None:
        end = start + length
    if start is None or end is None:
        return Message("data.times_not_numbers", start=row.get("start", ""), end=row.get("end", ""))
    return (start, end) if end > start else Message("data.times_backwards", start=start, end=end)


def _looks_amharic(path: Path) -> bool:
    from dimts.text.ethiopic import is_ethiopic_letter

    try:
        return any(map(is_ethiopic_letter, read_text(path)))
    except SourceError:
        return False
