"""Formant voice as an engine: audio and exact phone times, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dimts.audio.formant import FASTEST, SLOWEST, Formant
from dimts.audio.wave import Wave
from dimts.base.errors import SynthesisError
from dimts.base.messages import Message
from dimts.speak.results import Times
from dimts.speak.settings import SpeakSettings
from dimts.text.frontend import Phrase

if TYPE_CHECKING:
    from dimts.xtts.voice import Voice


class FormantEngine:
    """Rule-based synthesis; its one voice has variants."""

    name = Message("speak.formant_voice")

    def __init__(self, settings: SpeakSettings) -> None:
        self._settings = settings
        self._by_rate: dict[float, Formant] = {}
        self.voices: Mapping[str, Voice] = {}
        self._at(1.0)  # raises for an unknown variant

    def with_settings(self, settings: SpeakSettings) -> FormantEngine:
        """Return the same voice with other settings."""
        return FormantEngine(settings)

    def _at(self, rate: float) -> Formant:
        """Return the voice at a tempo, cached."""
        if rate not in self._by_rate:
            own = self._settings.formant
            tempo = min(max(own.rate * self._settings.rate * rate, SLOWEST), FASTEST)
            self._by_rate[rate] = Formant(replace(own, rate=tempo))
        return self._by_rate[rate]

    def stream(self, phrase: Phrase, number: int, voice: Voice | None) -> Iterator[Wave]:
        """Yield the phrase as one piece."""
        yield self.synthesise({number: phrase}, voice)[number][0]

    def synthesise(
        self, phrases: Mapping[int, Phrase], voice: Voice | None
    ) -> Mapping[int, tuple[Wave, Times]]:
        """Synthesise each phrase with the times of its phones. SynthesisError for the voice of a
        recording."""
        if voice is not None:
            raise SynthesisError("speak.formant_takes_no_voice")
        spoken = {}
        for number, phrase in phrases.items():
            timed = self._at(phrase.rate).speak_timed([word.phones for word in phrase.words], phrase.mark)
            spoken[number] = (timed.wave, timed.times)
        return spoken

    def clone(self, paths: Sequence[Path]) -> Voice:
        """Raise SynthesisError: the voice is fixed."""
        raise SynthesisError("speak.formant_cannot_clone")
