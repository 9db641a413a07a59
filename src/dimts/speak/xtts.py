"""A model's voice as an engine: phrases → ids → codes and latents → sound; one by one, together, or as a stream."""

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
from dimts.speak.degeneration import Fault, examine, running
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
"""Latents the vocoder takes at once while the rest is being decoded."""
_LOOK_EVERY = 8
"""Codes between two looks at a phrase that is being spoken."""
_Event = tuple[int, Tensor | int | None]


@dataclass(frozen=True, slots=True)
class Part:
    """A phrase, or as much of it as a model can say at once."""

    number: int
    """Of the phrase in its text."""
    place: int
    """Of the part in its phrase."""
    phrase: Phrase
    ids: list[int]


@dataclass(slots=True)
class _Trial:
    """A part on its way: how often it was tried, and the attempt that went right for longest."""

    index: int
    part: Part
    attempt: int = 0
    best: GeneratedSentence | None = None
    fault: Fault | None = None


class _Take:
    """The sound of a part while its latents come: vocoded in windows, begun again when an attempt is given up."""

    def __init__(self, vocoder: Vocoder, timbre: Tensor, speed: float) -> None:
        self._vocoder, self._timbre, self._speed = vocoder, timbre, speed
        self._begin()

    def _begin(self) -> None:
        self._stream = VocoderStream(self._vocoder, self._timbre, self._speed)
        self._latents: list[Tensor] = []
        self._given = 0
        self._pieces: list[Tensor] = []

    def put(self, event: Tensor | int | None) -> None:
        """A latent [D]; None: begin again; a number: it ends with that many latents."""
        if isinstance(event, Tensor):
            self._latents.append(event)
            if len(self._latents) - self._given >= _WINDOW_LATENTS:
                self._push(len(self._latents))
        elif event is None:
            self._begin()
        else:
            if event < self._given:
                latents = self._latents[:event]
                self._begin()
                self._latents = latents
            self._push(event)
            self._pieces.append(self._stream.finish())

    def _push(self, end: int) -> None:
        if end > self._given:
            self._pieces.append(self._stream.push(torch.stack(self._latents[self._given : end])))
            self._given = end

    def wave(self) -> np.ndarray:
        """All samples."""
        pieces = [piece.float().cpu().numpy() for piece in self._pieces]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


class XttsEngine:
    """Speaks with a bundle's model: one phrase as a stream, or several decoded in one loop."""

    def __init__(
        self, bundle: Bundle, name: str, settings: SpeakSettings, device: str | None, on_progress: ProgressCallback
    ) -> None:
        self.name = str(bundle.meta.get("name") or name)
        self.vocabulary, self.settings, self._tell = bundle.vocabulary, settings, on_progress
        try:
            place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            model = bundle.model.to(place)
        except (RuntimeError, AssertionError) as error:  # torch's own words for a device that is not there
            raise ConfigError("speak.device_unusable", device=device, reason=error) from error
        self.model = prepare_for_inference(model, settings.weights, settings.steps, on_progress)
        self._cores = split_threads(torch.get_num_threads()) if self.model.device.type == "cpu" else None
        """Threads for decoding and for the vocoder, where both can work at once."""
        self.voices = bundle.voices
        self._told_of_voice = False
        self._guest: Session | None = None
        self._own = GenerateSettings.from_coqui(dict(bundle.config))
        self._generate = _with(self._own, settings)

    def using(self, settings: SpeakSettings) -> XttsEngine:
        """The same model with other settings; nothing is loaded or copied. ConfigError for other weights or steps."""
        for name in ("weights", "steps"):
            if getattr(settings, name) != getattr(self.settings, name):
                raise ConfigError("speak.setting_fixed_at_load", name=name)
        other = copy.copy(self)
        other.settings, other._generate = settings, _with(self._own, settings)
        return other

    def joining(self, guest: Session) -> XttsEngine:
        """The same model, whose sentences are decoded in a loop that others share."""
        other = copy.copy(self)
        other._guest, other._cores = guest, None
        return other

    def chunks(self, phrase: Phrase, number: int, voice: Voice | None) -> Iterator[Wave]:
        """Phrase `number` as it is decoded. What goes wrong is cut, as what was heard cannot be taken back."""
        voice = self.chosen(voice)
        pace = StreamSettings(speed=self.settings.rate * phrase.rate)
        for part in self.parts(phrase, number):
            latents: Iterator[Tensor] = self._watched(part, voice)
            if self._cores:
                latents = run_in_background(latents, self._cores[0])
            waves = stream(self.model.vocoder, latents, voice.timbre, pace)
            for samples in with_threads(waves, self._cores[1]) if self._cores else waves:
                yield Wave(samples.float().cpu().numpy(), RATE)

    def wholes(self, phrases: Mapping[int, Phrase], voice: Voice | None) -> Mapping[int, tuple[Wave, None]]:
        """Phrases decoded in one loop, each whole; the times of phones are not known.

        What goes wrong is said again with another seed; the last attempts are as good as they get, cut where a
        loop or tail begins.
        """
        voice = self.chosen(voice)
        parts = [part for number, phrase in phrases.items() for part in self.parts(phrase, number)]
        events: Iterator[_Event] = self._attempts(parts, voice)
        if self._cores:
            events = run_in_background(events, self._cores[0])
        takes = [_Take(self.model.vocoder, voice.timbre, self.settings.rate * part.phrase.rate) for part in parts]
        sounding = _sounding(events, takes)
        for _ in with_threads(sounding, self._cores[1]) if self._cores else sounding:
            pass
        spoken: dict[int, tuple[Wave, None]] = {}
        for number, several in itertools.groupby(zip(parts, takes, strict=True), lambda pair: pair[0].number):
            spoken[number] = (join(Wave(take.wave(), RATE) for _, take in several), None)
        return spoken

    def listen(self, paths: Sequence[Path]) -> Voice:
        """A voice like that of the recordings of one speaker. Raises AudioError."""
        rate = self.model.spec.input_rate
        waves = [torch.from_numpy(Wave.load(path, rate).samples) for path in paths]
        return voices.clone(self.model, waves, source=", ".join(path.name for path in paths))

    def _watched(self, part: Part, voice: Voice) -> Iterator[Tensor]:
        """Latents of one attempt at a part, a few at a time once they are looked at, to its end or where it goes
        wrong."""
        steps: list[DecodingStep] = []
        given = 0
        drawn = self.drawn(part)
        if self._guest is not None:
            codes = self._guest.say(voice.latents, part.ids, drawn)
        else:
            codes = generate(self.model.gpt, voice.latents, part.ids, drawn, watch=self.settings.guard)
        for step in codes:
            steps.append(step)
            if len(steps) % _LOOK_EVERY and not step.last:
                continue
            if step.last:
                fault = self._fault(part, collect(steps, self.model.spec), cut_short=False)
            else:
                fault = self._running(part, steps)
            wrong = fault is not None and fault.kind != "cut"
            end = min(fault.at, len(steps)) if fault and wrong else len(steps)
            for latest in steps[given:end]:
                yield latest.latent
            given = max(given, end)
            if fault is not None:
                code = "speak.phrase_cut" if wrong else "speak.phrase_kept"
                self._note(part.number, Message(code, phrase=_shown(part.phrase), reason=fault.reason))
                return

    def _attempts(self, parts: Sequence[Part], voice: Voice) -> Iterator[_Event]:
        """Decode parts in one loop: (which part, a latent; or None: begin again; or how many of them to keep)."""
        if self._guest is not None:
            yield from self._visits(parts, voice, self._guest)
            return
        longest = max((len(part.ids) + self.drawn(part).max_codes for part in parts), default=0)
        decoder = Decoder(self.model.gpt, max(len(parts), 1), LATENTS + 3 + longest, watch=self.settings.guard)
        running: dict[int, tuple[_Trial, list[DecodingStep]]] = {}

        def join_in(trial: _Trial) -> None:
            settings = self.drawn(trial.part, trial.attempt)
            running[decoder.join(voice.latents, trial.part.ids, settings)] = (trial, [])

        for index, part in enumerate(parts):
            join_in(_Trial(index, part))
        while len(decoder):
            for step in decoder.step():
                trial, steps = running[step.row]
                steps.append(step)
                yield trial.index, step.latent
                look = len(steps) % _LOOK_EVERY == 0 and trial.attempt < self._retries and not step.last
                if not step.last and not (look and self._running(trial.part, steps)):
                    continue
                decoder.leave(step.row)
                del running[step.row]
                again = yield from self._settle(trial, collect(steps, self.model.spec), cut_short=not step.last)
                if again:
                    join_in(trial)

    def _visits(self, parts: Sequence[Part], voice: Voice, guest: Session) -> Iterator[_Event]:
        """As `_attempts`, in a loop that others share."""
        waiting = [_Trial(index, part) for index, part in enumerate(parts)]
        while waiting:
            drawn = [self.drawn(trial.part, trial.attempt) for trial in waiting]
            said = guest.say_all([voice.latents] * len(waiting), [trial.part.ids for trial in waiting], drawn)
            following = []
            for trial, sentence in zip(waiting, said, strict=True):
                for latent in sentence.latents:
                    yield trial.index, latent
                again = yield from self._settle(trial, sentence, cut_short=False)
                following += [trial] * again
            waiting = following

    @property
    def _retries(self) -> int:
        """Greedy codes are always the same: saying them again changes nothing."""
        return self.settings.retries if self._generate.sample else 0

    def _settle(self, trial: _Trial, said: GeneratedSentence, *, cut_short: bool) -> Generator[_Event, None, bool]:
        """Take an attempt, or the best of them when there are no more; True if there is to be another."""
        fault = self._fault(trial.part, said, cut_short=cut_short)
        if fault is None:
            yield trial.index, len(said.latents)
            return False
        if trial.fault is None or fault.at > trial.fault.at:
            trial.best, trial.fault = said, fault
        if trial.attempt < self._retries:
            trial.attempt += 1
            message = Message(
                "speak.phrase_said_again",
                phrase=_shown(trial.part.phrase),
                attempt=trial.attempt,
                retries=self._retries,
                reason=fault.reason,
            )
            self._note(trial.part.number, message)
            yield trial.index, None
            return True
        if trial.best is not said and trial.best is not None:
            yield trial.index, None
            said, fault = trial.best, trial.fault
            for latent in said.latents:
                yield trial.index, latent
        keep = len(said.latents) if fault.kind == "cut" else min(fault.at, len(said.latents))
        code = "speak.phrase_kept" if fault.kind == "cut" else "speak.phrase_cut"
        self._note(trial.part.number, Message(code, phrase=_shown(trial.part.phrase), reason=fault.reason))
        yield trial.index, keep
        return False

    def _running(self, part: Part, steps: Sequence[DecodingStep]) -> Fault | None:
        """What is already wrong with a part that is still being spoken."""
        if not self.settings.guard:
            return None
        seen = monotonic_path([step.gaze for step in steps if step.gaze is not None])
        return running([step.code for step in steps], _phones(part), self.model.spec.codes_per_second, seen)

    def _fault(self, part: Part, said: GeneratedSentence, *, cut_short: bool) -> Fault | None:
        """What is wrong with a part, if anything; without the guard only that it did not end."""
        codes = said.codes[:-1] if said.stopped else said.codes
        rate = self.model.spec.codes_per_second
        if not self.settings.guard:
            return None if said.stopped else Fault("endless", len(codes), Message("speak.fault_no_stop"))
        found = examine(
            codes.tolist(), _phones(part), rate, path=monotonic_path(said.gazes), stopped=said.stopped or cut_short
        )
        return found[0] if found else None

    def _note(self, number: int, message: Message) -> None:
        self._tell(Progress("speak", number, None, "phrases", message))

    def drawn(self, part: Part, attempt: int = 0) -> GenerateSettings:
        """How codes of a part are drawn: a seed of its own for each attempt, and no more codes than it can need."""
        seconds = self.settings.max_stretch * PHONE_SECONDS * _phones(part) + SPARE_SECONDS
        entropy = (self.settings.seed, part.number, part.place, attempt)
        seed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
        codes = min(math.ceil(seconds * self.model.spec.codes_per_second), self.model.spec.max_codes)
        return replace(self._generate, seed=int(seed >> np.uint64(1)), max_codes=codes)

    def parts(self, phrase: Phrase, number: int) -> list[Part]:
        """Phrase `number` of a text as parts that the model can hold and say, usually one.

        Raises SynthesisError for a single word that is too long.
        """
        return [Part(number, place, part, ids) for place, (part, ids) in enumerate(self._fitting(phrase))]

    def _fitting(self, phrase: Phrase) -> Iterator[tuple[Phrase, list[int]]]:
        """The phrase with its ids, in halves where the model could not hold or say it whole."""
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

    def chosen(self, voice: Voice | None) -> Voice:
        """The voice to speak with, on the model's device; the first of its own if none is asked for.

        Raises SynthesisError if there is none, or it was made for a model of another size.
        """
        if voice is None:
            if not self.voices:
                raise SynthesisError("speak.no_voice", name=self.name)
            name = next(iter(self.voices))
            if len(self.voices) > 1 and not self._told_of_voice:
                self._note(0, Message("speak.first_voice_used", voice=name, voices=len(self.voices)))
                self._told_of_voice = True
            voice = self.voices[name]
        voice.check(self.model)
        return voice.to(self.model.device)


def prepare_for_inference(
    model: XTTS, kept: Weights, steps: Steps = "auto", on_progress: ProgressCallback = ignore
) -> XTTS:
    """The model with its GPT's weights kept as asked and its decoding steps made fast, from now on only to speak.

    The vocoder stays float32, as its sound suffers first. Raises ConfigError where that cannot run, or would only be
    slower; MissingExtra for compiled steps without Numba.
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
    if steps == "compiled" or (steps == "auto" and not reason):
        cpu_decoder.compile_decoder(model.gpt)
    elif steps == "auto" and place == "cpu":
        on_progress(Progress("speak", 0, None, "phrases", Message("speak.decoding_not_compiled", reason=reason)))
    return model


def _with(own: GenerateSettings, settings: SpeakSettings) -> GenerateSettings:
    """How codes are drawn: as the voice was made for, but for what is asked."""
    wanted = {key: getattr(settings, key) for key in ("temperature", "top_k", "top_p", "repetition_penalty")}
    return replace(own, **{key: value for key, value in wanted.items() if value is not None})


def _sounding(events: Iterator[_Event], takes: Sequence[_Take]) -> Iterator[_Event]:
    """The same events, each put into its take."""
    for index, event in events:
        takes[index].put(event)
        yield index, event


def _phones(part: Part) -> int:
    return sum(len(word.phones) for word in part.phrase.words)


def _shown(phrase: Phrase) -> str:
    return phrase.written if len(phrase.written) <= 40 else phrase.written[:39] + "…"
