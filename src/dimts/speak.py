"""Text + voice → wave: phrase by phrase, whole or streamed, with natural pauses and the time of every word.

    speaker = Speaker.load("formant")               always there, no model
    speaker = Speaker.load("runs/abebe/bundle")     a fine-tuned XTTS voice
    speaker.say("ሰላም ለዓለም።").save("selam.wav")
    for wave in speaker.stream(long_text): play(wave.samples, wave.rate)

Whatever speaks, the text takes one way: front end → phrases → sound, joined by the pauses the phrases ask
for. Nothing is said of a text that holds no Amharic; it is refused before the first sound.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dimts.audio.formant import FASTEST as FORMANT_FASTEST
from dimts.audio.formant import SLOWEST as FORMANT_SLOWEST
from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.level import HOP_SECONDS, frame_levels
from dimts.audio.wave import Wave, join
from dimts.base.config import from_table
from dimts.base.errors import CheckpointError, ConfigError, SynthesisError, TextError
from dimts.base.plugins import nearest, need
from dimts.base.progress import Progress, Tell, silent
from dimts.text.frontend import ChainSettings, Frontend, FrontendSettings, Phrase
from dimts.text.phones import LONG, VOWELS

if TYPE_CHECKING:
    from dimts.xtts.checkpoint import Bundle
    from dimts.xtts.generate import GenerateSettings, Sentence
    from dimts.xtts.voice import Voice

FORMANT = "formant"
"""The name of the voice that needs no model."""
RATE = 24_000
"""Samples a second of everything that is spoken."""
FORMANT_FRONTEND = FrontendSettings(g2p=ChainSettings(backends=("rules",)))
"""The formant voice's own front end: the backend that needs no other library and starts at once."""
SLOWEST, FASTEST = 0.5, 2.0
"""Limits of `rate`; further out, speech can no longer be followed."""
PHONE_SECONDS = 0.085
"""A phone of calm Amharic speech on average (the readers of ALFFA say 11 to 13 a second)."""
SPARE_SECONDS = 0.8
"""What a phrase may last beyond its phones: breath, and the model's own silence before and after."""
_AUDIBLE_DB = 35.0
"""Below the loudest frame by more than this, a phrase has not begun, or has ended."""


@dataclass(frozen=True, slots=True)
class SpeakSettings:
    """[speak]: how a text is spoken."""

    rate: float = 1.0
    """Tempo of every voice, 0.5 to 2.0; the pitch stays."""
    seed: int = 0
    """Same text, voice and seed: same sound on the same machine."""
    temperature: float | None = None
    """How freely a model's voice varies; below 1 calmer. Unset: what the voice was made with."""
    top_k: int | None = None
    """Only the k likeliest codes are drawn; 0 is all. Unset: what the voice was made with."""
    top_p: float | None = None
    """Only the likeliest codes that together reach this probability. Unset: what the voice was made with."""
    repetition_penalty: float | None = None
    """Keeps a model's voice from stammering; 1.0 is none. Unset: what the voice was made with."""
    max_stretch: float = 2.5
    """A phrase of a model's voice that lasts longer than this many times what its phones should take is stopped."""
    retries: int = 2
    """How often such a phrase is said again, with another seed, before it is taken as it is."""
    together: int = 1
    """Phrases a model decodes at once when nothing is streamed: one pass over its weights serves them all.
    Rounding may then draw other codes than one by one."""
    formant: FormantSettings = field(default_factory=FormantSettings)

    def __post_init__(self) -> None:
        if not SLOWEST <= self.rate <= FASTEST:
            raise ConfigError(f"speak.rate = {self.rate} is out of range", f"choose from {SLOWEST} to {FASTEST}")
        if self.seed < 0:
            raise ConfigError(f"speak.seed = {self.seed} is negative", "0 or more")
        for name, least in (("retries", 0), ("max_stretch", 1.0), ("together", 1)):
            if not getattr(self, name) >= least:
                raise ConfigError(f"speak.{name} = {getattr(self, name)} is too small", f"{least} or more")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word, and when it was said."""

    word: str
    """As it was written."""
    start: float
    """Seconds from the beginning of the whole."""
    end: float
    phones: tuple[tuple[str, float, float], ...]
    """(phone, start, end) of each, in seconds."""


@dataclass(frozen=True, slots=True)
class Said:
    """One phrase, spoken."""

    phrase: Phrase
    wave: Wave
    """The phrase alone, without the pause after it."""
    start: float
    """Seconds from the beginning of the whole."""
    pause: float
    """Silence that follows, in seconds; 0 after the last phrase."""
    words: tuple[SpokenWord, ...]
    measured: bool
    """Whether the times are those of the synthesis itself; else they are spread by the usual lengths of phones."""


Times = tuple[tuple[tuple[float, float], ...], ...]
"""For each word, for each phone: (start, end) in seconds."""


class Engine(Protocol):
    """What turns phrases into sound."""

    name: str
    """What people know it by."""
    voices: Mapping[str, Voice]
    """Voices it brings with it, by name; empty if it has one of its own only."""

    def chunks(self, phrase: Phrase, number: int, voice: Voice | None) -> Iterator[Wave]:
        """Phrase `number` of a text as waves at 24 kHz, the first as soon as it can be."""

    def wholes(self, phrases: Mapping[int, Phrase], voice: Voice | None) -> Mapping[int, tuple[Wave, Times | None]]:
        """Phrases by their numbers → each whole, and the times of its phones if the engine knows them."""

    def listen(self, paths: Sequence[Path]) -> Voice:
        """A voice like that of the recordings."""


class Speaker:
    """Speaks texts; made once, used for many. May be shared by threads as far as its engine may."""

    def __init__(self, engine: Engine, frontend: Frontend, settings: SpeakSettings) -> None:
        self.engine, self.frontend, self.settings = engine, frontend, settings

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
        tell: Tell = silent,
    ) -> Speaker:
        """The speaker of "formant", or of a folder with an XTTS voice (ours, or coqui's).

        A model's folder carries the front end it was trained with, and `frontend` is for one that does not.
        `lexicon` is a file of pronunciations (word TAB phones) above all others; `device` is "cpu", "cuda" …;
        `variant` is short for `settings.formant.variant`. What is retried or cut off while speaking is told
        to `tell`. Raises ConfigError, CheckpointError, MissingExtra.
        """
        settings = settings or SpeakSettings()
        if variant is not None:
            settings = replace(settings, formant=replace(settings.formant, variant=variant))
        if str(where) == FORMANT:
            return cls(_FormantEngine(settings), Frontend(frontend or FORMANT_FRONTEND, lexicon), settings)
        need("torch", "speak")
        from dimts.xtts import checkpoint

        bundle = checkpoint.load(where)
        own = frontend_of(bundle.front_end)
        engine = _XttsEngine(bundle, Path(where).name, settings, device, tell)
        return cls(engine, Frontend(own or frontend or FrontendSettings(), lexicon), settings)

    @property
    def voices(self) -> Mapping[str, Voice]:
        """The voices of its model, by name."""
        return self.engine.voices

    def listen(self, *paths: Path | str) -> Voice:
        """The voice of one or more recordings of one speaker, for `say` and `stream`.

        Raises AudioError for files that cannot be used, SynthesisError if this speaker has one voice only.
        """
        return self.engine.listen([Path(path) for path in paths])

    def say(self, text: str, voice: Voice | str | None = None) -> Wave:
        """All of `text` as one wave at 24 kHz; `voice` is a Voice or the name of one of `voices`.

        Raises TextError for a text without Amharic, SynthesisError if there is no voice to say it with.
        """
        return join(
            piece for said in self.perform(text, voice) for piece in (said.wave, Wave.silence(said.pause, RATE))
        )

    def stream(self, text: str, voice: Voice | str | None = None) -> Iterator[Wave]:
        """Pieces of `text` as they are ready, none empty. Raises as `say` does.

        As what has been heard cannot be taken back, a phrase that runs on is cut and not tried again.
        """
        chosen = self._chosen(voice)
        for number, (phrase, pause) in enumerate(self.phrases(text)):
            if any(word.phones for word in phrase.words):
                yield from self.engine.chunks(phrase, number, chosen)
            if pause:
                yield Wave.silence(pause, RATE)

    def perform(self, text: str, voice: Voice | str | None = None) -> Iterator[Said]:
        """Phrase by phrase, with the time of every word and phone. Raises as `say` does."""
        chosen = self._chosen(voice)
        start = 0.0
        numbered = enumerate(self.phrases(text))
        while some := list(itertools.islice(numbered, self.settings.together)):
            speakable = {number: phrase for number, (phrase, _) in some if any(word.phones for word in phrase.words)}
            spoken = self.engine.wholes(speakable, chosen)
            for number, (phrase, pause) in some:
                wave, times = spoken.get(number, (Wave.silence(0.0, RATE), None))
                words = _words(phrase, times or spread(phrase, wave), start)
                yield Said(phrase, wave, start, pause, words, times is not None)
                start += wave.seconds + pause

    def phrases(self, text: str) -> Iterator[tuple[Phrase, float]]:
        """The phrases of `text`, each with the pause after it in seconds (after the last, only one asked for)."""
        if not text.strip():
            raise TextError("the text is empty", "give some Amharic text, e.g. 'ሰላም ለዓለም'")
        waiting: list[Phrase] = []
        amharic = False
        for phrase in self.frontend(text):
            amharic = amharic or _is_amharic(phrase)
            waiting.append(phrase)
            while amharic and len(waiting) > 1:
                yield waiting[0], waiting.pop(0).pause_seconds / self.settings.rate
        if not amharic:
            shown = " ".join(text.split())[:40]
            raise TextError(f"there is no Amharic to read in {shown!r}", "write it in fidel, e.g. 'ሰላም ለዓለም'")
        last = waiting[0]
        yield last, 0.0 if last.words else last.pause_seconds / self.settings.rate

    def _chosen(self, voice: Voice | str | None) -> Voice | None:
        if not isinstance(voice, str):
            return voice
        if voice not in self.voices:
            raise SynthesisError(f"{self.engine.name} has no voice {voice!r}", nearest(voice, self.voices))
        return self.voices[voice]


def frontend_of(note: Mapping[str, Any]) -> FrontendSettings | None:
    """The front end a voice was trained with, from what its bundle notes; None if it notes none.

    Raises CheckpointError if this version does not know one of its settings.
    """
    settings = note.get("settings", note)
    if not settings:
        return None
    try:
        return from_table(FrontendSettings, settings, "text")
    except ConfigError as error:
        made_with = note.get("version", "another version")
        raise CheckpointError(
            f"the voice's front end (dimts {made_with}) cannot be restored here: {error.message}",
            "use the version of dimts it was made with, or train it again",
        ) from error


def spread(phrase: Phrase, wave: Wave) -> Times:
    """Likely times of the phones of a phrase: its audible part shared out by the usual lengths of phones."""
    levels = frame_levels(wave)
    heard = np.flatnonzero(levels > levels.max() - _AUDIBLE_DB) if len(levels) else np.zeros(0, int)
    first = float(heard[0]) * HOP_SECONDS if len(heard) else 0.0
    last = min(float(heard[-1] + 1) * HOP_SECONDS, wave.seconds) if len(heard) else wave.seconds
    shares = [[_usual(phone) for phone in word.phones] for word in phrase.words]
    scale = (last - first) / max(sum(map(sum, shares)), 1e-9)
    times, now = [], first
    for word in shares:
        ends = np.cumsum([now, *(share * scale for share in word)]).tolist()
        times.append(tuple(itertools.pairwise(ends)))
        now = ends[-1]
    return tuple(times)


def _usual(phone: str) -> float:
    """Relative length of a phone; a long consonant lasts about twice a short one, ɨ is the shortest vowel."""
    if phone in VOWELS:
        return 0.7 if phone == "ɨ" else 1.1
    return 1.8 if phone.endswith(LONG) else 0.9


def _words(phrase: Phrase, times: Times, start: float) -> tuple[SpokenWord, ...]:
    out = []
    now = start
    for word, borders in zip(phrase.words, times, strict=True):
        phones = tuple((p, start + a, start + b) for p, (a, b) in zip(word.phones, borders, strict=True))
        first, now = (phones[0][1], phones[-1][2]) if phones else (now, now)
        out.append(SpokenWord(word.written or word.spoken, first, now, phones))
    return tuple(out)


def _is_amharic(phrase: Phrase) -> bool:
    """Whether what was written holds Ethiopic letters or numerals, digits, or phones of the user's."""
    return any(word.by == "user" for word in phrase.words) or any(
        letter.isdigit() or "ሀ" <= letter <= "᎙" or "ⶀ" <= letter <= "ⷞ" or "ꬁ" <= letter <= "ꬮ"
        for letter in phrase.written
    )


class _FormantEngine:
    name = "the formant voice"

    def __init__(self, settings: SpeakSettings) -> None:
        self._settings = settings
        self._tempi: dict[float, Formant] = {}
        self.voices: Mapping[str, Voice] = {}
        self._at(1.0)  # so that a wrong variant is found now

    def _at(self, rate: float) -> Formant:
        """The voice at a tempo; kept, as a text has few."""
        if rate not in self._tempi:
            own = self._settings.formant
            tempo = min(max(own.rate * self._settings.rate * rate, FORMANT_SLOWEST), FORMANT_FASTEST)
            self._tempi[rate] = Formant(replace(own, rate=tempo))
        return self._tempi[rate]

    def chunks(self, phrase: Phrase, number: int, voice: Voice | None) -> Iterator[Wave]:
        yield self.wholes({number: phrase}, voice)[number][0]

    def wholes(self, phrases: Mapping[int, Phrase], voice: Voice | None) -> Mapping[int, tuple[Wave, Times]]:
        if voice is not None:
            raise SynthesisError("the formant voice cannot speak like a recording", "load a model, or take a variant")
        spoken = {}
        for number, phrase in phrases.items():
            said = self._at(phrase.rate).speak_timed([word.phones for word in phrase.words], phrase.mark)
            spoken[number] = (said.wave, said.times)
        return spoken

    def listen(self, paths: Sequence[Path]) -> Voice:
        raise SynthesisError("the formant voice cannot learn from a recording", "load a model: dimts fetch gets one")


class _XttsEngine:
    def __init__(self, bundle: Bundle, name: str, settings: SpeakSettings, device: str | None, tell: Tell) -> None:
        import torch

        from dimts.xtts.generate import GenerateSettings

        self._torch = torch
        self.name = str(bundle.meta.get("name") or name)
        self._bundle, self._settings, self._tell = bundle, settings, tell
        try:
            place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self._model = bundle.model.to(place)
        except (RuntimeError, AssertionError) as error:  # torch's own words for a device that is not there
            raise ConfigError(
                f"device {device!r} cannot be used: {error}", "leave --device out, or take cpu"
            ) from error
        self.voices = bundle.voices
        self._told_of_voice = False
        wanted = {key: getattr(settings, key) for key in ("temperature", "top_k", "top_p", "repetition_penalty")}
        own = GenerateSettings.from_coqui(dict(bundle.config))
        self._generate = replace(own, **{key: value for key, value in wanted.items() if value is not None})

    def chunks(self, phrase: Phrase, number: int, voice: Voice | None) -> Iterator[Wave]:
        from dimts.xtts.generate import generate
        from dimts.xtts.stream import StreamSettings, stream

        voice = self._voice(voice)
        speed = StreamSettings(speed=self._settings.rate * phrase.rate)
        for place, (part, ids) in enumerate(self._fitting(phrase)):
            settings = self._drawn(part, number, place, 0)
            steps = generate(self._model.gpt, voice.latents, ids, settings)
            ended = False

            def latents(steps: Iterator[Any] = steps) -> Iterator[Any]:
                nonlocal ended
                for step in steps:
                    ended = step.last and step.code == self._model.spec.stop_audio
                    yield step.latent

            for samples in stream(self._model.vocoder, latents(), voice.timbre, speed):
                yield Wave(samples.float().cpu().numpy(), RATE)
            if not ended:
                self._note(number, f"{_shown(part)} ran on and was cut")

    def wholes(self, phrases: Mapping[int, Phrase], voice: Voice | None) -> Mapping[int, tuple[Wave, None]]:
        voice = self._voice(voice)
        parts = [
            _Part(number, place, part, ids)
            for number, phrase in phrases.items()
            for place, (part, ids) in enumerate(self._fitting(phrase))
        ]
        sentences = self._decoded(parts, voice)
        spoken: dict[int, tuple[Wave, None]] = {}
        for number, several in itertools.groupby(zip(parts, sentences, strict=True), lambda pair: pair[0].number):
            spoken[number] = (join(self._sound(said, voice, part.phrase.rate) for part, said in several), None)
        return spoken

    def listen(self, paths: Sequence[Path]) -> Voice:
        import torch

        from dimts.xtts import voice as voices

        rate = self._model.spec.input_rate
        waves = [torch.from_numpy(Wave.load(path, rate).samples) for path in paths]
        return voices.listen(self._model, waves, source=", ".join(path.name for path in paths))

    def _decoded(self, parts: Sequence[_Part], voice: Voice) -> list[Sentence]:
        """Each part as codes and latents; those that run on are said again, with another seed."""
        from dimts.xtts.generate import generate_all

        sentences: dict[int, Sentence] = {}
        waiting = list(range(len(parts)))
        for attempt in range(self._settings.retries + 1 if self._generate.sample else 1):
            drawn = [self._drawn(parts[i].phrase, parts[i].number, parts[i].place, attempt) for i in waiting]
            said = generate_all(
                self._model.gpt,
                [voice.latents] * len(waiting),
                [parts[i].ids for i in waiting],
                replace(self._generate, max_codes=max((one.max_codes for one in drawn), default=1)),
                [self._torch.Generator().manual_seed(one.seed or 0) for one in drawn],
            )
            for i, one, sentence in zip(waiting, drawn, said, strict=True):
                ended = sentence.stopped and len(sentence.codes) <= one.max_codes
                codes, latents = sentence.codes[: one.max_codes], sentence.latents[: one.max_codes]
                sentences[i] = replace(sentence, codes=codes, latents=latents, stopped=ended)
            waiting = [i for i in waiting if not sentences[i].stopped]
            final = attempt == self._settings.retries or not self._generate.sample
            what = "was cut" if final else f"is said again ({attempt + 1} of {self._settings.retries})"
            for i in waiting:
                self._note(parts[i].number, f"{_shown(parts[i].phrase)} ran on and {what}")
            if not waiting:
                break
        return [sentences[i] for i in range(len(parts))]

    def _sound(self, sentence: Sentence, voice: Voice, rate: float) -> Wave:
        from dimts.xtts.stream import StreamSettings, stream

        speed = StreamSettings(speed=self._settings.rate * rate, first_latents=len(sentence.latents))
        pieces = [samples.float().cpu().numpy() for samples in
                  stream(self._model.vocoder, [sentence.latents], voice.timbre, speed)]  # fmt: skip
        return Wave(np.concatenate(pieces) if pieces else np.zeros(0, np.float32), RATE)

    def _note(self, number: int, message: str) -> None:
        self._tell(Progress("speak", number, None, "phrases", message))

    def _drawn(self, phrase: Phrase, number: int, place: int, attempt: int) -> GenerateSettings:
        """How codes of a phrase are drawn: a seed of its own, and no more codes than it can need."""
        count = sum(len(word.phones) for word in phrase.words)
        seconds = self._settings.max_stretch * PHONE_SECONDS * count + SPARE_SECONDS
        seed = np.random.SeedSequence((self._settings.seed, number, place, attempt)).generate_state(1, np.uint64)[0]
        codes = min(math.ceil(seconds * self._model.spec.codes_per_second), self._model.spec.max_codes)
        return replace(self._generate, seed=int(seed >> np.uint64(1)), max_codes=codes)

    def _fitting(self, phrase: Phrase) -> Iterator[tuple[Phrase, list[int]]]:
        """The phrase with its ids, in halves where the model could not hold or say it whole."""
        ids = self._bundle.vocabulary.encode(phrase.spelling)
        spec = self._model.spec
        codes = sum(len(word.phones) for word in phrase.words) * PHONE_SECONDS * spec.codes_per_second
        if len(ids) <= spec.max_text and codes <= spec.max_codes:
            yield phrase, ids
        elif len(phrase.words) < 2:
            raise SynthesisError(f"{_shown(phrase)} is too long for this model", "put a space into it")
        else:
            middle = len(phrase.words) // 2
            yield from self._fitting(replace(phrase, words=phrase.words[:middle], mark=""))
            yield from self._fitting(replace(phrase, words=phrase.words[middle:]))

    def _voice(self, voice: Voice | None) -> Voice:
        if voice is None:
            if not self.voices:
                raise SynthesisError(f"{self.name} has no voice of its own", "give a recording: --voice abebe.wav")
            name = next(iter(self.voices))
            if len(self.voices) > 1 and not self._told_of_voice:
                self._note(0, f"speaking with {name!r}, the first of {len(self.voices)} voices")
                self._told_of_voice = True
            voice = self.voices[name]
        voice.check(self._model)
        return voice.to(self._model.device)


@dataclass(frozen=True, slots=True)
class _Part:
    """A phrase, or as much of it as a model can say at once."""

    number: int
    """Of the phrase in its text."""
    place: int
    """Of the part in its phrase."""
    phrase: Phrase
    ids: list[int]


def _shown(phrase: Phrase) -> str:
    return repr(phrase.written if len(phrase.written) <= 40 else phrase.written[:39] + "…")
