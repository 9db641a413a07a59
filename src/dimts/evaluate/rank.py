"""Ranks voices measured on the same sentences, with intervals and reasons.

Each sentence gets a score from 0 to 100, so that voices can be compared sentence by sentence:

    45 %    intelligibility  phone error rate; 0 scores 1, 0.7 and more, which is chance, scores 0
    15 %    no faults        1 without a fault, else 0
    15 %    similarity       likeness to the speaker; 0.5 scores 0, 0.9 scores 1
    15 %    likelihood       relative negative log-likelihood of the speaker's recording (code_likelihood.py);
    0 scores
                             1, a half scores 1/2, 1 (a uniform model) scores 1/4, and so on
    10 %    quality          DNSMOS overall; 1 scores 0, 4 scores 1

Unintelligible speech gains nothing from other properties: no faults, similarity and quality count in
proportion to intelligibility, fully from a phone error rate of 0.6 down. Parts that could not be measured are
left out and the weights rescaled. The voice with the highest mean is best; its lead is clear if it wins in 95
% of the bootstrap samples of the sentences, otherwise the ranking says that it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dimts.base.errors import DataError
from dimts.base.messages import Message
from dimts.evaluate.intervals import LEVEL, Interval, bootstrap, probability_better, share
from dimts.evaluate.measure import MeasuredSentence

WEIGHTS = {"intelligibility": 0.45, "no_faults": 0.15, "similarity": 0.15, "likelihood": 0.15, "quality": 0.1}
_CHANCE_ERRORS = 0.7
"""Phone error rate of unrelated speech; differences above it are chance."""
_FULL_CREDIT = 0.15
"""Intelligibility from which the other parts count fully: a phone error rate of 0.6."""
_LIKELIHOOD_BASE = 0.5
_SIMILARITY = (0.5, 0.9)
_QUALITY = (1.0, 4.0)
_LEAST_DIFFERENCE = 0.02
"""Least difference of a part that is named as a reason."""

Figure = Callable[[MeasuredSentence], float]

FIGURES: dict[str, tuple[str, Figure, int]] = {
    "per": ("phone errors", lambda one: one.examined.errors.rate, -1),
    "per_without_length": ("without length", lambda one: one.examined.errors_without_length.rate, -1),
    "faults": ("faulty sentences", lambda one: float(bool(one.faults)), -1),
    "likeness": ("likeness", lambda one: one.examined.likeness, 1),
    "quality": ("DNSMOS", lambda one: one.quality.overall if one.quality else math.nan, 1),
    "snr_db": ("SNR dB", lambda one: min(one.examined.snr_db, _MOST_DB), 1),
    "nll": ("NLL", lambda one: one.nll, -1),
    "mcd_db": ("MCD dB", lambda one: one.mcd_db, -1),
    "pitch_correlation": ("pitch correlation", lambda one: one.pitch_correlation, 1),
    "phones_per_second": ("phones/s", lambda one: one.examined.prosody.phones_per_second, 0),
    "cer": ("CER", lambda one: one.cer.rate if one.transcript is not None else math.nan, -1),
    "amharic_cer": (
        "Amharic-aware CER",
        lambda one: one.amharic_cer.rate if one.transcript is not None else math.nan,
        -1,
    ),
}
"""By name: title, function of a measured sentence, and 1 if higher is better, −1 if lower is, else 0."""
_MOST_DB = 60.0
"""Limit of the SNR in a mean, as digital silence between words makes it infinite."""


def parts(one: MeasuredSentence) -> dict[str, float]:
    """Compute the parts of a sentence's score, each 0 to 1; nan where it could not be measured."""
    similarity, quality = one.examined.likeness, one.quality.overall if one.quality else math.nan
    intelligible = 1.0 - min(1.0, one.examined.errors.rate / _CHANCE_ERRORS)
    credit = min(1.0, intelligible / _FULL_CREDIT)
    return {
        "intelligibility": intelligible,
        "no_faults": credit * (not one.faults),
        "similarity": credit * _between(similarity, *_SIMILARITY),
        "likelihood": _LIKELIHOOD_BASE ** (one.nll / 0.5),
        "quality": credit * _between(quality, *_QUALITY),
    }


def sentence_score(one: MeasuredSentence) -> float:
    """Compute the score of a sentence, 0 to 100."""
    known = {name: value for name, value in parts(one).items() if not math.isnan(value)}
    return 100.0 * sum(WEIGHTS[name] * value for name, value in known.items()) / sum(WEIGHTS[name] for name in known)


def _between(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low))) if not math.isnan(value) else math.nan


@dataclass(frozen=True, slots=True)
class RankedVoice:
    """A voice in a ranking."""

    name: str
    """Name of the voice."""
    score: Interval
    """Mean score of the sentences, 0 to 100."""
    figures: Mapping[str, Interval]
    """Mean and interval of each of FIGURES that could be measured."""
    parts: Mapping[str, float]
    """Mean of each part of the score, 0 to 1."""
    fault_counts: Mapping[str, int]
    """Number of sentences by kind of fault."""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "name": self.name,
            "score": self.score.as_dict(),
            "figures": {name: one.as_dict() for name, one in self.figures.items()},
            "parts": {name: round(value, 4) for name, value in self.parts.items() if not math.isnan(value)},
            "faults": dict(self.fault_counts),
        }


@dataclass(frozen=True, slots=True)
class Ranking:
    """Voices in order, the best first."""

    order: tuple[RankedVoice, ...]
    """All voices, the best first."""
    probability: float
    """Probability that the first voice is better than the second, by bootstrap; nan with one voice."""
    reasons: tuple[Message, ...]
    """Messages that explain the ranking."""

    @property
    def best(self) -> RankedVoice:
        """The voice with the highest mean score."""
        return self.order[0]

    @property
    def clear(self) -> bool:
        """Whether the best voice wins in 95 % of the bootstrap samples."""
        return self.probability >= LEVEL

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "best": self.best.name,
            "clear": self.clear,
            "probability_better_than_second": None if math.isnan(self.probability) else round(self.probability, 4),
            "reasons": [one.as_dict() | {"text": one.line("en")} for one in self.reasons],
            "order": [one.as_dict() for one in self.order],
        }


def rank(voices: Mapping[str, Sequence[MeasuredSentence]]) -> Ranking:
    """Rank voices measured on the same sentences. DataError for none, or for voices with different lists."""
    lists = {tuple(one.name for one in measured) for measured in voices.values()}
    if len(lists) != 1 or not next(iter(lists)):
        raise DataError("evaluate.no_common_sentences")
    ranked = sorted((_ranked(name, measured) for name, measured in voices.items()), key=lambda one: -one.score.mean)
    if len(ranked) == 1:
        only = ranked[0]
        return Ranking(
            (only,),
            math.nan,
            (Message("evaluate.only_voice", name=only.name, score=str(only.score)), _faults_line(only)),
        )
    first, second = ranked[:2]
    # probability_better prefers the lower mean
    best, other = ([-sentence_score(one) for one in voices[name]] for name in (first.name, second.name))
    probability = probability_better(best, other)
    return Ranking(tuple(ranked), probability, tuple(_reasons(first, second, probability)))


def _ranked(name: str, measured: Sequence[MeasuredSentence]) -> RankedVoice:
    figures = {}
    for key, (_, read, _) in FIGURES.items():
        weights = [float(one.examined.errors.reference_length) for one in measured] if key.startswith("per") else None
        if key == "faults":
            found = share(sum(bool(one.faults) for one in measured), len(measured))
        else:
            found = bootstrap([read(one) for one in measured], weights)
        if found.count:
            figures[key] = found
    every = [parts(one) for one in measured]
    means = {}
    for part in WEIGHTS:
        known = [one[part] for one in every if not math.isnan(one[part])]
        means[part] = float(np.mean(known)) if known else math.nan
    counts: dict[str, int] = {}
    for one in measured:
        for kind in dict.fromkeys(issue.kind for issue in one.faults):
            counts[kind] = counts.get(kind, 0) + 1
    ordered = dict(sorted(counts.items(), key=lambda item: -item[1]))
    return RankedVoice(name, bootstrap([sentence_score(one) for one in measured]), figures, means, ordered)


def _reasons(first: RankedVoice, second: RankedVoice, probability: float) -> list[Message]:
    lines = [
        Message(
            "evaluate.best_voice",
            name=first.name,
            score=str(first.score),
            second=second.name,
            second_score=str(second.score),
        )
    ]
    gains = {
        name: WEIGHTS[name] * (first.parts[name] - second.parts[name])
        for name in WEIGHTS
        if not math.isnan(first.parts[name] - second.parts[name])
    }
    compared = [
        (gains[name], Message(_PART_CODES[name], first=100 * first.parts[name], second=100 * second.parts[name]))
        for name in sorted(gains, key=lambda name: -abs(gains[name]))
        if abs(first.parts[name] - second.parts[name]) >= _LEAST_DIFFERENCE
    ]
    better = tuple(message for gain, message in compared if gain > 0)
    worse = tuple(message for gain, message in compared if gain < 0)
    if better:
        lines.append(Message("evaluate.better_in", parts=better))
    if worse:
        lines.append(Message("evaluate.worse_in", parts=worse))
    code = "evaluate.lead_clear" if probability >= LEVEL else "evaluate.lead_not_clear"
    lines.append(Message(code, percent=100 * probability))
    lines.append(_faults_line(first))
    return lines


_PART_CODES = {
    "intelligibility": "evaluate.part_intelligibility",
    "no_faults": "evaluate.part_no_faults",
    "similarity": "evaluate.part_similarity",
    "likelihood": "evaluate.part_likelihood",
    "quality": "evaluate.part_quality",
}


def _faults_line(one: RankedVoice) -> Message:
    found = [f"{kind} {count}" for kind, count in one.fault_counts.items()]
    if not found:
        return Message("evaluate.no_faults_of", name=one.name)
    return Message("evaluate.faults_of", name=one.name, faults=found)
