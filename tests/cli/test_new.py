"""`dimts new`: the commented settings are complete, readable, and nothing is overwritten."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import pytest

from dimts.base.project import TABLES, Project, ProjectSettings
from dimts.cli.main import main


def test_the_new_settings_are_the_defaults_and_every_key_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "abebe"
    assert main(["new", str(folder), "--licence", "CC-BY-4.0"]) == 0
    text = (folder / "dimts.toml").read_text("utf-8")
    assert set(tomllib.loads(text)) == set(TABLES)
    settings = Project.open(folder).settings("project", ProjectSettings)
    assert settings == ProjectSettings(name="abebe", licence="CC-BY-4.0")
    lines = text.splitlines()
    unexplained = [
        line
        for before, line in itertools.pairwise(lines)
        if not line.startswith(("#", "[")) and "=" in line and not before.startswith("#")
    ]
    assert unexplained == []


def test_every_table_reads_back_as_its_defaults(tmp_path: Path) -> None:
    from dimts.data.context import PrepareSettings
    from dimts.server.settings import ServeSettings
    from dimts.speak import SpeakSettings
    from dimts.text.frontend import FrontendSettings
    from dimts.train.settings import TrainSettings

    assert main(["new", str(tmp_path / "a")]) == 0
    project = Project.open(tmp_path / "a")
    assert project.settings("text", FrontendSettings) == FrontendSettings()
    assert project.settings("data", PrepareSettings) == PrepareSettings()
    assert project.settings("train", TrainSettings) == TrainSettings()
    assert project.settings("speak", SpeakSettings) == SpeakSettings()
    assert project.settings("serve", ServeSettings) == ServeSettings()


def test_a_project_is_not_made_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", str(tmp_path / "a")]) == 0
    before = (tmp_path / "a" / "dimts.toml").read_bytes()
    assert main(["new", str(tmp_path / "a")]) == 2
    assert "is a project already" in capsys.readouterr().err
    assert (tmp_path / "a" / "dimts.toml").read_bytes() == before
