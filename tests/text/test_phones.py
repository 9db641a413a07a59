"""One spelling of phones; every notation there and back; phones and fidel."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import TextError
from dimts.text.ethiopic import letters
from dimts.text.phones import (
    CONSONANTS,
    VOWELS,
    fidel_skeleton,
    from_epitran,
    from_espeak,
    from_horn,
    from_ipa,
    from_xsampa,
    inventory,
    is_phone,
    long,
    short,
    skeleton,
    to_epitran,
    to_espeak,
    to_fidel,
    to_horn,
    to_ipa,
    to_xsampa,
)

PHONES = st.lists(st.sampled_from(sorted(inventory())), max_size=12).map(tuple)
CONSONANT = st.sampled_from(sorted(phone for phone in inventory() if phone not in VOWELS))
SYLLABLE = st.tuples(CONSONANT, st.sampled_from(["", *VOWELS]))
WORDS = st.lists(SYLLABLE, min_size=1, max_size=8).map(
    lambda pairs: tuple(phone for pair in pairs for phone in pair if phone)
)


@pytest.mark.parametrize(
    ("there", "back"),
    [(to_xsampa, from_xsampa), (to_espeak, from_espeak), (to_horn, from_horn), (to_epitran, from_epitran),
     (" ".join, from_ipa)],
)  # fmt: skip
@settings(deadline=None)
@given(phones=PHONES)
def test_notations_there_and_back(there, back, phones: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    assert back(there(phones)) == phones


@settings(deadline=None)
@given(WORDS)
def test_fidel_keeps_the_skeleton(phones: tuple[str, ...]) -> None:
    assert fidel_skeleton(to_fidel(phones)) == skeleton(phones)


@settings(deadline=None)
@given(st.text(st.sampled_from([entry.char for entry in letters()]), min_size=1, max_size=8))
def test_skeleton_of_fidel_can_be_written_again(word: str) -> None:
    sounds = fidel_skeleton(word)
    assert fidel_skeleton(to_fidel(sounds)) == sounds


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("h o ɾ t͡ʃ", ("h", "o", "r", "tʃ")),
        ("h a l l ə m ə".replace(" ", ""), ("h", "a", "lː", "ə", "m", "ə")),
        ("t͡sʼəhaj", ("sʼ", "ə", "h", "a", "j")),
        ("jəsːʷa", ("j", "ə", "sʷː", "a")),
        ("atʃʼːɨr", ("a", "tʃʼː", "ɨ", "r")),
        ("gəta", ("ɡ", "ə", "t", "a")),
        ("k'al", ("kʼ", "a", "l")),
    ],
)
def test_ipa_as_others_write_it(text: str, phones: tuple[str, ...]) -> None:
    assert from_ipa(text) == phones


def test_spaces_keep_stop_and_fricative_apart() -> None:
    assert from_xsampa("a t S a") == ("a", "t", "ʃ", "a")
    assert from_xsampa("a tS a") == ("a", "tʃ", "a")


@pytest.mark.parametrize("read", [from_ipa, from_xsampa, from_horn, from_espeak])
def test_foreign_signs_are_named(read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TextError, match="ሰ"):
        read("ሰ")


def test_features() -> None:
    assert inventory()["tʃʼː"].ejective
    assert inventory()["tʃʼː"].long
    assert inventory()["kʷ"].rounded
    assert inventory()["m"].manner == "nasal"
    assert not is_phone("wʷ")
    assert len(CONSONANTS) == 28


def test_length_and_lines() -> None:
    assert long("kʼʷ") == "kʼʷː"
    assert long("a") == "a"
    assert short("kʼʷː") == "kʼʷ"
    assert to_ipa([("b", "e", "t"), (), ("n", "ə", "w")]) == "b e t # n ə w"
    with pytest.raises(TextError, match="θ"):
        to_fidel(("θ", "a"))
