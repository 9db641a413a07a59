"""Two stages at once: order, errors, and leaving early."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from dimts.speak.pipeline import run_in_background, split_threads, with_threads  # noqa: E402


def working() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "dimts-decode"]


def test_items_come_in_order_from_a_thread_of_their_own() -> None:
    names = []

    def items() -> Iterator[int]:
        for number in range(100):
            names.append(threading.current_thread().name)
            yield number

    assert list(run_in_background(items(), 1)) == list(range(100))
    assert set(names) == {"dimts-decode"}
    assert working() == []


def test_an_error_comes_out_where_it_is_read() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    found = run_in_background(items(), 1)
    assert next(found) == 1
    with pytest.raises(ValueError, match="broken"):
        next(found)
    assert working() == []


def test_whoever_leaves_stops_the_work() -> None:
    made = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            made.append(number)
            yield number
            number += 1

    found = run_in_background(endless(), 1)
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    assert working() == []
    assert len(made) >= 1


def test_threads_are_those_asked_for_and_given_back() -> None:
    before = torch.get_num_threads()
    seen = []

    def items() -> Iterator[int]:
        seen.append(torch.get_num_threads())
        yield 1

    try:
        torch.set_num_threads(2)
        for _ in with_threads(items(), 1):
            assert torch.get_num_threads() == 2
        assert seen == [1]
        list(run_in_background(items(), 1))
        assert seen == [1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert split_threads(1) is None
    assert split_threads(2) == (1, 1)
    assert split_threads(5) == (2, 3)
