"""Every clip once per epoch, the same steps again from a seed, and steps that do not depend on who shares
them."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import TrainingError
from dimts.train.sampler import Row, Sampler, crop, crop_for_dev, padding_share

rows = st.lists(st.floats(0.5, 11.6), min_size=4, max_size=80).map(
    lambda lengths: tuple(Row(seconds, 40 + int(25 * seconds)) for seconds in lengths)
)


def _members(steps: list[tuple[tuple[int, ...], ...]]) -> list[int]:
    return [index for step in steps for part in step for index in part]


@settings(max_examples=60)
@given(rows, st.floats(4, 60), st.integers(1, 4), st.booleans(), st.integers(0, 5), st.integers(0, 6))
def test_every_clip_comes_once_per_epoch(
    rows: tuple[Row, ...], seconds: float, parts: int, packed: bool, epoch: int, clips: int
) -> None:
    sampler = Sampler(rows, seconds, clips, parts, packed, seed=3)
    steps = sampler.epoch(epoch)
    assert sorted(_members(steps)) == list(range(len(rows)))
    assert all(part for step in steps for part in step)
    assert steps == Sampler(rows, seconds, clips, parts, packed, seed=3).epoch(epoch)


@settings(max_examples=40)
@given(rows, st.booleans())
def test_a_step_has_the_same_members_however_it_is_shared(rows: tuple[Row, ...], packed: bool) -> None:
    alone = Sampler(rows, 40, 0, 1, packed, seed=0).epoch(1)
    shared = Sampler(rows, 10, 0, 4, packed, seed=0).epoch(1)
    if len(alone[-1][0]) >= 4 and all(len(step[0]) >= 4 for step in alone):
        assert [sorted(_members([step])) for step in alone] == [sorted(_members([step])) for step in shared]


def test_steps_hold_about_the_seconds_asked_for_and_parts_are_even() -> None:
    luck = random.Random(1)
    rows = tuple(
        Row(seconds, 40 + int(25 * seconds)) for seconds in (luck.uniform(1, 11) for _ in range(600))
    )
    steps = Sampler(rows, 30, 0, 2, True, seed=0).epoch(0)
    filled = [sum(rows[index].seconds for part in step for index in part) for step in steps]
    assert max(filled) <= 60
    assert sum(filled) / len(filled) > 52
    loads = [[sum(rows[index].tokens for index in part) for part in step] for step in steps[:-1]]
    assert sum(max(pair) - min(pair) for pair in loads) / len(loads) < 100


def test_epochs_differ_and_buckets_save_padding() -> None:
    luck = random.Random(1)
    rows = tuple(
        Row(seconds, 40 + int(25 * seconds)) for seconds in (luck.uniform(1, 11) for _ in range(600))
    )
    packed, padded = (Sampler(rows, 40, 0, 1, packed, seed=0) for packed in (True, False))
    assert packed.epoch(0) != packed.epoch(1)
    assert padding_share(packed, packed.epoch(0)) == 0
    assert 0 < padding_share(padded, padded.epoch(0)) < 0.05
    assert padding_share(padded, packed.epoch(0)) > 0.2


def test_weights_draw_clips_more_and_less_often() -> None:
    rows = (Row(2, 80, 2.0), Row(2, 80, 1.0), Row(2, 80, 0.5), Row(2, 80, 0.0))
    sampler = Sampler(rows, 4, 0, 1, True, seed=0)
    drawn = Counter(index for epoch in range(200) for index in _members(sampler.epoch(epoch)))
    assert drawn[0] == 400
    assert drawn[1] == 200
    assert 70 < drawn[2] < 130
    assert drawn[3] == 0


def test_fewer_clips_than_parts_is_said() -> None:
    with pytest.raises(TrainingError, match="2 clips cannot be shared by 3"):
        Sampler((Row(1, 50), Row(1, 50)), 10, 0, 3, True, seed=0)


def test_the_crop_rule_is_that_of_the_published_training(shared: Path) -> None:
    golden = json.loads((shared / "golden" / "outputs.json").read_text())
    luck = random.Random(golden["params"]["seed"])
    limits = [(20_000, 50_000)] * 5 + [
        (88_200, 132_300)
    ] * 2  # the last two: a clip shorter than the shortest crop
    drawn = [list(crop(golden["wav_samples"], luck, *pair)) for pair in limits]
    assert drawn == golden["prompt_slices"]
    assert list(crop_for_dev(golden["wav_samples"], 20_000, 50_000)) == golden["prompt_slice_eval"]


@given(st.integers(2, 300_000), st.integers(0, 99))
def test_a_crop_lies_inside_its_clip(samples: int, seed: int) -> None:
    start, end = crop(samples, random.Random(seed), 66_150, 132_300)
    assert 0 <= start < end <= samples
    start, end = crop_for_dev(samples, 66_150, 132_300)
    assert 0 <= start < end <= samples
