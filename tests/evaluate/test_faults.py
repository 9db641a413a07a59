"""Planted errors are found, clean speech is left alone, and every metric moves the way the error went."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, ConfigError
from dimts.evaluate import error_injection
from dimts.evaluate.faults import FaultSettings, calibrate, examine, floor_snr_db, with_thresholds
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.synthetic_speech import add_noise
from tests.evaluate.injected import WANTED, detect_all, kinds, profile_of, sentences

RECALL, FALSE_ALARMS = 0.95, 0.05


@pytest.fixture(scope="module")
def recogniser() -> PhoneRecogniser:
    return PhoneRecogniser.load()


def test_detectors_on_a_few_planted_errors(recogniser: PhoneRecogniser) -> None:
    tally = detect_all(recogniser, 8)
    assert tally.false_alarms <= 1, tally.alarms
    for error in WANTED:
        assert tally.found[error] >= tally.injected[error] - 1, error


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_detectors_find_19_of_20_planted_errors_and_raise_false_alarms_in_at_most_1_of_20(
    recogniser: PhoneRecogniser,
) -> None:
    tally = detect_all(recogniser, 100, seed=2024)
    print({error: f"{tally.found[error]} of {tally.injected[error]}" for error in WANTED})
    print(f"false alarms: {tally.false_alarms} of {tally.clean}: {tally.alarms}")
    assert tally.false_alarms / tally.clean <= FALSE_ALARMS, tally.alarms
    for error in WANTED:
        assert tally.recall(error) >= RECALL, (error, tally.recall(error))


def test_every_figure_moves_the_way_the_error_went(recogniser: PhoneRecogniser) -> None:
    words = sentences()[4]
    voice = Formant(FormantSettings(variant="m3"))
    spoken = voice.speak_timed(words, "።")
    other = Formant(FormantSettings(variant="f2")).speak(words, "።")
    profile = profile_of("m3")

    def look(wave: Wave) -> tuple[float, float, float, float]:
        found = examine(wave, words, recogniser, profile)
        return found.errors.rate, found.likeness, found.snr_db, found.prosody.phones_per_second

    clean = look(spoken.wave)
    assert look(error_injection.cut_end(spoken, 0.5))[0] > clean[0] + 0.3
    assert look(error_injection.repeat_words(spoken, 1, 3))[0] > clean[0] + 0.2
    assert look(other)[1] < clean[1] - 0.1
    noisy = [look(add_noise(spoken.wave, snr, np.random.default_rng(1))) for snr in (20.0, 10.0, 0.0)]
    assert [one[2] for one in noisy] == sorted((one[2] for one in noisy), reverse=True)
    assert noisy[0][2] < clean[2]
    assert noisy[2][0] > clean[0], "so much noise causes phone errors"
    fast = Formant(FormantSettings(variant="m3", rate=1.4)).speak(words, "።")
    assert look(fast)[3] > 1.2 * clean[3]


def test_halved_consonants_cost_length_and_nothing_else(recogniser: PhoneRecogniser) -> None:
    words = next(
        words for words in sentences() if sum(phone.endswith("ː") for word in words for phone in word) >= 3
    )
    spoken = Formant().speak_timed(words, "።")
    halved = error_injection.halve_long_consonants(spoken, words)
    assert halved.seconds < spoken.wave.seconds
    whole, short = examine(spoken.wave, words, recogniser), examine(halved, words, recogniser)
    assert kinds(whole) == set()
    assert kinds(short) == {"short_consonants"}
    assert short.errors.count - short.errors_without_length.count > whole.errors.count - (
        whole.errors_without_length.count
    )


@pytest.mark.parametrize("snr", [30.0, 20.0, 10.0])
def test_noise_is_measured_as_it_was_planted(snr: float) -> None:
    wave = Formant().speak(sentences()[0], "።")
    found = floor_snr_db(add_noise(wave, snr, np.random.default_rng(1), 0.0))
    # against the loud half of the frames, which lie some dB above the mean, and the quietest noise
    assert snr < found < snr + 8.0


def test_silence_is_a_cut_of_everything(recogniser: PhoneRecogniser) -> None:
    found = examine(Wave.silence(1.0, 24_000), [("s", "ə", "l", "a", "m")], recogniser)
    assert kinds(found) == {"cut"}
    assert found.errors.rate == 1.0
    assert math.isinf(found.words[0].excess)


def test_nothing_expected_is_refused(recogniser: PhoneRecogniser) -> None:
    with pytest.raises(AudioError, match="no words to compare"):
        examine(Wave.silence(1.0, 24_000), [()], recogniser)
    with pytest.raises(ConfigError, match="out of range"):
        FaultSettings(cut_evidence=0.0)


def test_thresholds_are_moved_to_what_the_speakers_recordings_need(recogniser: PhoneRecogniser) -> None:
    """A voice with a hum: its own clean sentences must not be called noisy, and errors must still be
    found."""
    voice = Formant(FormantSettings(variant="m3"))
    draw = np.random.default_rng(2)
    noisy = [(words, add_noise(voice.speak(words, "።"), 12.0, draw, 0.0)) for words in sentences()[:6]]
    clean = [examine(wave, words, recogniser, profile_of("m3")) for words, wave in noisy]
    assert sum("noise" in kinds(one) for one in clean) >= 3
    own = calibrate(FaultSettings(), clean)
    assert own.snr_db < FaultSettings().snr_db
    assert own.cut_evidence >= FaultSettings().cut_evidence
    assert not any("noise" in kinds(with_thresholds(one, own)) for one in clean)
    words = sentences()[7]
    spoken = voice.speak_timed(words, "።")
    worse = add_noise(error_injection.cut_end(spoken, 0.5), 0.0, draw, 0.0)
    assert {"cut", "noise"} <= kinds(examine(worse, words, recogniser, profile_of("m3"), own))
    assert calibrate(FaultSettings(), clean[:4]) == FaultSettings(), "too few to tell"


def test_one_recording_with_a_wrong_text_does_not_move_the_thresholds(recogniser: PhoneRecogniser) -> None:
    words = sentences()[2]
    one = examine(Formant(FormantSettings(variant="m3")).speak(words, "።"), words, recogniser)
    odd = replace(
        one,
        words=(replace(one.words[0], excess=60.0), *one.words[1:]),
        evidence=replace(one.evidence, extra=200.0),
    )
    usual = FaultSettings()
    own = calibrate(usual, [*[one] * 10, odd])
    assert (own.word_excess, own.extra_evidence) == (usual.word_excess, usual.extra_evidence)
    many = calibrate(usual, [*[one] * 6, *[odd] * 5])
    assert many.word_excess > 30.0, "what half of them have is a property of the recogniser for this speaker"


@pytest.mark.parametrize(
    ("own", "least"),
    [
        ((0.93, 0.95, 0.94, 0.96, 0.92, 0.95), (0.80, 0.84)),
        ((0.72, 0.81, 0.78, 0.80, 0.75, 0.79), (0.71, 0.74)),
    ],
    ids=["a steady reader", "an actor"],
)
def test_the_threshold_of_likeness_follows_the_speaker(
    recogniser: PhoneRecogniser, own: tuple[float, ...], least: tuple[float, float]
) -> None:
    words = sentences()[2]
    one = examine(Formant(FormantSettings(variant="m3")).speak(words, "።"), words, recogniser)
    found = calibrate(FaultSettings(), [replace(one, likeness=alike) for alike in own]).likeness
    assert least[0] < found < least[1]
