"""Letters mistaken for others that look alike: the word that is meant is pronounced, and it is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.text.ethiopic import letters
from dimts.text.g2p.chain import Chain
from dimts.text.g2p.misspellings import CONFUSED, candidates, foreign_p
from dimts.text.g2p.rules import Rules

RULES = Rules()
MEANT = {
    "ኢትዮኘያ": "ኢትዮጵያ", "የኢትዮኘያን": "የኢትዮጵያን", "አውሮኘላን": "አውሮፕላን", "ኘሮግራም": "ፕሮግራም", "የኘሬዝዳንት": "የፕሬዝዳንት",
    "ዲኘሎማሲ": "ዲፕሎማሲ", "ሴኘቴምበር": "ሴፕቴምበር", "ኮምኘዩተር": "ኮምፕዩተር", "ሆስኘታል": "ሆስፕታል", "ካኘቴን": "ካፕቴን",
    "አኘሪል": "አፕሪል", "ኀብረት": "ኅብረት", "ደኀንነት": "ደኅንነት", "የማኀበሩ": "የማኅበሩ", "ጉዱይ": "ጉዳይ", "አስተዱዱሪ": "አስተዳዳሪ",
    "አንዱንድ": "አንዳንድ", "እንዱለበት": "እንዳለበት",
}  # fmt: skip
_NATIVE = "አገኘ ተገኘላቸው ያገኘሁት የሚገኘው ሸኘ ጎበኘ ጎበኘች ተሰኘ ሲገናኘን የተመኘው ቃኘው ተቀኘ ኘ ዱባ ዱላ አብዱል መንደሩ ገዱ ባዱ ሃዱሽ"
AS_WRITTEN = [*_NATIVE.split(), "አዱኛ", "ኀይለ", "ፖስታ"]


@pytest.mark.parametrize("written", MEANT)
def test_the_word_that_is_meant_is_pronounced(written: str) -> None:
    found = RULES.explain(written)
    assert found.meant == MEANT[written]
    assert found.phones == RULES.explain(MEANT[written]).phones


@pytest.mark.parametrize("written", AS_WRITTEN)
def test_a_word_that_may_be_right_stays(written: str) -> None:
    assert RULES.explain(written).meant == ""


def test_it_is_said_what_was_read() -> None:
    (word,) = Chain().words(["ኘሮግራም"])
    assert "".join(word.phones) == "".join(RULES.explain("ፕሮግራም").phones)
    notes = [refusal.doubts[0].message.text("en") for refusal in word.refused if refusal.by == "spelling"]
    assert notes == ["read as ፕሮግራም"]


CHARS = sorted({*CONFUSED, *(one.char for one in letters()[::7])})
WORDS = st.text(st.sampled_from(CHARS), min_size=1, max_size=9)


@given(WORDS)
def test_only_confused_letters_change(word: str) -> None:
    for meant in (*candidates(word), foreign_p(word)):
        assert len(meant) == len(word)
        for before, after in zip(word, meant, strict=True):
            assert before == after or after in CONFUSED[before]
    assert foreign_p(foreign_p(word)) == foreign_p(word)
