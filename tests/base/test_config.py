"""Settings: strict reading, overrides, and TOML that reads back as it was."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.config import field_notes, from_table, parse_override, read_toml, to_dict, to_toml
from dimts.base.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    """A sub-table."""

    depth: int = 2
    """How deep."""


@dataclass(frozen=True)
class Outer:
    """A table."""

    learning_rate: float = 5e-6
    """Step size of AdamW."""
    name: str = ""
    packed: bool = True
    attention: Literal["auto", "sdpa"] = "auto"
    kinds: tuple[str, ...] = ("a",)
    limit: int | None = None
    replace: dict[str, str] = field(default_factory=dict)
    inner: Inner = Inner()


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        from_table(Outer, {"learning_rat": 1.0}, "train")
    assert caught.value.message.line("en") == "unknown setting train.learning_rat"
    assert "'learning_rate'" in caught.value.message.remedy("en")


def test_an_unknown_key_of_a_nested_table_is_named_in_full() -> None:
    with pytest.raises(ConfigError, match=r"train\.inner\.dept"):
        from_table(Outer, {"inner": {"dept": 1}}, "train")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"learning_rate": "fast"}, "should be a number"),
        ({"packed": 1}, "should be true or false"),
        ({"limit": 1.5}, "should be a whole number"),
        ({"inner": {"depth": True}}, "should be a whole number"),
        ({"attention": "flsh"}, "is not a choice"),
        ({"kinds": "a"}, "should be a list"),
        ({"inner": 3}, "must be a table"),
    ],
)
def test_a_wrong_type_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_table(Outer, values, "train")


def test_overrides_win_and_those_of_other_tables_are_left_alone() -> None:
    overrides = ("train.learning_rate=2e-5", "train.inner.depth=7", "train.attention=sdpa", "data.x=1")
    settings = from_table(Outer, {"learning_rate": 1, "name": "a"}, "train", overrides)
    assert settings == Outer(learning_rate=2e-5, name="a", attention="sdpa", inner=Inner(depth=7))


@pytest.mark.parametrize("text", ["train", "train=1", "train.=1", "=3", "train.x"])
def test_a_malformed_override_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot read setting"):
        parse_override(text)


def test_an_override_that_names_a_table_is_refused() -> None:
    with pytest.raises(ConfigError):
        from_table(Outer, {}, "train", ("train.inner=3",))


def test_comments_come_from_the_docstrings_of_the_fields() -> None:
    assert field_notes(Outer) == {"learning_rate": "Step size of AdamW."}
    assert "# Step size of AdamW.\nlearning_rate = 5e-06" in to_toml(Outer(), "train", comments=True)


texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
settings_objects = st.builds(
    Outer,
    learning_rate=st.floats(allow_nan=False, allow_infinity=False),
    name=texts,
    packed=st.booleans(),
    attention=st.sampled_from(["auto", "sdpa"]),
    kinds=st.lists(texts, max_size=3).map(tuple),
    limit=st.none() | st.integers(-(2**62), 2**62),
    replace=st.dictionaries(texts, texts, max_size=3),
    inner=st.builds(Inner, depth=st.integers(0, 9)),
)


@given(settings_objects, st.booleans())
def test_written_settings_read_back_as_they_were(settings: Outer, comments: bool) -> None:
    table = tomllib.loads(to_toml(settings, "train", comments=comments))["train"]
    assert from_table(Outer, table, "train") == settings


@given(settings_objects)
def test_plain_values_read_back_as_they_were(settings: Outer) -> None:
    values = {key: value for key, value in to_dict(settings).items() if value is not None}
    assert from_table(Outer, values, "train") == settings


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path: Path) -> None:
    """Editors of Windows write one."""
    file = tmp_path / "dimts.toml"
    file.write_bytes(b"\xef\xbb\xbf[train]\nsteps = 7\n")
    assert read_toml(file) == {"train": {"steps": 7}}
