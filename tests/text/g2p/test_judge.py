"""The judge: right answers pass, wrong skeletons do not, whoever gave them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import ConfigError
from dimts.text.g2p.judge import EvidenceSettings, judge
from dimts.text.g2p.rules import Rules
from dimts.text.phones import CONSONANTS, VOWELS, from_ipa, short

RULES = Rules()
WORDS = ("ሰላም", "ኢትዮጵያ", "እናት", "ይፈልጋሉ", "ቋንቋ", "መጽሐፍ", "ትምህርት", "አዲስ", "ወንበር", "በአገር", "ክረምት", "ቢራቢሮ")


def kinds(word: str, spoken: str, *, marks_length: bool = True) -> list[str]:
    verdict = judge(word, from_ipa(spoken), RULES.explain(word), marks_length=marks_length)
    assert verdict.believed == (not verdict.doubts)
    assert 0.0 <= verdict.score <= 1.0
    return [doubt.kind for doubt in verdict.doubts]


@pytest.mark.parametrize(
    ("word", "spoken"),
    [
        ("ሰላም", "səlam"), ("እናት", "ʔɨnːat"), ("እናት", "ɨnːat"), ("ወንበር", "wəmbər"), ("በአገር", "bəʔaɡər"),
        ("በአገር", "baɡər"), ("ቋንቋ", "kʼʷankʼʷa"), ("ክረምት", "krəmt"), ("ክፍል", "kɨfl"), ("ገና", "ɡənːa"),
        ("ገና", "ɡəna"),
    ],
)  # fmt: skip
def test_right_answers_pass(word: str, spoken: str) -> None:
    assert kinds(word, spoken) == []


@pytest.mark.parametrize(
    ("word", "spoken", "kind"),
    [
        ("ሰላም", "slam", "vowel_share"), ("ሰላም", "sələm", "vowel_share"), ("ሰላም", "sərlam", "skeleton"),
        ("ሰላም", "səlamsəlamsəlam", "phone_ratio"), ("እናት", "ɨnat", "length_missing"),
        ("ሰላም", "səlːam", "length_added"), ("ስንዴ", "snde", "syllables"),
    ],
)  # fmt: skip
def test_faults_have_names(word: str, spoken: str, kind: str) -> None:
    assert kind in kinds(word, spoken)


def test_a_backend_without_length_is_held_to_more() -> None:
    assert kinds("እናት", "ɨnat", marks_length=False) == ["length_unsaid"]
    assert kinds("ሦስት", "sosɨt", marks_length=False) == ["syllables"]
    assert kinds("ሦስት", "sost", marks_length=False) == []


@settings(deadline=None)
@given(st.sampled_from(WORDS), st.integers(0, 1 << 30))
def test_wrong_skeletons_are_always_caught(word: str, seed: int) -> None:
    dice = random.Random(seed)
    answer = RULES.explain(word)
    phones = list(answer.phones)
    places = [at for at, phone in enumerate(phones) if phone not in ("ɨ", "ʔ")]
    at = dice.choice(places)
    if dice.random() < 0.5:
        family = [
            p
            for p in (VOWELS if phones[at] in VOWELS else CONSONANTS)
            if p not in ("ɨ", "ʔ", short(phones[at]))
        ]
        if phones[at] in ("n", "m"):
            family = [phone for phone in family if phone not in ("n", "m")]
        phones[at] = dice.choice(family)
    else:
        del phones[at]
    assert not judge(word, phones, answer).believed


def test_no_evidence_only_signs_count() -> None:
    assert judge("abc", ("a", "b"), None).believed
    assert not judge("abc", ("θ",), None).believed
    assert not judge("abc", (), None).believed


def test_limits_are_checked() -> None:
    with pytest.raises(ConfigError, match="sure_length"):
        EvidenceSettings(sure_length=1.5)
