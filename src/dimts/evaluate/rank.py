"""Voices, measured on the same sentences → which is best, how sure that is, and why.

Each sentence gets one figure, its worth from 0 to 100, so that voices can be compared sentence by sentence:

    45 %    intelligible     phone error rate, none counts 1 and 0.7 counts 0, which is babble to the recogniser
    15 %    without faults   nothing cut, repeated, made up, swallowed
    15 %    alike            likeness to the speaker, 0.5 counts 0 and 0.9 counts 1
    15 %    foreseen         how far the speaker's own recording of it surprises the model (foresight.py): none
                             counts 1, a half 1/2, as much as a model that knows nothing 1/4, and so on
    10 %    clean            DNSMOS overall, 1 counts 0 and 4 counts 1

Babble that is free of faults, sounds like the speaker or is clean is not better for it: those three parts count only
as far as something can be understood, wholly from six phone errors in ten on. What could not be measured is left out
and the rest scaled up. The voice with the highest mean is best; it is called clear when it wins in 95 % of bootstrap
samples of the sentences, else the report says that it is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dimts.base.errors import DataError
from dimts.base.messages import Message
from dimts.evaluate.intervals import LEVEL, Interval, bootstrap, chance_better, share
from dimts.evaluate.measure import MeasuredSentence

WEIGHTS = {"intelligible": 0.45, "faultless": 0.15, "alike": 0.15, "foreseen": 0.15, "clean": 0.1}
_BABBLE = 0.7
"""Phone errors of a sound that is not the sentence; above it differences are chance."""
_UNDERSTOOD = 0.15
"""Of the intelligible part, from which on the other parts count wholly: a phone error rate of 0.6."""
_HALVED = 0.5
_LIKE = (0.5, 0.9)
_CLEAN = (1.0, 4.0)
_EVEN = 0.02
"""A part in which two voices differ by less than this is no reason."""

Figure = Callable[[MeasuredSentence], float]

FIGURES: dict[str, tuple[str, Figure, int]] = {
    "per": ("phone errors", lambda one: one.examined.errors.rate, -1),
    "per_without_length": ("without length", lambda one: one.examined.errors_without_length.rate, -1),
    "faults": ("faulty sentences", lambda one: float(bool(one.faults)), -1),
    "likeness": ("likeness", lambda one: one.examined.likeness, 1),
    "quality": ("DNSMOS", lambda one: one.quality.overall if one.quality else math.nan, 1),
    "snr_db": ("SNR dB", lambda one: min(one.examined.snr_db, _MOST_DB), 1),
    "surprise": ("surprise", lambda one: one.surprise, -1),
    "mcd_db": ("MCD dB", lambda one: one.mcd_db, -1),
    "pitch_correlation": ("melody", lambda one: one.pitch_correlation, 1),
    "phones_per_second": ("phones/s", lambda one: one.examined.prosody.phones_per_second, 0),
    "cer": ("CER", lambda one: one.cer.rate if one.transcript is not None else math.nan, -1),
    "amharic_cer": (
        "Amharic-aware CER",
        lambda one: one.amharic_cer.rate if one.transcript is not None else math.nan,
        -1,
    ),
}
"""Name → title, how it is read off, and whether more is better (1), less (−1), or neither (0)."""
_MOST_DB = 60.0
"""Digital silence between words would make a mean infinite."""


def parts(one: MeasuredSentence) -> dict[str, float]:
    """The parts of a sentence's worth, each 0 to 1; nan where it could not be measured."""
    like, clean = one.examined.likeness, one.quality.overall if one.quality else math.nan
    intelligible = 1.0 - min(1.0, one.examined.errors.rate / _BABBLE)
    understood = min(1.0, intelligible / _UNDERSTOOD)
    return {
        "intelligible": intelligible,
        "faultless": understood * (not one.faults),
        "alike": understood * _between(like, *_LIKE),
        "foreseen": _HALVED ** (one.surprise / 0.5),
        "clean": understood * _between(clean, *_CLEAN),
    }


def worth(one: MeasuredSentence) -> float:
    """A sentence's worth, 0 to 100."""
    known = {name: value for name, value in parts(one).items() if not math.isnan(value)}
    return 100.0 * sum(WEIGHTS[name] * value for name, value in known.items()) / sum(WEIGHTS[name] for name in known)


def _between(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low))) if not math.isnan(value) else math.nan


@dataclass(frozen=True, slots=True)
class Standing:
    """One voice in the order."""

    name: str
    worth: Interval
    figures: Mapping[str, Interval]
    """One for each of FIGURES that could be measured."""
    parts: Mapping[str, float]
    fault_counts: Mapping[str, int]
    """Kind of fault → sentences that have it."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "worth": self.worth.as_dict(),
            "figures": {name: one.as_dict() for name, one in self.figures.items()},
            "parts": {name: round(value, 4) for name, value in self.parts.items() if not math.isnan(value)},
            "faults": dict(self.fault_counts),
        }


@dataclass(frozen=True, slots=True)
class Ranking:
    """All voices, the best first."""

    order: tuple[Standing, ...]
    chance: float
    """That the first is better than the second; nan with one voice."""
    why: tuple[Message, ...]
    """Lines for people."""

    @property
    def best(self) -> Standing:
        """The winner."""
        return self.order[0]

    @property
    def clear(self) -> bool:
        """Whether other sentences would hardly change the winner."""
        return self.chance >= LEVEL

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "best": self.best.name,
            "clear": self.clear,
            "chance_better_than_second": None if math.isnan(self.chance) else round(self.chance, 4),
            "why": [one.as_dict() | {"text": one.line("en")} for one in self.why],
            "order": [one.as_dict() for one in self.order],
        }


def rank(voices: Mapping[str, Sequence[MeasuredSentence]]) -> Ranking:
    """Order voices that said the same sentences. DataError for none, or for voices with unlike lists."""
    lists = {tuple(one.name for one in measured) for measured in voices.values()}
    if len(lists) != 1 or not next(iter(lists)):
        raise DataError("evaluate.no_common_sentences")
    standings = sorted((_stand(name, measured) for name, measured in voices.items()), key=lambda one: -one.worth.mean)
    if len(standings) == 1:
        only = standings[0]
        return Ranking(
            (only,),
            math.nan,
            (Message("evaluate.only_voice", name=only.name, score=str(only.worth)), _faults_line(only)),
        )
    first, second = standings[:2]
    # chance_better asks for the lower mean
    chance = chance_better([-worth(one) for one in voices[first.name]], [-worth(one) for one in voices[second.name]])
    return Ranking(tuple(standings), chance, tuple(_why(first, second, chance)))


def _stand(name: str, measured: Sequence[MeasuredSentence]) -> Standing:
    figures = {}
    for key, (_, read, _) in FIGURES.items():
        weights = [float(one.examined.errors.expected) for one in measured] if key.startswith("per") else None
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
        for kind in dict.fromkeys(doubt.kind for doubt in one.faults):
            counts[kind] = counts.get(kind, 0) + 1
    ordered = dict(sorted(counts.items(), key=lambda item: -item[1]))
    return Standing(name, bootstrap([worth(one) for one in measured]), figures, means, ordered)


def _why(first: Standing, second: Standing, chance: float) -> list[Message]:
    lines = [
        Message(
            "evaluate.best_voice",
            name=first.name,
            score=str(first.worth),
            second=second.name,
            second_score=str(second.worth),
        )
    ]
    gains = {
        name: WEIGHTS[name] * (first.parts[name] - second.parts[name])
        for name in WEIGHTS
        if not math.isnan(first.parts[name] - second.parts[name])
    }
    words = {
        name: f"{name} {100 * first.parts[name]:.0f} against {100 * second.parts[name]:.0f}"
        for name in sorted(gains, key=lambda name: -abs(gains[name]))
        if abs(first.parts[name] - second.parts[name]) >= _EVEN
    }
    ahead = [text for name, text in words.items() if gains[name] > 0]
    behind = [text for name, text in words.items() if gains[name] < 0]
    if ahead:
        lines.append(Message("evaluate.ahead_in", parts=ahead))
    if behind:
        lines.append(Message("evaluate.behind_in", parts=behind))
    code = "evaluate.lead_clear" if chance >= LEVEL else "evaluate.lead_not_clear"
    lines.append(Message(code, chance=100 * chance))
    lines.append(_faults_line(first))
    return lines


def _faults_line(one: Standing) -> Message:
    found = [f"{kind} {count}" for kind, count in one.fault_counts.items()]
    if not found:
        return Message("evaluate.no_faults_of", name=one.name)
    return Message("evaluate.faults_of", name=one.name, faults=found)
