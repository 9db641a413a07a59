"""Store how speakers agreed that recordings of them are used as voices.

    store = ConsentStore()
    store.add(ConsentStatement(fingerprint("abebe.wav"), "Abebe Kebede, signed form", "abebe.wav", seconds))
    store.find(fingerprint("abebe.wav"))

    <the user's data folder>/consent/<SHA-256 of the recording>.json    consent, recording, created

A file a recording, readable by its owner alone and replaced as a whole, so that several processes may share
the folder and a damaged file spoils no other.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from dimts.base.errors import SynthesisError, storage_error
from dimts.base.files import atomic_path
from dimts.base.user_folders import data_folder

MIN_CONSENT_LETTERS, MAX_CONSENT_LETTERS = 10, 2000
"""Least and most letters of a statement."""
_HASH = re.compile(r"[0-9a-f]{64}")
_HASH_START = re.compile(r"[0-9a-f]{8,64}")
_OWNER_ONLY, _OWNER_ONLY_FOLDER = 0o600, 0o700


@dataclass(frozen=True, slots=True)
class ConsentStatement:
    """Statement of how the speaker of one recording agreed."""

    sha256: str
    """SHA-256 of the recording's content."""
    consent: str
    recording: str
    """Name of the file at that time, for people."""
    created: int
    """Time of the statement in seconds since 1970."""

    @property
    def day(self) -> str:
        """Day of the statement in UTC, e.g. "2026-03-01"."""
        return datetime.fromtimestamp(self.created, UTC).date().isoformat()


def consent_text(text: str) -> str:
    """Return a statement in NFC without white space around it.

    Raises SynthesisError for fewer than 10 or more than 2000 letters, and for control characters.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) < MIN_CONSENT_LETTERS:
        raise SynthesisError("speak.consent_too_short", letters=MIN_CONSENT_LETTERS)
    if len(text) > MAX_CONSENT_LETTERS:
        raise SynthesisError("speak.consent_too_long", letters=MAX_CONSENT_LETTERS)
    if not "".join(text.split()).isprintable():
        raise SynthesisError("speak.consent_unprintable")
    return text


class ConsentStore:
    """Folder of the statements of one user."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or data_folder() / "consent"

    def find(self, sha256: str) -> ConsentStatement | None:
        """Return the statement for a recording; None if there is none. SynthesisError if its file is
        damaged."""
        path = self._path(sha256)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = ConsentStatement(sha256, content["consent"], content["recording"], content["created"])
            consent_text(found.consent)
            sound = isinstance(found.recording, str) and bool(found.day)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (
            OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError, SynthesisError
        ) as error:  # fmt: skip
            raise SynthesisError("speak.consent_unreadable", path=path) from error
        if not sound:
            raise SynthesisError("speak.consent_unreadable", path=path)
        return found

    def add(self, statement: ConsentStatement) -> Path:
        """Store a statement in place of an earlier one for the same recording; returns its file. DimtsError
        where the folder cannot be written."""
        path = self._path(statement.sha256)
        content = {name: value for name, value in asdict(statement).items() if name != "sha256"}
        try:
            self.folder.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, self.folder) or error from error
        with atomic_path(path, mode=_OWNER_ONLY) as temporary:
            temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return path

    def hashes(self, start: str = "") -> Iterator[str]:
        """Yield the hashes, in order, of the recordings that have a statement: those that begin so."""
        found = self.folder.glob("*.json") if self.folder.is_dir() else ()
        for path in sorted(found):
            if _HASH.fullmatch(path.stem) and path.stem.startswith(start):
                yield path.stem

    def matching(self, start: str) -> str:
        """Return the one hash that begins with these 8 or more letters. SynthesisError for none or
        several."""
        found = list(self.hashes(start)) if _HASH_START.fullmatch(start) else []
        if len(found) != 1:
            code = "speak.consent_ambiguous" if found else "speak.consent_not_found"
            raise SynthesisError(code, name=start)
        return found[0]

    def withdraw(self, sha256: str) -> bool:
        """Remove the statement for a recording; False if there is none."""
        path = self._path(sha256)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise storage_error(error, path) or error from error
        return True

    def _path(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.json"
