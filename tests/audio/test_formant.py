"""The formant voice: each phone is heard, told apart, and takes the time it should."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from dimts.audio import formant
from dimts.audio.formant import MNEMONICS, RATE, Formant, FormantSettings, phonemes, variants
from dimts.audio.level import frame_levels
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, ConfigError
from dimts.text.phones import CONSONANTS, VOWELS, inventory

SELAM = [["s", "ə", "l", "a", "m"], ["l", "ə", "ʔ", "a", "l", "ə", "m"]]
"""ሰላም ለዓለም"""
VOICE = Formant()


def spectrum(samples: np.ndarray, bands: int = 24) -> np.ndarray:
    """[bands] dB of the mean power, bands equally wide on the Bark scale (Traunmüller 1990)."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4096)) ** 2
    hertz = np.fft.rfftfreq(4096, 1 / RATE)
    bark = np.clip(26.81 * hertz / (1960 + hertz) - 0.53, 0, 22.9)
    index = (bark / 23 * bands).astype(int)
    return 10 * np.log10(np.bincount(index, power, bands) / np.bincount(index, minlength=bands) + 1e-9)


def between_vowels(phone: str) -> tuple[np.ndarray, float]:
    """The phone as said between two a: its samples and its length in seconds."""
    said = VOICE.speak_timed([["a", phone, "a"]], "።")
    start, end = said.times[0][1]
    return said.wave.cut(start, end).samples, end - start


def pitch(wave: Wave) -> np.ndarray:
    """F0 in Hz of the voiced frames, by autocorrelation between 60 and 320 Hz."""
    found = []
    for first in range(0, len(wave.samples) - 1200, 240):
        frame = wave.samples[first : first + 1200]
        frame = frame - frame.mean()
        lags = np.correlate(frame, frame, "full")[1199:]
        lag = 75 + int(np.argmax(lags[75:400]))
        if lags[0] > 0.5 and lags[lag] > 0.6 * lags[0]:
            found.append(RATE / lag)
    return np.array(found)


def formants(phone: str) -> tuple[float, float]:
    """First two resonances of a vowel (Hz), by linear prediction of its middle (Makhoul 1975)."""
    said = VOICE.speak_timed([["h", phone, "h", "ə"]], "")
    start, end = said.times[0][1]
    wave = said.wave.cut(start + 0.3 * (end - start), end - 0.2 * (end - start)).resample(8_000)
    samples = np.diff(wave.samples, prepend=0.0) * np.hamming(len(wave.samples))
    order = 10
    lags = np.correlate(samples, samples, "full")[len(samples) - 1 :]
    matrix = np.array([[lags[abs(i - j)] for j in range(order)] for i in range(order)])
    filter_ = np.linalg.solve(matrix + 1e-9 * lags[0] * np.eye(order), lags[1 : order + 1])
    roots = np.roots([1, *-filter_])
    roots = roots[(roots.imag > 0) & (np.abs(roots) > 0.8)]
    found = sorted(np.angle(roots) * 8_000 / (2 * np.pi))
    found = [hertz for hertz in found if hertz > 180]
    return found[0], found[1]


def test_the_table_covers_the_inventory() -> None:
    assert set(MNEMONICS) == set(VOWELS) | set(CONSONANTS)
    spellings = {phone: phonemes(phone) for phone in inventory()}
    assert len(set(spellings.values())) == len(spellings)


def test_a_sentence_is_24_khz_and_lasts_as_speech_does() -> None:
    wave = VOICE.speak(SELAM, "።")
    assert wave.rate == 24_000
    assert 0.7 < wave.seconds < 1.4
    assert 20 * np.log10(np.sqrt(np.mean(wave.samples**2))) == pytest.approx(-21, abs=3)
    assert np.abs(wave.samples).max() < 1.0


@pytest.mark.parametrize("phone", sorted(inventory()))
def test_every_phone_is_heard(phone: str) -> None:
    said = VOICE.speak_timed([["a", phone, "a"]], "።")
    assert len(said.times[0]) == 3
    (_, first_end), (start, end), (last_start, last_end) = said.times[0]
    assert first_end == start
    assert end == last_start
    assert last_end == pytest.approx(said.wave.seconds, abs=0.01)
    assert end - start > 0.03
    hums = {"ʔ"}
    if phone.removesuffix("ː") not in hums:
        samples = said.wave.cut(start, end).samples
        assert np.abs(samples).max() > 10 ** (-45 / 20)


def test_vowels_differ_in_their_formants_as_amharic_vowels_do() -> None:
    heard = {vowel: formants(vowel) for vowel in VOWELS}
    first = {vowel: pair[0] for vowel, pair in heard.items()}
    second = {vowel: pair[1] for vowel, pair in heard.items()}
    assert first["a"] > first["ə"] > first["ɨ"]
    assert first["a"] > first["e"] > first["i"]
    assert first["a"] > first["o"] > first["u"]
    assert second["i"] > second["ɨ"] > second["u"]
    assert second["e"] > second["ə"] > second["o"]
    pairs = list(heard.values())
    for index, (one1, one2) in enumerate(pairs):
        for other1, other2 in pairs[index + 1 :]:
            assert abs(one1 - other1) > 60 or abs(one2 - other2) > 120


def test_consonants_are_told_apart() -> None:
    shapes = {}
    for phone in CONSONANTS:
        samples, seconds = between_vowels(phone)
        thirds = np.array_split(samples, 3)
        shapes[phone] = (np.concatenate([spectrum(part) for part in thirds]), seconds)
    names = list(shapes)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            distance = float(np.sqrt(np.mean((shapes[one][0] - shapes[other][0]) ** 2)))
            assert distance > 2.0, f"{one} sounds like {other}: {distance:.2f} dB"


@pytest.mark.parametrize("phone", sorted(CONSONANTS))
def test_long_consonants_are_longer(phone: str) -> None:
    short, long = between_vowels(phone)[1], between_vowels(phone + "ː")[1]
    assert long > 1.3 * short
    assert long - short > 0.035


@pytest.mark.parametrize(
    ("plain", "ejective"), [("k", "kʼ"), ("t", "tʼ"), ("tʃ", "tʃʼ"), ("p", "pʼ"), ("s", "sʼ")]
)
def test_ejectives_end_in_a_hold_and_plain_stops_do_not(plain: str, ejective: str) -> None:
    def hold(phone: str) -> float:
        """Seconds of silence right before the vowel that follows."""
        samples, _ = between_vowels(phone)
        quiet = np.abs(samples) < 2e-3
        return float(np.argmax(~quiet[::-1]) / RATE) if not quiet.all() else 1.0

    assert hold(ejective) > 0.007
    assert hold(plain) < 0.004


@pytest.mark.parametrize("phone", ["tʼː", "kː", "tʃː", "t", "p"])
def test_an_echo_does_not_hide_the_hold_of_a_stop(phone: str) -> None:
    """The variant f2 has one: its holds are not silent, but last as long as those of a voice without."""

    def lasts(variant: str) -> float:
        voice = Formant(FormantSettings(variant=variant))
        start, end = voice.speak_timed([["l", "a", phone, "a", "n"]], "").times[0][2]
        return end - start

    assert lasts("f2") == pytest.approx(lasts(""), abs=0.04)


def test_a_labialised_consonant_lowers_what_follows() -> None:
    """Rounding lowers the second formant where the vowel begins."""
    plain = VOICE.speak_timed([["a", "k", "a", "l", "a"]], "")
    rounded = VOICE.speak_timed([["a", "kʷ", "a", "l", "a"]], "")

    def centre(said: formant.FormantSpeech) -> float:
        start = said.times[0][2][0]
        samples = said.wave.cut(start - 0.04, start).samples
        power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4096)) ** 2
        hertz = np.fft.rfftfreq(4096, 1 / RATE)
        return float((hertz * power).sum() / power.sum())

    assert centre(rounded) < 0.6 * centre(plain)


def test_each_word_and_phone_has_its_time() -> None:
    words = [
        ["t", "ə", "kʼ", "ə", "mː", "ə", "tʼ", "ə"],
        ["bː", "o", "t", "ʃ", "a"],
        ["mː", "m", "a"],
        ["ʔ"],
        ["a"],
    ]
    said = VOICE.speak_timed(words, "።")
    assert [len(word) for word in said.times] == [8, 5, 3, 1, 1]
    flat = [time for word in said.times for time in word]
    for (_, end), (start, _) in itertools.pairwise(flat):
        assert end == start
    assert all(end > start for start, end in flat)
    assert flat[-1][1] == pytest.approx(said.wave.seconds, abs=0.01)
    vowel_levels = []
    levels = frame_levels(said.wave)
    for word, times in zip(words, said.times, strict=True):
        for phone, (start, end) in zip(word, times, strict=True):
            if phone in VOWELS and len(word) > 1:
                vowel_levels.append(levels[round((start + end) / 2 / 0.01)])
    assert min(vowel_levels) > -30


def test_t_and_sh_side_by_side_are_not_an_affricate() -> None:
    apart = VOICE.speak_timed([["a", "t", "ʃ", "a"]], "").times[0]
    together = VOICE.speak_timed([["a", "tʃ", "a"]], "").times[0]
    assert len(apart) == 4
    assert apart[3][0] - apart[1][0] > 1.2 * (together[2][0] - together[1][0])


def test_the_melody_follows_the_punctuation() -> None:
    statement, question = (pitch(VOICE.speak(SELAM, mark)) for mark in ("።", "?"))
    assert np.median(statement[-12:]) < 0.8 * np.median(statement[:12])
    assert np.median(question[-6:]) > 1.15 * np.median(statement[-6:])
    assert question[-3:].mean() > question[-15:-9].mean()
    assert pitch(VOICE.speak(SELAM, "፣"))[-3:].mean() > statement[-3:].mean()
    np.testing.assert_array_equal(VOICE.speak(SELAM, "፧").samples, VOICE.speak(SELAM, "?").samples)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.5, 2.0])
def test_rate_changes_the_time_and_not_the_pitch(factor: float) -> None:
    plain, other = VOICE.speak(SELAM, "።"), Formant(FormantSettings(rate=factor)).speak(SELAM, "።")
    assert plain.seconds / other.seconds == pytest.approx(factor, rel=0.12)
    assert np.median(pitch(other)) == pytest.approx(np.median(pitch(plain)), rel=0.08)


@pytest.mark.parametrize("factor", [0.7, 1.3, 1.6])
def test_pitch_changes_the_height_and_not_the_time(factor: float) -> None:
    plain, other = VOICE.speak(SELAM, "።"), Formant(FormantSettings(pitch=factor)).speak(SELAM, "።")
    assert np.median(pitch(other)) / np.median(pitch(plain)) == pytest.approx(factor, rel=0.1)
    assert other.seconds == pytest.approx(plain.seconds, rel=0.05)


def test_variants_are_different_voices_of_one_level() -> None:
    assert len(variants()) > 50
    heard = {name: Formant(FormantSettings(variant=name)).speak(SELAM, "።") for name in variants()}
    assert len({wave.samples.tobytes() for wave in heard.values()}) == len(heard)
    for name, wave in heard.items():
        level = 20 * np.log10(np.sqrt(np.mean(wave.samples**2)))
        assert level == pytest.approx(-21, abs=3.5), name
    assert np.median(pitch(heard["f2"])) > 1.5 * np.median(pitch(heard["m3"]))


def test_a_variant_may_be_written_in_any_case_and_a_wrong_one_names_the_nearest() -> None:
    np.testing.assert_array_equal(
        Formant(FormantSettings(variant="KLATT")).speak(SELAM).samples,
        Formant(FormantSettings(variant="klatt")).speak(SELAM).samples,
    )
    with pytest.raises(ConfigError, match="klat8") as caught:
        Formant(FormantSettings(variant="klat8"))
    assert "klatt" in caught.value.message.remedy()


@pytest.mark.parametrize("wrong", [{"rate": 0.1}, {"rate": 9.0}, {"pitch": 0.1}, {"pitch": 5.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        FormantSettings(**wrong)


def test_an_unknown_phone_and_no_phones_are_refused() -> None:
    with pytest.raises(AudioError, match="'q'"):
        VOICE.speak([["q", "a"]])
    with pytest.raises(AudioError, match="no phones"):
        VOICE.speak([])
    with pytest.raises(AudioError, match="no phones"):
        VOICE.speak([[]])


@pytest.mark.parametrize("variant", ["", "f2", "m3", "klatt4", "whisper", "croak"])
def test_the_same_phones_give_the_same_samples(variant: str) -> None:
    voice = Formant(FormantSettings(variant=variant))
    first = voice.speak(SELAM, "።")
    for _ in range(3):
        Formant(FormantSettings(variant="f3", rate=1.5)).speak(SELAM, "?")
        np.testing.assert_array_equal(voice.speak(SELAM, "።").samples, first.samples)


def test_threads_do_not_mix_their_voices() -> None:
    kinds = [FormantSettings(variant=name, rate=rate) for name, rate in (("f2", 1.0), ("m3", 1.4), ("", 0.8))]
    expected = [Formant(kind).speak(SELAM, "።").samples for kind in kinds]
    found: list[tuple[int, np.ndarray]] = []

    def work(index: int) -> None:
        found.extend((index, Formant(kinds[index]).speak(SELAM, "።").samples) for _ in range(8))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 48
    for index, samples in found:
        np.testing.assert_array_equal(samples, expected[index])


def test_another_user_of_the_library_in_the_process_is_left_alone() -> None:
    """Both speak by turns; neither changes what the other says."""
    import ctypes

    import espeakng_loader

    other = ctypes.CDLL(espeakng_loader.get_library_path())
    other.espeak_TextToPhonemes.restype = ctypes.c_char_p
    assert other.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0) > 0
    assert other.espeak_SetVoiceByName(b"am") == 0

    def ask() -> bytes:
        text = ctypes.c_char_p("ሰላም".encode())
        return bytes(other.espeak_TextToPhonemes(ctypes.byref(text), 1, 0))

    before, expected = ask(), VOICE.speak(SELAM, "።").samples
    assert b"l" in before
    Formant(FormantSettings(variant="f2")).speak(SELAM)
    assert ask() == before
    np.testing.assert_array_equal(VOICE.speak(SELAM, "።").samples, expected)
    other.espeak_Terminate()
    np.testing.assert_array_equal(VOICE.speak(SELAM, "።").samples, expected)


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = VOICE.speak(SELAM, "።")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))  # then the library's own file is used
    np.testing.assert_array_equal(VOICE.speak(SELAM, "።").samples, first.samples)


def test_a_very_long_phrase_is_said_to_its_end() -> None:
    words = SELAM * 100
    said = VOICE.speak_timed(words, "።")
    one = VOICE.speak(SELAM, "።").seconds
    assert said.wave.seconds == pytest.approx(100 * one, rel=0.2)
    assert [len(word) for word in said.times] == [len(word) for word in words]
    endless = VOICE.speak_timed([["b", "a"] * 400], "።")
    assert len(endless.times[0]) == 800
    levels = frame_levels(endless.wave)
    assert (levels > -45).mean() > 0.9


def test_a_data_folder_with_a_very_long_path(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30) / ("path" * 30)
    deep.mkdir(parents=True)
    (deep / "espeak-ng-data").symlink_to(formant._data_folder(), target_is_directory=True)
    program = (
        "from dimts.audio import formant; from pathlib import Path; import sys;"
        "formant._data_folder = lambda: Path(sys.argv[1]);"
        "print(formant.Formant().speak([['s','ə','l','a','m']]).seconds)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(deep / "espeak-ng-data")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0.3 < float(done.stdout) < 0.8
