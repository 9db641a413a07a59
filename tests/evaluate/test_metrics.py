"""Error rates: distances that are distances, and an ear for Amharic spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.evaluate.metrics import (
    Edits,
    align,
    amharic_cer,
    audible_letters,
    cer,
    edits,
    per,
    phone_class,
    wer,
)

WORDS = st.text(alphabet="abcd", max_size=12)


@given(WORDS, WORDS)
def test_distance_is_symmetrical_and_zero_only_for_the_same(one: str, other: str) -> None:
    there, back = edits(one, other), edits(other, one)
    assert there.count == back.count
    assert (there.count == 0) == (one == other)
    assert there.insertions - there.deletions == len(one) - len(other)
    assert there.reference_length == len(other)


@given(WORDS, WORDS, WORDS)
def test_a_detour_is_never_shorter(one: str, two: str, three: str) -> None:
    assert edits(one, three).count <= edits(one, two).count + edits(two, three).count


@given(WORDS, WORDS)
def test_an_alignment_uses_every_sign_once_and_in_order(hypothesis: str, reference: str) -> None:
    steps = align(hypothesis, reference)
    assert [step.hypothesis for step in steps if step.hypothesis is not None] == list(range(len(hypothesis)))
    assert [step.reference for step in steps if step.reference is not None] == list(range(len(reference)))
    for step in steps:
        if step.hypothesis is not None and step.reference is not None:
            assert (step.kind == "equal") == (hypothesis[step.hypothesis] == reference[step.reference])


def test_counts_and_rate() -> None:
    found = edits("kitten", "sitting")
    assert found == Edits(hits=4, substitutions=2, insertions=0, deletions=1)
    assert found.rate == pytest.approx(3 / 7)
    assert edits("abcd", "").rate == 1.0
    assert edits("", "").rate == 0.0
    assert found + found == Edits(8, 4, 0, 2)


def test_classes_of_phones_outlive_a_strange_voice() -> None:
    assert [phone_class(phone) for phone in ("tʼː", "d", "ɨ", "mː", "kʼʷ", "ʃ", "r")] == [
        "ejective", "voiced stop", "vowel", "nasal", "ejective", "voiceless fricative", "trill",
    ]  # fmt: skip


def test_length_counts_only_when_asked_for() -> None:
    assert per(["ɡ", "ə", "n", "a"], ["ɡ", "ə", "nː", "a"]).count == 1
    assert per(["ɡ", "ə", "n", "a"], ["ɡ", "ə", "nː", "a"], length=False).count == 0


def test_homophones_and_marks_are_errors_only_for_the_raw_rate() -> None:
    written, hypothesis = "ኃይል፣ ሠላም ዓለም።", "ሀይል ሰላም አለም"
    assert cer(hypothesis, written).count == 5
    assert amharic_cer(hypothesis, written).count == 0
    assert wer(hypothesis, written).count == 0
    assert amharic_cer("ገና", "ገና፟").count == 0
    assert cer("ገና", "ገና፟").count == 1
    assert audible_letters("ፀሐይ ወጣች።") == "ጸሀይወጣች"


def test_what_sounds_different_stays_an_error() -> None:
    assert amharic_cer("ከበረ", "ቀበረ").count == 1
    assert amharic_cer("ሰላ", "ሰላም").rate == pytest.approx(1 / 3)
