"""Speak the sentences of an evaluation and measure each: `measure` returns a MeasuredSentence.

    spoken = speak_sentence(speaker, text)
    measured = measure(sentence, spoken, tools)

Likeness needs recordings of the speaker, distortion and pitch correlation a recording of the same sentence,
character errors a speech recogniser. What could not be measured is nan.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dimts.audio.likeness import Embedding
from dimts.audio.wave import Wave, join
from dimts.base.errors import AudioError
from dimts.base.issue import Issue
from dimts.evaluate.faults import Examined, FaultSettings, examine
from dimts.evaluate.gemination import length_ratio
from dimts.evaluate.metrics import Edits, amharic_cer, cer
from dimts.evaluate.minimal_pairs import likelihood_margin
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.quality import Quality, quality
from dimts.evaluate.sound import mcd_db, pitch_correlation
from dimts.text.frontend import Phrase

Transcriber = Callable[[Wave], str]
"""Function from a wave to its transcript in fidel."""


class SpokenPhrase(Protocol):
    """A phrase and its wave, as `Speaker.phrases` yields them."""

    @property
    def phrase(self) -> Phrase:
        """The phrase with its words and phones."""

    @property
    def wave(self) -> Wave:
        """The synthesised wave."""

    @property
    def pause(self) -> float:
        """Seconds of silence after the phrase."""


class SentenceSpeaker(Protocol):
    """Protocol of a synthesiser; `dimts.speak.Speaker` implements it."""

    def phrases(self, text: str, voice: Any = None) -> Iterable[SpokenPhrase]:
        """Synthesise the phrases of a text."""


@dataclass(frozen=True, slots=True)
class WordContrast:
    """A word of a sentence and the other word of its minimal pair."""

    target: tuple[str, ...]
    """Phones of the word as it is read here."""
    other: tuple[str, ...]
    """Phones of the word that it must not become."""


@dataclass(frozen=True, slots=True)
class EvaluationSentence:
    """A sentence to speak and measure."""

    name: str
    """Identifier, used in file names."""
    text: str
    """Text in fidel."""
    reference: Wave | None = None
    """Recording of the sentence by the speaker, if there is one."""
    words: tuple[tuple[str, ...], ...] = ()
    """Reference pronunciation, phones of each word; empty: the pronunciation by the voice's front end."""
    section: str = ""
    """Section of the benchmark."""
    contrast: WordContrast | None = None
    """Minimal pair that the sentence tests."""


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence as spoken by a voice."""

    wave: Wave
    words: tuple[tuple[str, ...], ...]
    """Phones of each word, by the voice's front end."""
    answered_by: tuple[str, ...]
    """G2P backend of each word."""
    seconds: float
    """Seconds of synthesis; nan where the wave was not synthesised, as of a recording."""


@dataclass(frozen=True, slots=True)
class MeasuringTools:
    """Models and settings of the measurements."""

    recogniser: PhoneRecogniser
    profile: Embedding | None = None
    """Speaker embedding to compare with."""
    faults: FaultSettings = field(default_factory=FaultSettings)
    quality: bool = True
    """Whether DNSMOS is computed."""
    transcribe: Transcriber | None = None


@dataclass(frozen=True, slots=True)
class MeasuredSentence:
    """All measurements of one spoken sentence."""

    name: str
    text: str
    examined: Examined
    quality: Quality | None
    mcd_db: float
    """Mel-cepstral distortion to the recording of the sentence in dB; nan without one."""
    pitch_correlation: float
    """Correlation of log F0 with the recording of the sentence; nan without one."""
    transcript: str | None
    cer: Edits
    amharic_cer: Edits
    synthesis_seconds: float
    nll: float = math.nan
    """Relative negative log-likelihood of the recording (code_likelihood.py); nan where not computed."""
    section: str = ""
    """Section of the benchmark."""
    contrast_margin: float = math.nan
    """Log-likelihood ratio of the word of a minimal pair to the other word; nan in other sentences."""

    @property
    def length_ratio(self) -> float:
        """Ratio of the durations of long and short consonants (gemination.py)."""
        return length_ratio(self.examined.aligned)

    @property
    def real_time_factor(self) -> float:
        """Seconds of synthesis for a second of speech."""
        return (
            self.synthesis_seconds / self.examined.prosody.seconds
            if self.examined.prosody.seconds
            else math.nan
        )

    @property
    def faults(self) -> tuple[Issue, ...]:
        """Faults of the sentence."""
        return self.examined.issues

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; nan becomes null."""
        found = self.examined
        numbers = {
            "per": found.errors.rate,
            "per_without_length": found.errors_without_length.rate,
            "likeness": found.likeness,
            "snr_db": found.snr_db,
            "quality": self.quality.overall if self.quality else math.nan,
            "quality_signal": self.quality.signal if self.quality else math.nan,
            "quality_background": self.quality.background if self.quality else math.nan,
            "mcd_db": self.mcd_db,
            "nll": self.nll,
            "pitch_correlation": self.pitch_correlation,
            "seconds": found.prosody.seconds,
            "phones_per_second": found.prosody.phones_per_second,
            "pauses": float(len(found.prosody.pauses)),
            "pause_seconds": sum(end - start for start, end in found.prosody.pauses),
            "pitch_hz": found.prosody.pitch_hz,
            "pitch_semitones": found.prosody.pitch_semitones,
            "synthesis_seconds": self.synthesis_seconds,
            "real_time_factor": self.real_time_factor,
            "length_ratio": self.length_ratio,
            "contrast_margin": self.contrast_margin,
        }
        out: dict[str, Any] = {"name": self.name, "text": self.text}
        if self.section:
            out["section"] = self.section
        out |= {key: round(value, 4) if math.isfinite(value) else None for key, value in numbers.items()}
        out |= {"recognised": " ".join(found.recognised), "expected": " ".join(found.expected)}
        if self.transcript is not None:
            out |= {"transcript": self.transcript, "cer": self.cer.rate, "amharic_cer": self.amharic_cer.rate}
        return out | {"faults": [_plain(issue) for issue in self.faults]}


def _plain(issue: Issue) -> dict[str, Any]:
    """Return JSON values without infinite ones, which impossible words have."""
    return {
        key: value
        for key, value in issue.as_dict().items()
        if not isinstance(value, float) or math.isfinite(value)
    }


def speak_sentence(speaker: SentenceSpeaker, text: str, voice: Any = None) -> SpokenSentence:
    """Speak one sentence, with its pauses. AudioError if it has no phones; other errors are the speaker's."""
    begun = time.perf_counter()
    pieces: list[Wave] = []
    words: list[tuple[str, ...]] = []
    by: list[str] = []
    for phrase in speaker.phrases(text, voice):
        pieces += [phrase.wave, Wave.silence(phrase.pause, phrase.wave.rate)]
        spoken = [word for word in phrase.phrase.words if word.phones]
        words += [word.phones for word in spoken]
        by += [word.by for word in spoken]
    if not words:
        raise AudioError("evaluate.no_speech_for_text", text=text)
    return SpokenSentence(join(pieces), tuple(words), tuple(by), time.perf_counter() - begun)


def phrase_speaker(
    speaker: SentenceSpeaker, voice: Any = None
) -> Callable[[str], list[tuple[Wave, list[tuple[str, ...]]]]]:
    """Adapt a speaker to `minimal_pairs.evaluate_pairs`: a text to the wave and the phones of each phrase."""
    return lambda text: [
        (one.wave, [word.phones for word in one.phrase.words if word.phones])
        for one in speaker.phrases(text, voice)
    ]


def measure(sentence: EvaluationSentence, spoken: SpokenSentence, tools: MeasuringTools) -> MeasuredSentence:
    """Measure one spoken sentence."""
    wave, words = spoken.wave, sentence.words or spoken.words
    examined = examine(wave, words, tools.recogniser, tools.profile, tools.faults)
    speech = bool(examined.recognised)
    reference = sentence.reference if speech else None
    transcript = tools.transcribe(wave) if tools.transcribe else None
    nothing = Edits()
    return MeasuredSentence(
        sentence.name,
        sentence.text,
        examined,
        quality(wave) if tools.quality and speech else None,
        mcd_db(wave, reference) if reference is not None else math.nan,
        pitch_correlation(wave, reference) if reference is not None else math.nan,
        transcript,
        cer(transcript, sentence.text) if transcript is not None else nothing,
        amharic_cer(transcript, sentence.text) if transcript is not None else nothing,
        spoken.seconds,
        section=sentence.section,
        contrast_margin=_contrast_margin(wave, words, sentence.contrast, tools.recogniser)
        if speech
        else math.nan,
    )


def _contrast_margin(
    wave: Wave, words: Sequence[tuple[str, ...]], contrast: WordContrast | None, recogniser: PhoneRecogniser
) -> float:
    """Compare the word of a minimal pair with the other one in its place; nan if the wave is too short."""
    if contrast is None:
        return math.nan
    posteriors = recogniser.recognise(wave)
    margin = likelihood_margin(posteriors, words, contrast.target, contrast.other)
    return margin if math.isfinite(margin) else math.nan
