"""What the page shows of a run is what the run wrote, also while it writes."""

from __future__ import annotations

import json

import pytest

from dimts.base.errors import DataError
from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.train import runs
from dimts.train.option_table import OptionRow, as_json
from dimts.web.run_view import options, sample, thinned, view
from dimts.web.run_view import runs as names


@pytest.fixture
def run(project: Project) -> runs.RunFolder:
    """A run with two steps, a sample and an evaluation."""
    folder = runs.create(project, "made", settings={})
    folder.write("plan.json", {"steps": 50})
    log = runs.Log(folder.log, 0)
    log.write("step", 1, loss=4.5)
    log.write("step", 2, loss=3.5)
    log.write("evaluation", 2, dev_loss=4.0)
    log.close()
    folder.samples.mkdir()
    (folder.samples / "step-000002.wav").write_bytes(b"")
    return folder


def test_curves_and_samples(project: Project, run: runs.RunFolder) -> None:
    found = view(project, run.root.name)
    assert (found.step, found.total, found.ended) == (2, 50, None)
    assert found.points == ((1, 4.5, "train"), (2, 3.5, "train"), (2, 4.0, "dev"))
    assert found.samples == ("step-000002.wav",)
    assert sample(project, run.root.name, "step-000002.wav").is_file()


def test_the_stamp_changes_with_the_run(project: Project, run: runs.RunFolder) -> None:
    before = view(project, run.root.name).stamp
    assert view(project, run.root.name).stamp == before
    run.end(Message("train.all_steps_taken"))
    assert view(project, run.root.name).stamp != before


def test_a_line_that_is_being_written_is_left_out(project: Project, run: runs.RunFolder) -> None:
    with run.log.open("a") as log:
        log.write('{"kind": "step", "step": 3, "lo')
    assert view(project, run.root.name).step == 2


def test_the_option_report_is_in_the_language_of_the_page(project: Project, run: runs.RunFolder) -> None:
    assert options(project, run.root.name, "en") == []
    row = OptionRow("steps", 50, None, Message("train.all_steps_taken"))
    (run.root / "options.json").write_text(json.dumps(as_json([row])), encoding="utf-8")
    for language in ("en", "am"):
        effect = Message("train.all_steps_taken").text(language)
        assert options(project, run.root.name, language) == [["steps", "50", "", effect]]
    # of a run before the report held codes
    fact = {"option": "steps", "asked": 50, "applied": "yes", "effect": "50 steps taken"}
    (run.root / "options.json").write_text(json.dumps({"facts": [fact]}), encoding="utf-8")
    assert options(project, run.root.name, "am") == [["steps", "50", "yes", "50 steps taken"]]


@pytest.mark.parametrize("name", ["", "..", "../..", "/etc"])
def test_unknown_names_are_refused(project: Project, run: runs.RunFolder, name: str) -> None:
    with pytest.raises(DataError, match="no such run"):
        view(project, name)
    with pytest.raises(DataError, match="no such sample"):
        sample(project, run.root.name, name)


def test_newest_first(project: Project, run: runs.RunFolder) -> None:
    second = runs.create(project, "other", settings={})
    assert names(project) == sorted([run.root.name, second.root.name], reverse=True)


def test_long_curves_are_thinned_but_whole() -> None:
    points = [(step, float(step), "train") for step in range(1, 5001)]
    found = thinned(points)
    assert len(found) <= 402
    assert (found[0], found[-1]) == (points[0], points[-1])
