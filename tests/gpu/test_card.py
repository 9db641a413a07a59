"""The proof on a card, and the same code on a processor, so that it does not fail by a slip where a card
is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import card


@pytest.fixture
def bench(tmp_path: Path) -> card.Bench:
    return card.bench_for("cpu", "tiny", tmp_path)


def failed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in rows if one["passed"] is False]


@pytest.mark.gpu
@pytest.mark.parametrize("part", [name for name in card.PARTS if name != "peer"])
def test_on_this_card(part: str, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("not run: no CUDA")
    rows = card.prove(card.bench_for("cuda", "v2", tmp_path), [part])
    assert rows
    assert not failed(rows)


def test_without_a_card_nothing_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    assert card.main([]) == 0
    assert capsys.readouterr().out == "not run: no CUDA\n"


@pytest.mark.parametrize("part", ["kernels", "codes", "decoding", "peer"])
def test_the_quick_parts_run_on_a_processor(part: str, bench: card.Bench) -> None:
    rows = card.prove(bench, [part])
    assert rows
    assert not failed(rows)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["runs", "nan", "memory", "speed", "resume"])
def test_the_long_parts_run_on_a_processor(part: str, bench: card.Bench) -> None:
    rows = card.prove(bench, [part])
    assert rows
    assert not failed(rows)


def test_a_part_that_raises_and_one_that_is_too_late_are_rows(
    bench: card.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(bench: card.Bench) -> Any:
        raise ValueError("no such kernel")

    monkeypatch.setitem(card.PARTS, "codes", broken)
    assert failed(card.prove(bench, ["codes"]))[0]["value"] == "ValueError: no such kernel"
    assert card.prove(bench, ["codes"], minutes=-1)[0]["value"] == "not run: the time is over"


def test_the_report_is_one_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "card.json"
    assert card.main(["--device", "cpu", "--size", "tiny", "--parts", "codes", "--json", str(file)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(last) == json.loads(file.read_text("utf-8"))
    assert json.loads(last)["rows"][0]["part"] == "codes"
