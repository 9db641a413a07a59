"""Say of files that hold texts or sounds in a form that is not read what they are, and what to do.

Spreadsheets, documents, archives, corpora in one file, unfinished downloads, links, and labels of other
programs: each is set aside with its reason, so that nothing in a folder is passed over in silence.
"""

from __future__ import annotations

from pathlib import Path

from dimts.base.errors import SourceError
from dimts.base.messages import Message
from dimts.data.text_files import read_text

PACKED = frozenset({".parquet", ".arrow"})
"""Suffixes of files with texts and audio together, which are unpacked first."""
_SPREADSHEETS = frozenset({".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers", ".gsheet"})
_DOCUMENTS = frozenset({".docx", ".doc", ".docm", ".odt", ".rtf", ".pdf", ".epub", ".pages", ".gdoc", ".wpd"})
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
"""Ends of the names of archives that are unpacked."""
_ARCHIVES = frozenset({".zip", ".rar", ".7z", ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".zst"})
_UNFINISHED = frozenset({".part", ".crdownload", ".download", ".partial", ".opdownload", ".ytdl"})
_LINKS = frozenset({".url", ".webloc", ".m3u", ".m3u8", ".pls"})
_OTHER_LABELS = frozenset(
    {".stl", ".scc", ".srv1", ".srv2", ".srv3", ".json3", ".ytt", ".trs", ".exb", ".cha", ".idx", ".rttm"}
)
_ABOUT = ("readme", "license", "licence", "copying", "notice", "citation", "changelog", "consent")
"""First letters of documents about a corpus, which are no text of a recording."""


def unread(path: Path) -> tuple[str, Message] | None:
    """Return the kind of issue and the reason for a file that is not read; None for any other file."""
    suffix = path.suffix.lower()
    if path.name.startswith("~$"):  # the lock of a document that is open
        return None
    if suffix in PACKED:
        return "unreadable", Message("data.packed_corpus", path=path.name)
    if suffix in _SPREADSHEETS:
        return "transcript_row", Message("data.is_spreadsheet", path=path.name)
    if suffix in _DOCUMENTS and not path.name.lower().startswith(_ABOUT):
        return "text_unreadable", Message("data.is_document", path=path.name)
    if suffix in _ARCHIVES:
        known = path.name.lower().endswith(ARCHIVES)
        return "unreadable", Message("data.is_archive" if known else "data.is_other_archive", path=path.name)
    if suffix in _UNFINISHED:
        return "unreadable", Message("data.is_unfinished", path=path.name)
    if suffix in _LINKS:
        return "no_audio", Message("data.is_link_file", path=path.name)
    if suffix in _OTHER_LABELS:
        return "subtitles_unreadable", Message("data.is_other_label", path=path.name)
    return None


_MAX_LINK_BYTES = 1 << 20


def links_in(path: Path) -> tuple[str, ...]:
    """Return the links of a .txt that has one in each line, besides comments; none of any other file."""
    if path.suffix.lower() != ".txt" or not path.is_file() or path.stat().st_size > _MAX_LINK_BYTES:
        return ()
    try:
        lines = [line.strip() for line in read_text(path).splitlines()]
    except SourceError:
        return ()
    links = tuple(line for line in lines if line and not line.startswith("#"))
    return links if all(one.startswith(("http://", "https://")) and " " not in one for one in links) else ()
