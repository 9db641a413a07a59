"""A run that no longer learns ends; one that learns by heart ends at once; numbers that are none are
counted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import ConfigError
from dimts.train.early_stopping import EarlyStop, NonFiniteGuard, StopSettings

losses = st.floats(0.01, 20, allow_nan=False)


def _run(curve: list[tuple[float, float]], settings: StopSettings | None = None) -> tuple[int, str]:
    watcher = EarlyStop(settings or StopSettings())
    for number, (train, dev) in enumerate(curve, start=1):
        verdict = watcher.see(train, dev)
        if verdict.stop:
            return number, verdict.stop
    return 0, ""


@pytest.mark.parametrize("epochs", [3, 5, 10, 40, 100])
def test_the_recorded_run_into_memorising_stops_by_epoch_three(epochs: int) -> None:
    way = [epoch / (epochs - 1) for epoch in range(epochs)]
    curve = [(0.64 * (0.0005 / 0.64) ** part, 3.42 + (8.59 - 3.42) * part) for part in way]
    stopped, reason = _run(curve)
    assert stopped == 3
    assert "by heart" in str(reason)


def test_patience_counts_only_evaluations_without_gain() -> None:
    dev = [5.0, 4.0, 4.1, 3.9, 3.9, 3.95, 3.9, 3.92]
    assert _run([(1.0, value) for value in dev], StopSettings(patience=4))[0] == 8
    assert _run([(1.0, value) for value in dev], StopSettings(patience=2))[0] == 6


def test_a_healthy_run_and_switched_off_alarms_never_stop() -> None:
    falling = [(3.0 - 0.1 * step, 4.0 - 0.1 * step) for step in range(20)]
    assert _run(falling) == (0, "")
    climbing = [(3.0 - 0.1 * step, 4.0 + 0.5 * step) for step in range(20)]
    assert _run(climbing, StopSettings(patience=0, divergence_rises=0)) == (0, "")


def test_noise_on_a_plateau_is_no_divergence() -> None:
    curve = [(2.0, 3.0), (1.99, 3.005), (1.98, 3.01), (1.97, 2.9)]
    assert _run(curve) == (0, "")


@given(st.lists(st.tuples(losses, losses), max_size=12), st.integers(0, 12))
def test_restoring_in_the_middle_changes_no_verdict(curve: list[tuple[float, float]], cut: int) -> None:
    settings = StopSettings(patience=3)
    whole, first = EarlyStop(settings), EarlyStop(settings)
    verdicts = [whole.see(*pair) for pair in curve]
    for pair in curve[:cut]:
        first.see(*pair)
    second = EarlyStop.restore(settings, first.state())
    assert [second.see(*pair) for pair in curve[cut:]] == verdicts[cut:]


def test_a_dev_loss_that_is_no_number_is_no_gain() -> None:
    watcher = EarlyStop(StopSettings(patience=2))
    assert watcher.see(1.0, 2.0).best
    assert not watcher.see(1.0, math.nan).best
    assert watcher.see(1.0, math.inf).stop


def test_the_guard_counts_and_gives_up() -> None:
    guard = NonFiniteGuard(allowed=1)
    assert guard.accepts(1.0, 2.0)
    assert not guard.accepts(math.nan, 1.0)
    assert not guard.exhausted
    assert not guard.accepts(1.0, math.inf)
    assert guard.exhausted


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ConfigError):
        StopSettings(patience=-1)
