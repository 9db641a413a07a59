"""Decide from losses whether a run goes on, at every evaluation and at every step.

`EarlyStop` ends a run whose dev loss no longer falls, and at once one that overfits: train loss falling while
dev loss rises. `NonFiniteGuard` skips steps whose loss or gradient is not a number, and gives up after a few
of them. All state is plain values, so that a resumed run stops where an uninterrupted one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from dimts.base.errors import ConfigError
from dimts.base.messages import Message


@dataclass(frozen=True, slots=True)
class StopSettings:
    """[train.stop]: when a run ends before its last step."""

    patience: int = 4
    """Evaluations in a row without a better dev loss after which the run ends; 0 never ends it."""
    minimum_gain: float = 0.001
    """Share by which a dev loss must fall below the best to count as better (0.001 = 0.1 %)."""
    divergence_rises: int = 2
    """Evaluations in a row with rising dev and falling train loss after which the run ends; 0 never."""
    divergence_rise: float = 0.01
    """Rise above the best dev loss, as a share of it, that those evaluations must reach before the run
    ends."""
    bad_steps: int = 5
    """Steps with a loss or gradient that is not finite before the run is given up; each is skipped."""

    def __post_init__(self) -> None:
        if min(self.patience, self.divergence_rises, self.bad_steps) < 0:
            raise ConfigError("train.train_stop_counts_not")
        if not 0 <= self.minimum_gain < 1 or self.divergence_rise < 0:
            raise ConfigError("train.train_stop_shares_lie")


@dataclass(frozen=True, slots=True)
class StopDecision:
    """Result of one evaluation."""

    best: bool
    """Whether the dev loss is the lowest so far (by at least the minimum gain)."""
    stop: Message | None = None
    """Why the run should end; None while it should go on."""


@dataclass(slots=True)
class EarlyStop:
    """Decide from dev and train losses, evaluation by evaluation, when to stop."""

    settings: StopSettings
    best: float = math.inf
    waited: int = 0
    rises: int = 0
    last_dev: float = math.inf
    last_train: float = math.inf
    curve: list[tuple[float, float]] = field(default_factory=list)
    """(train loss, dev loss) of every evaluation."""

    def see(self, train_loss: float, dev_loss: float) -> StopDecision:
        """Judge one evaluation. A dev loss that is not finite counts as no gain."""
        settings = self.settings
        first = not self.curve
        better = math.isfinite(dev_loss) and (
            not math.isfinite(self.best) or dev_loss < self.best * (1 - settings.minimum_gain)
        )
        climbs = not first and not dev_loss <= self.last_dev and train_loss < self.last_train
        self.rises = self.rises + 1 if climbs else 0
        self.waited = 0 if better else self.waited + 1
        if better:
            self.best = dev_loss
        self.curve.append((train_loss, dev_loss))
        self.last_dev, self.last_train = dev_loss, train_loss
        return StopDecision(better, self._reason(dev_loss))

    def _reason(self, dev_loss: float) -> Message | None:
        settings = self.settings
        if (
            settings.divergence_rises
            and self.rises >= settings.divergence_rises
            and not dev_loss <= self.best * (1 + settings.divergence_rise)
        ):
            return Message("train.diverging", rises=self.rises, dev_loss=dev_loss, best=self.best)
        if settings.patience and self.waited >= settings.patience:
            return Message("train.no_better_dev_loss", best=self.best, evaluations=self.waited)
        return None

    def state(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"curve": [list(pair) for pair in self.curve]}

    @classmethod
    def restore(cls, settings: StopSettings, state: dict[str, Any]) -> EarlyStop:
        """Restore the state after the recorded evaluations."""
        watcher = cls(settings)
        for train_loss, dev_loss in state["curve"]:
            watcher.see(train_loss, dev_loss)
        return watcher


@dataclass(slots=True)
class NonFiniteGuard:
    """Counts steps that were skipped because a number was not finite."""

    allowed: int
    skipped: int = 0

    def accepts(self, *values: float) -> bool:
        """Whether a step with these values (loss, gradient norm) may be taken; counts it if not."""
        if all(map(math.isfinite, values)):
            return True
        self.skipped += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether more steps were skipped than the settings allow."""
        return self.skipped > self.allowed
