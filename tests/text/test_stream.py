"""Files as streams: line for line, the same with any portions, any cuts and any number of processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import TextError
from dimts.text.normalise import normalise
from dimts.text.stream import BLOCK_CHARACTERS, TextBlock, blocks, normalise_stream

LINES = st.lists(st.sampled_from(["", "በ10 ሰዓት", "ዶ/ር አበበ።", "2:30", "«ሰላም»", " "]), max_size=20)


@given(LINES, st.integers(1, 40))
def test_lines_come_out_as_they_came_in_however_the_bytes_arrive(lines: list[str], size: int) -> None:
    data = "".join(line + "\n" for line in lines).encode()
    portions = [data[at : at + size] for at in range(0, len(data), size)]
    assert "".join(normalise_stream(blocks(portions))) == "".join(normalise(line) + "\n" for line in lines)


def test_a_last_line_without_its_end_is_a_line() -> None:
    assert "".join(normalise_stream(blocks(["በ5\nበ6".encode()]))) == "በአምስት\nበስድስት\n"


def test_a_line_longer_than_a_block_stays_one_line_and_loses_nothing() -> None:
    sentence = "ዶ/ር አበበ በ2016 ዓ.ም. 1,200 ብር ከፈሉ። "
    line = sentence * (2 * BLOCK_CHARACTERS // len(sentence))
    data = f"አንድ\n{line}\nሁለት\n".encode()
    portions = [data[at : at + 100_000] for at in range(0, len(data), 100_000)]
    first, long, last, end = "".join(normalise_stream(blocks(portions))).split("\n")
    assert (first, last, end) == ("አንድ", "ሁለት", "")
    assert long == normalise(line)


def test_a_long_line_without_any_space_is_cut_too() -> None:
    line = "ሰላም" * BLOCK_CHARACTERS
    assert "".join(normalise_stream(blocks([line.encode()]))).replace(" ", "") == line + "\n"
    assert all(len(block.text) <= 2 * BLOCK_CHARACTERS for block in blocks([line.encode()]))


def test_several_processes_give_the_same_in_the_same_order() -> None:
    source = [TextBlock(f"በ{number} ሰዓት\n", True) for number in range(30)]
    assert list(normalise_stream(source, jobs=2)) == list(normalise_stream(source))


def test_bytes_that_are_no_utf8_are_named_with_their_line() -> None:
    with pytest.raises(TextError, match=r"poem\.txt.*line 3"):
        list(blocks(["ሰላም\n".encode(), "ሰላም\n".encode(), b"\xff\xfe"], "poem.txt"))
