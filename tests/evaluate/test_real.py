"""Errors injected in the recordings of real speakers are found by a recogniser trained on these speakers."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.train_recogniser import TrainRecogniserSettings, train_recogniser
from tests.evaluate.injected import WANTED, Tally, corpus, detect_in_recordings, project_of

RECALL, FALSE_ALARMS = 0.95, 0.05


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_trained_recognisers_find_errors_injected_in_real_speech(shared: Path, tmp_path: Path) -> None:
    """Three recognisers, so that each clip is tested once, by the one that was not trained on it."""
    tally = Tally()
    for first in (0, 1, 2):
        speech = corpus(shared / "speech" / "alffa", first=first)
        home = project_of(tmp_path / str(first), speech.training)
        train_recogniser(
            tmp_path / f"{first}.safetensors", home, TrainRecogniserSettings(steps=300, from_scratch=False)
        )
        detect_in_recordings(
            PhoneRecogniser.load(tmp_path / f"{first}.safetensors"), speech.seen, speech.aligner, tally
        )
    print({error: f"{tally.found[error]} of {tally.injected[error]}" for error in WANTED})
    print(f"false alarms: {tally.false_alarms} of {tally.clean}: {tally.alarms}; missed: {tally.missed}")
    assert tally.clean > 100
    assert tally.false_alarms / tally.clean <= FALSE_ALARMS, tally.alarms
    for error in WANTED:
        assert tally.recall(error) >= RECALL, (error, tally.recall(error))
