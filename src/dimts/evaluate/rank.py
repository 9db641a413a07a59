"""Rank voices measured on the same sentences, with intervals and reasons.

Each sentence gets a score from 0 to 100, so that voices can be compared sentence by sentence:

    45 %    intelligibility  phone error rate; 0 scores 1, 0.7 and more, which is chance, scores 0
    15 %    no faults        1 without a fault, else 0
    15 %    similarity       likeness to the speaker; 0.5 scores 0, 0.9 scores 1
    15 %    likelihood       relative negative log-likelihood of the speaker's recording
                             (code_likelihood.py): 0 scores 1, 0.5 scores 1/2, 1 (a uniform model) scores 1/4
    10 %    quality          DNSMOS overall; 1 scores 0, 4 scores 1

Unintelligible speech gains nothing from other properties: no faults, similarity and quality count in
proportion to intelligibility, fully from a phone error rate of 0.6 down. Parts that could not be measured are
left out and the weights rescaled. The voice with the highest mean is best; its lead is clear if it wins in 95
% of the bootstrap samples of the sentences, otherwise the ranking says that it is not.

A recogniser that was trained on formant voices alone recognises equally good speakers unequally well, and the
formant voice, and what sounds like it, much better than any of them. Its scores of other voices mean little:
with a `VoiceEffect` for a voice no score is shown, and the places in the ranking have intervals that include
the effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dimts.base.errors import DataError
from dimts.base.messages import Message
from dimts.evaluate.intervals import DRAWS, LEVEL, Interval, bootstrap, share
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


@dataclass(frozen=True, slots=True)
class VoiceEffect:
    """Error of a recogniser that concerns all sentences of a voice, in points of the mean score."""

    spread: float
    """Standard deviation of the mean scores of equally good speakers."""
    advantage: float = 0.0
    """Points by which a voice of the recogniser's training data may be overrated; from 0 to this is equally
    likely."""


UNTRAINED = VoiceEffect(spread=8.6)
"""Effect for recordings by the shipped recogniser, measured on eleven speakers (docs/evaluation.md)."""
SYNTHETIC_UNTRAINED = VoiceEffect(spread=8.6, advantage=68.1)
"""Effect for synthetic speech by the shipped recogniser, to which it may be as familiar as the formant voice:
the advantage is the difference of mean scores between that voice and recordings."""

Figure = Callable[[MeasuredSentence], float]

FIGURES: dict[str, tuple[Figure, int]] = {
    "per": (lambda one: one.examined.errors.rate, -1),
    "per_without_length": (lambda one: one.examined.errors_without_length.rate, -1),
    "faults": (lambda one: float(bool(one.faults)), -1),
    "likeness": (lambda one: one.examined.likeness, 1),
    "quality": (lambda one: one.quality.overall if one.quality else math.nan, 1),
    "length_ratio": (lambda one: one.length_ratio, 0),
    "contrast": (
        lambda one: math.nan if math.isnan(one.contrast_margin) else float(one.contrast_margin > 0),
        1,
    ),
    "snr_db": (lambda one: min(one.examined.snr_db, MOST_SNR_DB), 1),
    "nll": (lambda one: one.nll, -1),
    "mcd_db": (lambda one: one.mcd_db, -1),
    "pitch_correlation": (lambda one: one.pitch_correlation, 1),
    "phones_per_second": (lambda one: one.examined.prosody.phones_per_second, 0),
    "real_time_factor": (lambda one: one.real_time_factor, -1),
    "cer": (lambda one: one.cer.rate if one.transcript is not None else math.nan, -1),
    "amharic_cer": (
        lambda one: one.amharic_cer.rate if one.transcript is not None else math.nan,
        -1,
    ),
}
"""By name: function of a measured sentence, and 1 if higher is better, −1 if lower is, else 0."""
MOST_SNR_DB = 60.0
"""Limit of the SNR in a mean, as digital silence between words makes it infinite."""


def figure_title(name: str) -> Message:
    """Return the title of one of FIGURES, or of a figure that is compared."""
    return Message(f"evaluate.figure_{name}")


def fault_title(kind: str) -> Message:
    """Return the name of a kind of fault for people."""
    return Message(f"evaluate.fault_{kind}")


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
    return (
        100.0
        * sum(WEIGHTS[name] * value for name, value in known.items())
        / sum(WEIGHTS[name] for name in known)
    )


def _between(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low))) if not math.isnan(value) else math.nan


@dataclass(frozen=True, slots=True)
class RankedVoice:
    """A voice in a ranking."""

    name: str
    """Name of the voice."""
    score: Interval
    """Mean score of the sentences, 0 to 100."""
    place: Interval
    """Place in the ranking, 1 is the best, with its interval."""
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
            "place": self.place.as_dict(),
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
    scored: bool = True
    """Whether the scores mean something; if not, only the places do."""

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
            "scored": self.scored,
            "probability_better_than_second": None
            if math.isnan(self.probability)
            else round(self.probability, 4),
            "reasons": [one.as_dict() | {"text": one.line("en")} for one in self.reasons],
            "order": [
                one.as_dict() | ({} if self.scored else {"score": None, "parts": {}}) for one in self.order
            ],
        }


def rank(
    voices: Mapping[str, Sequence[MeasuredSentence]], effects: Mapping[str, VoiceEffect] | None = None
) -> Ranking:
    """Rank voices measured on the same sentences. DataError for none, or for voices with different lists.

    `effects` by name are errors of the recogniser that concern whole voices; with any, no score is shown.
    """
    lists = {tuple(one.name for one in measured) for measured in voices.values()}
    if len(lists) != 1 or not next(iter(lists)):
        raise DataError("evaluate.no_common_sentences")
    scores = {name: np.array([sentence_score(one) for one in measured]) for name, measured in voices.items()}
    names = sorted(voices, key=lambda name: -float(scores[name].mean()))
    means = mean_scores([scores[name] for name in names], [(effects or {}).get(name) for name in names])
    places = _places(means)
    ranked = [_ranked(name, voices[name], place) for name, place in zip(names, places, strict=True)]
    scored = not effects
    if len(ranked) == 1:
        only = ranked[0]
        code = "evaluate.only_voice" if scored else "evaluate.only_voice_unscored"
        return Ranking(
            (only,),
            math.nan,
            (Message(code, name=only.name, score=str(only.score)), _faults_line(only)),
            scored,
        )
    first, second = ranked[:2]
    probability = float((means[:, 0] > means[:, 1]).mean() + 0.5 * (means[:, 0] == means[:, 1]).mean())
    reasons = (
        _reasons(first, second, probability) if scored else _reasons_by_place(first, second, probability)
    )
    return Ranking(tuple(ranked), probability, tuple(reasons), scored)


Floats = npt.NDArray[np.float64]


def mean_scores(scores: Sequence[Floats], effects: Sequence[VoiceEffect | None], seed: int = 1) -> Floats:
    """Draw [DRAWS, V] mean scores of the voices: the same bootstrap samples of sentences for all, and
    effects."""
    generator = np.random.default_rng(seed)
    count = len(scores[0])
    rows = generator.integers(0, count, (DRAWS, count))
    means = np.stack([one[rows].mean(axis=1) for one in scores], axis=1)
    for place, effect in enumerate(effects):
        if effect is not None:
            means[:, place] += generator.normal(0.0, effect.spread, DRAWS)
            means[:, place] -= generator.uniform(0.0, effect.advantage, DRAWS)
    return means


def _places(means: Floats) -> list[Interval]:
    """Compute the place of each voice in the order of the means, with its interval over the draws [DRAWS,
    V]."""
    better = (means[:, None, :] > means[:, :, None]).sum(axis=2)
    equal = (means[:, None, :] == means[:, :, None]).sum(axis=2) - 1
    drawn = 1.0 + better + 0.5 * equal
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    return [
        Interval(float(number), float(least), float(most), len(drawn))
        for number, (least, most) in enumerate(zip(low, high, strict=True), start=1)
    ]


def section_figures(
    voices: Mapping[str, Sequence[MeasuredSentence]],
) -> dict[str, dict[str, dict[str, Interval]]]:
    """Compute the figures of each section of the list and each voice: [section][voice][figure]; {} without
    sections."""
    sections = dict.fromkeys(one.section for measured in voices.values() for one in measured if one.section)
    return {
        section: {
            name: figures([one for one in measured if one.section == section])
            for name, measured in voices.items()
        }
        for section in sections
    }


def figures(measured: Sequence[MeasuredSentence]) -> dict[str, Interval]:
    """Compute the mean and interval of each of FIGURES that was measured."""
    out = {}
    for key, (read, _) in FIGURES.items():
        weights = (
            [float(one.examined.errors.reference_length) for one in measured]
            if key.startswith("per")
            else None
        )
        if key == "faults":
            found = share(sum(bool(one.faults) for one in measured), len(measured))
        elif key == "contrast":
            known = [read(one) for one in measured if not math.isnan(read(one))]
            found = share(round(sum(known)), len(known))
        else:
            found = bootstrap([read(one) for one in measured], weights)
        if found.count:
            out[key] = found
    return out


def _ranked(name: str, measured: Sequence[MeasuredSentence], place: Interval) -> RankedVoice:
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
    return RankedVoice(
        name, bootstrap([sentence_score(one) for one in measured]), place, figures(measured), means, ordered
    )


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
        (
            gains[name],
            Message(_PART_CODES[name], first=100 * first.parts[name], second=100 * second.parts[name]),
        )
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


def _reasons_by_place(first: RankedVoice, second: RankedVoice, probability: float) -> list[Message]:
    code = "evaluate.lead_clear" if probability >= LEVEL else "evaluate.lead_not_clear"
    return [
        Message(
            "evaluate.best_place",
            name=first.name,
            place=str(first.place),
            second=second.name,
            second_place=str(second.place),
        ),
        Message(code, percent=100 * probability),
        _faults_line(first),
    ]


_PART_CODES = {
    "intelligibility": "evaluate.part_intelligibility",
    "no_faults": "evaluate.part_no_faults",
    "similarity": "evaluate.part_similarity",
    "likelihood": "evaluate.part_likelihood",
    "quality": "evaluate.part_quality",
}


def _faults_line(one: RankedVoice) -> Message:
    found = [
        Message("evaluate.fault_count", fault=fault_title(kind), count=count)
        for kind, count in one.fault_counts.items()
    ]
    if not found:
        return Message("evaluate.no_faults_of", name=one.name)
    return Message("evaluate.faults_of", name=one.name, faults=found)
