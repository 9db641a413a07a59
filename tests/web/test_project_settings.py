"""dimts.toml is edited a key at a time: comments stay, nothing else changes, wrong values change nothing."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import ConfigError
from dimts.base.project import Project
from dimts.web.project_settings import edited, get, put


def test_comments_and_order_stay(project: Project) -> None:
    before = (project.root / "dimts.toml").read_text(encoding="utf-8").splitlines()
    put(project, {"train.steps": 50, "train.batches.seconds": 7.5, "project.name": "አበበ"})
    after = (project.root / "dimts.toml").read_text(encoding="utf-8").splitlines()
    assert len(before) == len(after)
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        'name = "አበበ"', "steps = 50", "seconds = 7.5",
    ]  # fmt: skip


def test_unsetting_and_setting_again(project: Project) -> None:
    put(project, {"train.learning_rate": 1e-5})
    assert get(project)["train.learning_rate"] == 1e-5
    put(project, {"train.learning_rate": None})
    assert get(project)["train.learning_rate"] is None
    assert "# my remark" in (project.root / "dimts.toml").read_text(encoding="utf-8")


def test_a_wrong_value_changes_nothing(project: Project) -> None:
    before = (project.root / "dimts.toml").read_bytes()
    for changes in ({"train.steps": -1}, {"train.precision": "int3"}, {"train.keep": 1, "speak.rate": 9.0}):
        with pytest.raises(ConfigError):
            put(project, changes)
    assert (project.root / "dimts.toml").read_bytes() == before


def test_a_value_over_several_lines() -> None:
    text = '[text.g2p]\nbackends = [\n  "epitran", # first\n  "rules",\n]\nenglish = true\n'
    changed = edited(text, {"text.g2p.backends": ["rules"]})
    assert tomllib.loads(changed) == {"text": {"g2p": {"backends": ["rules"], "english": True}}}


def test_a_table_that_is_not_there_is_added() -> None:
    assert tomllib.loads(edited("", {"train.stop.patience": 3})) == {"train": {"stop": {"patience": 3}}}


def test_an_inline_table_and_a_text_over_several_lines_are_edited_in_place() -> None:
    assert edited("train = {steps = 3}\n", {"train.steps": 4}) == "train = {steps = 4}\n"
    text = '[train]\nnote = """\nsteps = 1\n"""\n'
    assert tomllib.loads(edited(text, {"train.steps": 4})) == {"train": {"note": "steps = 1\n", "steps": 4}}


def test_dotted_keys_and_their_comments_stay() -> None:
    text = "train.steps = 3  # few\ntrain.lora.rank = 8\n"
    assert edited(text, {"train.steps": 4}) == "train.steps = 4  # few\ntrain.lora.rank = 8\n"


def test_a_header_in_a_comment_or_text_is_no_header() -> None:
    text = '# [train]\n[project]\nname = "x"\n[train] # here\nsteps = 3 # few\n'
    assert tomllib.loads(edited(text, {"train.steps": 4})) == {
        "project": {"name": "x"},
        "train": {"steps": 4},
    }


values = st.one_of(
    st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.text(),
    st.lists(st.text()),
)  # fmt: skip


@given(values, values)
def test_what_is_put_is_read_back_and_nothing_else_moves(one: object, two: object) -> None:
    text = edited("[a]\nz = 1 # stays\n[a.b]\nq = [1,\n 2]\n", {"a.b.k": one, "a.k": two})
    assert tomllib.loads(text) == {"a": {"z": 1, "k": two, "b": {"q": [1, 2], "k": one}}}
    assert "z = 1 # stays" in text


@given(st.text())
def test_any_text_is_written_as_toml(text: str) -> None:
    assert tomllib.loads(edited("v = 1\n", {"v": text}))["v"] == text
