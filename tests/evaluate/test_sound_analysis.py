"""One sound: its phones stand under its words at their times, and the picture is a picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.formant import Formant
from dimts.audio.wave import Wave, join
from dimts.base.errors import DataError
from dimts.evaluate.measure import MeasuringTools
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.sound_analysis import analyse_sound, draw_analysis

WORDS = (tuple("səlam"), tuple("ləʔaləm"))


@pytest.fixture(scope="module")
def tools() -> MeasuringTools:
    return MeasuringTools(PhoneRecogniser.load(), quality=False)


def test_words_stand_at_their_times_with_what_was_recognised_for_them(
    tools: MeasuringTools, tmp_path: Path
) -> None:
    spoken = Formant().speak(WORDS, "።")
    wave = join([Wave.silence(0.5, spoken.rate), spoken])
    found = analyse_sound("one", wave, "ሰላም ለዓለም።", tools)
    assert [word.text for word in found.words] == ["ሰላም", "ለአለም"]
    assert [word.expected for word in found.words] == [WORDS[0], WORDS[1]]
    assert found.words[0].start == pytest.approx(0.5, abs=0.1)
    assert found.words[0].end <= found.words[1].start < found.words[1].end <= wave.seconds
    assert sum(word.recognised == word.expected for word in found.words) >= 1
    assert found.issues == ()
    content = found.as_dict()
    assert [one["label"] for one in content["phones"]] == [phone for word in WORDS for phone in word]
    picture = draw_analysis(found, tmp_path / "one.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in draw_analysis(found, tmp_path / "one.svg").read_text(encoding="utf-8")
    with pytest.raises(DataError) as refused:
        draw_analysis(found, tmp_path / "one.bmp")
    assert refused.value.code == "evaluate.unknown_plot_format"
    assert not (tmp_path / "one.bmp").exists()


def test_without_a_text_phones_are_recognised_and_a_pause_is_still_a_fault(tools: MeasuringTools) -> None:
    spoken = Formant().speak(WORDS, "።")
    found = analyse_sound("one", join([spoken, Wave.silence(2.5, spoken.rate), spoken]), "", tools)
    assert found.words == found.aligned == ()
    assert len(found.recognised) > 15
    assert [issue.kind for issue in found.issues] == ["pause"]
    assert found.as_dict()["faults"][0]["kind"] == "pause"


def test_a_sound_too_short_for_its_text_has_no_times(tools: MeasuringTools) -> None:
    noise = np.random.default_rng(1).standard_normal(2400).astype(np.float32) * 0.1
    found = analyse_sound("one", Wave(noise, 16_000), "ሰላም ለዓለም።", tools)
    assert any(issue.kind == "cut" for issue in found.issues)
    assert all(math.isnan(word.start) for word in found.words)
    assert found.as_dict()["words"][0]["start"] is None
