"""Random numbers that every engine draws alike, and the draw of a code from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.xtts.sampling import GenerateSettings, RandomNumbers, choose, philox, softmax, warp


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0,) * 4, (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(
    counter: tuple[int, int, int, int], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    """The known answers of the authors' own library, Random123."""
    assert philox(counter, key) == words


def test_numbers_are_a_function_of_seed_sequence_and_count() -> None:
    numbers = RandomNumbers(7, (1, 2, 3))
    drawn = [numbers.next() for _ in range(5)]
    first, second, _, _ = philox((3, 1, 2, 3), (7, 0))
    assert drawn[3] == ((first >> 5) * 2**26 + (second >> 6)) / 2**53
    assert drawn[0] == GenerateSettings(seed=7 + 2**64, sequence=(1, 2, 3)).numbers().next()
    others = [RandomNumbers(7), RandomNumbers(8, (1, 2, 3)), RandomNumbers(7 + 2**40, (1, 2, 3))]
    assert len({drawn[0], *(other.next() for other in others)}) == 4
    assert GenerateSettings().numbers().next() != GenerateSettings().numbers().next()


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_numbers_lie_in_the_unit_interval(seed: int, part: int) -> None:
    number = RandomNumbers(seed, (part, 0, 0)).next()
    assert 0 <= number < 1


def test_codes_are_drawn_as_often_as_they_are_likely() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    settings = GenerateSettings(temperature=1.0, top_k=3, top_p=1.0, repetition_penalty=1.0, seed=1)
    numbers, seen = settings.numbers(), np.zeros(4, np.bool_)
    drawn = np.bincount([choose(logits, seen, settings, numbers)[0] for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(drawn, softmax(warp(logits, settings)), atol=0.025)
    assert drawn[3] == 0


class _Edge(RandomNumbers):
    """The largest or least number there is."""

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self.number = number

    def next(self) -> float:
        return self.number


@given(st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=60), st.booleans())
def test_the_edges_of_the_interval_draw_codes_that_were_kept(values: list[float], largest: bool) -> None:
    logits, settings = np.array(values, np.float32), GenerateSettings(top_k=5, repetition_penalty=1.0)
    number = (2**53 - 1) / 2**53 if largest else 0.0
    code, _ = choose(logits, np.zeros(len(values), np.bool_), settings, _Edge(number))
    assert np.isfinite(warp(logits, settings)[code])


def test_of_equal_logits_the_smaller_code_is_left_out_first() -> None:
    cut = warp(np.zeros(4, np.float32), GenerateSettings(temperature=1.0, top_k=0, top_p=0.5))
    assert np.isfinite(cut).tolist() == [False, False, True, True]
