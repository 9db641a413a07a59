"""Synthetic speech of real sentences: the same for the same seed and index, by speakers that differ."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("espeakng_loader")
pytest.importorskip("soxr")

from dimts.audio.augment import change_vocal_tract
from dimts.audio.formant import variants
from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError
from dimts.text.frontend import Frontend
from dimts.text.phones import inventory
from dimts.train.generated_clips import align_codes
from dimts.train.synthetic_corpus import (
    SPEAKER_VARIANTS,
    PronouncedPhrase,
    SyntheticCorpus,
    SyntheticCorpusSettings,
    read_phrases,
)
from dimts.xtts.vocabulary import Vocabulary

TEXT = ["ልጆቹ ወደ ትምህርት ቤት ሄዱ።", "እናቴ ጣፋጭ ቡና አፈላች፣ አባቴም ጠጣ።", "", "???"]
SETTINGS = SyntheticCorpusSettings(speakers=6, max_words=3)


@pytest.fixture(scope="module")
def phrases() -> list[PronouncedPhrase]:
    return read_phrases(TEXT, Frontend())


def test_phrases_are_those_of_the_front_end_and_lines_without_any_are_left_out(
    phrases: list[PronouncedPhrase],
) -> None:
    assert [len(phrase.words) for phrase in phrases] == [5, 6]
    assert phrases[0].words[1] == ("w", "ə", "d", "ə")


def test_clips_follow_from_seed_and_index_alone(phrases: list[PronouncedPhrase]) -> None:
    one, again = (SyntheticCorpus(phrases, SETTINGS, seed=3) for _ in range(2))
    first = one.clip(7)
    again.clip(0)
    second = again.clip(7)
    assert first.spelling == second.spelling
    assert first.speaker == second.speaker
    np.testing.assert_array_equal(first.wave.samples, second.wave.samples)
    others = [SyntheticCorpus(phrases, SETTINGS, seed=4).clip(index) for index in range(8)]
    mine = [one.clip(index) for index in range(8)]
    assert [clip.spelling for clip in others] != [clip.spelling for clip in mine]


def test_every_clip_can_be_spelt_and_is_a_run_of_words_of_one_phrase(phrases: list[PronouncedPhrase]) -> None:
    vocabulary = Vocabulary.for_phones(list(inventory()), marks=[".", ",", "?", "!", ";", ":"])
    corpus = SyntheticCorpus(phrases, SETTINGS, seed=1)
    runs = {
        phrase.words[first : first + count]
        for phrase in phrases
        for count in (1, 2, 3)
        for first in range(len(phrase.words) - count + 1)
    }
    seen = set()
    for index in range(40):
        clip = corpus.clip(index)
        seen.add(clip.speaker)
        assert clip.phrase.words in runs
        assert vocabulary.encode(clip.spelling)
        assert clip.wave.seconds > 0.1
    assert seen == set(range(6))


def test_one_phrase_sounds_different_by_every_speaker(phrases: list[PronouncedPhrase]) -> None:
    corpus = SyntheticCorpus(phrases, SETTINGS, seed=1)
    lengths = {len(corpus.speak(phrases[0], speaker).wave.samples) for speaker in range(6)}
    assert len(lengths) == 6


def test_the_variants_of_the_speakers_exist() -> None:
    assert {name for name in SPEAKER_VARIANTS if name} <= set(variants())


def test_a_longer_vocal_tract_lowers_every_frequency() -> None:
    tone = Wave(np.sin(2 * np.pi * 1000 * np.arange(24_000) / 24_000).astype(np.float32) * 0.5, 24_000)
    longer = change_vocal_tract(tone, 1.25)
    spectrum = np.abs(np.fft.rfft(longer.samples))
    peak = np.argmax(spectrum) * longer.rate / len(longer.samples)
    assert longer.rate == 24_000
    assert peak == pytest.approx(800, abs=3)


def test_no_phrase_and_ranges_upside_down_are_refused() -> None:
    with pytest.raises(DataError) as no_phrase:
        SyntheticCorpus([], SETTINGS)
    assert no_phrase.value.code == "train.synthetic_no_phrase"
    with pytest.raises(ConfigError) as upside_down:
        SyntheticCorpusSettings(slowest=1.2, fastest=1.0)
    assert upside_down.value.code == "train.setting_rule"


def test_the_phones_that_sound_during_a_code_are_known(phrases: list[PronouncedPhrase]) -> None:
    vocabulary = Vocabulary.for_phones(list(inventory()), marks=[".", ",", "?", "!", ";", ":"])
    corpus = SyntheticCorpus(phrases, SETTINGS, seed=1)
    for index in range(12):
        clip = corpus.clip(index)
        ids, seconds = vocabulary.encode(clip.spelling), 1024 / 22_050
        codes = -(-round(clip.wave.seconds * 22_050) // 1024)
        found = align_codes(clip.times, len(ids), codes, seconds)
        assert len(found) == codes
        assert found[0][0] == 1, "the first phone follows the language tag"
        assert found[-1][1] == len(ids) - 1
        assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(found)), "it never goes back"
        tokens = [vocabulary.decode([i]) for i in ids]
        phones = [phone for word in clip.phrase.words for phone in word]
        times = [time for word in clip.times for time in word]
        for code, (first, last) in enumerate(found):
            sounding = [p for p, (a, b) in zip(phones, times, strict=True)
                        if a < (code + 1) * seconds and b > code * seconds]  # fmt: skip
            heard = [token for token in tokens[first : last + 1] if token.strip() and token not in ".,?!;:"]
            assert heard == sounding or not sounding


def test_an_alignment_that_does_not_fit_the_ids_is_none() -> None:
    times = (((0.0, 0.1), (0.1, 0.2)), ((0.2, 0.3),))
    assert align_codes(times, 5, 3, 0.1) == ((1, 1), (2, 2), (4, 4))
    assert align_codes(times, 6, 4, 0.1)[-1] == (4, 5), "the mark sounds at the end"
    assert align_codes(times, 7, 3, 0.1) == ()
    assert align_codes(times, 4, 3, 0.1) == ()
    assert align_codes((), 1, 3, 0.1) == ()
