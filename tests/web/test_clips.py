"""A person corrects, keeps and drops clips; their word stays when the recordings are prepared again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dimts.audio.wave import Wave, join
from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.data.journal import Journal
from dimts.data.manifest import Manifest, Utterance
from dimts.data.prepare import prepare
from dimts.web import clips

Write = Callable[[Path, int], list[Path]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a prepared project, made once."""
    from dimts.base.config import to_toml
    from dimts.speak import Speaker
    from dimts.text.frontend import ChainSettings, FrontendSettings

    root = tmp_path_factory.mktemp("prepared") / "abebe"
    text = FrontendSettings(g2p=ChainSettings(backends=("rules",)))
    project = Project.create(root, to_toml(text, "text"))
    speaker = Speaker.load("formant")
    for number, line in enumerate(("ገበሬው ማሳውን በበሬ ያርሳል።", "ልጆቹ በግቢው ውስጥ ኳስ ይጫወታሉ።")):
        quiet = Wave.silence(0.4, 24_000)
        join([quiet, speaker.say(line), quiet]).save(project.recordings / f"{number}.wav")
        (project.recordings / f"{number}.txt").write_text(line, encoding="utf-8")
    prepare(project)
    return root


@pytest.fixture
def own(prepared: Path, tmp_path: Path) -> Project:
    """A copy of it to change."""
    import shutil

    return Project.open(shutil.copytree(prepared, tmp_path / "abebe"))


def first(project: Project) -> Utterance:
    return clips.rows(project)[0]


def test_a_new_text_is_spelt_anew_and_stays(own: Project) -> None:
    row = first(own)
    fresh = clips.correct(own, row.id, "ገበሬው  ማሳውን በ3 በሬ ያርሳል።")
    assert (fresh.text, fresh.by, fresh.kept, fresh.split) == (
        "ገበሬው ማሳውን በ3 በሬ ያርሳል።",
        "person",
        True,
        row.split,
    )
    assert "ሶስት" in fresh.spoken
    assert fresh.phones != row.phones
    assert clips.row_of(own, row.id) == fresh
    prepare(own)
    assert clips.row_of(own, row.id).text == fresh.text


def test_a_text_that_cannot_be_read_sets_the_clip_aside(own: Project) -> None:
    fresh = clips.correct(own, first(own).id, "this is English")
    assert not fresh.kept
    assert "not_amharic" in fresh.rejected_for
    back = clips.correct(own, fresh.id, "ገበሬው ማሳውን በበሬ ያርሳል።")
    assert (back.kept, back.split) == (True, "train")


@pytest.mark.parametrize("text", ["", "   ", "ሀ" * 3000])
def test_an_empty_or_endless_text_is_refused(own: Project, text: str) -> None:
    before = own.manifest.read_bytes()
    with pytest.raises(DataError, match="empty or too long"):
        clips.correct(own, first(own).id, text)
    assert own.manifest.read_bytes() == before


def test_dropped_and_kept_again(own: Project) -> None:
    row = first(own)
    dropped = clips.drop(own, row.id)
    assert (dropped.kept, dropped.split) == (False, "")
    assert (dropped.decision, dropped.issues) == ("drop", row.issues)
    prepare(own)
    assert not clips.row_of(own, row.id).kept
    kept = clips.keep(own, row.id)
    assert (kept.kept, kept.issues) == (True, row.issues)
    assert Manifest.read(own.manifest)[0] == kept


def test_a_change_is_undone_whole(own: Project) -> None:
    row = first(own)
    clips.correct(own, row.id, "ገበሬው ማሳውን በ3 በሬ ያርሳል።")
    assert clips.restore(own, row) == row
    assert clips.rows(own)[0] == row
    with pytest.raises(DataError):
        clips.restore(own, Utterance("gone", text="ሰላም"))


def test_saving_the_same_text_again_writes_nothing(own: Project) -> None:
    row = clips.correct(own, first(own).id, "ገበሬው ማሳውን በ3 በሬ ያርሳል።")
    before = own.manifest.stat().st_mtime_ns
    assert clips.correct(own, row.id, row.text or "") == row
    assert own.manifest.stat().st_mtime_ns == before


def test_what_nothing_can_be_learnt_from_is_not_kept(own: Project) -> None:
    Manifest.append(own.manifest, [Utterance("silent", text="ሰላም", rejected_for=("no_audio",))])
    with pytest.raises(DataError, match="without sound or text"):
        clips.keep(own, "silent")


def test_while_a_run_prepares_nothing_is_changed(own: Project) -> None:
    with Journal.open(own.clips), pytest.raises(DataError, match="another run is preparing"):
        clips.drop(own, first(own).id)
    assert first(own).kept


@pytest.mark.parametrize("identity", ["", "../../etc/passwd", "nobody", "<b>"])
def test_an_unknown_id_is_refused(own: Project, identity: str) -> None:
    for change in (clips.keep, clips.drop, clips.row_of):
        with pytest.raises(DataError, match="no such clip"):
            change(own, identity)


def test_a_clip_outside_the_project_is_not_opened(own: Project) -> None:
    from dimts.base.errors import ProjectError

    with pytest.raises(ProjectError, match="outside"):
        clips.sound_of(own, Utterance("x", path="../../secret.wav"))


def test_nothing_prepared_is_an_empty_table(project: Project) -> None:
    assert clips.rows(project) == []
    with pytest.raises(DataError, match="no manifest"):
        clips.drop(project, "x")
