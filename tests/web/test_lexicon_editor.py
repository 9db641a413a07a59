"""A word mended in the page is the project's word."""

from __future__ import annotations

import pytest

from dimts.base.errors import TextError
from dimts.base.project import Project
from dimts.text.frontend import Frontend, FrontendSettings
from dimts.web.lexicon_editor import absences, brief, entries, fix


def test_the_mended_word_is_said_so(project: Project) -> None:
    entry, replaced = fix(project, "ሰላም", "s ə lː a m", "heard  in\tGondar")
    assert (entry.phones, replaced) == (("s", "ə", "lː", "a", "m"), [])
    words = [word for phrase in Frontend(FrontendSettings(), project.lexicon)("ሰላም") for word in phrase.words]
    assert [(word.by, word.phones) for word in words] == [("user", entry.phones)]
    assert entries(project) == [["ሰላም", "s ə lː a m", "heard in Gondar"]]


def test_fidel_with_length_marks(project: Project) -> None:
    entry, _ = fix(project, "ገና", "ገና፟")
    assert entry.phones == ("ɡ", "ə", "nː", "a")
    _, replaced = fix(project, "ገና", "ɡ ə n a")
    assert [old.phones for old in replaced] == [entry.phones]


@pytest.mark.parametrize(
    ("word", "phones"), [("ሰላም", "k u k u"), ("hello", "s ə l a m"), ("", "s"), ("ሰላም", "")]
)
def test_what_contradicts_the_letters_is_refused(project: Project, word: str, phones: str) -> None:
    with pytest.raises(TextError):
        fix(project, word, phones)
    assert not project.lexicon.exists()


def test_unless_it_is_insisted_on(project: Project) -> None:
    assert fix(project, "ሰላም", "k u k u", force=True)[0].phones == ("k", "u", "k", "u")


def test_reasons_are_brief_and_without_folders() -> None:
    assert brief("files are missing: /opt/a b/x.pt, /opt/model.pt") == "files are missing: a b/x.pt, model.pt"
    assert brief("in C:\\Users\\x\\model.pt") == "in model.pt"
    assert brief("t is long (lexicon); a/b") == "t is long (lexicon); a/b"
    assert len(brief("ሀ" * 500)) < 125


def test_backends_that_cannot_answer_are_named_once() -> None:
    words = [word for phrase in Frontend()("ሰላም ለዓለም ሰላም") for word in phrase.words]
    missing = absences(words)
    assert len(missing) == len({line.split(":")[0] for line in missing})
