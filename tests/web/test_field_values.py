"""Only what a person changed is written: a control that shows what it was filled with was not touched."""

from __future__ import annotations

from dimts.web.field_values import ON_THE_WAY_SECONDS, FieldValues


def test_before_the_fields_are_filled_nothing_counts_as_changed() -> None:
    assert FieldValues().changed("browser", "/p", {"train.steps": 300}) == {}


def test_only_what_differs_from_what_was_shown_has_changed() -> None:
    fields = FieldValues()
    fields.put("browser", "/p", {"train.steps": 50, "train.lora.rank": 8}, (1, 1))
    assert fields.changed("browser", "/p", {"train.steps": 50, "train.lora.rank": 16}) == {
        "train.lora.rank": 16
    }


def test_a_browser_and_a_project_know_nothing_of_others() -> None:
    fields = FieldValues()
    fields.put("browser", "/p", {"train.steps": 50}, (1, 1))
    assert fields.changed("other", "/p", {"train.steps": 60}) == {}
    assert fields.changed("browser", "/q", {"train.steps": 60}) == {}


def test_a_value_that_was_written_is_shown_from_then_on() -> None:
    fields = FieldValues()
    fields.put("browser", "/p", {"train.steps": 50, "speak.rate": 1.0}, (1, 1))
    fields.put("browser", "/p", {"train.steps": 60})
    assert fields.changed("browser", "/p", {"train.steps": 60, "speak.rate": 1.0}) == {}
    found = fields.get("browser", "/p")
    assert found is not None
    assert found.stamp == (1, 1)


def test_a_replaced_value_does_not_come_back_while_the_new_one_is_on_its_way() -> None:
    now = [100.0]
    fields = FieldValues(lambda: now[0])
    fields.put("browser", "/p", {"speak.seed": 2335, "speak.rate": 1.0}, (1, 1))
    fields.replace("browser", "/p", {"speak.seed": 1698, "speak.rate": 1.0}, (2, 2))
    assert fields.changed("browser", "/p", {"speak.seed": 2335, "speak.rate": 1.2}) == {"speak.rate": 1.2}
    assert fields.changed("browser", "/p", {"speak.seed": 7}) == {"speak.seed": 7}
    now[0] += ON_THE_WAY_SECONDS + 1  # it stands in the field by now: a person has typed the old value again
    assert fields.changed("browser", "/p", {"speak.seed": 2335}) == {"speak.seed": 2335}
