"""Every recipe can be read as it is, and its comments stand beside settings that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimts.base.config import from_table, read_toml
from dimts.train.settings import TrainSettings

RECIPES = sorted((Path(__file__).parent.parent.parent / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_a_valid_table(path: Path) -> None:
    table = read_toml(path)
    assert list(table) == ["train"]
    settings = from_table(TrainSettings, table["train"], "train")
    assert settings != TrainSettings()
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_there_is_one_for_every_usual_machine() -> None:
    assert {path.stem for path in RECIPES} == {"cpu-tiny", "4gb-lora", "8gb-lora", "12gb", "24gb-full", "80gb"}
