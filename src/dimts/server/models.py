"""The models of a server by name, each with its voices, its front end, and one decoding scheduler."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dimts.audio.formant import variants
from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.base.plugins import nearest
from dimts.base.progress import Progress
from dimts.onnx.voice_folder import is_onnx_voice
from dimts.server import log
from dimts.server.errors import ApiError
from dimts.server.settings import ServeSettings
from dimts.server.voice_store import VoiceStore
from dimts.speak import FASTEST, FORMANT, SLOWEST, Speaker, SpeakSettings
from dimts.text.frontend import FrontendSettings

if TYPE_CHECKING:
    from dimts.xtts.scheduler import DecodingScheduler, Session
    from dimts.xtts.voice import Voice

DEFAULT = "default"
"""Name of every model's first voice."""
OPENAI_MODELS = re.compile(r"(tts-1|tts-1-hd|gpt-4o-mini-tts)(-\d{4}(-\d\d-\d\d)?)?")
"""Names of OpenAI's models for speech, dated or not: they select the first model."""
OPENAI_VOICES = frozenset({
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer",
    "verse",
})  # fmt: skip
"""Names of OpenAI's voices, which clients send by default: they select the model's first voice."""
PHRASE_FAULTS = frozenset({"speak.phrase_cut", "speak.phrase_kept", "speak.phrase_said_again"})
"""Codes of the events that report a phrase with a fault."""
TOGETHER = 4
"""Phrases of one request that are decoded at once where nothing is streamed."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Source of a model as plain values, so that they can be sent to another machine."""

    where: str
    """"formant", or the folder of a bundle."""
    settings: SpeakSettings
    frontend: FrontendSettings | None = None
    lexicon: Path | None = None
    device: str | None = None

    @property
    def name(self) -> str:
        """Name of the model in requests."""
        return FORMANT if self.where == FORMANT else Path(self.where).resolve().name


class ChosenVoice(NamedTuple):
    """A voice of a model, as chosen for a request."""

    name: str
    voice: str | Voice
    note: Message | None = None
    """Note on the substitution where another voice than the named one is used."""


class LoadedModel:
    """One model in memory."""

    def __init__(
        self, name: str, speaker: Speaker, scheduler: DecodingScheduler | None, *, formant: bool = True
    ) -> None:
        self.name, self.speaker, self.scheduler, self.formant = name, speaker, scheduler, formant
        self.on_phrase_fault: Callable[[], None] = lambda: None
        """Called for every attempt at a phrase that had a fault."""

    @classmethod
    def load(
        cls, source: ModelSource, slots: int, watch: Callable[[float, int], None] | None = None
    ) -> LoadedModel:
        """Load a model and start its scheduler. Raises ConfigError, CheckpointError, MissingExtra."""
        loaded: LoadedModel

        def on_progress(progress: Progress) -> None:  # its parameters hold text of people: only counted
            if progress.message is not None and progress.message.code in PHRASE_FAULTS:
                loaded.on_phrase_fault()
            elif progress.message is not None and progress.message.code == "speak.not_watermarked":
                log.note(progress.message.line("en"), level=logging.WARNING, model=source.name)

        speaker = Speaker.load(
            source.where,
            source.settings,
            frontend=source.frontend,
            lexicon=source.lexicon,
            device=source.device,
            on_progress=on_progress,
        )
        scheduler = None
        if source.where != FORMANT and not is_onnx_voice(source.where):
            from dimts.xtts.scheduler import DecodingScheduler

            scheduler = DecodingScheduler(speaker.engine.model.gpt, slots, watch)  # type: ignore[attr-defined]
        loaded = cls(source.name, speaker, scheduler, formant=source.where == FORMANT)
        return loaded

    def session(self) -> Session | None:
        """Open a session of one request with the scheduler; None where each request decodes by itself."""
        return self.scheduler.session() if self.scheduler is not None else None

    def voices(self) -> list[str]:
        """Return the names of its own voices; the first is the default."""
        if self.formant:
            return [DEFAULT, *variants()]
        return list(self.speaker.voices) or [DEFAULT]

    def kind(self, voice: str) -> Literal["built-in", "variant"]:
        """Return the kind of one of its voices."""
        return "variant" if self.formant and voice != DEFAULT else "built-in"

    def tempo(self, speed: float) -> float:
        """Convert a request's `speed` to the speaker's rate, clamped to the voice's range."""
        return min(max(self.speaker.settings.rate * speed, SLOWEST), FASTEST)

    def speaker_for(
        self, voice: str | Voice, session: Session | None, *, speed: float, seed: int | None, whole: bool
    ) -> tuple[Speaker, Voice | str | None]:
        """Return a speaker for one request, and the voice to pass to it."""
        changes: dict[str, Any] = {"rate": self.tempo(speed)}
        if seed is not None:
            changes["seed"] = seed
        if self.scheduler is None:
            if self.formant and isinstance(voice, str) and voice not in ("", DEFAULT):
                changes["formant"] = replace(self.speaker.settings.formant, variant=voice)
            named = voice if not self.formant and not isinstance(voice, str) else None
            return self.speaker.with_settings(**changes), named
        if whole:
            changes["together"] = min(TOGETHER, self.scheduler.slots)
        speaker = self.speaker.with_settings(**changes)
        if session is not None:
            engine = speaker.engine.with_session(session)  # type: ignore[attr-defined]
            speaker = Speaker(engine, speaker.frontend, speaker.settings)
        return speaker, voice


class ModelRegistry:
    """All models and voices of a server."""

    def __init__(self, models: Iterable[LoadedModel], settings: ServeSettings) -> None:
        self.models: dict[str, LoadedModel] = {}
        for model in models:
            if model.name in self.models:
                raise ConfigError("server.duplicate_model", name=model.name)
            self.models[model.name] = model
        self._aliases = settings.model_aliases
        self._voice_aliases = settings.voice_aliases
        self.store = VoiceStore(Path(settings.voices_folder)) if settings.voices_folder else None

    @property
    def first(self) -> LoadedModel:
        """The default model."""
        return next(iter(self.models.values()))

    def model(self, name: str) -> LoadedModel:
        """Return a model by its name or an alias. Raises ApiError (404) for an unknown one."""
        name = self._aliases.get(name, name)
        if name in self.models:
            return self.models[name]
        if not name or OPENAI_MODELS.fullmatch(name):
            return self.first
        message = Message("server.model_not_found", name=_shown(name), nearest=nearest(name, self.models))
        raise ApiError(404, message, param="model")

    def voice(self, model: LoadedModel, name: str, owner: str) -> ChosenVoice:
        """Return a voice of a model by name or id, if the key `owner` may use it. Raises ApiError (404) for
        an unknown one."""
        asked, name = name, self._voice_aliases.get(name, name)
        own = model.voices()
        if name in own:
            return ChosenVoice(name, name)
        uploaded = self.store.find(name, model.name, owner) if self.store and name else None
        if self.store is not None and uploaded is not None:
            return ChosenVoice(uploaded.name, self.store.voice(uploaded))
        if name in ("", DEFAULT) or name in OPENAI_VOICES:
            if not own:
                raise ApiError(404, Message("server.model_without_voice", model=model.name), param="voice")
            note = (
                Message("server.voice_replaced", name=asked, voice=own[0]) if name in OPENAI_VOICES else None
            )
            return ChosenVoice(own[0], own[0], note)
        known = nearest(name, own)
        message = Message("server.voice_not_found", model=model.name, name=_shown(name), nearest=known)
        raise ApiError(404, message, param="voice")

    def gauges(self) -> Iterator[tuple[str, str, str, float]]:
        """Yield the figures of the schedulers."""
        for name, scheduler in self.schedulers().items():
            yield "slots_taken", "Sentences that are being decoded", name, scheduler.speaking
            yield "sentences_waiting", "Sentences that wait for a slot", name, scheduler.waiting

    def schedulers(self) -> Mapping[str, DecodingScheduler]:
        """The decoding schedulers by model."""
        return {name: model.scheduler for name, model in self.models.items() if model.scheduler is not None}

    def close(self) -> None:
        """End every scheduler."""
        for scheduler in self.schedulers().values():
            scheduler.close()


def _shown(name: str) -> str:
    """Clean a name from a request for a message: printable, 60 characters at most."""
    return repr(name if len(name) <= 60 else name[:59] + "…")[1:-1]
