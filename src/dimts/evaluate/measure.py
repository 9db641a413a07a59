"""A fixed list of sentences + a voice → every sentence spoken and measured: one `Measured` each.

    performed = perform(speaker, sentence)
    measured = measure(sentence, performed, tools)

What is measured depends on what there is: likeness needs recordings of the speaker, distortion and melody a
recording of the very sentence, character errors a recogniser of the user's. What could not be measured is nan.
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
from dimts.evaluate.metrics import Edits, amharic_cer, cer
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.quality import Quality, quality
from dimts.evaluate.sound import mcd_db, pitch_correlation
from dimts.text.frontend import Phrase

Transcriber = Callable[[Wave], str]
"""Any speech recogniser of the user's: a wave to fidel."""


class SpokenPhrase(Protocol):
    """One phrase, spoken: what `Speaker.perform` gives."""

    @property
    def phrase(self) -> Phrase:
        """What was said."""

    @property
    def wave(self) -> Wave:
        """How."""

    @property
    def pause(self) -> float:
        """Seconds of silence after it."""


class SentenceSpeaker(Protocol):
    """Whatever speaks; `dimts.speak.Speaker` is one."""

    def phrases(self, text: str, voice: Any = None) -> Iterable[SpokenPhrase]:
        """The phrases of a text, spoken."""


@dataclass(frozen=True, slots=True)
class EvaluationSentence:
    """One line of the list."""

    name: str
    """Stands in file names."""
    text: str
    reference: Wave | None = None
    """The speaker's own recording of it."""


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence as a voice said it."""

    wave: Wave
    words: tuple[tuple[str, ...], ...]
    """The phones of each word, as its front end had them."""
    answered_by: tuple[str, ...]
    """The backend of each word."""
    seconds: float
    """What it took to speak; nan if it was spoken before."""


@dataclass(frozen=True, slots=True)
class MeasuringTools:
    """What to measure with."""

    recogniser: PhoneRecogniser
    profile: Embedding | None = None
    """The voice it should be."""
    faults: FaultSettings = field(default_factory=FaultSettings)
    quality: bool = True
    transcribe: Transcriber | None = None


@dataclass(frozen=True, slots=True)
class MeasuredSentence:
    """Everything measured of one spoken sentence."""

    name: str
    text: str
    examined: Examined
    quality: Quality | None
    mcd_db: float
    """To the speaker's own recording; nan without one."""
    pitch_correlation: float
    transcript: str | None
    cer: Edits
    amharic_cer: Edits
    seconds_to_speak: float
    surprise: float = math.nan
    """How far the recording of the sentence surprises the voice's model (foresight.py); nan where not asked."""

    @property
    def faults(self) -> tuple[Issue, ...]:
        """What is wrong with it."""
        return self.examined.doubts

    def as_dict(self) -> dict[str, Any]:
        """For JSON; nan is null."""
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
            "surprise": self.surprise,
            "pitch_correlation": self.pitch_correlation,
            "seconds": found.prosody.seconds,
            "phones_per_second": found.prosody.phones_per_second,
            "pauses": float(len(found.prosody.pauses)),
            "pause_seconds": sum(end - start for start, end in found.prosody.pauses),
            "pitch_hz": found.prosody.pitch_hz,
            "pitch_semitones": found.prosody.pitch_semitones,
            "seconds_to_speak": self.seconds_to_speak,
        }
        out: dict[str, Any] = {"name": self.name, "text": self.text}
        out |= {key: round(value, 4) if math.isfinite(value) else None for key, value in numbers.items()}
        out |= {"heard": " ".join(found.heard), "expected": " ".join(found.expected)}
        if self.transcript is not None:
            out |= {"transcript": self.transcript, "cer": self.cer.rate, "amharic_cer": self.amharic_cer.rate}
        return out | {"faults": [_plain(doubt) for doubt in self.faults]}


def _plain(doubt: Issue) -> dict[str, Any]:
    """For JSON, which knows no infinity: a word that cannot have been said at all is infinitely unlikely."""
    return {
        key: value for key, value in doubt.as_dict().items() if not isinstance(value, float) or math.isfinite(value)
    }


def speak_sentences(speaker: SentenceSpeaker, text: str, voice: Any = None) -> SpokenSentence:
    """Say one sentence, pauses and all. Raises as the speaker does."""
    begun = time.perf_counter()
    pieces: list[Wave] = []
    words: list[tuple[str, ...]] = []
    by: list[str] = []
    for said in speaker.phrases(text, voice):
        pieces += [said.wave, Wave.silence(said.pause, said.wave.rate)]
        spoken = [word for word in said.phrase.words if word.phones]
        words += [word.phones for word in spoken]
        by += [word.by for word in spoken]
    if not words:
        raise AudioError("evaluate.no_speech_for_text", text=text)
    return SpokenSentence(join(pieces), tuple(words), tuple(by), time.perf_counter() - begun)


def sentence_speaker(
    speaker: SentenceSpeaker, voice: Any = None
) -> Callable[[str], list[tuple[Wave, list[tuple[str, ...]]]]]:
    """A speaker as `pairs.try_pairs` wants it: each phrase as its wave and the phones of its words."""
    return lambda text: [
        (said.wave, [word.phones for word in said.phrase.words if word.phones]) for said in speaker.phrases(text, voice)
    ]


def measure(sentence: EvaluationSentence, performed: SpokenSentence, tools: MeasuringTools) -> MeasuredSentence:
    """All figures of one spoken sentence."""
    wave = performed.wave
    examined = examine(wave, performed.words, tools.recogniser, tools.profile, tools.faults)
    heard = bool(examined.heard)
    reference = sentence.reference if heard else None
    transcript = tools.transcribe(wave) if tools.transcribe else None
    nothing = Edits()
    return MeasuredSentence(
        sentence.name,
        sentence.text,
        examined,
        quality(wave) if tools.quality and heard else None,
        mcd_db(wave, reference) if reference is not None else math.nan,
        pitch_correlation(wave, reference) if reference is not None else math.nan,
        transcript,
        cer(transcript, sentence.text) if transcript is not None else nothing,
        amharic_cer(transcript, sentence.text) if transcript is not None else nothing,
        performed.seconds,
    )


def faulty(measured: Sequence[MeasuredSentence]) -> float:
    """Share of sentences with any fault; nan for none."""
    return sum(bool(one.faults) for one in measured) / len(measured) if measured else math.nan
