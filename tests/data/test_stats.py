"""Statistics: sums over rows that can be gathered in shards."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.data.manifest import Utterance
from dimts.data.stats import Stats

rows = st.lists(
    st.builds(
        Utterance,
        id=st.text("ab", min_size=1),
        text=st.sampled_from(["ሰላም", "ደህና"]),
        seconds=st.integers(1, 40).map(lambda number: number / 4),
        speaker=st.sampled_from(["a", "b"]),
        split=st.sampled_from(["train", "dev", "test"]),
        kept=st.booleans(),
        phones=st.sampled_from(["s ə l a m", "d ə h n a # s ə lː a m", ""]),
        rejected_for=st.sampled_from([(), ("clipped",)]),
    ),
    max_size=8,
)


@given(rows, rows)
def test_shards_add_up(first: list[Utterance], second: list[Utterance]) -> None:
    assert (Stats.of(first) + Stats.of(second)).as_dict() == Stats.of([*first, *second]).as_dict()


def test_phones_and_diphones_are_counted() -> None:
    found = Stats.of(
        [Utterance(id="a", text="x", seconds=2.0, kept=True, split="train", phones="d ə h n a # s ə lː a m")]
    )
    assert found.phones == {"d": 1, "ə": 2, "h": 1, "n": 1, "a": 2, "s": 1, "lː": 1, "m": 1}
    assert found.diphones["#", "s"] == 1
    assert found.diphones["a", "#"] == 1
    assert found.diphones["m", "#"] == 1
    assert ("a", "s") not in found.diphones
    assert found.words == 2
    assert "l" not in found.missing
    assert {"k", "tʼ"} <= set(found.missing)
    assert "lː" in found.long_phones


def test_only_kept_clips_count() -> None:
    found = Stats.of(
        [Utterance(id="a", seconds=2.0, phones="s"), Utterance(id="b", seconds=3.0, kept=True, split="dev")]
    )
    assert (found.kept, found.seconds, found.set_aside_seconds, found.phones) == (1, 3.0, 2.0, {})
    assert found.as_dict()["splits"]["dev"] == {"clips": 1, "seconds": 3.0}


def test_lengths_have_a_middle() -> None:
    found = Stats.of([Utterance(id=str(n), seconds=n / 10, kept=True, split="train") for n in range(1, 100)])
    assert found.length_at(0.5) == pytest.approx(5.0, abs=0.5)
    assert found.length_at(0.95) == pytest.approx(9.5, abs=0.5)
    assert Stats().length_at(0.5) == 0.0


def test_the_figures_are_plain_json() -> None:
    assert json.loads(json.dumps(Stats().as_dict()))["kept"] == 0
