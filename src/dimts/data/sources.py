"""Find recordings and their texts in folders, tables and files.

The text of a recording is in a table (see `tables`), in subtitles or labels, or in a .txt or .lab of the same
name; a sound alone is a recording without text. Names are compared without case and without composed letters,
and the suffix of a sound may differ. A row without its sound, a text without its recording, a table or a name
that cannot be read is a Recording too, with its `problem`: it is set aside with that reason and the rest goes
on.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PureWindowsPath
from typing import Any, Literal
from urllib.parse import unquote

from dimts.base.errors import SourceError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import has
from dimts.data.labels import LABELS, audacity_labels, clock_seconds, seconds
from dimts.data.recording import Cue, Recording
from dimts.data.subtitles import as_given, is_silence, read_subtitles, spoken_cues, timed_text
from dimts.data.tables import Cells, Rows, read_kaldi, read_spaced, read_table
from dimts.data.text_files import is_utf8, name_key, read_text, shown
from dimts.data.unread import links_in, unread

_SUFFIXES = """
wav wave w64 rf64 bwf flac mp1 mp2 mp3 mpa mpga ogg oga opus spx m4a m4b m4p m4r aac adts ac3 eac3 dts
aiff aif aifc caf au snd amr awb gsm wma wv tta ape tak mpc mka weba 3ga voc sph nist sds
mp4 m4v mkv mk3d webm mov qt avi wmv asf flv f4v 3gp 3g2 ts m2ts mts mpg mpeg vob ogv ogm ogx nut rm rmvb mxf
"""
_VIDEO = frozenset(f".{suffix}" for suffix in _SUFFIXES.strip().splitlines()[-1].split())
SOUND = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Suffixes of audio and video files in a folder: the formats of libsndfile and FFmpeg's libraries."""
TEXT = (".txt", ".lab")
"""Suffixes of a text beside a recording of the same name."""
SUBTITLES = (".srt", ".vtt", ".ass", ".ssa", ".sub")
OWN_LABELS = frozenset({".textgrid", ".eaf", ".ttml", ".dfxp", ".sbv", ".lrc", ".smi", ".ctm", ".stm"})
"""Suffixes of label formats without ambiguity."""
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
_TABLE_FOLDERS = frozenset(
    (
        *("metadata", "transcripts", "transcript", "text", "texts", "txt", "filelists", "filelist", "lists"),
        *("labels", "annotations", "manifests", "data", "splits", "tables", "etc", "doc", "docs"),
        *("train", "dev", "test"),
    )
)
"""Folders of tables whose audio files are in folders beside them."""
_SPLITS: dict[str, Literal["train", "dev", "test"]] = {
    "train": "train",
    "dev": "dev",
    "test": "test",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
}
"""Our split by the names that tables use."""
_LANGUAGE = re.compile(r"(.+)\.(am|amh|amharic|am[-_][a-z0-9-]+)(\.(sdh|cc))?", re.IGNORECASE)
"""Stem of a subtitle file with a language code, as yt-dlp writes it."""
_OTHER_LANGUAGE = re.compile(r"(.+)\.([a-z]{2,3}(?:[-_][A-Za-z0-9-]+)?)")


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
    beside = _Beside()
    for source in sources:
        path = Path(source)
        if not path.exists():
            raise SourceError("data.no_such_source", path=shown(path))
        for recording in _in_folder(path, known) if path.is_dir() else _in_file(path, known, beside):
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
        self._folders: dict[Path, _Names] = {}
        self._below: dict[Path, dict[str, list[Path]]] = {}

    def sound(self, folder: Path, name: str) -> Path | None:
        """Find the audio file in a folder by name: with its suffix, else with another one or none."""
        names = self._of(folder)
        key = name_key(name)
        stem = name_key(Path(name).stem) if Path(name).suffix.lower() in SOUND else key
        return names.exact.get(name) or names.names.get(key) or names.stems.get(stem)

    def is_folder(self, folder: Path) -> bool:
        """Whether there is a folder with audio files."""
        return bool(self._of(folder).exact)

    def _of(self, folder: Path) -> _Names:
        if folder not in self._folders:
            names = _Names()
            try:
                if ".." in folder.parts:
                    folder = _without_dots(folder)
                entries = sorted(folder.iterdir(), key=_stem_order)
            except (OSError, ValueError, RuntimeError):  # no such folder, or a name that no file can have
                entries = []
            for entry in entries:
                if entry.suffix.lower() in SOUND and is_utf8(entry) and _is_file(entry):
                    names.exact[entry.name] = entry
                    names.names.setdefault(name_key(entry.name), entry)
                    names.stems.setdefault(name_key(entry.stem), entry)
            self._folders[folder] = names
            return names
        return self._folders[folder]

    def find(self, table: Path, given: str) -> Path | None:
        """Find the file that a table names; also where the table was made on another machine."""
        plain = given.replace("\\", "/").removeprefix("file://")
        if re.match(r"[a-zA-Z][a-zA-Z+.-]+://", plain):
            plain = re.split(r"[?#]", plain)[0]
        found = self._find(table, plain)
        if found is None and "%" in plain:  # the names of links and of web forms
            found = self._find(table, unquote(plain))
        return found

    def _find(self, table: Path, plain: str) -> Path | None:
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
            if found := self.sound(folder / inner, name.name):
                return found
        foreign = name.is_absolute() or PureWindowsPath(plain).is_absolute()
        if not foreign and len(name.parts) > 1 and self.is_folder(folder / parent):
            return None  # its folder is there, and it is not in it
        if folder.name.lower() in _TABLE_FOLDERS and not name.is_absolute():
            top = folder.parent
            for where in (top / parent, *(top / inner / parent for inner in _FOLDERS[1:])):
                if where != top and (found := self.sound(where, name.name)):
                    return found
        return self._only_one_below(folder, name.name)

    def _only_one_below(self, folder: Path, name: str) -> Path | None:
        """Find the only audio file of a name in the folders below one."""
        if folder not in self._below:
            index: dict[str, list[Path]] = {}
            for top, folders, files in os.walk(folder):
                folders[:] = sorted(one for one in folders if not one.startswith("."))
                for file in sorted(files):
                    one = Path(top, file)
                    if one.suffix.lower() in SOUND and not file.startswith(".") and is_utf8(one):
                        for key in {name_key(one.name), name_key(one.stem)}:
                            index.setdefault(key, []).append(one)
            self._below[folder] = index
        stem = Path(name).stem if Path(name).suffix.lower() in SOUND else name
        for key in (name_key(name), name_key(stem)):
            if found := self._below[folder].get(key):
                return found[0] if len(found) == 1 else None
        return None


@dataclass(slots=True)
class _Names:
    """The audio files of a folder."""

    exact: dict[str, Path] = field(default_factory=dict)
    names: dict[str, Path] = field(default_factory=dict)
    """By `name_key` of the name."""
    stems: dict[str, Path] = field(default_factory=dict)
    """By `name_key` of the stem; of several the one without loss, and sound before video."""


def _without_dots(folder: Path) -> Path:
    """Return a folder's path without "..", with the links in it unless they change what ".." is."""
    plain = Path(os.path.normpath(folder))
    return plain if plain.samefile(folder) else folder.resolve()


_LOSSLESS = (".wav", ".flac", ".wave", ".w64", ".aiff", ".aif", ".caf")


def _stem_order(path: Path) -> tuple[int, str]:
    suffix = path.suffix.lower()
    video = suffix in _VIDEO
    return (0 if suffix in _LOSSLESS else 2 if video else 1), path.name


def _in_folder(top: Path, known: Known) -> Iterator[Recording]:
    """Read each folder: tables first, then files no table names, then the folders inside.

    At the end texts and sounds of one name in different folders are brought together (wav/a.wav, txt/a.txt).
    """
    reader = _FolderReader()
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
            reader.found.append(_problem(folder, known, "unreadable", unlisted))
            continue
        if here in above:
            circle = Message("data.link_to_parent", path=shown(folder))
            reader.found.append(_problem(folder, known, "unreadable", circle))
            continue
        inside = reader.read(entries, known)
        waiting += [(entry, above | {here}, known) for entry in reversed(inside) if _is_folder(entry)]
    yield from reader.recordings()


@dataclass(slots=True)
class _TextAlone:
    """A text in a folder without a recording of its name."""

    path: Path
    known: Known
    spoken: bool
    """Whether it is certainly the text of a recording; a .txt may be a readme."""


class _FolderReader:
    """Reader of the files of folders; what belongs together may be in different ones."""

    def __init__(self) -> None:
        self.found: list[Recording] = []
        self._listing = _Listing()
        self._named: set[Path] = set()
        """Files of recordings so far."""
        self._in_table: set[Path] = set()
        """Files that tables name."""
        self._stems: set[str] = set()
        """Keys of the stems of recordings so far."""
        self._texts: list[_TextAlone] = []

    def read(self, entries: Sequence[Path], known: Known) -> list[Path]:
        """Read the files of a folder; returns the entries whose names can be read."""
        good = []
        for entry in entries:
            if is_utf8(entry):
                good.append(entry)
            elif entry.suffix.lower() in SOUND or entry.is_dir():
                message = Message("data.name_not_utf8", path=shown(entry))
                self.found.append(_problem(entry, known, "unreadable", message))
        files = [entry for entry in good if _is_file(entry) or (entry.is_symlink() and not entry.exists())]
        stems = {name_key(entry.stem) for entry in files if entry.suffix.lower() in SOUND}
        labels = [
            one
            for one in files
            if one.suffix.lower() in LABELS and name_key(one.stem) in stems and _labels(one)
        ]
        labels += [one for one in files if one.suffix.lower() in OWN_LABELS and one not in labels]
        tables = [one for one in files if one not in labels and self._is_table(one, stems)]
        for table in tables:
            if table.name.lower() not in NOT_TRANSCRIPTS:
                for recording in _from_table(table, known, self._listing):
                    self._in_table.add(recording.path.absolute())
                    self._stems.add(name_key(recording.path.stem))
                    self.found.append(recording)
        self._named |= self._in_table
        left = [
            one for one in files if one not in tables and (one.suffix.lower() not in LABELS or one in labels)
        ]
        self._loose(left, known)
        for entry in files:
            if entry not in tables and (reason := unread(entry)) and _plain_stem(entry) not in stems:
                self.found.append(_problem(entry, known, *reason))
        return good

    def recordings(self) -> Iterator[Recording]:
        """Yield all recordings, those without a text with the one that another folder has for them."""
        # a table may name sounds of a folder that was read before it
        found = [one for one in self.found if not _is_bare(one) or one.path.absolute() not in self._in_table]
        pairs = self._pairs([one.path for one in found if _is_bare(one)])
        for one in found:
            text = pairs.get(one.path)
            if text is None or not _is_bare(one):
                yield one
            else:
                yield _with_text(one.path, [text.path], text.known)
        taken = {id(text) for text in pairs.values()}
        with_text = {name_key(one.path.stem) for one in found if not _is_bare(one)}
        for text in self._texts:
            if text.spoken and id(text) not in taken and _stem(text.path) not in with_text:
                yield _problem(text.path, text.known, *self._no_recording(text.path))

    def _pairs(self, bare: Iterable[Path]) -> dict[Path, _TextAlone]:
        """Return the texts alone by the only sound without a text that has their name."""
        sounds: dict[str, list[Path]] = {}
        for sound in bare:
            sounds.setdefault(name_key(sound.stem), []).append(sound)
        out: dict[Path, list[_TextAlone]] = {}
        for text in self._texts:
            same = sounds.get(_stem(text.path), [])
            if len(same) > 1:  # txt/abebe/1.txt and wav/abebe/1.wav
                same = [one for one in same if one.parent.name == text.path.parent.name]
            if len(same) == 1:
                out.setdefault(same[0], []).append(text)
        order = {suffix: place for place, suffix in enumerate((*SUBTITLES, *LABELS, *TEXT))}
        chosen = {}
        for sound, texts in out.items():
            texts.sort(key=lambda one: order.get(one.path.suffix.lower(), len(order)))
            first = texts[0].path.suffix.lower()
            if sum(one.path.suffix.lower() == first for one in texts) == 1:
                chosen[sound] = texts[0]
        return chosen

    def _no_recording(self, text: Path) -> tuple[str, Message]:
        """Return the kind of issue and the reason of a text without its recording."""
        found = _OTHER_LANGUAGE.fullmatch(text.stem)
        if found and text.suffix.lower() in SUBTITLES and name_key(found[1]) in self._stems:
            return "other_language", Message("data.subtitles_not_amharic", path=text.name, language=found[2])
        return "no_audio", Message("data.no_recording_beside", path=text.name)

    def _is_table(self, entry: Path, stems: set[str]) -> bool:
        suffix = entry.suffix.lower()
        if _is_table(entry):
            return True
        if suffix == ".json":
            return name_key(entry.stem) not in stems and _is_json_table(entry, self._listing)
        plain = suffix == ".txt" or (entry.name == "text" and not (entry.parent / "wav.scp").exists())
        return plain and _stem(entry) not in stems and names_sounds(entry, self._listing.find)

    def _loose(self, entries: Sequence[Path], known: Known) -> None:
        """Add audio files no table names, each with the text beside it; note texts without audio."""
        sounds = [entry for entry in entries if entry.suffix.lower() in SOUND]
        beside = _texts_by_stem(entries)
        unread_beside = {_plain_stem(entry): entry for entry in entries if unread(entry)}
        for sound in sounds:
            if sound.absolute() in self._named:
                continue
            texts = beside.get(name_key(sound.stem), [])
            recording = _with_text(sound, _own_texts(sound, texts), known)
            other = unread_beside.get(name_key(sound.stem))
            if (
                _is_bare(recording)
                and other is not None
                and (reason := unread(other))
                and reason[0] in _TEXTS
            ):
                recording = replace(recording, problem=Issue("no_text", reason[1]))
            self._named.add(sound.absolute())
            self.found.append(recording)
        here = {name_key(sound.stem) for sound in sounds}
        self._stems |= here
        for entry in entries:
            suffix = entry.suffix.lower()
            if suffix not in (*SUBTITLES, *OWN_LABELS, *TEXT) or _stem(entry) in here:
                continue
            if links_in(entry):
                link_file = Message("data.is_link_file", path=entry.name)
                self.found.append(_problem(entry, known, "no_audio", link_file))
                continue
            # a .txt may be a readme; only among sounds and in fidel is it a transcript that lost its sound
            spoken = suffix != ".txt" or (bool(sounds) and _looks_amharic(entry))
            self._texts.append(_TextAlone(entry, known, spoken))


_TEXTS = ("transcript_row", "text_unreadable", "subtitles_unreadable")
"""Kinds of issues of files that hold the text of a recording of their name."""


def _is_bare(recording: Recording) -> bool:
    """Whether a recording has no text so far."""
    return not recording.cues and recording.problem is None


def _own_texts(sound: Path, texts: list[Path]) -> list[Path]:
    """Return the texts whose names have the letters of a sound's name, if there are any, else all."""
    return [one for one in texts if one.stem.startswith(sound.stem)] or texts


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


def _stem(text: Path) -> str:
    """Return the key of the stem of a text's name, without a language code and a sound's suffix."""
    found = _LANGUAGE.fullmatch(text.stem)
    return _plain_key(found[1] if found else text.stem)


def _plain_stem(path: Path) -> str:
    return _plain_key(path.stem)


def _plain_key(stem: str) -> str:
    """Return the key of a stem; of talk.mp3.txt as well as of talk.txt it is talk."""
    return name_key(Path(stem).stem if Path(stem).suffix.lower() in SOUND else stem)


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


class _Beside:
    """The files beside those that the user names; each folder is read once."""

    def __init__(self) -> None:
        self._sounds: dict[Path, dict[str, list[Path]]] = {}
        self._texts: dict[Path, dict[str, list[Path]]] = {}

    def sounds(self, path: Path, stem: str) -> list[Path]:
        """Return the audio files of a stem."""
        self._read(path.parent)
        return self._sounds[path.parent].get(stem, [])

    def texts(self, path: Path, stem: str) -> list[Path]:
        """Return the texts, subtitles and labels of a stem."""
        self._read(path.parent)
        texts = self._texts[path.parent].get(stem, [])
        return [one for one in texts if one.suffix.lower() not in LABELS.keys() - OWN_LABELS or _labels(one)]

    def _read(self, folder: Path) -> None:
        if folder in self._texts:
            return
        try:
            entries = sorted(entry for entry in folder.iterdir() if is_utf8(entry))
        except OSError:
            entries = []
        self._texts[folder] = _texts_by_stem(entries)
        sounds: dict[str, list[Path]] = {}
        for entry in entries:
            if entry.suffix.lower() in SOUND:
                sounds.setdefault(name_key(entry.stem), []).append(entry)
        self._sounds[folder] = sounds


def _in_file(path: Path, known: Known, beside: _Beside) -> Iterator[Recording]:
    """Read one file named by the user: a table, a text or subtitles (with the audio beside it), or audio."""
    suffix, known = path.suffix.lower(), _above(path, known)
    if not is_utf8(path):
        yield _problem(path, known, "unreadable", Message("data.name_not_utf8", path=shown(path)))
    elif reason := unread(path):
        yield _problem(path, known, *reason)
    elif suffix in (*TEXT, *SUBTITLES, *OWN_LABELS) and not _is_table(path):
        mine = beside.sounds(path, name_key(path.stem)) or beside.sounds(path, _stem(path))
        listing = _Listing()
        if not mine and suffix == ".txt" and names_sounds(path, listing.find):
            yield from _from_table(path, known, listing)
            return
        if not mine:
            raise SourceError("data.no_recording_beside", path=path)
        yield _with_text(mine[0], [path], known)
    elif suffix in (*TABLE_SUFFIXES, ".json") or _is_table(path):
        yield from _from_table(path, known, _Listing())
    else:
        found = beside.texts(path, name_key(path.stem))
        yield _with_text(path, _own_texts(path, found), known)


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
        cues, notes = _spoken_labels(beside)
        if cues:
            return replace(base, cues=cues, by="subtitle", notes=notes)
        if len(texts) > 1:
            return _with_text(sound, texts[1:], known)
        no_text = Message("data.no_spoken_text", path=beside.name)
        return replace(base, problem=Issue("subtitles_unreadable", no_text))
    try:
        content = read_text(beside)
    except SourceError as error:
        return replace(base, problem=Issue("text_unreadable", error.message))
    return _scripted(base, beside, content)


def _spoken_labels(path: Path) -> tuple[tuple[Cue, ...], tuple[Issue, ...]]:
    """Read what is spoken in a label file; recognisers and editors write sounds and names as well."""
    cues = _labels(path) or ()
    if path.suffix.lower() in _ANNOTATED:
        return as_given([cue for cue in cues if not is_silence(cue.text)])
    return spoken_cues(cues, in_place=True)


_ANNOTATED = (".textgrid", ".eaf", ".ctm", ".stm")
"""Suffixes of labels whose brackets and colons are part of the text."""
_MARKED_UP = re.compile(r"\s*(?:\{\\rtf|<!doctype|<html|<\?xml)", re.IGNORECASE)
_STAMP = re.compile(r"[\[(]?(\d{1,3}:\d\d(?::\d\d)?(?:[.,]\d{1,3})?)[\])]?(?:\s+|$)[-–]?\s*")
"""Time in front of a line of a transcript, as [00:12] or 0:12."""


def _has_stamps(lines: Sequence[str]) -> bool:
    """Whether times, one later than the other, are in front of most lines, or alone in every second line."""
    stamps = [found for found in map(_STAMP.match, lines) if found]
    times = [clock_seconds(found[1]) or 0.0 for found in stamps]
    alone = all(not found.string[found.end() :] for found in stamps)
    enough = 2 * len(stamps) > len(lines) or (alone and 2 * len(stamps) == len(lines))
    return len(stamps) > 1 and enough and times == sorted(times)


_LINE_NUMBER = re.compile(r"(\d{1,5})\s*[.)፡፦-]\s*(?=\S)")
"""Number in front of a line of a script."""


def _scripted(base: Recording, beside: Path, content: str) -> Recording:
    """Return a recording with a plain text: labels, subtitles, a transcript, or a script of several lines."""
    if _MARKED_UP.match(content):
        return replace(base, problem=Issue("no_text", Message("data.is_document", path=beside.name)))
    if labels := audacity_labels(content):
        cues, notes = as_given([cue for cue in labels if not is_silence(cue.text)])
        return replace(base, cues=cues, by="subtitle", notes=notes)
    if timed := timed_text(content):
        return replace(base, cues=timed[0], by="subtitle", notes=timed[1])
    lines = [clean for line in content.splitlines() if (clean := " ".join(line.split()))]
    if _has_stamps(lines):
        lines = [clean for line in lines if (clean := _STAMP.sub("", line, count=1))]
    numbers = [found and int(found[1]) for found in map(_LINE_NUMBER.match, lines)]
    if len(lines) > 1 and numbers == list(range(1, len(lines) + 1)):
        lines = [_LINE_NUMBER.sub("", line, count=1) for line in lines]
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
    return path.name == "wav.scp" or path.name.lower() in TABLES or path.suffix.lower() in TABLE_SUFFIXES


def _from_table(path: Path, known: Known, listing: _Listing) -> Iterator[Recording]:
    """Convert rows of a transcript table to recordings; rows with times of one file to one recording;
    problems in place."""
    if path.name.lower() in UNCHECKED_TABLES:
        yield _problem(path, known, "transcript_row", Message("data.unchecked_table", path=path.name))
        return
    try:
        if path.name == "wav.scp":
            rows = read_kaldi(path)
        elif is_spaced(path, listing.find):
            rows = read_spaced(path)
        else:
            rows = read_table(path, lambda cell: _names_sound(path, cell, listing.find))
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
        if any(row.get(name) for name in ("start", "end", "start_ms", "end_ms")):
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


_FindSound = Callable[[Path, str], Path | None]
_SNIFFED_LINES = 20
_SEPARATED = re.compile(r"[|\t,;]")
_CELL_LETTERS = 4096
"""Most letters of a cell that may name a file."""


def _names_sound(path: Path, cell: str, find: _FindSound) -> bool:
    return 0 < len(cell) < _CELL_LETTERS and find(path, cell) is not None


def names_sounds(path: Path, find: _FindSound) -> bool:
    """Whether a text file is a table of recordings: a cell of at least half of its first lines names one."""
    return _share_named(path, find, spaced=False) >= 0.5 or is_spaced(path, find)


def is_spaced(path: Path, find: _FindSound) -> bool:
    """Whether at least half of the first lines of a text file begin with a recording's name and a space."""
    if path.name != "text" and path.suffix.lower() != ".txt":
        return False
    first_words = _share_named(path, find, spaced=True)
    return first_words >= 0.5 and (
        path.name == "text" or first_words > _share_named(path, find, spaced=False)
    )


def _share_named(path: Path, find: _FindSound, *, spaced: bool) -> float:
    """Return the share of the first lines with a cell, or a first word, that names a recording."""
    try:
        content = read_text(path)
    except SourceError:
        return 0.0
    lines = [line.strip() for line in content.splitlines() if line.strip()][:_SNIFFED_LINES]
    rows = [line.split(maxsplit=1) if spaced else _SEPARATED.split(line)[:8] for line in lines]
    if spaced:
        rows = [row[:1] if len(row) > 1 and not _SEPARATED.search(row[0]) else [] for row in rows]
    else:
        rows = [row if len(row) > 1 else [] for row in rows]
    named = sum(any(_names_sound(path, cell.strip(' "'), find) for cell in row) for row in rows)
    return named / len(rows) if rows else 0.0


def _is_json_table(path: Path, listing: _Listing) -> bool:
    """Whether a JSON file of another name is a table: some of its rows name a recording."""
    try:
        rows = read_table(path, lambda cell: _names_sound(path, cell, listing.find))
        sample = [row for _, row in islice(rows, _SNIFFED_LINES) if not isinstance(row, Message)]
    except SourceError:
        return False
    return any(_names_sound(path, row.get("path") or row.get("id", ""), listing.find) for row in sample)


def _times(row: Cells) -> tuple[float, float] | Message:
    """Parse start and end of a row: seconds, minutes:seconds or hours:minutes:seconds, or milliseconds."""

    def value(name: str) -> float | None:
        if name in row or f"{name}_ms" not in row:
            return clock_seconds(row.get(name, ""))
        milliseconds = seconds(row[f"{name}_ms"])
        return None if milliseconds is None else milliseconds / 1000

    start, end = value("start"), value("end")
    if end is None and start is not None and (length := value("duration")) is not None:
        end = start + length
    if start is None or end is None:
        given = {name: row.get(name) or row.get(f"{name}_ms", "") for name in ("start", "end")}
        return Message("data.times_not_numbers", **given)
    return (start, end) if end > start else Message("data.times_backwards", start=start, end=end)


def _looks_amharic(path: Path) -> bool:
    from dimts.text.ethiopic import is_ethiopic_letter

    try:
        return any(map(is_ethiopic_letter, read_text(path)))
    except SourceError:
        return False
