"""Score a voice during training by another measure than the loss: synthesised sentences → one number.

Metrics come from outside: the caller of `fine_tune` passes `scorers` (the command line those of `dimts
evaluate`), and packages register theirs as entry points of the group `dimts.metric`. `train.best_by` names
the one that chooses the best checkpoint. A scorer is made once per run, and called at every evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError
from dimts.base.plugins import resolve
from dimts.base.project import Project

LOSS = "loss"
"""Value of `train.best_by` for the dev loss, without a scorer."""


@dataclass(frozen=True, slots=True)
class EvaluatedSentence:
    """A held-out sentence as the voice speaks it now."""

    name: str
    """Id of the clip."""
    text: str
    words: tuple[tuple[str, ...], ...]
    """The phones of each word, as the front end produced them."""
    wave: Wave
    reference: Wave
    """The speaker's own recording."""


class Metric(Protocol):
    """A function from synthesised sentences to one number."""

    @property
    def lower_is_better(self) -> bool:
        """True of error rates, False of similarities."""

    def __call__(self, spoken: Sequence[EvaluatedSentence]) -> float:
        """Return the score; nan if nothing could be measured."""


Metrics = Mapping[str, Callable[[Project], Metric]]
"""Factories of scorers for a project, by name."""


def metric_for(name: str, project: Project, scorers: Metrics | None) -> Metric | None:
    """Make the scorer that `train.best_by` names; None for the loss. ConfigError for an unknown name."""
    if name == LOSS:
        return None
    try:
        return resolve(name, scorers or {}, "dimts.metric")(project)
    except ConfigError as error:
        raise ConfigError("train.unknown_metric", metric=name, reason=error) from error
