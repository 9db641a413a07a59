"""Figures of `dimts evaluate` as scorers of training, which knows nothing of evaluation: `train.best_by = "per"`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dimts.base.project import Project
    from dimts.train.metrics import EvaluatedSentence, Metric

_MORE_IS_BETTER = {
    "per": False,
    "per_without_length": False,
    "faults": False,
    "mcd_db": False,
    "likeness": True,
    "quality": True,
    "snr_db": True,
    "pitch_correlation": True,
}
_PROFILE = ("likeness", "faults")
"""Figures that need to know the speaker's voice."""


@dataclass(slots=True)
class Figure:
    """The mean of one figure over the sentences spoken; nan where it could be measured of none."""

    name: str
    project: Project
    _tools: Any = field(default=None, init=False)

    @property
    def lower_is_better(self) -> bool:
        """True of errors."""
        return not _MORE_IS_BETTER[self.name]

    def __call__(self, spoken: Sequence[EvaluatedSentence]) -> float:
        """Measure every sentence; one in which nothing can be heard counts as the figure says."""
        from dimts.evaluate.measure import EvaluationSentence, SpokenSentence, measure
        from dimts.evaluate.rank import FIGURES

        if not spoken:
            return math.nan
        tools = self._tools = self._tools or self._ready(spoken)
        found = []
        for one in spoken:
            performed = SpokenSentence(one.wave, one.words, (), math.nan)
            found.append(measure(EvaluationSentence(one.name, one.text, one.reference), performed, tools))
        numbers = [value for one in found if math.isfinite(value := FIGURES[self.name][1](one))]
        return sum(numbers) / len(numbers) if numbers else math.nan

    def _ready(self, spoken: Sequence[EvaluatedSentence]) -> Any:
        from dimts.audio.likeness import profile
        from dimts.evaluate.compare_voices import RECOGNISER_FILE
        from dimts.evaluate.measure import MeasuringTools
        from dimts.evaluate.phone_recogniser import PhoneRecogniser

        own = self.project.root / RECOGNISER_FILE
        voice = profile([one.reference for one in spoken]) if self.name in _PROFILE else None
        return MeasuringTools(
            PhoneRecogniser.load(own if own.is_file() else None), voice, quality=self.name == "quality"
        )


SCORERS: dict[str, Callable[[Project], Metric]] = {name: partial(Figure, name) for name in _MORE_IS_BETTER}
"""What `train.best_by` may name besides the loss."""
