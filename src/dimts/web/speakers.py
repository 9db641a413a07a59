"""Several people who read into the microphone of one project: their names, and how each of them agreed.

    speakers.tsv                     name TAB consent, a speaker a line
    recordings/<name>-<hash>/        what one of them read, with a text beside each sound
    recordings/<name>-<hash>/metadata.tsv
                                     sound, text, speaker, consent: written anew from the sounds there

Nobody is recorded by name before their consent is written down.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from dimts.base.errors import DataError
from dimts.base.files import write_text
from dimts.base.project import Project
from dimts.web.file_names import safe_name

FILE = "speakers.tsv"
TABLE = "metadata.tsv"
MAX_SPEAKERS = 200
MAX_NAME_LETTERS = 60
MAX_CONSENT_LETTERS = 200
_MIN_CONSENT_LETTERS = 3
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class SpeakerConsent:
    """A speaker, and how they agreed to the use of their voice."""

    name: str
    consent: str


def speakers(project: Project) -> list[SpeakerConsent]:
    """Those who were entered, in that order. DataError for a file that cannot be read."""
    path = project.root / FILE
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
    except UnicodeDecodeError as error:
        raise DataError("web.script_not_utf8", file=FILE) from error
    pairs = [line.partition("\t") for line in lines if line.strip()]
    return [SpeakerConsent(_line(name), _line(consent)) for name, _, consent in pairs if _line(consent)]


def add(project: Project, name: str, consent: str) -> list[SpeakerConsent]:
    """Enter a speaker; one of that name gets the new consent, also in what is recorded. Returns all.

    DataError without a name or a consent, or for too many.
    """
    name, consent = _line(name), _line(consent)
    if not name or len(name) > MAX_NAME_LETTERS:
        raise DataError("web.speaker_name_wrong", max_letters=MAX_NAME_LETTERS)
    if not _MIN_CONSENT_LETTERS <= len(consent) <= MAX_CONSENT_LETTERS:
        raise DataError("web.speaker_consent_missing", name=name)
    found = {one.name: one for one in speakers(project)}
    found[name] = SpeakerConsent(name, consent)
    if len(found) > MAX_SPEAKERS:
        raise DataError("web.too_many_speakers", max_speakers=MAX_SPEAKERS)
    text = "".join(f"{one.name}\t{one.consent}\n" for one in found.values())
    write_text(project.root / FILE, text)
    write_table(project, found[name])
    return list(found.values())


def speaker(project: Project, name: str) -> SpeakerConsent:
    """The speaker of that name. DataError for one who was not entered."""
    for one in speakers(project):
        if one.name == name:
            return one
    raise DataError("web.no_such_speaker", name=name[:60])


def folder_of(project: Project, one: SpeakerConsent) -> Path:
    """Where a speaker's recordings lie; two names that look alike as file names have two folders."""
    digest = hashlib.sha256(one.name.encode()).hexdigest()[:_DIGITS]
    return project.recordings / f"{safe_name(one.name)}-{digest}"


def write_table(project: Project, one: SpeakerConsent) -> None:
    """Write the table of a speaker's recordings, from which preparing takes speaker and consent."""
    from dimts.data.sources import SOUND

    folder = folder_of(project, one)
    if not folder.is_dir():
        return
    lines = ["path\ttext\tspeaker\tconsent"]
    for path in sorted(folder.iterdir()):
        text = path.with_suffix(".txt")
        if path.suffix.lower() in SOUND and text.is_file():
            lines.append(
                "\t".join((path.name, _line(text.read_text(encoding="utf-8")), one.name, one.consent))
            )
    write_text(folder / TABLE, "\n".join(lines) + "\n")


def write_tables(project: Project) -> None:
    """Write every speaker's table anew, after recordings were renamed or deleted."""
    for one in speakers(project):
        write_table(project, one)


def _line(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
