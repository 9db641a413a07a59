"""The split: seeded, without leaks, and what has a place keeps it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import ConfigError
from dimts.base.issue import Issue
from dimts.data.manifest import Utterance
from dimts.data.split import SplitSettings, assign, repeated_texts, text_key

SETTINGS = SplitSettings(dev_share=0.2, test_share=0.1)
WORDS = "ሰላም ለዓለም እንዴት ናችሁ ዛሬ ጥሩ ቀን ነው ነገ ጠዋት ገበያ እንሄዳለን መጽሐፉን ጠረጴዛው ላይ አስቀምጠው ልጆቹ ግቢው ውስጥ ኳስ".split()  # noqa: SIM905
texts = st.lists(st.sampled_from(WORDS), min_size=3, max_size=8).map(" ".join)


def different(number: int) -> str:
    """A text like no other."""
    rng = random.Random(number)
    return "".join(chr(rng.randint(0x1200, 0x1247)) for _ in range(24))


def row(number: int, text: str, recording: str = "", at: float = 0.0) -> Utterance:
    return Utterance(
        id=f"u{number}",
        path="clips/a.wav",
        text=text,
        seconds=3.0,
        kept=True,
        recording=recording or f"r{number}",
        start_seconds=at,
    )


def placed(rows: list[Utterance], split: SplitSettings = SETTINGS) -> list[Utterance]:
    """The rows with their splits; those that yield leave."""
    found = assign(rows, split)
    out = []
    for one in rows:
        place = found.get(one.id, one.split)
        if not isinstance(place, Issue):
            out.append(replace(one, split=place))
    return out


@settings(deadline=None, max_examples=40)
@given(st.lists(texts, min_size=1, max_size=30), st.integers(0, 29), st.integers(0, 5))
def test_what_has_a_place_keeps_it_and_texts_stay_on_one_side(
    all_texts: list[str], cut: int, seed: int
) -> None:
    split = replace(SETTINGS, seed=seed)
    rows = [row(number, text) for number, text in enumerate(all_texts)]
    first = placed(rows[:cut], split)
    both = placed([*first, *rows[cut:]], split)
    after = {one.id: one.split for one in both}
    assert all(after[one.id] == one.split for one in first)
    sides: dict[str, set[str]] = {}
    for one in both:
        sides.setdefault(text_key(one.text), set()).add(one.split)
    assert all(len(there) == 1 for there in sides.values())


def test_near_duplicates_stay_on_one_side() -> None:
    base = "በዛሬው ዕለት በአዲስ አበባ ከተማ ታላቅ ሰልፍ ተካሄደ ብለዋል ሚኒስትሩ ቁጥር"
    rows = [row(number, f"{base} {WORDS[number % 20]}") for number in range(40)]
    assert len({one.split for one in placed(rows)}) == 1


def test_spelling_and_punctuation_are_no_difference() -> None:
    assert text_key("ሠላም፣ ለዓለም።") == text_key("ሰላም ለአለም")


def test_a_newcomer_between_two_sides_yields() -> None:
    one, other = "አንድ ሁለት ሦስት አራት አምስት ስድስት ሰባት", "አንድ ሁለት ሦስት አራት አምስት ስድስት ስምንት"
    old = [replace(row(1, one), split="train"), replace(row(2, other), split="dev")]
    found = assign([*old, row(3, one + "።")], SETTINGS)
    assert isinstance(found["u3"], Issue)
    assert found["u3"].kind == "leak"


def test_the_shares_are_about_what_was_asked_for() -> None:
    rows = [row(number, different(number)) for number in range(800)]
    counts = Counter(one.split for one in placed(rows))
    assert counts["dev"] / 800 == pytest.approx(0.2, abs=0.04)
    assert counts["test"] / 800 == pytest.approx(0.1, abs=0.03)


def test_another_seed_holds_out_other_texts() -> None:
    rows = [row(number, different(number)) for number in range(100)]
    chosen = [
        {one.id for one in placed(rows, replace(SETTINGS, seed=seed)) if one.split == "dev"}
        for seed in (0, 1)
    ]
    assert chosen[0] != chosen[1]


@pytest.mark.parametrize("count", [10, 15])
def test_a_small_set_has_something_held_out(count: int) -> None:
    for seed in range(10):
        rows = [row(number, different(number)) for number in range(count)]
        split = SplitSettings(dev_share=0.01, test_share=0.0, seed=seed)
        assert "dev" in {one.split for one in placed(rows, split)}


def test_clips_of_a_long_recording_are_held_out_in_stretches() -> None:
    rows = [row(number, different(number), "long", at=number * 6.0) for number in range(200)]
    found = placed(rows)
    stretches: dict[int, set[str]] = {}
    for one in found:
        stretches.setdefault(int(one.start_seconds // SETTINGS.stretch_seconds), set()).add(one.split)
    assert all(len(there) == 1 for there in stretches.values())
    assert {one.split for one in found} >= {"train", "dev"}


def test_repeated_sentences_of_a_speaker_are_noted() -> None:
    rows = [
        replace(row(1, "ሰላም"), speaker="a"),
        replace(row(2, "ሰላም።"), speaker="a"),
        replace(row(3, "ሰላም"), speaker="b"),
    ]
    assert list(repeated_texts(rows)) == ["u2"]


@pytest.mark.parametrize("wrong", [(-0.1, 0.1), (0.3, 0.3)])
def test_shares_out_of_range_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ConfigError):
        SplitSettings(dev_share=wrong[0], test_share=wrong[1])


def test_splits_of_the_source_are_taken_over_on_request_alone() -> None:
    rows = [
        Utterance(
            id=name, path=f"{name}.wav", text=text, seconds=1.0, kept=True, recording=name, source_split=split
        )
        for name, text, split in (
            ("a", "ዛሬ ጥሩ ቀን ነው", "train"),
            ("b", "ልጆቹ ትምህርት ቤት ሄዱ", "dev"),
            ("c", "ገበሬው ማሳውን ያርሳል", "test"),
            ("d", "ልጆቹ ትምህርት ቤት ሄዱ።", "train"),
            ("e", "ቡና እወዳለሁ", ""),
            ("f", "ነጋዴው እቃውን ሸጠ", "test"),
        )
    ]
    places = assign(rows, SplitSettings(keep=True, dev_share=0.0, test_share=0.0))
    assert [places[name] for name in "abcef"] == ["train", "dev", "test", "train", "test"]
    leak = places["d"]  # its text is held out already
    assert isinstance(leak, Issue)
    assert (leak.kind, leak.message.code) == ("leak", "data.leak_of_source_split")
    assert set(assign(rows, SplitSettings(dev_share=0.0, test_share=0.0)).values()) == {"train"}
