"""Things that a project keeps: weighed, renamed and deleted with all that is their own, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimts.base.errors import ProjectError
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.web import storage
from dimts.web.jobs import Job, Jobs
from dimts.web.workspace import Workspace


def row(name: str, source: str, path: str) -> Utterance:
    """A kept row of the manifest."""
    return Utterance(id=f"{name}-1", name=name, source=source, path=path, text="ሰላም", spoken="ሰላም",
                     seconds=1.0, split="train", kept=True)  # fmt: skip


@pytest.fixture
def filled(project: Project) -> Project:
    """A project with two recordings and their clips, a run and a voice."""
    rows = []
    project.recordings.mkdir(exist_ok=True)
    project.clips.mkdir(exist_ok=True)
    for name in ("one", "two"):
        (project.recordings / f"{name}.wav").write_bytes(b"x" * 100)
        (project.recordings / f"{name}.txt").write_text("ሰላም\n", encoding="utf-8")
        (project.clips / f"{name}.wav").write_bytes(b"x" * 50)
        rows.append(row(name, f"recordings/{name}.wav", f"clips/{name}.wav"))
    Manifest.write(project.manifest, rows)
    for folder, file in (
        (project.runs / "20260101-000000", "run.json"),
        (project.voices / "abebe", "bundle.json"),
    ):
        folder.mkdir(parents=True)
        (folder / file).write_text("{}", encoding="utf-8")
    return project


def keys(workspace: Workspace, project: Project) -> list[str]:
    """What there is."""
    return [item.key for item in storage.items(workspace, project)]


def test_everything_is_listed_with_its_size(workspace: Workspace, filled: Project) -> None:
    found = {item.key: item.bytes for item in storage.items(workspace, filled)}
    assert list(found) == ["project/abebe", "recording/one.wav", "recording/two.wav", "run/20260101-000000",
                           "voice/abebe"]  # fmt: skip
    text = len("ሰላም\n".encode())
    assert found["recording/one.wav"] == 100 + text + 50  # its clip goes with it
    assert found["project/abebe"] > found["recording/one.wav"] + found["recording/two.wav"]


def test_a_recording_goes_with_its_text_clips_and_rows(workspace: Workspace, filled: Project) -> None:
    before = storage._size(filled.root)
    freed = storage.delete(workspace, filled, "recording/one.wav")
    assert not list(filled.recordings.glob("one.*"))
    assert not (filled.clips / "one.wav").exists()
    assert [one.name for one in Manifest.read(filled.manifest)] == ["two"]
    assert (filled.clips / "two.wav").exists()
    manifest = 2 * filled.manifest.stat().st_size
    assert before - storage._size(filled.root) == pytest.approx(freed, abs=manifest)


def test_a_renamed_recording_keeps_its_rows(workspace: Workspace, filled: Project) -> None:
    assert storage.rename(workspace, filled, "recording/one.wav", "አንድ") == "recording/አንድ.wav"
    assert (filled.recordings / "አንድ.txt").is_file()
    (renamed,) = [one for one in Manifest.read(filled.manifest) if one.id == "one-1"]
    assert (renamed.source, renamed.name) == ("recordings/አንድ.wav", "አንድ")
    with pytest.raises(ProjectError) as error:
        storage.rename(workspace, filled, "recording/two.wav", "አንድ")
    assert error.value.code == "web.name_taken"


def test_runs_voices_and_projects(workspace: Workspace, filled: Project) -> None:
    storage.rename(workspace, filled, "run/20260101-000000", " first   try ")
    titles = {item.kind: item.title for item in storage.items(workspace, filled)}
    assert titles["run"] == "first try (20260101-000000)"
    assert storage.rename(workspace, filled, "voice/abebe", "hana") == "voice/hana"
    assert (filled.voices / "hana" / "bundle.json").is_file()
    storage.delete(workspace, filled, "run/20260101-000000")
    assert "voice/hana" in keys(workspace, filled)
    assert not (filled.runs / "20260101-000000").exists()
    assert storage.rename(workspace, filled, "project/abebe", "kebede") == "project/kebede"
    assert workspace.names() == ["kebede"]
    storage.delete(workspace, workspace.project("kebede"), "project/kebede")
    assert workspace.names() == []


@pytest.mark.parametrize("wanted", ["", "..", "../out", "a/b", ".hidden", "x" * 80, "a\nb/"])
def test_no_name_leads_out(workspace: Workspace, filled: Project, wanted: str, tmp_path: Path) -> None:
    before = keys(workspace, filled)
    for key in ("project/abebe", "recording/one.wav", "voice/abebe"):
        with pytest.raises(ProjectError) as error:
            storage.rename(workspace, filled, key, wanted)
        assert error.value.code == "web.name_wrong"
    assert keys(workspace, filled) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["voices"]


@pytest.mark.parametrize("key", ["recording/../dimts.toml", "voice/..", "run/", "nonsense", "project/other"])
def test_only_what_is_listed_is_deleted(workspace: Workspace, filled: Project, key: str) -> None:
    with pytest.raises(ProjectError) as error:
        storage.delete(workspace, filled, key)
    assert error.value.code == "web.no_such_item"
    assert len(keys(workspace, filled)) == 5


def test_nothing_goes_while_a_job_waits_nor_the_folder_of_a_single_project(
    workspace: Workspace, filled: Project
) -> None:
    jobs = Jobs(filled)
    jobs.folder.mkdir()
    jobs.write(Job("0000000000001-aaaaaa", "prepare"))
    for change in (
        lambda: storage.delete(workspace, filled, "voice/abebe"),
        lambda: storage.rename(workspace, filled, "recording/one.wav", "three"),
    ):
        with pytest.raises(ProjectError) as error:
            change()
        assert error.value.code == "web.busy_project"
    (jobs.folder / "0000000000001-aaaaaa.json").unlink()
    with pytest.raises(ProjectError) as error:
        storage.delete(Workspace(filled.root), filled, "project/abebe")
    assert error.value.code == "web.single_project_stays"
