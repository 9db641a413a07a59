"""Blind comparisons: sides are drawn, hidden until judged, counted rightly, and kept."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.web.compare import begin, chance, judge, load, tally

SENTENCES = [f"ዓረፍተ ነገር {number}" for number in range(40)]


def test_choices_are_counted_for_the_voice_that_spoke(project: Project) -> None:
    found = begin(project, "abebe", "sara", SENTENCES)
    for number in range(len(SENTENCES)):
        best = "ab"[found.voices(number).index("sara")]  # sara is always the better one
        found = judge(project, found.id, number, best if number else "tie")
    assert found.over
    result = tally(load(project, found.id))
    assert (result.first, result.second, result.ties) == (0, 39, 1)
    assert result.chance < 1e-9


def test_sides_are_drawn_for_every_sentence(project: Project) -> None:
    found = begin(project, "abebe", "sara", SENTENCES)
    sides = [trial.swapped for trial in found.trials]
    assert len(set(sides)) == 2
    assert [trial.swapped for trial in begin(project, "abebe", "sara", SENTENCES).trials] != sides
    assert all(set(found.voices(number)) == {"abebe", "sara"} for number in range(len(SENTENCES)))


def test_a_sentence_is_judged_once_and_in_turn(project: Project) -> None:
    found = begin(project, "abebe", "sara", SENTENCES[:2])
    judge(project, found.id, 0, "a")
    for number, verdict in ((0, "b"), (5, "a"), (-1, "a")):
        with pytest.raises(DataError, match="judged already"):
            judge(project, found.id, number, verdict)
    with pytest.raises(DataError, match="unknown verdict"):
        judge(project, found.id, 1, "<script>")
    assert load(project, found.id).at == 1


@pytest.mark.parametrize(
    ("first", "second", "sentences"),
    [
        ("a", "a", ["ሰላም"]),
        ("a", "b", []),
        ("a", "b", ["  "]),
        ("a", "b", ["ሀ" * 501]),
        ("a", "b", map(str, range(101))),
    ],
)
def test_what_cannot_be_compared(project: Project, first: str, second: str, sentences: list[str]) -> None:
    with pytest.raises(DataError):
        begin(project, first, second, list(sentences))
    assert not (project.root / "compare").exists()


@pytest.mark.parametrize("identity", ["", "../dimts", "*", "nothing"])
def test_an_unknown_comparison(project: Project, identity: str) -> None:
    begin(project, "a", "b", ["ሰላም"])
    with pytest.raises(DataError, match="no such comparison"):
        load(project, identity)


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_sign_test_counts_all_coins(first: int, second: int) -> None:
    total, uneven = first + second, abs(first - second)
    if total > 10:
        return
    coins = list(itertools.product((0, 1), repeat=total))
    as_uneven = sum(abs(2 * sum(throw) - total) >= uneven for throw in coins)
    assert chance(first, second) == pytest.approx(as_uneven / len(coins))
