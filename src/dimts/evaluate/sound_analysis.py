"""Analyse one sound: recognised phones with times, aligned under the words of its text, faults and figures.

    found = analyse_sound(wave, "ሰላም ለዓለም።", tools)
    found.words[0]        text, expected and recognised phones, start and end

Without a text there are the recognised phones and what concerns the sound alone: noise and pauses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimts.audio.level import high_pass
from dimts.audio.likeness import embed, likeness
from dimts.audio.wave import Wave
from dimts.base.issue import Issue
from dimts.evaluate import plots
from dimts.evaluate.faults import floor_snr_db, sound_issues
from dimts.evaluate.measure import (
    EvaluationSentence,
    MeasuredSentence,
    MeasuringTools,
    SpokenSentence,
    measure,
)
from dimts.evaluate.phone_labels import AlignedPhone, word_labels
from dimts.evaluate.quality import quality
from dimts.evaluate.sound import mcd_db, pitch, pitch_correlation, prosody
from dimts.text.frontend import phonemise


@dataclass(frozen=True, slots=True)
class AlignedWord:
    """A word of the text, what was recognised for it, and when it is spoken."""

    text: str
    """The word as it is read, in fidel."""
    expected: tuple[str, ...]
    """Labels of its phones."""
    recognised: tuple[str, ...]
    """Labels recognised in its frames."""
    start: float
    """Seconds from the start of the wave; nan where the wave is too short for the text."""
    end: float
    """Seconds from the start of the wave."""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "text": self.text,
            "expected": " ".join(self.expected),
            "recognised": " ".join(self.recognised),
            "start": _seconds(self.start),
            "end": _seconds(self.end),
        }


@dataclass(frozen=True, slots=True)
class SoundAnalysis:
    """Result of the analysis of one sound."""

    wave: Wave
    recognised: tuple[AlignedPhone, ...]
    """Recognised labels with times."""
    aligned: tuple[AlignedPhone, ...]
    """Labels of the text with times by forced alignment; empty without a text."""
    words: tuple[AlignedWord, ...]
    issues: tuple[Issue, ...]
    figures: dict[str, Any]
    """Figures by name; None where one could not be measured."""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            **self.figures,
            "words": [one.as_dict() for one in self.words],
            "phones": [_phone(one) for one in self.aligned],
            "recognised_phones": [_phone(one) for one in self.recognised],
            "faults": self.figures.get("faults", [issue.as_dict() for issue in self.issues]),
        }


def analyse_sound(
    name: str, wave: Wave, text: str, tools: MeasuringTools, same: Wave | None = None
) -> SoundAnalysis:
    """Analyse a sound of `text`, or of an unknown text for "". `same` is a recording of the same sentence.

    Raises TextError for a text without Amharic, AudioError for a sound under 50 ms without a text.
    """
    if not text.strip():
        return _without_text(name, wave, tools, same)
    spoken_words = [word for phrase in phonemise(text) for word in phrase.words if word.phones]
    phones = tuple(word.phones for word in spoken_words)
    spoken = SpokenSentence(wave, phones, tuple(word.by for word in spoken_words), math.nan)
    measured = measure(EvaluationSentence(name, text, same), spoken, tools)
    written = [word.spoken for word, labels in zip(spoken_words, word_labels(phones), strict=True) if labels]
    recognised = tools.recogniser.recognise(wave).decoded if measured.examined.recognised else ()
    return SoundAnalysis(
        wave,
        recognised,
        measured.examined.aligned,
        _words(written, measured),
        measured.faults,
        measured.as_dict(),
    )


def _words(written: Sequence[str], measured: MeasuredSentence) -> tuple[AlignedWord, ...]:
    aligned, place, out = measured.examined.aligned, 0, []
    for text, word in zip(written, measured.examined.words, strict=True):
        last = place + len(word.expected)
        times = (aligned[place].start, aligned[last - 1].end) if aligned else (math.nan, math.nan)
        out.append(AlignedWord(text, word.expected, word.recognised, *times))
        place = last
    return tuple(out)


def _without_text(name: str, wave: Wave, tools: MeasuringTools, same: Wave | None) -> SoundAnalysis:
    recognised = tools.recogniser.recognise(wave).decoded
    spoken = prosody(wave, [one.label for one in recognised])
    snr = floor_snr_db(wave)
    similarity = (
        likeness(embed(wave), tools.profile) if tools.profile is not None and recognised else math.nan
    )
    found = quality(wave) if tools.quality and recognised else None
    numbers = {
        "likeness": similarity,
        "snr_db": snr,
        "quality": found.overall if found else math.nan,
        "mcd_db": mcd_db(wave, same) if same is not None and recognised else math.nan,
        "pitch_correlation": pitch_correlation(wave, same) if same is not None and recognised else math.nan,
        "seconds": spoken.seconds,
        "phones_per_second": spoken.phones_per_second,
        "pitch_hz": spoken.pitch_hz,
        "pitch_semitones": spoken.pitch_semitones,
    }
    figures: dict[str, Any] = {"name": name}
    figures |= {key: round(value, 4) if math.isfinite(value) else None for key, value in numbers.items()}
    figures["recognised"] = " ".join(one.label for one in recognised)
    issues = tuple(sound_issues(similarity, snr, spoken, tools.faults))
    return SoundAnalysis(wave, recognised, (), (), issues, figures)


def draw_analysis(found: SoundAnalysis, path: Path) -> Path:
    """Draw the sound with F0 and the borders of its phones and words. DataError for an unknown format."""
    rows: list[tuple[str, list[tuple[str, float, float]]]] = []
    if found.aligned:
        rows.append(("text", [(one.label, one.start, one.end) for one in found.aligned]))
    rows.append(("recognised", [(one.label, one.start, one.end) for one in found.recognised]))
    words = [one for one in found.words if math.isfinite(one.start)]
    if words:
        rows.append(("words", [(one.text, one.start, one.end) for one in words]))
    clean = high_pass(found.wave)
    return plots.draw_sound(path, clean.samples, clean.rate, pitch(found.wave), rows)


def _phone(one: AlignedPhone) -> dict[str, Any]:
    return {
        "label": one.label,
        "start": _seconds(one.start),
        "end": _seconds(one.end),
        "probability": round(one.probability, 3) if math.isfinite(one.probability) else None,
    }


def _seconds(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
