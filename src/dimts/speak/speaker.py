"""Speaker: synthesises texts phrase by phrase, joined by the phrases' pauses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dimts.audio.tags import FileTags
from dimts.audio.wave import Wave, join
from dimts.base import builtin_voices
from dimts.base.config import from_table
from dimts.base.errors import CheckpointError, ConfigError, SynthesisError, TextError
from dimts.base.files import fingerprint
from dimts.base.plugins import nearest, require
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.onnx.voice_folder import is_onnx_voice
from dimts.speak.consent import consent_text
from dimts.speak.formant import FormantEngine
from dimts.speak.provenance import Provenance, file_tags
from dimts.speak.results import Engine, SynthesisedPhrase, estimate_times, words_of
from dimts.speak.settings import FORMANT, FORMANT_FRONTEND, RATE, SpeakSettings
from dimts.text.frontend import Frontend, FrontendSettings, Phrase

if TYPE_CHECKING:
    from dimts.xtts.voice import Voice


class Speaker:
    """Synthesiser of texts; made once, used for many. May be shared by threads as far as its engine may."""

    def __init__(self, engine: Engine, frontend: Frontend, settings: SpeakSettings) -> None:
        self.engine, self.frontend, self.settings = engine, frontend, settings
        self.provenance = Provenance(settings.watermark, formant=isinstance(engine, FormantEngine))
        """Mark and file fields of its speech. Its creation raises MissingExtra."""

    @classmethod
    def load(
        cls,
        where: Path | str = FORMANT,
        settings: SpeakSettings | None = None,
        *,
        frontend: FrontendSettings | None = None,
        lexicon: Path | None = None,
        device: str | None = None,
        variant: str | None = None,
        on_progress: ProgressCallback = ignore,
    ) -> Speaker:
        """Load "formant", a voice of `builtin_voices.voices()`, or a folder with an XTTS voice (ours,
        coqui's, or ONNX graphs).

        A model's speech that is not watermarked, as the extra is not installed, is reported there too. A
        model's folder carries the front end it was trained with, and `frontend` is for one that does not.
        `lexicon` is a file of pronunciations (word TAB phones) above all others; `device` is "cpu", "cuda" …;
        `variant` is short for `settings.formant.variant`. Phrases that are retried or cut are reported to
        `on_progress`. Raises ConfigError, CheckpointError, MissingExtra.
        """
        settings = settings or SpeakSettings()
        if variant is not None:
            settings = replace(settings, formant=replace(settings.formant, variant=variant))
        if str(where) == FORMANT:
            return cls(FormantEngine(settings), Frontend(frontend or FORMANT_FRONTEND, lexicon), settings)
        if is_onnx_voice(where):
            from dimts.speak.onnx import OnnxEngine

            onnx = OnnxEngine(Path(where), settings, device, on_progress)
            own = frontend_of(onnx.onnx_voice.front_end)
            speaker = cls(onnx, Frontend(own or frontend or FrontendSettings(), lexicon), settings)
            return speaker._announced(on_progress)
        require("torch", "speak")
        from dimts.speak.xtts import XttsEngine
        from dimts.xtts.load import load

        name = str(where)
        if name in (known := builtin_voices.voices()) and not Path(where).exists():
            bundle = load(known[name])
            first = {name: bundle.voices[name]}
            bundle = replace(bundle, voices=first | dict(bundle.voices))
        else:
            bundle = load(where)
        own = frontend_of(bundle.front_end)
        engine = XttsEngine(bundle, Path(where).name, settings, device, on_progress)
        speaker = cls(engine, Frontend(own or frontend or FrontendSettings(), lexicon), settings)
        return speaker._announced(on_progress)

    def _announced(self, on_progress: ProgressCallback) -> Speaker:
        """Return the same speaker; what users should know of its provenance is reported."""
        if self.provenance.remark is not None:
            on_progress(Progress("speak", 0, None, "phrases", self.provenance.remark))
        return self

    def with_settings(self, **changes: Any) -> Speaker:
        """Return the same speaker with other settings, e.g. `with_settings(rate=1.2, seed=7)`; nothing is
        loaded again.

        Raises ConfigError for a value out of range.
        """
        settings = replace(self.settings, **changes)
        return Speaker(self.engine.with_settings(settings), self.frontend, settings)

    @property
    def voices(self) -> Mapping[str, Voice]:
        """Voices of its model, by name."""
        return self.engine.voices

    def clone(self, *paths: Path | str, consent: str) -> Voice:
        """Clone the voice of one or more recordings of one speaker, for `say` and `stream`.

        `consent` says who speaks and how the person agreed; it stays in the voice (`meta`), with the
        recordings' SHA-256. Raises AudioError for files that cannot be used, SynthesisError for a consent
        that `consent_text` refuses, and if this speaker has one voice only.
        """
        files, consent = [Path(path) for path in paths], consent_text(consent)
        voice = self.engine.clone(files)
        facts = {"consent": consent, "sha256": ", ".join(map(fingerprint, files))}
        return replace(voice, meta={**voice.meta, **facts})

    def say(self, text: str, voice: Voice | str | None = None) -> Wave:
        """Synthesise all of `text` as one wave at 24 kHz; `voice` is a Voice or the name of one of `voices`.

        Raises TextError for a text without Amharic, SynthesisError if there is no voice to speak with.
        """
        return join(piece for one in self.phrases(text, voice) for piece in (one.wave, one.silence))

    def stream(self, text: str, voice: Voice | str | None = None) -> Iterator[Wave]:
        """Yield pieces of `text` as they are ready, none empty. Raises as `say` does.

        As audio that was played cannot be withdrawn, a phrase with a fault is cut and not tried again.
        """
        chosen, tags = self._chosen(voice), self.tags(voice)
        for number, (phrase, pause) in enumerate(self.text_phrases(text)):
            if any(word.phones for word in phrase.words):
                yield from self.provenance.streamed(self.engine.stream(phrase, number, chosen), tags)
            if pause:
                yield replace(Wave.silence(pause, RATE), tags=tags)

    def phrases(self, text: str, voice: Voice | str | None = None) -> Iterator[SynthesisedPhrase]:
        """Synthesise phrase by phrase, with the times of every word and phone. Raises as `say` does."""
        chosen, tags = self._chosen(voice), self.tags(voice)
        start = 0.0
        numbered = enumerate(self.text_phrases(text))
        while some := list(itertools.islice(numbered, self.settings.together)):
            speakable = {
                number: phrase for number, (phrase, _) in some if any(word.phones for word in phrase.words)
            }
            spoken = self.engine.synthesise(speakable, chosen)
            for number, (phrase, pause) in some:
                wave, times = spoken.get(number, (Wave.silence(0.0, RATE), None))
                wave = self.provenance.whole(wave, tags)
                words = words_of(phrase, times or estimate_times(phrase, wave), start)
                yield SynthesisedPhrase(phrase, wave, start, pause, words, times is not None)
                start += wave.seconds + pause

    def text_phrases(self, text: str) -> Iterator[tuple[Phrase, float]]:
        """Yield the phrases of `text`, each with the pause after it in seconds (after the last, only a
        requested one)."""
        if not text.strip():
            raise TextError("speak.text_empty")
        waiting: list[Phrase] = []
        amharic = False
        for phrase in self.frontend(text):
            amharic = amharic or _is_amharic(phrase)
            waiting.append(phrase)
            while amharic and len(waiting) > 1:
                yield waiting[0], waiting.pop(0).pause_seconds / self.settings.rate
        if not amharic:
            shown = " ".join(text.split())[:40]
            raise TextError("speak.no_amharic", text=shown)
        last = waiting[0]
        yield last, 0.0 if last.words else last.pause_seconds / self.settings.rate

    def tags(self, voice: Voice | str | None = None) -> FileTags:
        """Return the fields of files spoken with `voice`: its name, its licence, and that it is synthetic."""
        if voice is None and self.voices:
            voice = next(iter(self.voices))
        name = voice if isinstance(voice, str) else ""
        own = self.voices.get(voice) if isinstance(voice, str) else voice
        about: Mapping[str, Any] = getattr(self.engine, "meta", {})
        return file_tags(self.engine.name, about, name, own.meta if own is not None else {})

    def _chosen(self, voice: Voice | str | None) -> Voice | None:
        if not isinstance(voice, str):
            return voice
        if voice not in self.voices:
            raise SynthesisError(
                "speak.unknown_voice",
                engine=self.engine.name,
                voice=voice,
                nearest=nearest(voice, self.voices),
            )
        return self.voices[voice]


def frontend_of(note: Mapping[str, Any]) -> FrontendSettings | None:
    """Return the front end a voice was trained with, from its bundle's notes; None if they have none.

    Raises CheckpointError if this version does not know one of its settings.
    """
    settings = note.get("settings", note)
    if not settings:
        return None
    try:
        return from_table(FrontendSettings, settings, "text")
    except ConfigError as error:
        version = note.get("version", "?")
        raise CheckpointError("speak.front_end_unknown", version=version, reason=error.message) from error


def _is_amharic(phrase: Phrase) -> bool:
    """Whether the written form has Ethiopic letters or numerals, digits, or phones of the user's."""
    return any(word.by == "user" for word in phrase.words) or any(
        letter.isdigit() or "ሀ" <= letter <= "᎙" or "ⶀ" <= letter <= "ⷞ" or "ꬁ" <= letter <= "ꬮ"
        for letter in phrase.written
    )
