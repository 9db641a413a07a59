"""Store files from a browser as recordings of the project, named by content; refused ones have a reason.

No input is trusted: a name is cut to its last part and to safe letters, audio must open as such, a text must
be UTF-8, a table may name only files that were uploaded with it. Audio and text belong together by their
stem; an existing file is not stored twice.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimts.base.errors import DimtsError, ProjectError, SourceError
from dimts.base.files import atomic_path, fingerprint, write_text
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.web import speakers
from dimts.web.file_names import safe_name
from dimts.web.script import TAKE, hash_of

MAX_BATCH = 2000
"""Most files of one upload."""
MAX_TEXT_BYTES = 5_000_000
"""Largest text, table or subtitle file."""
MAX_LETTERS = 20_000
"""Longest text written in the page."""
MEGABYTE = 1e6
_HASH_DIGITS = 12
_TABLES = (".tsv", ".csv")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as uploaded: the name the browser gave, and the path of its bytes."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Stored:
    """Result of an upload."""

    sounds: tuple[Path, ...]
    """Recordings, new or existing."""
    texts: tuple[Path, ...]
    refused: tuple[tuple[str, Issue], ...]
    """Names, and why they were refused."""


def receive(project: Project, uploads: Sequence[Upload], cache: Path, max_bytes: int) -> Stored:
    """Store uploads of at most `max_bytes` each from `cache`. Raises ProjectError for too many files."""
    from dimts.data.sources import SOUND, SUBTITLES, TABLES, TEXT

    if len(uploads) > MAX_BATCH:
        raise ProjectError("web.too_many_files", count=len(uploads), max_files=MAX_BATCH)
    refused: list[tuple[str, Issue]] = []
    good: list[Upload] = []
    for upload in uploads:
        doubt = _problem(upload, cache, max_bytes, SOUND, (*TEXT, *SUBTITLES, *_TABLES))
        if not doubt and _suffix(upload) in _TABLES and safe_name(upload.name) not in TABLES:
            doubt = Issue("upload_table", Message("web.upload_table"))
        if doubt:
            refused.append((_shown(upload.name), doubt))
        else:
            good.append(upload)
    sounds = [one for one in good if _suffix(one) in SOUND]
    texts = [one for one in good if _suffix(one) not in SOUND]
    if any(_suffix(one) in _TABLES for one in texts):
        return _as_set(project, sounds, texts, refused)
    kept_sounds: dict[str, Path] = {}
    for one in sounds:
        kept_sounds[_stem(one)] = _store_sound(project, one.path, _stem(one), _suffix(one))
    kept_texts = []
    for one in texts:
        beside = (
            [kept_sounds[_stem(one)]] if _stem(one) in kept_sounds else _of_stem(project, _stem(one), SOUND)
        )
        if not beside:
            refused.append((_shown(one.name), Issue("upload_alone", Message("web.upload_alone"))))
        for sound in beside:
            kept_texts.append(sound.with_suffix(_suffix(one)))
            _copy(one.path, kept_texts[-1])
    return Stored(tuple(kept_sounds.values()), tuple(kept_texts), tuple(refused))


def keep_take(
    project: Project, sound: Path, text: str, cache: Path, max_bytes: int, speaker: str = ""
) -> Path:
    """Store a microphone recording with what was read, in the folder of its speaker where one is named.

    Raises ProjectError for a sound that is refused, DataError for a speaker without consent.
    """
    from dimts.data.sources import SOUND

    text = " ".join(text.split())
    if not text or len(text) > MAX_LETTERS:
        raise ProjectError("web.script_line_wrong")
    doubt = _problem(Upload(sound.name, sound), cache, max_bytes, SOUND, ())
    if doubt:
        raise ProjectError("web.take_refused", reason=doubt.message)
    who = speakers.speaker(project, speaker) if speaker else None
    folder = speakers.folder_of(project, who) if who else project.recordings
    kept = _store_sound(project, sound, TAKE + hash_of(text), sound.suffix.lower(), folder)
    write_text(kept.with_suffix(".txt"), text + "\n")
    if who:
        speakers.write_table(project, who)
    return kept


def text_of(path: Path, cache: Path) -> Path:
    """Check an uploaded text to choose sentences from. ProjectError for another kind of file."""
    doubt = _problem(Upload(path.name, path), cache, MAX_TEXT_BYTES, (), (".txt",))
    if doubt:
        raise ProjectError("web.script_text_refused", name=_shown(path.name), reason=doubt.message)
    return path


def discard(paths: Iterable[Path], cache: Path) -> None:
    """Delete uploads below `cache` that are stored elsewhere; others are left alone."""
    for path in paths:
        if path.is_file() and not path.is_symlink() and path.resolve().is_relative_to(cache.resolve()):
            path.unlink(missing_ok=True)


def recordings(project: Project) -> list[tuple[Path, str]]:
    """Return the audio files of recordings/, with the text of each ("" where there is none)."""
    from dimts.data.sources import SOUND, TEXT

    out = []
    for path in sorted(project.recordings.rglob("*")) if project.recordings.is_dir() else ():
        if path.suffix.lower() in SOUND and path.is_file() and not path.is_symlink():
            beside = next((path.with_suffix(one) for one in TEXT if path.with_suffix(one).is_file()), None)
            out.append(
                (
                    path,
                    " ".join(beside.read_text(encoding="utf-8", errors="replace").split()) if beside else "",
                )
            )
    return out


_SECONDS: dict[tuple[str, int, int], float] = {}
"""(Path, time, size) → seconds of a sound that was measured."""


def minutes_of(project: Project) -> float:
    """Minutes of sound in recordings/; what cannot be opened counts nothing."""
    return sum(_seconds(path) for path, _ in recordings(project)) / 60


def _seconds(path: Path) -> float:
    from dimts.audio.media import probe

    try:
        found = path.stat()
        key = (str(path), found.st_mtime_ns, found.st_size)
        if key not in _SECONDS:
            _SECONDS[key] = float(probe(path).seconds or 0.0)
    except (OSError, DimtsError):
        return 0.0
    return _SECONDS[key]


def _problem(
    upload: Upload, cache: Path, max_bytes: int, sounds: Iterable[str], texts: Sequence[str]
) -> Issue | None:
    """Return why a file is refused."""
    path = upload.path
    if path.is_symlink() or not path.is_file() or not path.resolve().is_relative_to(cache.resolve()):
        return Issue("upload_outside", Message("web.upload_outside"))
    size = path.stat().st_size
    if size > max_bytes:
        return Issue(
            "upload_too_large",
            Message("web.upload_too_large", megabytes=size / MEGABYTE),
            size / MEGABYTE,
            max_bytes / MEGABYTE,
        )
    if not size:
        return Issue("upload_empty", Message("web.upload_empty"))
    if _suffix(upload) in sounds:
        return _not_sound(path)
    if _suffix(upload) in texts:
        return _not_text(path)
    return Issue("upload_type", Message("web.upload_type", name=_shown(upload.name)))


def _not_sound(path: Path) -> Issue | None:
    from dimts.audio.media import probe

    try:
        probe(path)
    except DimtsError as error:
        return Issue(
            "upload_broken", Message("web.upload_broken", reason=_without_folder(error.message, path.parent))
        )
    return None


def _not_text(path: Path) -> Issue | None:
    if path.stat().st_size > MAX_TEXT_BYTES:
        return Issue(
            "upload_too_large", Message("web.upload_text_too_large", megabytes=path.stat().st_size / MEGABYTE)
        )
    try:
        if "\0" in path.read_text(encoding="utf-8-sig"):
            return Issue("upload_not_text", Message("web.upload_not_text"))
    except UnicodeDecodeError as error:
        return Issue("upload_not_text", Message("web.upload_not_utf8", reason=error.reason))
    return None


def _as_set(
    project: Project, sounds: list[Upload], texts: list[Upload], refused: list[tuple[str, Issue]]
) -> Stored:
    """Store an upload with a table in a folder of its own, so that the table finds its audio files by
    name."""
    from dimts.data.sources import find_recordings

    files = {safe_name(one.name): one for one in (*sounds, *texts)}
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\t{fingerprint(files[name].path)}\n".encode())
    final = project.recordings / f"set-{digest.hexdigest()[:_HASH_DIGITS]}"
    staged = final.with_name(f".{final.name}")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        for name, one in files.items():
            _copy(one.path, staged / name)
        for recording in find_recordings([staged]):
            if not recording.path.absolute().resolve().is_relative_to(staged.resolve()):
                outside = Issue(
                    "upload_table", Message("web.table_names_missing_file", name=_shown(recording.origin))
                )
                return Stored((), (), (*refused, (_shown(recording.origin), outside)))
        if not final.exists():
            staged.rename(final)
    except SourceError as error:
        table = next(safe_name(one.name) for one in texts if _suffix(one) in _TABLES)
        issue = Issue(
            "upload_table", Message("web.upload_table_refused", reason=_without_folder(error.message, staged))
        )
        return Stored((), (), (*refused, (table, issue)))
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    kept = [final / name for name in files]
    return Stored(
        tuple(path for path in kept if path.name in {safe_name(one.name) for one in sounds}),
        tuple(path for path in kept if path.name in {safe_name(one.name) for one in texts}),
        tuple(refused),
    )


def _store_sound(project: Project, path: Path, stem: str, suffix: str, folder: Path | None = None) -> Path:
    """A copy of a sound in `folder`, or in recordings/; one that is there already stays the only one."""
    folder = folder or project.recordings
    digest = fingerprint(path)[:_HASH_DIGITS]
    there = [one for one in folder.glob(f"*-{digest}{suffix}") if one.is_file()]
    if there:
        return there[0]
    target = project.inside(folder.relative_to(project.root) / f"{stem}-{digest}{suffix}")
    _copy(path, target)
    return target


def _of_stem(project: Project, stem: str, sounds: Iterable[str]) -> list[Path]:
    named = re.compile(rf"{re.escape(stem)}(-[0-9a-f]{{{_HASH_DIGITS}}})?")
    return [
        path
        for path in sorted(project.recordings.glob("*"))
        if path.suffix.lower() in sounds and named.fullmatch(path.stem)
    ]


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _without_folder(message: Message, folder: Path) -> Message:
    """Return the message with paths relative to `folder`: a browser is shown no path of this machine."""
    plain: dict[str, Any] = {}
    for name, value in message.parameters.items():
        if isinstance(value, Message):
            plain[name] = _without_folder(value, folder)
        else:
            plain[name] = value.replace(f"{folder}{os.sep}", "") if isinstance(value, str) else value
    return Message(message.code, **plain)


def _suffix(upload: Upload) -> str:
    return Path(safe_name(upload.name)).suffix


def _stem(upload: Upload) -> str:
    return Path(safe_name(upload.name)).stem


def _shown(name: str) -> str:
    return name[-80:]
