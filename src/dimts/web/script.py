"""The recording script of a project: script.txt, a sentence per line, and which lines have been recorded.

It is stored in the project, so that a session can be continued, also in another browser. The sentences may be
chosen from a larger text, by the same function as `dimts data script`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dimts.base.errors import DataError
from dimts.base.files import write_text
from dimts.base.progress import ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.script import Script, ScriptSettings, choose, read_texts
from dimts.evaluate.sentences import SENTENCES
from dimts.web import speakers

FILE = "script.txt"
MAX_LINES = 5000
MAX_LETTERS = 500
"""Longest line in letters: about one breath."""
TAKE = "mic-"
"""Prefix of the audio files of takes; six digits of the line's hash follow."""


@dataclass(frozen=True, slots=True)
class ScriptReading:
    """A script and the lines that are recorded."""

    lines: tuple[str, ...]
    recorded: frozenset[int]
    """Numbers of lines, from 1."""

    @property
    def next(self) -> int:
        """Number of the first line that is not recorded; the last one when all are."""
        return next(
            (at for at in range(1, len(self.lines) + 1) if at not in self.recorded), max(1, len(self.lines))
        )

    def line(self, number: int) -> str:
        """Return the line of a number; "" for an empty script."""
        return self.lines[min(max(number, 1), len(self.lines)) - 1] if self.lines else ""


def reading(project: Project, speaker: str = "") -> ScriptReading:
    """The project's script, and which of it a speaker has read (as entered in `speakers`; "": the project's
    own); the short script that comes with dimts where it has none. DataError for an unknown speaker."""
    path = project.root / FILE
    try:
        lines = lines_of(path.read_text(encoding="utf-8-sig")) if path.is_file() else tuple(SENTENCES)
    except UnicodeDecodeError as error:
        raise DataError("web.script_not_utf8", file=FILE) from error
    folder = (
        speakers.folder_of(project, speakers.speaker(project, speaker)) if speaker else project.recordings
    )
    taken = {path.name.removeprefix(TAKE)[:6] for path in folder.glob(f"{TAKE}*-*")}
    return ScriptReading(
        lines, frozenset(at for at, line in enumerate(lines, start=1) if hash_of(line) in taken)
    )


def save(project: Project, text: str) -> ScriptReading:
    """Write the script, a sentence per line. DataError for one that is too long."""
    lines = lines_of(text)
    if len(lines) > MAX_LINES or any(len(line) > MAX_LETTERS for line in lines):
        raise DataError("web.script_too_long", max_lines=MAX_LINES, max_letters=MAX_LETTERS)
    write_text(project.root / FILE, "\n".join(lines) + "\n")
    return reading(project)


def choose_from(
    project: Project, paths: Sequence[Path], count: int, seed: int = 0, on_progress: ProgressCallback = ignore
) -> Script:
    """Choose `count` sentences from texts and make them the script. Raises as `dimts.data.script` does."""
    from dimts.text.frontend import Frontend, FrontendSettings

    lexicon = project.lexicon if project.lexicon.is_file() else None
    frontend = Frontend(project.settings("text", FrontendSettings), lexicon=lexicon)
    settings = ScriptSettings(
        count=count, seed=seed, max_candidates=max(ScriptSettings().max_candidates, count)
    )
    found = choose(read_texts(paths), frontend, settings, on_progress)
    save(project, "\n".join(found.sentences))
    return found


def lines_of(text: str) -> tuple[str, ...]:
    """Return the non-empty lines of a text, NFC, with single spaces."""
    lines = (" ".join(unicodedata.normalize("NFC", line).split()) for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))


def hash_of(line: str) -> str:
    """Return six hex digits that identify the line of a take."""
    return hashlib.sha256(" ".join(line.split()).encode()).hexdigest()[:6]
