"""`dimts doctor`: every line is about this machine, in a table and as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dimts.base.extras import EXTRAS
from dimts.cli import doctor
from dimts.cli.main import main


def test_json_and_table_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {
        "versions",
        "machine",
        "extras",
        "g2p backends",
        "precision",
        "attention",
        "models",
    }
    assert main(["doctor"]) == 0
    table = capsys.readouterr().out
    for section, rows in report.items():
        assert section in table
        for name in rows:
            assert name in table


def test_what_is_not_usable_has_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    rows = {**report["g2p backends"], **report["attention"], **report["precision"]}
    assert {"rules", "epitran", "transphone", "eager", "sdpa", "flash"} <= set(rows)
    assert [name for name, row in rows.items() if not row["usable"] and not row["why"]] == []
    assert report["g2p backends"]["rules"]["usable"]
    assert report["attention"]["sdpa"]["usable"]
    for section in ("attention", "precision"):
        assert [row["state"] for row in report[section].values()].count("chosen by auto") == 1


def test_cores_and_memory_are_those_of_this_machine() -> None:
    machine = doctor.examine(doctor.Path("/no/such/folder"))["machine"]
    assert machine["cores"] == len(os.sched_getaffinity(0))
    assert "GB free of" in machine["memory"]
    assert "GB free of" in machine["disk"]


def test_an_extra_that_lacks_a_library_names_it_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    have = doctor.has
    monkeypatch.setattr(doctor, "has", lambda name: name != "tokenizers" and have(name))
    extras = doctor.examine(doctor.Path())["extras"]
    assert extras["speak"]["missing"] == "missing tokenizers: pip install 'dimts[speak]'"
    assert not extras["train"]["installed"], "train stands on speak"
    assert extras["cli"]["installed"]


def test_every_extra_is_listed() -> None:
    assert set(doctor.examine(Path())["extras"]) == set(EXTRAS) - {"all"}, (
        "EXTRAS is compared with pyproject.toml"
    )
