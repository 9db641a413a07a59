"""Distortion, melody and tempo move as the sound does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.wave import Wave, join
from dimts.base.errors import AudioError
from dimts.evaluate.sound import mcd_db, pitch, pitch_correlation, prosody
from dimts.evaluate.synthetic_speech import add_noise
from dimts.text.phones import from_ipa

WORDS = (tuple("səlam"), tuple("ləʔaləm"), tuple("dəhna"))
PHONES = [phone for word in WORDS for phone in word]


def say(**settings: float | str) -> Wave:
    return Formant(FormantSettings(**settings)).speak(WORDS, "።")  # type: ignore[arg-type]


def test_a_wave_does_not_differ_from_itself_nor_from_a_louder_one() -> None:
    wave = say()
    assert mcd_db(wave, wave) < 1e-4
    assert mcd_db(wave.gain(-12), wave) < 0.1
    assert mcd_db(Wave(np.pad(wave.samples, 12_000), wave.rate), wave) < 0.5


def test_distortion_grows_with_noise_and_is_larger_for_another_voice_and_another_text() -> None:
    wave = say()
    draw = np.random.default_rng(1)
    noisy = [mcd_db(add_noise(wave, snr, draw), wave) for snr in (30, 15, 0)]
    assert noisy == sorted(noisy)
    slower = mcd_db(say(rate=0.8), wave)
    other = mcd_db(say(variant="f2"), wave)
    assert slower < 3.5 < other, "warping takes tempo out, not the voice"
    text = Formant().speak([from_ipa("tʼəwat"), from_ipa("buna")], "።")
    assert mcd_db(text, wave) > slower


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(AudioError, match="no speech in the wave"):
        mcd_db(Wave.silence(1.0, 16_000), say())


@pytest.mark.parametrize("hertz", [82.0, 123.0, 220.0, 401.0])
def test_pitch_of_a_known_tone(hertz: float) -> None:
    time = np.arange(22_050) / 22_050
    tone = Wave(
        (0.2 * sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 6))).astype(np.float32), 22_050
    )
    found = pitch(tone)
    voiced = found[np.isfinite(found)]
    assert len(voiced) > 80
    assert np.median(voiced) == pytest.approx(hertz, rel=0.01)


def test_noise_has_no_pitch() -> None:
    noise = Wave(np.random.default_rng(1).standard_normal(16_000).astype(np.float32) * 0.1, 16_000)
    assert np.isfinite(pitch(noise)).mean() < 0.05


def test_melody_agrees_with_itself_at_another_height_and_not_with_its_reverse() -> None:
    wave = say()
    assert pitch_correlation(wave, wave) == pytest.approx(1.0)
    assert pitch_correlation(say(pitch=1.3), wave) > 0.9
    asked = Formant().speak(WORDS, "?")
    assert pitch_correlation(asked, wave) < pitch_correlation(say(pitch=1.3), wave)
    assert np.nanmedian(pitch(say(pitch=1.3))) > 1.15 * np.nanmedian(pitch(wave))


def test_pauses_and_rate_are_those_that_were_planted() -> None:
    wave = say()
    broken = join([wave, Wave.silence(0.5, wave.rate), wave])
    found = prosody(broken, PHONES + PHONES)
    long = [end - start for start, end in found.pauses if end - start > 0.4]
    assert long == [pytest.approx(0.5, abs=0.08)]
    assert prosody(say(rate=1.5), PHONES).phones_per_second > 1.3 * prosody(wave, PHONES).phones_per_second
    lead = prosody(join([Wave.silence(0.4, wave.rate), wave]), PHONES)
    assert lead.lead_seconds == pytest.approx(0.4, abs=0.05)
    assert math.isnan(prosody(Wave.silence(1.0, 16_000), PHONES).pitch_hz)
