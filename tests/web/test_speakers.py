"""Several speakers of a project: nobody is recorded by name without consent, which goes with each
recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.data.sources import find_recordings
from dimts.web import script, speakers, storage, uploads
from dimts.web.workspace import Workspace

Write = Callable[[Path, int], list[Path]]


def take(workspace: Workspace, project: Project, recordings: Write, line: str, who: str) -> Path:
    """A recording that came from a browser and was kept."""
    sound = recordings(workspace.cache / "take", 1)[0]
    return uploads.keep_take(project, sound, line, workspace.cache, 10**7, who)


def test_names_and_consents_go_with_the_recordings(
    workspace: Workspace, project: Project, recordings: Write
) -> None:
    speakers.add(project, " ሐና  በቀለ ", "form of\t2026-03-01")
    speakers.add(project, "Abebe", "said so")
    lines = script.save(project, "ሰላም ለዓለም።\nደህና ናችሁ?").lines
    kept = take(workspace, project, recordings, lines[0], "ሐና በቀለ")
    other = take(workspace, project, recordings, lines[1], "Abebe")
    own = take(workspace, project, recordings, lines[1], "")
    assert len({kept.parent, other.parent, own.parent}) == 3
    found = {one.path.resolve(): (one.speaker, one.consent, one.text, one.problem)
             for one in find_recordings([project.recordings])}  # fmt: skip
    assert found == {
        kept.resolve(): ("ሐና በቀለ", "form of 2026-03-01", lines[0], None),
        other.resolve(): ("Abebe", "said so", lines[1], None),
        own.resolve(): ("", "", lines[1], None),
    }
    # each reads the whole script
    assert script.reading(project, "ሐና በቀለ").recorded == {1}
    assert script.reading(project, "Abebe").recorded == script.reading(project).recorded == {2}
    # a new consent is that of what is recorded already; what is deleted leaves the table
    speakers.add(project, "Abebe", "signed")
    assert {one.consent for one in find_recordings([project.recordings]) if one.speaker == "Abebe"} == {
        "signed"
    }
    storage.delete(workspace, project, f"recording/{kept.relative_to(project.recordings).as_posix()}")
    assert {one.speaker for one in find_recordings([project.recordings])} == {"Abebe", ""}


@pytest.mark.parametrize(("name", "consent", "code"), [
    ("", "signed", "web.speaker_name_wrong"),
    ("x" * 61, "signed", "web.speaker_name_wrong"),
    ("Abebe", " ", "web.speaker_consent_missing"),
    ("Abebe", "x" * 201, "web.speaker_consent_missing"),
])  # fmt: skip
def test_nobody_is_entered_without_name_and_consent(
    workspace: Workspace, project: Project, recordings: Write, name: str, consent: str, code: str
) -> None:
    with pytest.raises(DataError) as error:
        speakers.add(project, name, consent)
    assert error.value.code == code
    with pytest.raises(DataError) as error:
        take(workspace, project, recordings, "ሰላም", "Abebe")
    assert error.value.code == "web.no_such_speaker"
    assert not list(project.recordings.rglob("*.wav"))


def test_names_that_look_alike_have_folders_of_their_own(project: Project) -> None:
    names = ("a/b", "a?b", "../a", "ሀ", "ሐ")
    folders = {speakers.folder_of(project, speakers.SpeakerConsent(name, "yes")) for name in names}
    assert len(folders) == len(names)
    assert {folder.parent for folder in folders} == {project.recordings}
