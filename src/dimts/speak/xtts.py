"""Speak with an XTTS model: phrases → ids → codes and latents → sound; one by one, together, or as a
stream."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dimts.audio.wave import Wave, join
from dimts.base.errors import ConfigError, SynthesisError
from dimts.base.messages import Message
from dimts.base.plugins import has
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.speak.degeneration import Fault, find_faults, find_running_fault
from dimts.speak.pipeline import run_in_background, split_threads, with_threads
from dimts.speak.settings import PHONE_SECONDS, RATE, SPARE_SECONDS, SpeakSettings, Steps, Weights
from dimts.text.frontend import Phrase
from dimts.xtts import cpu_decoder
from dimts.xtts import voice as voices
from dimts.xtts.alignment import monotonic_path
from dimts.xtts.checkpoint import Bundle
from dimts.xtts.generate import Decoder, DecodingStep, GeneratedSentence, GenerateSettings, collect, generate
from dimts.xtts.model import XTTS
from dimts.xtts.quantise import quantise
from dimts.xtts.scheduler import Session
from dimts.xtts.spec import LATENTS
from dimts.xtts.stream import StreamSettings, VocoderStream, stream
from dimts.xtts.vocoder import Vocoder
from dimts.xtts.voice import Voice

_WINDOW_LATENTS = 24
"""Latents that are vocoded at once while the rest is being decoded."""
_CHECK_EVERY = 8
"""Codes between two checks of a phrase that is being decoded."""
_FADE_SECONDS = 0.004
"""A phrase's first samples rise from zero over this time, as a model may begin with a click."""
_Event = tuple[int, Tensor | int | None]
"""Number of an utterance, and: a latent [D]; None: a new attempt begins; an int: it ends with that many
latents."""


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
    best: GeneratedSentence | None = None
    fault: Fault | None = None


class Vocoding:
    """The sound of one utterance, vocoded in windows as its latents come; begun again for a new attempt."""

    def __init__(self, vocoder: Vocoder, timbre: Tensor, speed: float) -> None:
        self._vocoder, self._timbre, self._speed = vocoder, timbre, speed
        self._begin()

    def _begin(self) -> None:
        self._stream = VocoderStream(self._vocoder, self._timbre, self._speed)
        self._latents: list[Tensor] = []
        self._pushed = 0
        self._pieces: list[Tensor] = []

    def put(self, event: Tensor | int | None) -> None:
        """Take a latent [D]; None begins again; a number ends with that many latents."""
        if isinstance(event, Tensor):
            self._latents.append(event)
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
            self._pieces.append(self._stream.push(torch.stack(self._latents[self._pushed : end])))
            self._pushed = end

    def samples(self) -> np.ndarray:
        """All samples, the first ones faded in."""
        pieces = [piece.float().cpu().numpy() for piece in self._pieces]
        return faded_in(np.concatenate(pieces)) if pieces else np.zeros(0, np.float32)


class XttsEngine:
    """Speaks with a bundle's model: one phrase as a stream, or several decoded in one loop."""

    def __init__(
        self, bundle: Bundle, name: str, settings: SpeakSettings, device: str | None, on_progress: ProgressCallback
    ) -> None:
        self.name = str(bundle.meta.get("name") or name)
        self.vocabulary, self.settings, self._on_progress = bundle.vocabulary, settings, on_progress
        try:
            place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            model = bundle.model.to(place)
        except (RuntimeError, AssertionError) as error:  # raised by torch for a device that is not there
            raise ConfigError("speak.device_unusable", device=device, reason=error) from error
        self.model = prepare_for_inference(model, settings.weights, settings.steps, on_progress)
        self._threads = split_threads(torch.get_num_threads()) if self.model.device.type == "cpu" else None
        """Threads for decoding and for the vocoder, where both can run at once."""
        self.voices = bundle.voices
        self._voice_announced = False
        self._session: Session | None = None
        self._voice_defaults = GenerateSettings.from_coqui(dict(bundle.config))
        self._generate = _overridden(self._voice_defaults, settings)

    def with_settings(self, settings: SpeakSettings) -> XttsEngine:
        """The same model with other settings; nothing is loaded or copied. ConfigError for other weights or
        steps."""
        for name in ("weights", "steps"):
            if getattr(settings, name) != getattr(self.settings, name):
                raise ConfigError("speak.setting_fixed_at_load", name=name)
        other = copy.copy(self)
        other.settings, other._generate = settings, _overridden(self._voice_defaults, settings)
        return other

    def with_session(self, session: Session) -> XttsEngine:
        """The same model, whose sentences are decoded by a scheduler that others share."""
        other = copy.copy(self)
        other._session, other._threads = session, None
        return other

    def stream(self, phrase: Phrase, number: int, voice: Voice | None) -> Iterator[Wave]:
        """Phrase `number` as it is decoded. A fault is cut off, as what was played cannot be taken back."""
        voice = self.resolve_voice(voice)
        pace = StreamSettings(speed=self.settings.rate * phrase.rate)
        for utterance in self.utterances(phrase, number):
            latents: Iterator[Tensor] = self._checked_latents(utterance, voice)
            if self._threads:
                latents = run_in_background(latents, self._threads[0])
            waves = stream(self.model.vocoder, latents, voice.timbre, pace)
            first = True
            for piece in with_threads(waves, self._threads[1]) if self._threads else waves:
                samples = piece.float().cpu().numpy()
                yield Wave(faded_in(samples) if first else samples, RATE)
                first = False

    def synthesise(self, phrases: Mapping[int, Phrase], voice: Voice | None) -> Mapping[int, tuple[Wave, None]]:
        """Phrases decoded in one loop, each whole; the times of phones are not known.

        A phrase with a fault is decoded again with another seed; of the last attempts the best is taken, cut
        where a loop or tail begins.
        """
        voice = self.resolve_voice(voice)
        utterances = [one for number, phrase in phrases.items() for one in self.utterances(phrase, number)]
        events: Iterator[_Event] = self._decode(utterances, voice)
        if self._threads:
            events = run_in_background(events, self._threads[0])
        vocodings = [
            Vocoding(self.model.vocoder, voice.timbre, self.settings.rate * one.phrase.rate) for one in utterances
        ]
        vocoded = _vocoded(events, vocodings)
        for _ in with_threads(vocoded, self._threads[1]) if self._threads else vocoded:
            pass
        spoken: dict[int, tuple[Wave, None]] = {}
        pairs = zip(utterances, vocodings, strict=True)
        for number, several in itertools.groupby(pairs, lambda pair: pair[0].number):
            spoken[number] = (join(Wave(vocoding.samples(), RATE) for _, vocoding in several), None)
        return spoken

    def clone(self, paths: Sequence[Path]) -> Voice:
        """A voice like that of the recordings of one speaker. Raises AudioError."""
        rate = self.model.spec.input_rate
        waves = [torch.from_numpy(Wave.load(path, rate).samples) for path in paths]
        return voices.clone(self.model, waves, source=", ".join(path.name for path in paths))

    def _checked_latents(self, utterance: PhraseSegment, voice: Voice) -> Iterator[Tensor]:
        """Latents of one attempt, a few at a time once they are checked, to its end or to where a fault
        begins."""
        steps: list[DecodingStep] = []
        given = 0
        settings = self.generate_settings(utterance)
        if self._session is not None:
            decoded = self._session.generate(voice.latents, utterance.ids, settings)
        else:
            decoded = generate(
                self.model.gpt, voice.latents, utterance.ids, settings, record_attention=self.settings.guard
            )
        for step in decoded:
            steps.append(step)
            if len(steps) % _CHECK_EVERY and not step.last:
                continue
            if step.last:
                fault = self._fault(utterance, collect(steps, self.model.spec), cut_short=False)
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

    def _decode(self, utterances: Sequence[PhraseSegment], voice: Voice) -> Iterator[_Event]:
        """Decode utterances in one loop, each until an attempt has no fault or no retry is left."""
        if self._session is not None:
            yield from self._decode_in_session(utterances, voice, self._session)
            return
        longest = max((len(one.ids) + self.generate_settings(one).max_codes for one in utterances), default=0)
        decoder = Decoder(
            self.model.gpt, max(len(utterances), 1), LATENTS + 3 + longest, record_attention=self.settings.guard
        )
        running: dict[int, tuple[Attempt, list[DecodingStep]]] = {}

        def add(attempt: Attempt) -> None:
            settings = self.generate_settings(attempt.utterance, attempt.retry)
            running[decoder.add(voice.latents, attempt.utterance.ids, settings)] = (attempt, [])

        for index, utterance in enumerate(utterances):
            add(Attempt(index, utterance))
        while len(decoder):
            for step in decoder.step():
                attempt, steps = running[step.row]
                steps.append(step)
                yield attempt.index, step.latent
                check = len(steps) % _CHECK_EVERY == 0 and attempt.retry < self._retries and not step.last
                if not step.last and not (check and self._running_fault(attempt.utterance, steps)):
                    continue
                decoder.remove(step.row)
                del running[step.row]
                again = yield from self._accept(attempt, collect(steps, self.model.spec), cut_short=not step.last)
                if again:
                    add(attempt)

    def _decode_in_session(
        self, utterances: Sequence[PhraseSegment], voice: Voice, session: Session
    ) -> Iterator[_Event]:
        """As `_decode`, by a scheduler that others share."""
        waiting = [Attempt(index, utterance) for index, utterance in enumerate(utterances)]
        while waiting:
            settings = [self.generate_settings(attempt.utterance, attempt.retry) for attempt in waiting]
            ids = [attempt.utterance.ids for attempt in waiting]
            sentences = session.generate_all([voice.latents] * len(waiting), ids, settings)
            following = []
            for attempt, sentence in zip(waiting, sentences, strict=True):
                for latent in sentence.latents:
                    yield attempt.index, latent
                again = yield from self._accept(attempt, sentence, cut_short=False)
                following += [attempt] * again
            waiting = following

    @property
    def _retries(self) -> int:
        """Retries left to a phrase with a fault; 0 for greedy codes, which are always the same."""
        return self.settings.retries if self._generate.sample else 0

    def _accept(
        self, attempt: Attempt, sentence: GeneratedSentence, *, cut_short: bool
    ) -> Generator[_Event, None, bool]:
        """Accept a sentence, or the best of all attempts when no retry is left; True if there is to be
        another."""
        fault = self._fault(attempt.utterance, sentence, cut_short=cut_short)
        if fault is None:
            yield attempt.index, len(sentence.latents)
            return False
        if attempt.fault is None or fault.at > attempt.fault.at:
            attempt.best, attempt.fault = sentence, fault
        if attempt.retry < self._retries:
            attempt.retry += 1
            self._report_fault(
                "speak.phrase_said_again", attempt.utterance, fault, attempt=attempt.retry, retries=self._retries
            )
            yield attempt.index, None
            return True
        if attempt.best is not sentence and attempt.best is not None:
            yield attempt.index, None
            sentence, fault = attempt.best, attempt.fault
            for latent in sentence.latents:
                yield attempt.index, latent
        keep = len(sentence.latents) if fault.kind == "cut" else min(fault.at, len(sentence.latents))
        self._report_fault("speak.phrase_kept" if fault.kind == "cut" else "speak.phrase_cut", attempt.utterance, fault)
        yield attempt.index, keep
        return False

    def _running_fault(self, utterance: PhraseSegment, steps: Sequence[DecodingStep]) -> Fault | None:
        """The first fault of an utterance that is still being decoded."""
        if not self.settings.guard:
            return None
        path = monotonic_path([step.attention for step in steps if step.attention is not None])
        codes = [step.code for step in steps]
        return find_running_fault(codes, _phones(utterance), self.model.spec.codes_per_second, path)

    def _fault(self, utterance: PhraseSegment, sentence: GeneratedSentence, *, cut_short: bool) -> Fault | None:
        """The first fault of an utterance; without the guard only that it did not stop."""
        codes = sentence.codes[:-1] if sentence.stopped else sentence.codes
        if not self.settings.guard:
            return None if sentence.stopped else Fault("endless", len(codes), Message("speak.fault_no_stop"))
        found = find_faults(
            codes.tolist(),
            _phones(utterance),
            self.model.spec.codes_per_second,
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
        """How the codes of an utterance are chosen: a seed for each attempt, and no more codes than it can
        need."""
        seconds = self.settings.max_stretch * PHONE_SECONDS * _phones(utterance) + SPARE_SECONDS
        entropy = (self.settings.seed, utterance.number, utterance.part, retry)
        seed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
        codes = min(math.ceil(seconds * self.model.spec.codes_per_second), self.model.spec.max_codes)
        return replace(self._generate, seed=int(seed >> np.uint64(1)), max_codes=codes)

    def utterances(self, phrase: Phrase, number: int) -> list[PhraseSegment]:
        """Phrase `number` of a text as utterances that the model can hold, usually one.

        Raises SynthesisError for a single word that is too long.
        """
        return [PhraseSegment(number, part, own, ids) for part, (own, ids) in enumerate(self._fitting(phrase))]

    def _fitting(self, phrase: Phrase) -> Iterator[tuple[Phrase, list[int]]]:
        """The phrase with its ids, in halves where the model cannot hold it whole."""
        ids = self.vocabulary.encode(phrase.spelling)
        spec = self.model.spec
        codes = sum(len(word.phones) for word in phrase.words) * PHONE_SECONDS * spec.codes_per_second
        if len(ids) <= spec.max_text and codes <= spec.max_codes:
            yield phrase, ids
        elif len(phrase.words) < 2:
            raise SynthesisError("speak.word_too_long", phrase=_shown(phrase))
        else:
            middle = len(phrase.words) // 2
            yield from self._fitting(replace(phrase, words=phrase.words[:middle], mark=""))
            yield from self._fitting(replace(phrase, words=phrase.words[middle:]))

    def resolve_voice(self, voice: Voice | None) -> Voice:
        """The voice to speak with, on the model's device; the first of the bundle if none is asked for.

        Raises SynthesisError if there is none, or it was made for a model of another size.
        """
        if voice is None:
            if not self.voices:
                raise SynthesisError("speak.no_voice", name=self.name)
            name = next(iter(self.voices))
            if len(self.voices) > 1 and not self._voice_announced:
                self._report(0, Message("speak.first_voice_used", voice=name, voices=len(self.voices)))
                self._voice_announced = True
            voice = self.voices[name]
        voice.check(self.model)
        return voice.to(self.model.device)


def faded_in(samples: np.ndarray) -> np.ndarray:
    """Samples [T] whose first few rise from zero, by half a raised cosine."""
    count = min(round(_FADE_SECONDS * RATE), len(samples))
    if not count:
        return samples
    out = samples.copy()
    out[:count] *= (0.5 - 0.5 * np.cos(np.pi * np.arange(count) / count)).astype(samples.dtype)
    return out


def prepare_for_inference(
    model: XTTS, kept: Weights, steps: Steps = "auto", on_progress: ProgressCallback = ignore
) -> XTTS:
    """The model with its GPT's weights kept as asked and its decoding steps made fast, from now on only to
    speak.

    The vocoder stays float32, as its sound suffers first. Raises ConfigError where that cannot run, or would
    only be slower; MissingExtra for compiled steps without Numba.
    """
    place = model.device.type
    if kept == "auto":
        kept = "float32" if place != "cuda" else "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    if kept == "int8":
        model = quantise(model, "dynamic" if steps == "torch" or not has("numba") else "weight")
    elif kept != "float32":
        if place == "cpu":
            raise ConfigError("speak.weights_slow_on_cpu", weights=kept)
        if kept == "bfloat16" and place == "cuda" and not torch.cuda.is_bf16_supported():
            raise ConfigError("speak.no_bfloat16")
        model.gpt.to(getattr(torch, kept))
    reason = cpu_decoder.refusal(model.gpt)
    if steps == "compiled" or (steps == "auto" and reason is None):
        cpu_decoder.compile_decoder(model.gpt)
    elif steps == "auto" and place == "cpu":
        on_progress(Progress("speak", 0, None, "phrases", Message("speak.decoding_not_compiled", reason=reason)))
    return model


def _overridden(defaults: GenerateSettings, settings: SpeakSettings) -> GenerateSettings:
    """The voice's defaults, with what [speak] sets."""
    wanted = {key: getattr(settings, key) for key in ("temperature", "top_k", "top_p", "repetition_penalty")}
    return replace(defaults, **{key: value for key, value in wanted.items() if value is not None})


def _vocoded(events: Iterator[_Event], vocodings: Sequence[Vocoding]) -> Iterator[_Event]:
    """The same events, each put into its vocoding."""
    for index, event in events:
        vocodings[index].put(event)
        yield index, event


def _phones(utterance: PhraseSegment) -> int:
    return sum(len(word.phones) for word in utterance.phrase.words)


def _shown(phrase: Phrase) -> str:
    return phrase.written if len(phrase.written) <= 40 else phrase.written[:39] + "…"
