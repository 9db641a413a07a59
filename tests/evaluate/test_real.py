"""Errors planted in the recordings of real speakers are found by a listener that was taught these speakers."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimts.evaluate.listener import Listener
from dimts.evaluate.teach import TeachSettings, teach
from tests.evaluate.planted import WANTED, corpus, project_of, try_real

RECALL, FALSE_ALARMS = 0.95, 0.05


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_a_taught_listener_finds_what_is_planted_in_real_speech(shared: Path, tmp_path: Path) -> None:
    speech = corpus(shared / "speech" / "alffa", first=2)  # thresholds were looked for on the other two
    home = project_of(tmp_path / "p", speech.taught)
    teach(tmp_path / "own.safetensors", home, TeachSettings(steps=300, from_scratch=False))
    tally = try_real(Listener.load(tmp_path / "own.safetensors"), speech.own, speech.planter)
    print({error: f"{tally.found[error]} of {tally.planted[error]}" for error in WANTED})
    print(f"false alarms: {tally.false_alarms} of {tally.clean}: {tally.alarms}; missed: {tally.missed}")
    assert tally.false_alarms / tally.clean <= FALSE_ALARMS, tally.alarms
    for error in WANTED:
        assert tally.recall(error) >= RECALL, (error, tally.recall(error))
