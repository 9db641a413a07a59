"""A model's voice as an engine: phrases → ids → codes and latents → sound; one by one, together, or as a stream."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dimts.audio.wave import Wave, join
from dimts.base.errors import ConfigError, SynthesisError
from dimts.base.progress import Progress, Tell
from dimts.speak.settings import PHONE_SECONDS, RATE, SPARE_SECONDS, SpeakSettings
from dimts.text.frontend import Phrase
from dimts.xtts import voice as voices
from dimts.xtts.checkpoint import Bundle
from dimts.xtts.generate import GenerateSettings, Sentence, Step, generate, generate_all
from dimts.xtts.loop import Guest
from dimts.xtts.stream import StreamSettings, stream
from dimts.xtts.voice import Voice


@dataclass(frozen=True, slots=True)
class Part:
    """A phrase, or as much of it as a model can say at once."""

    number: int
    """Of the phrase in its text."""
    place: int
    """Of the part in its phrase."""
    phrase: Phrase
    ids: list[int]


class XttsEngine:
    """Speaks with a bundle's model: one phrase as a stream, or several decoded in one loop."""

    def __init__(self, bundle: Bundle, name: str, settings: SpeakSettings, device: str | None, tell: Tell) -> None:
        self.name = str(bundle.meta.get("name") or name)
        self.vocabulary, self.settings, self._tell = bundle.vocabulary, settings, tell
        try:
            place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self.model = bundle.model.to(place)
        except (RuntimeError, AssertionError) as error:  # torch's own words for a device that is not there
            raise ConfigError(
                f"device {device!r} cannot be used: {error}", "leave --device out, or take cpu"
            ) from error
        self.voices = bundle.voices
        self._told_of_voice = False
        self._guest: Guest | None = None
        self._own = GenerateSettings.from_coqui(dict(bundle.config))
        self._generate = _with(self._own, settings)

    def using(self, settings: SpeakSettings) -> XttsEngine:
        """The same model with other settings; nothing is loaded or copied."""
        other = copy.copy(self)
        other.settings, other._generate = settings, _with(self._own, settings)
        return other

    def joining(self, guest: Guest) -> XttsEngine:
        """The same model, whose sentences are decoded in a loop that others share."""
        other = copy.copy(self)
        other._guest = guest
        return other

    def chunks(self, phrase: Phrase, number: int, voice: Voice | None) -> Iterator[Wave]:
        """Phrase `number` as it is decoded. What runs on is cut, as what was heard cannot be taken back."""
        voice = self.chosen(voice)
        speed = StreamSettings(speed=self.settings.rate * phrase.rate)
        for part in self.parts(phrase, number):
            steps = self._steps(voice.latents, part.ids, self.drawn(part))
            ended = False

            def latents(steps: Iterator[Any] = steps) -> Iterator[Any]:
                nonlocal ended
                for step in steps:
                    ended = step.last and step.code == self.model.spec.stop_audio
                    yield step.latent

            for samples in stream(self.model.vocoder, latents(), voice.timbre, speed):
                yield Wave(samples.float().cpu().numpy(), RATE)
            if not ended:
                self._note(number, f"{_shown(part.phrase)} ran on and was cut")

    def wholes(self, phrases: Mapping[int, Phrase], voice: Voice | None) -> Mapping[int, tuple[Wave, None]]:
        """Phrases decoded in one loop, each whole; the times of phones are not known."""
        voice = self.chosen(voice)
        parts = [part for number, phrase in phrases.items() for part in self.parts(phrase, number)]
        sentences = self._decoded(parts, voice)
        spoken: dict[int, tuple[Wave, None]] = {}
        for number, several in itertools.groupby(zip(parts, sentences, strict=True), lambda pair: pair[0].number):
            spoken[number] = (join(self._sound(said, voice, part.phrase.rate) for part, said in several), None)
        return spoken

    def listen(self, paths: Sequence[Path]) -> Voice:
        """A voice like that of the recordings of one speaker. Raises AudioError."""
        rate = self.model.spec.input_rate
        waves = [torch.from_numpy(Wave.load(path, rate).samples) for path in paths]
        return voices.listen(self.model, waves, source=", ".join(path.name for path in paths))

    def _decoded(self, parts: Sequence[Part], voice: Voice) -> list[Sentence]:
        """Each part as codes and latents; those that run on are said again, with another seed."""
        sentences: dict[int, Sentence] = {}
        waiting = list(range(len(parts)))
        for attempt in range(self.settings.retries + 1 if self._generate.sample else 1):
            drawn = [self.drawn(parts[i], attempt) for i in waiting]
            said = self._sentences([voice.latents] * len(waiting), [parts[i].ids for i in waiting], drawn)
            for i, one, sentence in zip(waiting, drawn, said, strict=True):
                ended = sentence.stopped and len(sentence.codes) <= one.max_codes
                codes, latents = sentence.codes[: one.max_codes], sentence.latents[: one.max_codes]
                sentences[i] = replace(sentence, codes=codes, latents=latents, stopped=ended)
            waiting = [i for i in waiting if not sentences[i].stopped]
            final = attempt == self.settings.retries or not self._generate.sample
            what = "was cut" if final else f"is said again ({attempt + 1} of {self.settings.retries})"
            for i in waiting:
                self._note(parts[i].number, f"{_shown(parts[i].phrase)} ran on and {what}")
            if not waiting:
                break
        return [sentences[i] for i in range(len(parts))]

    def _steps(self, latents: Tensor, ids: Sequence[int], settings: GenerateSettings) -> Iterator[Step]:
        if self._guest is not None:
            return self._guest.say(latents, ids, settings)
        return generate(self.model.gpt, latents, ids, settings)

    def _sentences(
        self, latents: Sequence[Tensor], texts: Sequence[Sequence[int]], settings: Sequence[GenerateSettings]
    ) -> list[Sentence]:
        if self._guest is not None:
            return self._guest.say_all(latents, texts, settings)
        return generate_all(
            self.model.gpt,
            latents,
            texts,
            replace(self._generate, max_codes=max((one.max_codes for one in settings), default=1)),
            [torch.Generator().manual_seed(one.seed or 0) for one in settings],
        )

    def _sound(self, sentence: Sentence, voice: Voice, rate: float) -> Wave:
        speed = StreamSettings(speed=self.settings.rate * rate, first_latents=len(sentence.latents))
        pieces = [samples.float().cpu().numpy() for samples in
                  stream(self.model.vocoder, [sentence.latents], voice.timbre, speed)]  # fmt: skip
        return Wave(np.concatenate(pieces) if pieces else np.zeros(0, np.float32), RATE)

    def _note(self, number: int, message: str) -> None:
        self._tell(Progress("speak", number, None, "phrases", message))

    def drawn(self, part: Part, attempt: int = 0) -> GenerateSettings:
        """How codes of a part are drawn: a seed of its own for each attempt, and no more codes than it can need."""
        count = sum(len(word.phones) for word in part.phrase.words)
        seconds = self.settings.max_stretch * PHONE_SECONDS * count + SPARE_SECONDS
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
            raise SynthesisError(f"{_shown(phrase)} is too long for this model", "put a space into it")
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
                raise SynthesisError(f"{self.name} has no voice of its own", "give a recording: --voice abebe.wav")
            name = next(iter(self.voices))
            if len(self.voices) > 1 and not self._told_of_voice:
                self._note(0, f"speaking with {name!r}, the first of {len(self.voices)} voices")
                self._told_of_voice = True
            voice = self.voices[name]
        voice.check(self.model)
        return voice.to(self.model.device)


def _with(own: GenerateSettings, settings: SpeakSettings) -> GenerateSettings:
    """How codes are drawn: as the voice was made for, but for what is asked."""
    wanted = {key: getattr(settings, key) for key in ("temperature", "top_k", "top_p", "repetition_penalty")}
    return replace(own, **{key: value for key, value in wanted.items() if value is not None})


def _shown(phrase: Phrase) -> str:
    return repr(phrase.written if len(phrase.written) <= 40 else phrase.written[:39] + "…")
