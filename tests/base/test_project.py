"""A project folder: its places, its settings, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dimts.base.errors import ConfigError, ProjectError
from dimts.base.project import Project, ProjectSettings


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "abebe", '[project]\nname = "Abebe"\n')


def test_settings_come_from_their_table(project: Project) -> None:
    assert project.settings("project", ProjectSettings).name == "Abebe"
    assert project.settings("project", ProjectSettings, ("project.licence='CC0'",)).licence == "CC0"


def test_an_unknown_table_or_key_names_the_nearest(project: Project) -> None:
    (project.root / "dimts.toml").write_text("[projct]\n")
    with pytest.raises(ConfigError, match=r"unknown table \[projct\]") as caught:
        project.settings("project", ProjectSettings)
    assert "'project'" in caught.value.message.remedy("en")
    (project.root / "dimts.toml").write_text("[project]\nlicense = 'x'\n")
    with pytest.raises(ConfigError, match=r"unknown setting project\.license") as caught:
        project.settings("project", ProjectSettings)
    assert "'licence'" in caught.value.message.remedy("en")


def test_a_syntax_error_names_the_line(project: Project) -> None:
    (project.root / "dimts.toml").write_text("[project]\nname = \n")
    with pytest.raises(ConfigError, match="line 2"):
        project.settings("project", ProjectSettings)


def test_no_project_is_made_over_another_or_over_a_file(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="is a project already"):
        Project.create(project.root, "")
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="is a file"):
        Project.create(tmp_path / "file", "")


def test_what_is_no_project_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no such project folder"):
        Project.open(tmp_path / "none")
    with pytest.raises(ProjectError, match=r"holds no dimts\.toml"):
        Project.open(tmp_path)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "clips/../../x"])
def test_paths_outside_the_project_are_refused(project: Project, path: str) -> None:
    with pytest.raises(ProjectError, match="outside the project"):
        project.inside(path)


def test_a_link_that_leads_outside_is_refused(project: Project, tmp_path: Path) -> None:
    (project.root / "link").symlink_to(tmp_path)
    with pytest.raises(ProjectError, match="outside the project"):
        project.inside("link/secret")


def test_relative_paths_have_forward_slashes(project: Project) -> None:
    assert project.relative(project.root / "clips" / "a.flac") == "clips/a.flac"


@pytest.mark.parametrize("where", [".", "..", "beside"])
def test_a_project_named_by_a_relative_path_has_the_same_relative_paths(
    project: Project, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root.parent / "beside").mkdir()
    monkeypatch.chdir((project.root / where if where != "beside" else project.root.parent / where).resolve())
    named = Project(Path(os.path.relpath(project.root)))
    assert not named.root.is_absolute()
    assert named.relative(named.root / "clips" / "a.flac") == "clips/a.flac"
    assert named.relative(project.root / "clips" / "a.flac") == "clips/a.flac"
    with pytest.raises(ProjectError):
        named.relative(named.root / ".." / "a.flac")


def test_what_is_behind_a_link_keeps_the_name_of_the_link(project: Project, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (project.root / "recordings" / "linked").symlink_to(tmp_path / "corpus")
    assert project.relative(project.recordings / "linked" / "a.flac") == "recordings/linked/a.flac"
    (tmp_path / "other").symlink_to(project.root)
    assert Project(tmp_path / "other").relative(project.root / "a.flac") == "a.flac"
