"""Engine of an XTTS model in PyTorch; what does not depend on PyTorch is in `utterances.py`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, SynthesisError
from dimts.base.messages import Message
from dimts.base.plugins import has
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.speak.pipeline import run_in_background, split_threads, with_threads
from dimts.speak.settings import SpeakSettings, Steps, Weights
from dimts.speak.utterances import Attempt, DecodedUtterance, Event, Latent, PhraseSegment, UtteranceEngine
from dimts.xtts import cpu_decoder
from dimts.xtts import voice as voices
from dimts.xtts.checkpoint import Bundle
from dimts.xtts.generate import Decoder
from dimts.xtts.model import XTTS
from dimts.xtts.quantise import quantise
from dimts.xtts.sampling import DecodingStep, GenerateSettings
from dimts.xtts.scheduler import Session
from dimts.xtts.stream import VocoderStream
from dimts.xtts.voice import Voice


class TorchVocoder:
    """The vocoder's state for one utterance; samples as arrays."""

    def __init__(self, stream: VocoderStream) -> None:
        self._stream = stream

    def push(self, latents: Sequence[Any]) -> np.ndarray:
        """Push latents, each [D]; returns the samples [T] that became final."""
        return self._stream.push(torch.stack(list(latents))).float().cpu().numpy()

    def finish(self) -> np.ndarray:
        """Return the samples [T] still held back."""
        return self._stream.finish().float().cpu().numpy()


class XttsEngine(UtteranceEngine):
    """Engine of a bundle's model: decodes one phrase as a stream, or several in one loop."""

    def __init__(
        self,
        bundle: Bundle,
        name: str,
        settings: SpeakSettings,
        device: str | None,
        on_progress: ProgressCallback,
    ) -> None:
        super().__init__(settings, GenerateSettings.from_coqui(dict(bundle.config)), on_progress)
        self.name = str(bundle.meta.get("name") or name)
        self.vocabulary, self.meta = bundle.vocabulary, bundle.meta
        try:
            place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            model = bundle.model.to(place)
        except (RuntimeError, AssertionError) as error:  # raised by torch for a device that is not there
            raise ConfigError("speak.device_unusable", device=device, reason=error) from error
        self.model = prepare_for_inference(model, settings.weights, settings.steps, on_progress)
        self.spec = self.model.spec
        self._threads = split_threads(torch.get_num_threads()) if self.model.device.type == "cpu" else None
        """Threads for decoding and for the vocoder, where both can run at once."""
        self.voices = bundle.voices
        self._voice_announced = False
        self._session: Session | None = None

    def with_settings(self, settings: SpeakSettings) -> XttsEngine:
        """Return the same model with other settings; nothing is loaded or copied. ConfigError for other
        weights or steps."""
        for name in ("weights", "steps"):
            if getattr(settings, name) != getattr(self.settings, name):
                raise ConfigError("speak.setting_fixed_at_load", name=name)
        return self._with(settings)

    def with_session(self, session: Session) -> XttsEngine:
        """Return the same model with sentences decoded by a shared scheduler."""
        other = copy.copy(self)
        other._session, other._threads = session, None
        return other

    def clone(self, paths: Sequence[Path]) -> Voice:
        """Clone the voice of the recordings of one speaker. Raises AudioError."""
        rate = self.model.spec.input_rate
        waves = [torch.from_numpy(Wave.load(path, rate).samples) for path in paths]
        return voices.clone(self.model, waves, source=", ".join(path.name for path in paths))

    def decoder(self, sentences: int, tokens: int) -> Decoder:
        """Make a decoder of that many sentences, the longest of that many tokens with its prefix."""
        return Decoder(self.model.gpt, sentences, tokens, record_attention=self.settings.guard)

    def add(self, decoder: Decoder, voice: Voice, ids: Sequence[int], settings: GenerateSettings) -> int:
        """Start a sentence; returns its number."""
        return decoder.add(voice.latents, ids, settings)

    def vocoder(self, voice: Voice, speed: float) -> TorchVocoder:
        """Make a vocoder for one utterance."""
        return TorchVocoder(VocoderStream(self.model.vocoder, voice.timbre, speed))

    def run_decoding(self, decoding: Iterator[Any]) -> Iterator[Any]:
        """Run decoding in a thread of its own, where there are threads for it."""
        return run_in_background(decoding, self._threads[0]) if self._threads else decoding

    def run_vocoding(self, sound: Iterator[Any]) -> Iterator[Any]:
        """Run the vocoder with the threads that decoding leaves to it."""
        return with_threads(sound, self._threads[1]) if self._threads else sound

    def _steps(
        self, utterance: PhraseSegment, voice: Voice, settings: GenerateSettings
    ) -> Iterator[DecodingStep]:
        if self._session is not None:
            return self._session.generate(voice.latents, utterance.ids, settings)
        return super()._steps(utterance, voice, settings)

    def _decode(self, utterances: Sequence[PhraseSegment], voice: Voice) -> Iterator[Event]:
        if self._session is not None:
            return self._decode_in_session(utterances, voice, self._session)
        return super()._decode(utterances, voice)

    def _decode_in_session(
        self, utterances: Sequence[PhraseSegment], voice: Voice, session: Session
    ) -> Iterator[Event]:
        """Decode as `_decode`, by a shared scheduler."""
        waiting = [Attempt(index, utterance) for index, utterance in enumerate(utterances)]
        while waiting:
            settings = [self.generate_settings(attempt.utterance, attempt.retry) for attempt in waiting]
            ids = [attempt.utterance.ids for attempt in waiting]
            sentences = session.generate_all([voice.latents] * len(waiting), ids, settings)
            following = []
            for attempt, sentence in zip(waiting, sentences, strict=True):
                for latent in sentence.latents:
                    yield attempt.index, Latent(latent)
                decoded = DecodedUtterance(
                    sentence.codes.tolist(), list(sentence.latents), sentence.stopped, sentence.attention
                )
                again = yield from self._accept(attempt, decoded, cut_short=False)
                following += [attempt] * again
            waiting = following

    def resolve_voice(self, voice: Voice | None) -> Voice:
        """Return the voice for synthesis, on the model's device; the first of the bundle if none is
        requested.

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


def prepare_for_inference(
    model: XTTS, kept: Weights, steps: Steps = "auto", on_progress: ProgressCallback = ignore
) -> XTTS:
    """Convert the model's GPT weights and compile its decoding steps as configured; then it can only
    synthesise.

    The vocoder stays float32, as its quality suffers first. Raises ConfigError where that cannot run, or
    would only be slower; MissingExtra for compiled steps without Numba.
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
        on_progress(
            Progress("speak", 0, None, "phrases", Message("speak.decoding_not_compiled", reason=reason))
        )
    return model
