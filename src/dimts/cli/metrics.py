"""Metrics of training (`train.best_by = "per"`) from the figures of `dimts evaluate`."""

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
"""Figures that need an embedding of the speaker."""


@dataclass(slots=True)
class Figure:
    """The mean of one figure over the sentences spoken; nan where it could not be measured."""

    name: str
    """Name of the figure in `rank.FIGURES`."""
    project: Project
    """Project whose recogniser is used."""
    _tools: Any = field(default=None, init=False)

    @property
    def lower_is_better(self) -> bool:
        """Whether lower values are better."""
        return not _MORE_IS_BETTER[self.name]

    def __call__(self, spoken: Sequence[EvaluatedSentence]) -> float:
        """Measure every sentence and return the mean of the finite values."""
        from dimts.evaluate.measure import EvaluationSentence, SpokenSentence, measure
        from dimts.evaluate.rank import FIGURES

        if not spoken:
            return math.nan
        tools = self._tools = self._tools or self._load_tools(spoken)
        found = []
        for one in spoken:
            measurable = SpokenSentence(one.wave, one.words, (), math.nan)
            found.append(measure(EvaluationSentence(one.name, one.text, one.reference), measurable, tools))
        numbers = [value for one in found if math.isfinite(value := FIGURES[self.name][0](one))]
        return sum(numbers) / len(numbers) if numbers else math.nan

    def _load_tools(self, spoken: Sequence[EvaluatedSentence]) -> Any:
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
"""Metrics that `train.best_by` may name besides the loss."""
