"""Projects are named, never pathed; a new one is what `dimts new` makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimts.base.errors import DimtsError, ProjectError
from dimts.base.project import Project
from dimts.web.project_settings import get
from dimts.web.workspace import Workspace, run_command, voice_folder, voices

WRONG = ["", ".", "..", "../abebe", "/etc", "a/b", "a\\b", "<b>", "x" * 65, ".hidden", "end.", "\0"]


@pytest.mark.parametrize("name", [*WRONG, None, "nobody"])
def test_only_names_that_are_there_open(workspace: Workspace, name: str | None) -> None:
    with pytest.raises(ProjectError, match="no such project" if name else "no project is chosen"):
        workspace.project(name)


@pytest.mark.parametrize("name", WRONG)
def test_only_plain_names_are_made(workspace: Workspace, name: str) -> None:
    before = sorted(workspace.root.parent.rglob("*"))
    with pytest.raises(ProjectError):
        workspace.create(name)
    assert sorted(workspace.root.parent.rglob("*")) == before


def test_a_new_project_is_that_of_the_command(workspace: Workspace) -> None:
    assert workspace.create(" ጥሩነሽ ") == "ጥሩነሽ"
    assert set(workspace.names()) == {"abebe", "ጥሩነሽ"}
    assert get(workspace.project("ጥሩነሽ"))["project.name"] == "ጥሩነሽ"
    with pytest.raises(ProjectError, match="there already"):
        workspace.create("ጥሩነሽ")


def test_a_page_on_one_project_shows_that_one(workspace: Workspace) -> None:
    single = Workspace(workspace.root / "abebe")
    assert (single.single, single.names()) == (True, ["abebe"])
    assert single.project("abebe").root == workspace.root / "abebe"
    with pytest.raises(ProjectError, match="open on one project"):
        single.create("another")


def test_voices_are_those_with_a_bundle(project: Project) -> None:
    (project.voices / "empty").mkdir(parents=True)
    (project.voices / "abebe").mkdir()
    (project.voices / "abebe" / "bundle.json").write_text("{}", encoding="utf-8")
    assert voices(project) == ["abebe"]
    assert voice_folder(project, "abebe") == project.voices / "abebe"
    for name in ("empty", "..", "../../x"):
        with pytest.raises(ProjectError, match="no such voice"):
            voice_folder(project, name)


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(DimtsError, match="no such project folder") as caught:
        run_command(["data", "stats", str(tmp_path / "nothing")], tmp_path, 60)
    assert "dimts new" in caught.value.message.remedy("en")
