"""Presets of training: each sets all that any of them names, and a machine knows its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import ConfigError
from dimts.base.project import Project
from dimts.train.capabilities import MachineInfo
from dimts.web import backend_order, presets
from dimts.web.project_settings import get, put


def test_each_preset_leaves_nothing_of_the_one_before(project: Project) -> None:
    put(project, {"train.seed": 7, "text.g2p.if_all_fail": "error"})
    for name in (*presets.NAMES, presets.NAMES[0]):
        presets.apply(project, name)
        assert presets.chosen(project) == name
        now = get(project)
        assert {key: now[key] for key in presets.wanted(name)} == presets.wanted(name)
        assert (now["train.seed"], now["text.g2p.if_all_fail"]) == (7, "error")
        assert now["train.sample_every"] > 0  # samples while training
    put(project, {"train.steps": 123, "train.epochs": 0})
    assert presets.chosen(project) is None
    with pytest.raises(ConfigError) as error:
        presets.apply(project, "../dimts")
    assert error.value.code == "web.unknown_preset"


@pytest.mark.parametrize(("device", "gigabytes", "name"), [
    ("cpu", 200, "cpu-tiny"), ("mps", 64, "cpu-tiny"), ("cuda", 3.9, "4gb-lora"), ("cuda", 8.2, "8gb-lora"),
    ("cuda", 12.6, "12gb"), ("cuda", 25.3, "24gb-full"), ("cuda", 85, "80gb"),
])  # fmt: skip
def test_a_machine_has_a_preset(device: str, gigabytes: float, name: str) -> None:
    machine = MachineInfo(device, "card", "Linux", int(gigabytes * 1e9))  # type: ignore[arg-type]
    assert presets.suits(machine) == name


NAMES = st.lists(st.text(min_size=1), min_size=1, unique=True)


@given(NAMES, st.data(), st.sampled_from((-1, 1)))
@settings(max_examples=50)
def test_moving_keeps_all_backends_and_can_be_taken_back(
    names: list[str], data: st.DataObject, step: int
) -> None:
    chosen = data.draw(st.sampled_from(names))
    there = backend_order.moved(names, chosen, step)
    assert sorted(there) == sorted(names)
    assert [name for name in there if name != chosen] == [name for name in names if name != chosen]
    if there != names:
        assert backend_order.moved(there, chosen, -step) == names
    with pytest.raises(ConfigError):
        backend_order.moved(names, None, step)
