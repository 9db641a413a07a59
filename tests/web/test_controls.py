"""Each control is one field of a settings object: moved, it changes that field and no other."""

from __future__ import annotations

from typing import Any

import pytest

from dimts.base.errors import ConfigError
from dimts.base.project import Project
from dimts.web import project_settings
from dimts.web.controls import Control, by_key, controls, default, optional, shown, taken

CONTROLS = controls()


def another(one: Control, now: Any) -> Any:
    """A value that the control may have and has not."""
    if one.look == "switch":
        return not now
    if one.look == "order":
        return [option for option in one.options if option not in now][:1] + list(now)
    if one.look == "choice":
        return next((option for option in one.options if option != now), "somewhere")
    if one.look == "whole":
        return int(now or 0) + 1
    if one.look == "number":
        return 0.5 if now in (None, 0.0) else now * 1.5
    return "ሌላ"


@pytest.mark.parametrize("bit", range(len(CONTROLS).bit_length()))
@pytest.mark.parametrize("side", [0, 1])
def test_a_control_changes_exactly_its_own_field(bit: int, side: int, project: Project) -> None:
    """Of any two controls one is changed without the other in some round: rounds go by the bits of their
    places."""
    before = project_settings.get(project)
    moved = [one for at, one in enumerate(CONTROLS) if at >> bit & 1 == side]
    values = {one.key: another(one, before[one.key]) for one in moved}
    project_settings.put(project, taken(list(values), list(values.values())))
    after = project_settings.get(project)
    assert {key for key in before if before[key] != after[key]} == set(values)
    assert {key: after[key] for key in values} == values


def test_what_a_control_shows_is_what_it_takes(project: Project) -> None:
    before = project_settings.get(project)
    for one in CONTROLS:
        for value in (before[one.key], another(one, before[one.key])):
            assert one.taken(shown(one.key, value)) == value, one.key


def test_no_field_has_two_controls_and_all_are_fields(project: Project) -> None:
    keys = [one.key for one in CONTROLS]
    assert len(keys) == len(set(keys))
    assert set(keys) <= set(project_settings.get(project))
    assert all(default(key) == project_settings.get(project)[key] for key in keys)


def test_no_control_names_a_file() -> None:
    keys = {one.key for one in CONTROLS}
    assert not keys & {"train.batches.replay", "text.g2p.transphone_folder", "text.g2p.lexicon"}


@pytest.mark.parametrize(
    "one", [one for one in CONTROLS if one.look in ("choice", "order")], ids=lambda one: one.key
)
def test_choices_come_from_the_settings(one: Control) -> None:
    if one.key == "train.base":
        return
    assert len(one.options) >= 2
    for option in one.options:
        given = [option] if one.look == "order" else option
        assert one.taken(given) == given
    for wrong in ("../../etc/passwd", 3, None, ["<b>"]):
        with pytest.raises(ConfigError):
            one.taken(wrong)


@pytest.mark.parametrize(
    "one", [one for one in CONTROLS if one.look in ("whole", "number")], ids=lambda one: one.key
)
def test_numbers_are_numbers(one: Control) -> None:
    for wrong in (float("nan"), float("inf"), True, "many", [1]):
        with pytest.raises(ConfigError):
            one.taken(wrong)
    if optional(one.key):
        assert one.taken("") is None
    else:
        with pytest.raises(ConfigError):
            one.taken(None)
    if one.look == "whole":
        with pytest.raises(ConfigError):
            one.taken(1.5)


def test_an_unknown_key_has_no_control() -> None:
    with pytest.raises(ConfigError, match="no control"):
        by_key("train.batches.replay")


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("train.steps", -1, "web.value_too_small"),
        ("data.jobs", 65, "web.value_too_large"),
        ("speak.rate", 9.0, "web.value_too_large"),
        ("train.steps", 1.5, "web.not_whole"),
        ("train.steps", None, "web.value_empty"),
    ],
)
def test_a_number_out_of_range_is_refused_by_a_message_in_both_languages(
    key: str, value: object, code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        by_key(key).taken(value)
    assert caught.value.code == code
    assert caught.value.message.text("am") != caught.value.message.text("en")
