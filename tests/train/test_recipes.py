"""Every recipe can be read as it is, and its comments stand beside settings that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

import dimts
from dimts.base.config import from_table, read_toml
from dimts.base.errors import ConfigError
from dimts.base.project import Project
from dimts.cli.main import main
from dimts.train.settings import TrainSettings

RECIPES = sorted((Path(dimts.__file__).parent / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_a_valid_table(path: Path) -> None:
    table = read_toml(path)
    assert list(table) == ["train"]
    settings = from_table(TrainSettings, table["train"], "train")
    assert settings != TrainSettings()
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_there_is_one_for_every_usual_machine() -> None:
    machines = {"cpu-tiny", "4gb-lora", "8gb-lora", "12gb", "24gb-full", "80gb"}
    assert {path.stem for path in RECIPES} == machines | {"small-base"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_new_project_takes_its_training_from_the_recipe(path: Path, tmp_path: Path) -> None:
    assert main(["new", str(tmp_path / "abebe"), "--recipe", path.stem]) == 0
    settings = from_table(TrainSettings, read_toml(path)["train"], "train")
    assert Project.open(tmp_path / "abebe").settings("train", TrainSettings) == settings


def test_an_unknown_recipe_makes_no_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", str(tmp_path / "abebe"), "--recipe", "8gb-lor"]) == 2
    assert "8gb-lora" in capsys.readouterr().err
    assert not (tmp_path / "abebe").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("parts = 'lora'", "train.trainable"),
        ("new_rows_pace = 2.0", "train.new_rows_lr_scale"),
        ("old_rows_pace = 0.0", "train.old_rows_lr_scale"),
    ],
)
def test_a_renamed_setting_names_its_new_key(tmp_path: Path, old: str, new: str) -> None:
    project = Project.create(tmp_path / "abebe", f"[train]\n{old}\n")
    with pytest.raises(ConfigError, match=new):
        project.settings("train", TrainSettings)
