"""Names and libraries are found, or the message says what to do."""

from __future__ import annotations

from importlib import metadata

import pytest

from dimts.base.errors import ConfigError, MissingExtra
from dimts.base.plugins import has, require, resolve


def test_a_missing_library_names_the_command_that_installs_it() -> None:
    with pytest.raises(MissingExtra) as caught:
        require("no_such_library_xyz", extra="speak")
    assert caught.value.message.remedy("en") == "pip install 'dimts[speak]'"
    assert not has("no_such_library_xyz")
    assert require("json", extra="cli").dumps([1]) == "[1]"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve("epitrn", {"epitran": 1, "rules": 2}, "dimts.g2p")
    assert caught.value.message.line("en") == "unknown g2p 'epitrn'"
    assert caught.value.message.remedy("en") == "did you mean 'epitran'?"


def test_a_stranger_comes_in_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint(name="mine", value="json:dumps", group="dimts.g2p")
    monkeypatch.setattr(metadata, "entry_points", lambda group: metadata.EntryPoints([point]))
    import json

    assert resolve("mine", {}, "dimts.g2p") is json.dumps
    with pytest.raises(ConfigError, match="unknown g2p"):
        resolve("other", {}, "dimts.g2p")
