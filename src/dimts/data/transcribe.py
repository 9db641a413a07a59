"""Transcribe clips without a text, and find every reason not to trust the transcript.

Used only where there is no text. Recognisers hardly know Amharic, and write something for any sound: credits
of films in silence, one phrase over and over, another script. So each answer is judged, and marked `by` the
recogniser. Whisper (Radford et al. 2022) runs by faster-whisper (SYSTRAN, MIT); its weights are never fetched
unasked.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError, DownloadError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import require, resolve
from dimts.base.progress import ProgressCallback, ignore
from dimts.base.threads import threads_kept
from dimts.data.manifest import Utterance
from dimts.data.split import text_key
from dimts.xtts.hub import Licence, Published

RATE = 16_000
LANGUAGE = "am"
_MOST_SAME_TEXTS = 3
"""Clips of different audio with the same transcript from which it counts as invented."""
_MOST_LETTERS_PER_SECOND = 14.0
"""Letters per second above which a transcript is invented; read news has 5 to 8, fast speech 10."""
_FEWEST_LETTERS_PER_SECOND = 1.5


@dataclass(frozen=True, slots=True)
class TranscribeSettings:
    """[data.transcribe]: recogniser for clips without a text."""

    by: str = ""
    """Recogniser: "whisper", or a plug-in of the group dimts.transcriber; "": none, clips without a text are
    set aside."""
    model: str = "large-v3"
    """Weights: a folder that holds a CTranslate2 model, or a name that 'dimts data fetch' knows."""
    beams: int = 5
    """Beams of the search; 1 is greedy and twice as fast."""
    device: str = "auto"
    """"cpu", "cuda" or "auto"."""
    threads: int = 0
    """Threads on a CPU; 0: all cores, shared among the jobs."""
    min_log_probability: float = -1.0
    """Mean log-probability of a token below which a transcript is a guess."""
    max_no_speech: float = 0.6
    """Probability of no speech, by the recogniser, above which its text is not used."""

    def __post_init__(self) -> None:
        if self.beams < 1 or self.threads < 0:
            raise ConfigError("data.beams_out_of_range")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError("data.unknown_device", device=self.device)
        if not 0.0 <= self.max_no_speech <= 1.0 or self.min_log_probability > 0.0:
            raise ConfigError("data.recogniser_limits_out_of_range")

    def shaping(self) -> dict[str, object]:
        """Return the settings that the texts depend on, without those of the machine."""
        limits = [self.min_log_probability, self.max_no_speech]
        return {"by": self.by, "model": self.model, "beams": self.beams, "limits": limits}


@dataclass(frozen=True, slots=True)
class Transcript:
    """A recogniser's result for a clip."""

    text: str
    log_probability: float = 0.0
    """Mean log-probability of its tokens; nan where unknown."""
    no_speech: float = 0.0
    """Probability that nobody speaks; nan where unknown."""


class Transcriber(Protocol):
    """Protocol of plug-ins of the group `dimts.transcriber`, called with the settings."""

    def transcribe(self, wave: Wave) -> Transcript:
        """Transcribe a clip of any rate, of at most 30 s."""
        ...


class Whisper:
    """Whisper in CTranslate2, on one clip at a time, without sampling: the same clip gives the same text."""

    def __init__(self, settings: TranscribeSettings) -> None:
        library = require("faster_whisper", "whisper")
        folder = find_weights(settings.model)
        try:
            with threads_kept():
                self._model = library.WhisperModel(
                    str(folder), device=settings.device, cpu_threads=settings.threads, local_files_only=True
                )
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError("data.broken_whisper_weights", folder=folder, error=error) from error
        self._language = LANGUAGE if self._model.model.is_multilingual else "en"
        self._beams = settings.beams

    def transcribe(self, wave: Wave) -> Transcript:
        """Transcribe in one pass at temperature 0; Whisper's thresholds are off, as `check_transcript`
        decides."""
        segments, _ = self._model.transcribe(
            wave.resample(RATE).samples,
            language=self._language,
            beam_size=self._beams,
            temperature=0.0,
            condition_on_previous_text=False,
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            without_timestamps=True,
        )
        parts = list(segments)
        text = " ".join(part.text.strip() for part in parts).strip()
        if not parts:
            return Transcript("", math.nan, math.nan)
        return Transcript(
            text, min(part.avg_logprob for part in parts), max(part.no_speech_prob for part in parts)
        )


TRANSCRIBERS: dict[str, Any] = {"whisper": Whisper}


@cache
def transcriber(settings: TranscribeSettings) -> Transcriber:
    """Load the recogniser that the settings name, once per process. ConfigError, MissingExtra, DataError."""
    made: Transcriber = resolve(settings.by, TRANSCRIBERS, "dimts.transcriber")(settings)
    return made


def ready(settings: TranscribeSettings) -> None:
    """Raise what `transcriber` would, as far as is known without loading weights."""
    resolve(settings.by, TRANSCRIBERS, "dimts.transcriber")
    if settings.by == "whisper":
        require("faster_whisper", "whisper")
        find_weights(settings.model)


# --- weights --------------------------------------------------------------------------------------

_MIT = Licence(
    name="MIT",
    url="https://github.com/openai/whisper/blob/main/LICENSE",
    summary=(
        "The weights may be used, changed and passed on for any purpose, "
        "as long as the notice goes with them."
    ),
)
WEIGHTS = {
    "large-v3": Published(
        name="whisper-large-v3",
        repository="Systran/faster-whisper-large-v3",
        revision="edaa852ec7e145841d8ffdb056a99866b5f0a478",
        files={
            "config.json": (2_394, "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9"),
            "preprocessor_config.json": (
                340,
                "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711",
            ),
            "tokenizer.json": (2_480_617, "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca"),
            "vocabulary.json": (
                1_068_114,
                "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1",
            ),
            "model.bin": (3_087_284_237, "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1"),
        },
        licence=_MIT,
    )
}
"""Weights that 'dimts data fetch' fetches. Commit and checksums as several independent projects have
published them."""
MODEL_FILE = "model.bin"


def described(name: str) -> Message:
    """Describe what would be fetched, for the user's agreement."""
    one = WEIGHTS[name]
    size = sum(size for size, _ in one.files.values())
    licence = one.licence.name
    return Message("data.weights_offered", repository=one.repository, gigabytes=size / 1e9, licence=licence)


def find_weights(model: str) -> Path:
    """Return the folder of a model: a path, else a fetched one. DataError with the remedy; nothing is
    fetched."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / MODEL_FILE).is_file():
            raise DataError("data.no_whisper_model", folder=folder, model_file=MODEL_FILE)
        return folder
    if model not in WEIGHTS:
        raise DataError("data.unknown_weights", name=model, known=tuple(WEIGHTS))
    from dimts.xtts.download import find_base

    try:
        return find_base(WEIGHTS[model])
    except DownloadError as error:
        raise DataError("data.whisper_weights_missing", model=model, described=described(model)) from error


def fetch_weights(name: str, source: Path | None = None, on_progress: ProgressCallback = ignore) -> Path:
    """Fetch weights into the cache, checked; from the hub or from the folder `source`. DownloadError."""
    from dimts.xtts.download import Acceptance, fetch

    if name not in WEIGHTS:
        raise ConfigError("data.unknown_weights", name=name, known=tuple(WEIGHTS))
    return fetch(
        WEIGHTS[name], acceptance=Acceptance("asked for by name"), source=source, on_progress=on_progress
    )


# --- judging --------------------------------------------------------------------------------------

_CREDITS = re.compile(
    r"(?i)amara\.org|subtitles? (by|provided)|transcri(bed|ption) "
    r"by|subscribe|thanks? (you )?for (watching|listening)|"
    r"www\.|https?:|\.com\b|ሰብስክራይብ|ሰብስክራብ|"
    r"(ስለተ|ስለ ተ)(መለከታችሁ|ከታተላችሁ|ከታተሉ)\w* እናመሰግና|ትርጉም(ና| እና) ጽሑፍ|የትርጉም ጽሑፍ|ቻናላችንን|ቻናሌን"
)
"""Credits and calls to subscribe, which recognisers learnt from subtitles and write into silence."""
_MOST_REPEATS = 3
"""Most repetitions of a group of words; a word may be spoken three times, a clause hardly four times."""


def check_transcript(
    transcript: Transcript, speech_seconds: float, settings: TranscribeSettings
) -> list[Issue]:
    """Return every reason to doubt that a transcript is spoken. Script and language are for `check_text`."""
    found: list[Issue] = []

    def issue(message: Message, measured: float | None = None, allowed: float | None = None) -> None:
        found.append(Issue("invented", message, measured, allowed))

    if credit := _CREDITS.search(transcript.text):
        issue(Message("data.film_credit", words=credit.group()))
    if transcript.no_speech > settings.max_no_speech:
        issue(
            Message("data.recogniser_no_speech", chance=transcript.no_speech),
            transcript.no_speech,
            settings.max_no_speech,
        )
    if transcript.log_probability < settings.min_log_probability:
        issue(Message("data.recogniser_guessing"), transcript.log_probability, settings.min_log_probability)
    repeats = most_repeats(transcript.text)
    if repeats > _MOST_REPEATS:
        issue(Message("data.phrase_repeated", times=repeats), repeats, _MOST_REPEATS)
    letters = sum(char.isalnum() for char in transcript.text)
    rate = letters / speech_seconds if speech_seconds > 0 else math.inf
    if letters and rate > _MOST_LETTERS_PER_SECOND:
        issue(Message("data.too_many_letters", rate=rate), rate, _MOST_LETTERS_PER_SECOND)
    elif letters and rate < _FEWEST_LETTERS_PER_SECOND:
        issue(
            Message("data.too_few_letters", letters=letters, seconds=speech_seconds),
            rate,
            _FEWEST_LETTERS_PER_SECOND,
        )
    return found


def most_repeats(text: str) -> int:
    """Return how often a group of one to six words, or of letters inside a word, is repeated in a row at
    most."""
    words = re.findall(r"\w+", text)
    most = 1 if words else 0
    for size in range(1, 7):
        run = 0
        for at in range(size, len(words)):
            run = run + 1 if words[at] == words[at - size] else 0
            most = max(most, 1 + run // size)
    for word in words:
        for part in re.finditer(r"(.{1,4}?)\1{3,}", word):
            most = max(most, len(part.group()) // len(part.group(1)))
    return most


def repeated_transcripts(rows: Sequence[Utterance]) -> dict[str, Issue]:
    """Find texts recognised in several clips, as recognisers write for noise; returns {utterance id:
    issue}."""
    same: dict[str, list[Utterance]] = defaultdict(list)
    for row in rows:
        if row.by in ("whisper", "recogniser") and row.kept:
            same[text_key(row.text)].append(row)
    return {
        row.id: Issue(
            "repeated_transcript",
            Message("data.repeated_transcript", group_count=len(group)),
            len(group),
            _MOST_SAME_TEXTS - 1,
        )
        for group in same.values()
        if len(group) >= _MOST_SAME_TEXTS
        for row in group
    }
