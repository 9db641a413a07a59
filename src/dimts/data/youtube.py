"""Fetch links as recordings with their manual subtitles and a note of their source, by yt-dlp (Unlicense).

Manual Amharic subtitles are taken where there are any; automatic captions never, as they are a recogniser's
guess. Beside each recording is NAME.source.json with its link, title, channel and licence, which `sources`
reads. Whether a recording may be used is for the user to know; the licence a site states is only written
down.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dimts.base.config import to_dict
from dimts.base.errors import SourceError
from dimts.base.files import write_text
from dimts.base.plugins import require
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.data.sources import SOUND, SOURCE_NOTE, RecordingSource

LANGUAGE = "am"
_RETRIES = 5
_SUBTITLE_KINDS = "vtt/srt/ass/best"
_SUBTITLES = (".vtt", ".srt", ".ass")


def is_link(source: str) -> bool:
    """Whether a source is a link."""
    return urlsplit(source).scheme in ("http", "https")


def fetch(link: str, folder: Path, on_progress: ProgressCallback = ignore) -> list[Path]:
    """Fetch the audio behind a link into `folder`; returns the new files, none if it is there already.

    Raises SourceError when there is nothing to be had, MissingExtra without yt-dlp.
    """
    library = require("yt_dlp", "data")

    def hook(state: dict[str, Any]) -> None:
        total = state.get("total_bytes") or state.get("total_bytes_estimate")
        on_progress(Progress("fetch", state.get("downloaded_bytes") or 0, total, "bytes"))

    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as name:
        options = {
            "format": "bestaudio/best",
            "outtmpl": {"default": str(Path(name) / "%(title).80B-%(id).40B.%(ext)s")},
            "windowsfilenames": True,
            "noplaylist": True,
            "writesubtitles": True,
            "writeautomaticsub": False,
            "subtitleslangs": [LANGUAGE, f"{LANGUAGE}-.*"],
            "subtitlesformat": _SUBTITLE_KINDS,
            "quiet": True,
            "no_warnings": True,
            "noprogress": True,
            "logger": _Quiet(),
            "retries": _RETRIES,
            "continuedl": True,
            "progress_hooks": [hook],
            "cachedir": False,
            "postprocessors": [],
        }
        try:
            with library.YoutubeDL(options) as loader:
                found = loader.extract_info(link, download=True)
        except library.utils.YoutubeDLError as error:
            reason = str(error).removeprefix("ERROR: ").split("; please report")[0]
            raise SourceError("data.nothing_fetched", link=link, reason=reason) from error
        if not found or "entries" in found:
            raise SourceError("data.link_is_list", link=link)
        return _moved(Path(name), folder, _source(link, found))


def _source(link: str, found: dict[str, Any]) -> RecordingSource:
    return RecordingSource(
        link=str(found.get("webpage_url") or link),
        title=str(found.get("title") or ""),
        channel=str(found.get("channel") or found.get("uploader") or ""),
        licence=str(found.get("license") or ""),
    )


def _moved(fetched: Path, folder: Path, source: RecordingSource) -> list[Path]:
    """Move fetched files from the temporary folder under one stem: audio, subtitles, note."""
    files = sorted(path for path in fetched.iterdir() if path.suffix != ".part")
    sounds = [path for path in files if path.suffix.lower() in SOUND]
    if len(sounds) != 1:
        raise SourceError("data.nothing_behind_link", link=source.link)
    stem = sounds[0].stem
    if (folder / f"{stem}{SOURCE_NOTE}").exists():
        return []
    subtitles = [path for path in files if path.suffix.lower() in _SUBTITLES]
    # NAME.am.vtt before NAME.am-ET.vtt; it becomes NAME.vtt, which is beside NAME.webm
    subtitles.sort(key=lambda path: (not path.stem.endswith(f".{LANGUAGE}"), path.name))
    added = []
    for path in (*sounds, *subtitles[:1]):
        target = folder / f"{stem}{path.suffix.lower()}"
        path.replace(target)
        added.append(target)
    note = folder / f"{stem}{SOURCE_NOTE}"
    write_text(note, json.dumps(to_dict(source), ensure_ascii=False, indent=2) + "\n")
    return [*added, note]


class _Quiet:
    """Logger that drops yt-dlp's output; its errors are raised as exceptions."""

    def debug(self, message: str) -> None:
        """Drop the message."""

    def info(self, message: str) -> None:
        """Drop the message."""

    def warning(self, message: str) -> None:
        """Drop the message."""

    def error(self, message: str) -> None:
        """Drop the message, which is raised as well."""
