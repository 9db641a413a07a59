"""Edit the project's lexicon from the page, with the checks of `dimts lexicon add`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dimts.base.errors import TextError
from dimts.base.project import Project
from dimts.text.g2p import lexicon
from dimts.text.g2p.backend import Refusal, Word

_PATH = re.compile(r"(?<!\S)(?:[A-Za-z]:)?[/\\](?:[^\s/\\,]+[/\\])+")
_BRIEF_LETTERS = 120
_ABSENT = frozenset({"absent", "hangs", "raises"})
"""Kinds of issues of a backend itself, not of its answer."""


def fix(
    project: Project, word: str, spoken: str, note: str = "", *, force: bool = False
) -> tuple[lexicon.Entry, list[lexicon.Entry]]:
    """Add a word to the project's lexicon; `spoken` is IPA, or fidel with ፟ over long letters.

    Returns the new row and those it replaced. TextError for phones that cannot be read, or that contradict
    the letters unless `force`.
    """
    from dimts.text.ethiopic import is_ethiopic_letter
    from dimts.text.g2p.letters import pronounce, read
    from dimts.text.phones import from_ipa

    note = " ".join(note.split())
    if not word.strip() or not spoken.strip():
        raise TextError("web.lexicon_entry_empty")
    if any(map(is_ethiopic_letter, spoken)):
        reading = read(spoken.strip())
        phones = pronounce(reading, reading.marks)
    else:
        phones = from_ipa(spoken.strip())
    entry = lexicon.Entry(word.strip(), phones, note)
    found = lexicon.problems(entry)
    if found and not force:
        raise TextError("web.phones_contradict_letters", word=entry.word, problems=tuple(found))
    return entry, lexicon.add(project.lexicon, entry.word, phones, note)


def entries(project: Project) -> list[list[str]]:
    """Return the project's lexicon as rows."""
    found = lexicon.load(project.lexicon) if project.lexicon.is_file() else []
    return [[entry.word, " ".join(entry.phones), entry.note] for entry in found] or [["", "", ""]]


def brief(text: str) -> str:
    """Shorten a reason for a table: files by their last names, limited length; `dimts doctor` shows all."""
    text = _PATH.sub("", text)
    return text if len(text) <= _BRIEF_LETTERS else text[:_BRIEF_LETTERS].rstrip() + " …"


def absences(words: Iterable[Word], language: str | None = None) -> list[str]:
    """List the backends that could not answer, each once, with the reason in `language`."""
    found = {
        one.by: f"{one.by}: {brief('; '.join(doubt.message.text(language) for doubt in one.doubts))}"
        for word in words
        for one in word.refused
        if is_absent(one)
    }
    return list(found.values())


def is_absent(one: Refusal) -> bool:
    """Whether the backend itself failed, rather than its answer."""
    return bool(one.doubts) and all(doubt.kind in _ABSENT for doubt in one.doubts)
