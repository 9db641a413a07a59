"""Decisions of a person: they stand above the checks and survive preparing again; what is removed stays
away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.data import edit
from dimts.data.manifest import Manifest, Utterance
from dimts.data.prepare import prepare


@pytest.fixture
def prepared(project: Project, corpus: Callable[..., Path]) -> Project:
    corpus(4).rename(project.recordings / "set")
    prepare(project)
    return project


def rows(project: Project) -> dict[str, Utterance]:
    return {row.name: row for row in Manifest.read(project.manifest)}


def test_decisions_survive_preparing_again_and_a_changed_setting(prepared: Project) -> None:
    before = rows(prepared)
    edit.drop(prepared, before["s000"].id)
    edit.correct(prepared, before["s001"].id, "ሰላም ለሁሉም ሰው")
    edit.keep(prepared, before["s002"].id)
    toml = prepared.root / "dimts.toml"
    toml.write_text(toml.read_text(encoding="utf-8") + "[data.check]\nmin_snr_db = 90.0\n", encoding="utf-8")
    prepare(Project.open(prepared.root))
    after = rows(prepared)
    assert (after["s000"].kept, after["s000"].rejected_for) == (False, ("dropped",))
    assert after["s001"].text == "ሰላም ለሁሉም ሰው"
    assert (after["s002"].kept, after["s002"].split) == (True, before["s002"].split)
    assert after["s003"].rejected_for == ("low_snr",)


def test_edits_at_the_same_time_wait_for_each_other(prepared: Project) -> None:
    before, start = rows(prepared), threading.Barrier(4)

    def write(name: str) -> None:
        start.wait()
        for word in ("ሰላም", "ለሁሉም", "ሰው"):
            edit.correct(prepared, before[name].id, f"{word} {name[1:]}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, before))
    assert {name: row.text for name, row in rows(prepared).items()} == {
        name: f"ሰው {name[1:]}" for name in before
    }


def test_what_is_removed_is_named_and_does_not_come_back(prepared: Project) -> None:
    found = edit.remove(prepared, ["s001"])
    assert ([row.name for row in found.rows], found.kept) == (["s001"], 1)
    prepare(prepared)
    assert rows(prepared)["s001"].rejected_for == ("dropped",)
    assert (prepared.root / found.rows[0].source).is_file()


def test_with_delete_the_sounds_go_too_and_no_others(prepared: Project) -> None:
    sounds = {
        row.name: (prepared.root / row.source, prepared.root / row.path) for row in rows(prepared).values()
    }
    found = edit.remove(prepared, ["s001"], delete=True)
    assert found.recordings == (sounds["s001"][0],)
    assert not any(path.exists() for path in sounds["s001"])
    assert all(path.exists() for name in ("s000", "s002", "s003") for path in sounds[name])
    assert set(rows(prepared)) == {"s000", "s002", "s003"}


def test_a_speaker_goes_as_a_whole(prepared: Project) -> None:
    found = edit.remove(prepared, speaker="abebe")
    assert len(found.rows) == 4
    assert not any(row.kept for row in rows(prepared).values())


@pytest.mark.parametrize(
    ("names", "speaker"), [(["nobody"], None), ([], "kebede"), (["../../etc/passwd"], None)]
)
def test_what_is_not_there_is_refused(prepared: Project, names: list[str], speaker: str | None) -> None:
    before = prepared.manifest.read_bytes()
    with pytest.raises(DataError):
        edit.remove(prepared, names, speaker, delete=True)
    assert prepared.manifest.read_bytes() == before
