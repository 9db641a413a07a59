"""How good the voice is at this moment, by another measure than the loss: sentences spoken → one number.

What measures stands outside: whoever calls `fine_tune` hands in `scorers` (the command line those of `dimts
evaluate`), and packages register theirs as entry points of the group `dimts.metric`. `train.best_by` names
the one that decides which checkpoint is the best. A scorer is made once a run, and asked at every evaluation.
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
"""The value of `train.best_by` that asks nobody."""


@dataclass(frozen=True, slots=True)
class EvaluatedSentence:
    """A held-out sentence as the voice says it now."""

    name: str
    """Id of the clip."""
    text: str
    words: tuple[tuple[str, ...], ...]
    """The phones of each word, as the front end had them."""
    wave: Wave
    reference: Wave
    """The speaker's own recording."""


class Metric(Protocol):
    """What makes one number of spoken sentences."""

    @property
    def lower_is_better(self) -> bool:
        """True of errors, False of likeness."""

    def __call__(self, spoken: Sequence[EvaluatedSentence]) -> float:
        """The score; nan if nothing could be measured."""


Metrics = Mapping[str, Callable[[Project], Metric]]
"""Name → what makes the scorer for a project."""


def metric_for(name: str, project: Project, scorers: Metrics | None) -> Metric | None:
    """The scorer that `train.best_by` names; None for the loss. ConfigError for one that nobody provides."""
    if name == LOSS:
        return None
    try:
        return resolve(name, scorers or {}, "dimts.metric")(project)
    except ConfigError as error:
        raise ConfigError("train.unknown_metric", metric=name, reason=error) from error
