"""Decode and vocode the utterances of a model's voice, with any library that runs the model.

An engine decodes an utterance code by code, checks it for faults meanwhile, decodes it again with other
random numbers where one is found, and vocodes the latents in parallel. `XttsEngine` does so with PyTorch,
`OnnxEngine` with onnxruntime.
"""

from __future__ import annotations

import copy
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from dimts.audio.wave import Wave, join
from dimts.base.errors import SynthesisError
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback
from dimts.speak.degeneration import Fault, find_faults, find_running_fault
from dimts.speak.settings import PHONE_SECONDS, RATE, SPARE_SECONDS, SpeakSettings
from dimts.text.frontend import Phrase
from dimts.xtts.monotonic_path import monotonic_path
from dimts.xtts.pace import StreamSettings, batches
from dimts.xtts.sampling import DecodingStep, GenerateSettings
from dimts.xtts.spec import LATENTS, Spec

_WINDOW_LATENTS = 24
"""Latents vocoded at once while the rest is being decoded."""
_CHECK_EVERY = 8
"""Codes between two checks of a phrase that is being decoded."""
_FADE_SECONDS = 0.004
"""Length of the fade-in of a phrase, as a model may begin with a click."""


@dataclass(frozen=True, slots=True)
class Latent:
    """One latent of an utterance."""

    value: Any
    """[D], a tensor or an array."""


Event = tuple[int, Latent | int | None]
"""Number of an utterance, and: a latent; None: a new attempt begins; an int: it ends with that many
latents."""


class SentenceDecoder(Protocol):
    """Decodes several sentences in one loop."""

    def step(self) -> list[DecodingStep]:
        """Decode one code of every sentence; those that end are removed when this returns."""

    def remove(self, number: int) -> None:
        """Drop a sentence before its end."""

    def __len__(self) -> int: ...


class LatentVocoder(Protocol):
    """The vocoder's state for one utterance."""

    def push(self, latents: Sequence[Any]) -> np.ndarray:
        """Push latents, each [D]; returns the samples [T] that became final."""

    def finish(self) -> np.ndarray:
        """Return the samples [T] still held back."""


class Encoder(Protocol):
    """Encoder of spellings into ids."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a phrase. Raises TextError for a sign without id."""


@dataclass(frozen=True)
class DecodedUtterance:
    """All codes of one attempt at an utterance."""

    codes: list[int]
    """Codes, STOP included if it was reached."""
    latents: Sequence[Any]
    stopped: bool
    """Whether the model ended by itself."""
    attention: Sequence[Any]
    """Attention [heads, 2] of each code but the first; empty if it was not recorded."""

    @classmethod
    def of(cls, steps: Sequence[DecodingStep], spec: Spec) -> DecodedUtterance:
        """Make one from the steps of one sentence, at least one."""
        codes = [step.code for step in steps]
        attention = [step.attention for step in steps if step.attention is not None]
        return cls(codes, [step.latent for step in steps], codes[-1] == spec.stop_audio, attention)


@dataclass(frozen=True, slots=True)
class PhraseSegment:
    """A phrase, or as much of it as the model can hold."""

    number: int
    """Number of the phrase in its text."""
    part: int
    """Number of the utterance in its phrase."""
    phrase: Phrase
    ids: list[int]


@dataclass(slots=True)
class Attempt:
    """An utterance being decoded: how often it was tried, and the attempt whose fault came latest."""

    index: int
    utterance: PhraseSegment
    retry: int = 0
    best: DecodedUtterance | None = None
    fault: Fault | None = None


class Vocoding:
    """Vocoder of one utterance in windows as its latents arrive; restarted for a new attempt."""

    def __init__(self, engine: UtteranceEngine, voice: Any, speed: float) -> None:
        self._engine, self._voice, self._speed = engine, voice, speed
        self._begin()

    def _begin(self) -> None:
        self._stream = self._engine.vocoder(self._voice, self._speed)
        self._latents: list[Any] = []
        self._pushed = 0
        self._pieces: list[np.ndarray] = []

    def put(self, event: Latent | int | None) -> None:
        """Take a latent; None restarts; a number ends with that many latents."""
        if isinstance(event, Latent):
            self._latents.append(event.value)
            if len(self._latents) - self._pushed >= _WINDOW_LATENTS:
                self._push(len(self._latents))
        elif event is None:
            self._begin()
        else:
            if event < self._pushed:
                latents = self._latents[:event]
                self._begin()
                self._latents = latents
            self._push(event)
            self._pieces.append(self._stream.finish())

    def _push(self, end: int) -> None:
        if end > self._pushed:
            self._pieces.append(self._stream.push(self._latents[self._pushed : end]))
            self._pushed = end

    def samples(self) -> np.ndarray:
        """Return all samples, with a fade-in."""
        return faded_in(np.concatenate(self._pieces)) if self._pieces else np.zeros(0, np.float32)


class UtteranceEngine(ABC):
    """Engine of a model: decodes one phrase as a stream, or several in one loop."""

    name: str
    spec: Spec
    vocabulary: Encoder
    settings: SpeakSettings

    def __init__(
        self, settings: SpeakSettings, defaults: GenerateSettings, on_progress: ProgressCallback
    ) -> None:
        self.settings, self._on_progress = settings, on_progress
        self._voice_defaults = defaults
        self._generate = _overridden(defaults, settings)

    def _with(self, settings: SpeakSettings) -> Self:
        """Return the same model with other settings; nothing is loaded or copied."""
        other = copy.copy(self)
        other.settings, other._generate = settings, _overridden(self._voice_defaults, settings)
        return other

    @abstractmethod
    def resolve_voice(self, voice: Any) -> Any:
        """Return the voice for synthesis. Raises SynthesisError if there is none."""

    @abstractmethod
    def decoder(self, sentences: int, tokens: int) -> SentenceDecoder:
        """Make a decoder of that many sentences, the longest of that many tokens with its prefix."""

    @abstractmethod
    def add(self, decoder: Any, voice: Any, ids: Sequence[int], settings: GenerateSettings) -> int:
        """Start a sentence in a decoder of this engine; returns its number."""

    @abstractmethod
    def vocoder(self, voice: Any, speed: float) -> LatentVocoder:
        """Make a vocoder for one utterance."""

    @abstractmethod
    def run_decoding(self, decoding: Iterator[Any]) -> Iterator[Any]:
        """Run decoding in parallel with the vocoder where possible."""

    @abstractmethod
    def run_vocoding(self, sound: Iterator[Any]) -> Iterator[Any]:
        """Run the vocoder with the threads that decoding leaves to it."""

    def stream(self, phrase: Phrase, number: int, voice: Any) -> Iterator[Wave]:
        """Yield phrase `number` as it is decoded. A fault is cut off, as audio that was played cannot be
        withdrawn."""
        voice = self.resolve_voice(voice)
        speed = self.settings.rate * phrase.rate
        for utterance in self.utterances(phrase, number):
            latents = self.run_decoding(self._checked_latents(utterance, voice))
            first = True
            for samples in self.run_vocoding(
                _streamed(self.vocoder(voice, speed), latents, StreamSettings(speed=speed))
            ):
                yield Wave(faded_in(samples) if first else samples, RATE)
                first = False

    def synthesise(self, phrases: Mapping[int, Phrase], voice: Any) -> Mapping[int, tuple[Wave, None]]:
        """Decode phrases in one loop, each whole; the times of phones are not known.

        A phrase with a fault is decoded again with other random numbers; if all attempts fail, the best is
        taken, cut where a loop or tail begins.
        """
        voice = self.resolve_voice(voice)
        utterances = [one for number, phrase in phrases.items() for one in self.utterances(phrase, number)]
        events: Iterator[Event] = self.run_decoding(self._decode(utterances, voice))
        vocodings = [Vocoding(self, voice, self.settings.rate * one.phrase.rate) for one in utterances]
        for _ in self.run_vocoding(_vocoded(events, vocodings)):
            pass
        spoken: dict[int, tuple[Wave, None]] = {}
        pairs = zip(utterances, vocodings, strict=True)
        for number, several in itertools.groupby(pairs, lambda pair: pair[0].number):
            spoken[number] = (join(Wave(vocoding.samples(), RATE) for _, vocoding in several), None)
        return spoken

    def _steps(
        self, utterance: PhraseSegment, voice: Any, settings: GenerateSettings
    ) -> Iterator[DecodingStep]:
        """Decode one utterance alone."""
        limit = min(settings.max_codes or self.spec.max_codes, self.spec.max_codes)
        decoder = self.decoder(1, LATENTS + len(utterance.ids) + 3 + limit)
        self.add(decoder, voice, utterance.ids, settings)
        while len(decoder):
            yield from decoder.step()

    def _checked_latents(self, utterance: PhraseSegment, voice: Any) -> Iterator[Any]:
        """Yield latents of one attempt, a few at a time once they are checked, to its end or to where a fault
        begins."""
        steps: list[DecodingStep] = []
        given = 0
        for step in self._steps(utterance, voice, self.generate_settings(utterance)):
            steps.append(step)
            if len(steps) % _CHECK_EVERY and not step.last:
                continue
            if step.last:
                fault = self._fault(utterance, DecodedUtterance.of(steps, self.spec), cut_short=False)
            else:
                fault = self._running_fault(utterance, steps)
            cut = fault is not None and fault.kind != "cut"
            end = min(fault.at, len(steps)) if fault and cut else len(steps)
            for latest in steps[given:end]:
                yield latest.latent
            given = max(given, end)
            if fault is not None:
                self._report_fault("speak.phrase_cut" if cut else "speak.phrase_kept", utterance, fault)
                return

    def _decode(self, utterances: Sequence[PhraseSegment], voice: Any) -> Iterator[Event]:
        """Decode utterances in one loop, each until an attempt has no fault or no retry is left."""
        longest = max((len(one.ids) + self.generate_settings(one).max_codes for one in utterances), default=0)
        decoder = self.decoder(max(len(utterances), 1), LATENTS + 3 + longest)
        running: dict[int, tuple[Attempt, list[DecodingStep]]] = {}

        def add(attempt: Attempt) -> None:
            settings = self.generate_settings(attempt.utterance, attempt.retry)
            running[self.add(decoder, voice, attempt.utterance.ids, settings)] = (attempt, [])

        for index, utterance in enumerate(utterances):
            add(Attempt(index, utterance))
        while len(decoder):
            for step in decoder.step():
                attempt, steps = running[step.row]
                steps.append(step)
                yield attempt.index, Latent(step.latent)
                check = len(steps) % _CHECK_EVERY == 0 and attempt.retry < self._retries and not step.last
                if not step.last and not (check and self._running_fault(attempt.utterance, steps)):
                    continue
                decoder.remove(step.row)
                del running[step.row]
                again = yield from self._accept(
                    attempt, DecodedUtterance.of(steps, self.spec), cut_short=not step.last
                )
                if again:
                    add(attempt)

    @property
    def _retries(self) -> int:
        """Retries left to a phrase with a fault; 0 for greedy codes, which are always the same."""
        return self.settings.retries if self._generate.sample else 0

    def _accept(
        self, attempt: Attempt, sentence: DecodedUtterance, *, cut_short: bool
    ) -> Generator[Event, None, bool]:
        """Accept a sentence, or the best of all attempts when no retry is left; True if another is to
        follow."""
        fault = self._fault(attempt.utterance, sentence, cut_short=cut_short)
        if fault is None:
            yield attempt.index, len(sentence.latents)
            return False
        if attempt.fault is None or fault.at > attempt.fault.at:
            attempt.best, attempt.fault = sentence, fault
        if attempt.retry < self._retries:
            attempt.retry += 1
            self._report_fault(
                "speak.phrase_said_again",
                attempt.utterance,
                fault,
                attempt=attempt.retry,
                retries=self._retries,
            )
            yield attempt.index, None
            return True
        if attempt.best is not sentence and attempt.best is not None:
            yield attempt.index, None
            sentence, fault = attempt.best, attempt.fault
            for latent in sentence.latents:
                yield attempt.index, Latent(latent)
        keep = len(sentence.latents) if fault.kind == "cut" else min(fault.at, len(sentence.latents))
        self._report_fault(
            "speak.phrase_kept" if fault.kind == "cut" else "speak.phrase_cut", attempt.utterance, fault
        )
        yield attempt.index, keep
        return False

    def _running_fault(self, utterance: PhraseSegment, steps: Sequence[DecodingStep]) -> Fault | None:
        """Return the first fault of an utterance that is still being decoded."""
        if not self.settings.guard:
            return None
        path = monotonic_path([step.attention for step in steps if step.attention is not None])
        codes = [step.code for step in steps]
        return find_running_fault(codes, _phones(utterance), self.spec.codes_per_second, path)

    def _fault(
        self, utterance: PhraseSegment, sentence: DecodedUtterance, *, cut_short: bool
    ) -> Fault | None:
        """Return the first fault of an utterance; without the guard only that it did not stop."""
        codes = sentence.codes[:-1] if sentence.stopped else sentence.codes
        if not self.settings.guard:
            return None if sentence.stopped else Fault("endless", len(codes), Message("speak.fault_no_stop"))
        found = find_faults(
            codes,
            _phones(utterance),
            self.spec.codes_per_second,
            path=monotonic_path(sentence.attention),
            stopped=sentence.stopped or cut_short,
        )
        return found[0] if found else None

    def _report_fault(self, code: str, utterance: PhraseSegment, fault: Fault, **parameters: int) -> None:
        message = Message(code, phrase=_shown(utterance.phrase), reason=fault.reason, **parameters)
        self._report(utterance.number, message)

    def _report(self, number: int, message: Message) -> None:
        self._on_progress(Progress("speak", number, None, "phrases", message))

    def generate_settings(self, utterance: PhraseSegment, retry: int = 0) -> GenerateSettings:
        """Return the sampling settings of an utterance: random numbers for each attempt, and a limit of
        codes."""
        seconds = self.settings.max_stretch * PHONE_SECONDS * _phones(utterance) + SPARE_SECONDS
        codes = min(math.ceil(seconds * self.spec.codes_per_second), self.spec.max_codes)
        sequence = (utterance.number, utterance.part, retry)
        return replace(self._generate, seed=self.settings.seed, sequence=sequence, max_codes=codes)

    def utterances(self, phrase: Phrase, number: int) -> list[PhraseSegment]:
        """Split phrase `number` of a text into utterances that the model can hold, usually one.

        Raises SynthesisError for a single word that is too long.
        """
        return [
            PhraseSegment(number, part, own, ids) for part, (own, ids) in enumerate(self._fitting(phrase))
        ]

    def _fitting(self, phrase: Phrase) -> Iterator[tuple[Phrase, list[int]]]:
        """Yield the phrase with its ids, in halves where the model cannot hold it whole."""
        ids = self.vocabulary.encode(phrase.spelling)
        spec = self.spec
        codes = sum(len(word.phones) for word in phrase.words) * PHONE_SECONDS * spec.codes_per_second
        if len(ids) <= spec.max_text and codes <= spec.max_codes:
            yield phrase, ids
        elif len(phrase.words) < 2:
            raise SynthesisError("speak.word_too_long", phrase=_shown(phrase))
        else:
            middle = len(phrase.words) // 2
            yield from self._fitting(replace(phrase, words=phrase.words[:middle], mark=""))
            yield from self._fitting(replace(phrase, words=phrase.words[middle:]))


def faded_in(samples: np.ndarray) -> np.ndarray:
    """Fade samples [T] in, by half a raised cosine."""
    count = min(round(_FADE_SECONDS * RATE), len(samples))
    if not count:
        return samples
    out = samples.copy()
    out[:count] *= (0.5 - 0.5 * np.cos(np.pi * np.arange(count) / count)).astype(samples.dtype)
    return out


def _streamed(running: LatentVocoder, latents: Iterator[Any], pace: StreamSettings) -> Iterator[np.ndarray]:
    """Vocode latents as they arrive; yields chunks of samples [T], none empty."""
    for several in batches(latents, pace):
        samples = running.push(several)
        if len(samples):
            yield samples
    rest = running.finish()
    if len(rest):
        yield rest


def _overridden(defaults: GenerateSettings, settings: SpeakSettings) -> GenerateSettings:
    """Return the voice's defaults, with the values that [speak] sets."""
    wanted = {key: getattr(settings, key) for key in ("temperature", "top_k", "top_p", "repetition_penalty")}
    return replace(defaults, **{key: value for key, value in wanted.items() if value is not None})


def _vocoded(events: Iterator[Event], vocodings: Sequence[Vocoding]) -> Iterator[Event]:
    """Yield the same events, each put into its vocoding."""
    for index, event in events:
        vocodings[index].put(event)
        yield index, event


def _phones(utterance: PhraseSegment) -> int:
    return sum(len(word.phones) for word in utterance.phrase.words)


def _shown(phrase: Phrase) -> str:
    return phrase.written if len(phrase.written) <= 40 else phrase.written[:39] + "…"
