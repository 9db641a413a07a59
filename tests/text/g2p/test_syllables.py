"""ɨ stands where Amharic syllables need it, given length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.text.g2p.letters import encode, lengths_of, pronounce, read
from dimts.text.g2p.syllables import excess, slots
from dimts.text.phones import CONSONANTS, LONG, VOWELS, from_ipa

MARKED = [
    ("ትን፟ሽ", "tɨnːɨʃ"), ("እግር", "ʔɨɡɨr"), ("አንድ", "ʔand"), ("ሳህን", "sahɨn"), ("ልብስ", "lɨbs"), ("ገብስ", "ɡəbs"),
    ("ሽምብራ", "ʃɨmbɨra"), ("አፍንጫ", "ʔafɨntʃʼa"), ("ክፍል", "kɨfɨl"), ("ወንዝ", "wənz"), ("ዝንጅብል", "zɨndʒɨbɨl"),
    ("ሐብታም", "habtam"), ("ብዕር", "bɨʔɨr"), ("ጠቅላላ፟ውን", "tʼəkʼlalːawɨn"), ("ልብ፟", "lɨbː"), ("ስድ፟ስት", "sɨdːɨst"),
    ("እንቅልፍ", "ʔɨnkʼɨlf"), ("ቍርስ", "kʼʷɨrs"), ("ክርስትና፟", "kɨrsɨtɨnːa"), ("አህ፟ያ", "ʔahːɨja"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "spoken"), MARKED)
def test_words_with_known_length(word: str, spoken: str) -> None:
    reading = read(word)
    assert pronounce(reading, reading.marks) == from_ipa(spoken)


CLUSTER = st.lists(
    st.sampled_from(sorted(CONSONANTS)).flatmap(lambda c: st.sampled_from([c, c + LONG])),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(CLUSTER, st.booleans(), st.booleans())
def test_no_answer_leaves_an_illegal_syllable(cluster: list[str], after: bool, before: bool) -> None:
    answer = slots(tuple(cluster), after, before)
    assert len(answer) == len(cluster)
    assert not (before and answer[-1])
    run, initial = [], not after
    for phone, vowel in zip(cluster, answer, strict=True):
        run.append(phone)
        if vowel:
            assert len(run) <= (1 if initial else 2)
            assert initial or len(run) == 1 or not any(consonant.endswith(LONG) for consonant in run)
            run, initial = [], False
    assert len(run) <= (1 if initial else 2)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(CONSONANTS)), st.sampled_from(["", *VOWELS])), min_size=1, max_size=7
    )
)
def test_what_is_said_has_no_excess(pairs: list[tuple[str, str]]) -> None:
    from dimts.text.g2p.letters import LetterReading

    vowels = tuple("" if vowel == "ɨ" else vowel for _, vowel in pairs)
    reading = LetterReading(tuple(consonant for consonant, _ in pairs), vowels, (False,) * len(pairs))
    assert excess(pronounce(reading, reading.marks)) == pytest.approx(0.0)


def test_excess_of_bad_syllables() -> None:
    assert excess(from_ipa("kʼanɨkʼa")) == pytest.approx(10.0, abs=2)
    assert excess(from_ipa("fntʃa")) > 100
    assert excess(from_ipa("krəmt")) < 12.5


def test_code_and_marks() -> None:
    assert encode("ይፈልጋሉ") == "yfelgalu"
    assert encode("ኃይል") == encode("ሃይል") == "hayl"
    assert lengths_of(encode("ፈለ፟ገ")) == (False, True, False)
    assert lengths_of("fel:-h.w") == (False, True, False, False)
