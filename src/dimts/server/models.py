"""What a server speaks with: models by name, each with its voices, its front end, and one loop for all requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dimts.audio.formant import variants
from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.base.plugins import nearest
from dimts.base.progress import Progress
from dimts.server.errors import ApiError
from dimts.server.settings import ServeSettings
from dimts.server.voice_store import VoiceStore
from dimts.speak import FORMANT, Speaker, SpeakSettings
from dimts.text.frontend import FrontendSettings

if TYPE_CHECKING:
    from dimts.xtts.scheduler import DecodingScheduler, Session
    from dimts.xtts.voice import Voice

DEFAULT = "default"
"""The name by which every model's first voice can be asked for."""
PHRASE_FAULTS = frozenset({"speak.phrase_cut", "speak.phrase_kept", "speak.phrase_said_again"})
"""Codes of the events that report a phrase which went wrong."""
TOGETHER = 4
"""Phrases of one request that are decoded at once where nothing is streamed."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from: plain values, so that they can be sent to another machine."""

    where: str
    """"formant", or the folder of a bundle."""
    settings: SpeakSettings
    frontend: FrontendSettings | None = None
    lexicon: Path | None = None
    device: str | None = None

    @property
    def name(self) -> str:
        """What requests call it."""
        return FORMANT if self.where == FORMANT else Path(self.where).resolve().name


class LoadedModel:
    """One model."""

    def __init__(self, name: str, speaker: Speaker, loop: DecodingScheduler | None) -> None:
        self.name, self.speaker, self.loop = name, speaker, loop
        self.cuts: Callable[[], None] = lambda: None
        """Called for every attempt at a phrase that went wrong."""

    @classmethod
    def load(cls, source: ModelSource, slots: int, watch: Callable[[float, int], None] | None = None) -> LoadedModel:
        """Load a model and start its loop. Raises ConfigError, CheckpointError, MissingExtra."""
        served: LoadedModel

        def on_progress(progress: Progress) -> None:  # its parameters hold text of people: only counted
            if progress.message is not None and progress.message.code in PHRASE_FAULTS:
                served.cuts()

        speaker = Speaker.load(
            source.where, source.settings, frontend=source.frontend, lexicon=source.lexicon, device=source.device,
            on_progress=on_progress,
        )  # fmt: skip
        loop = None
        if source.where != FORMANT:
            from dimts.xtts.scheduler import DecodingScheduler

            loop = DecodingScheduler(speaker.engine.model.gpt, slots, watch)  # type: ignore[attr-defined]
        served = cls(source.name, speaker, loop)
        return served

    def names(self) -> list[str]:
        """Its own voices; the first speaks where none is asked for."""
        return list(self.speaker.voices) if self.loop is not None else [DEFAULT, *variants()]

    def kind(self, voice: str) -> Literal["built-in", "variant"]:
        """What one of its voices is."""
        return "built-in" if self.loop is not None or voice == DEFAULT else "variant"

    def speaking(
        self, voice: str | Voice, guest: Session | None, *, speed: float, seed: int | None, whole: bool
    ) -> tuple[Speaker, Voice | str | None]:
        """A speaker for one request, and the voice to give it."""
        changes: dict[str, Any] = {"rate": self.speaker.settings.rate * speed}
        if seed is not None:
            changes["seed"] = seed
        if self.loop is None:
            if isinstance(voice, str) and voice not in ("", DEFAULT):
                changes["formant"] = replace(self.speaker.settings.formant, variant=voice)
            return self.speaker.using(**changes), None
        if whole:
            changes["together"] = min(TOGETHER, self.loop.slots)
        speaker = self.speaker.using(**changes)
        if guest is not None:
            engine = speaker.engine.joining(guest)  # type: ignore[attr-defined]
            speaker = Speaker(engine, speaker.frontend, speaker.settings)
        return speaker, (self.names()[0] if self.names() else None) if voice in ("", DEFAULT) else voice


class ModelRegistry:
    """All models and voices of a server."""

    def __init__(self, models: Iterable[LoadedModel], settings: ServeSettings) -> None:
        self.models: dict[str, LoadedModel] = {}
        for served in models:
            if served.name in self.models:
                raise ConfigError("server.duplicate_model", name=served.name)
            self.models[served.name] = served
        self._aliases = settings.model_aliases
        self._voice_aliases = settings.voice_aliases
        self.shelf = VoiceStore(Path(settings.voices_folder)) if settings.voices_folder else None

    @property
    def first(self) -> LoadedModel:
        """The model that speaks where none is asked for."""
        return next(iter(self.models.values()))

    def model(self, name: str) -> LoadedModel:
        """A model by its name or an alias. Refused (404) for an unknown one."""
        name = self._aliases.get(name, name)
        if not name:
            return self.first
        if name not in self.models:
            message = Message("server.model_not_found", name=_shown(name), nearest=nearest(name, self.models))
            raise ApiError(404, message, param="model")
        return self.models[name]

    def voice(self, served: LoadedModel, name: str, owner: str) -> tuple[str, str | Voice]:
        """A voice of a model by name or id: what it is called, and the voice. Refused (404) for an unknown one."""
        name = self._voice_aliases.get(name, name)
        own = served.names()
        if name in ("", DEFAULT):
            if not own:
                raise ApiError(404, Message("server.model_without_voice", model=served.name), param="voice")
            return own[0], own[0]
        if name in own:
            return name, name
        uploaded = self.shelf.find(name, served.name, owner) if self.shelf else None
        if self.shelf is None or uploaded is None:
            message = Message(
                "server.voice_not_found", model=served.name, name=_shown(name), nearest=nearest(name, own)
            )
            raise ApiError(404, message, param="voice")
        return uploaded.name, self.shelf.voice(uploaded)

    def gauges(self) -> Iterator[tuple[str, str, str, float]]:
        """Figures of the loops."""
        for name, served in self.models.items():
            if served.loop is not None:
                yield "slots_taken", "Sentences in the loop", name, served.loop.speaking
                yield "sentences_waiting", "Sentences that wait for a slot", name, served.loop.waiting

    def loops(self) -> Mapping[str, DecodingScheduler]:
        """The decoding loops by model."""
        return {name: served.loop for name, served in self.models.items() if served.loop is not None}

    def close(self) -> None:
        """End every loop."""
        for loop in self.loops().values():
            loop.close()


def _shown(name: str) -> str:
    """A name from a request as a message may show it: printable, 60 characters at most."""
    return repr(name if len(name) <= 60 else name[:59] + "…")[1:-1]
