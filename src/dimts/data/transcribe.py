"""Transcribe clips without a text, and find every reason not to trust the transcript.

Used only where there is no text. Recognisers hardly know Amharic, and write something for any sound: credits
of films in silence, one phrase over and over, another script. So each answer is judged, and marked `by` the
recogniser. Whisper (Radford et al. 2022) runs by faster-whisper (SYSTRAN, MIT); its weights are never fetched
unasked. Omnilingual ASR (`omnilingual`) knows Amharic.
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
from dimts.base.errors import ConfigError, DataError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import require, resolve
from dimts.base.threads import threads_kept
from dimts.data.manifest import Utterance
from dimts.data.omnilingual import FETCHED, CtcRecogniser, model_file
from dimts.data.recogniser_weights import MODEL_FILE, find_weights
from dimts.data.split import text_key
from dimts.text.ethiopic import fold_homophones

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
    """"omnilingual", "whisper", or a plug-in of the group dimts.transcriber; "": nobody, clips without a text
    are set aside."""
    model: str = ""
    """Weights: a folder that holds a CTranslate2 or an Omnilingual model, or a name that 'dimts data fetch'
    knows; "": large-v3 for Whisper, omnilingual for Omnilingual."""
    compare: float = 0.0
    """Character error rate of the recogniser against a given text, above which the clip is set aside
    (`mismatch`); 0: given texts are not compared."""
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
        if self.compare < 0.0 or (self.compare and not self.by):
            raise ConfigError("data.compare_without_recogniser", compare=self.compare)

    @property
    def weights(self) -> str:
        """The weights' name or folder, also where `model` is empty."""
        return self.model or {"whisper": "large-v3", "omnilingual": FETCHED}.get(self.by, "")

    def shaping(self) -> dict[str, object]:
        """Return the settings that the texts depend on, without those of the machine."""
        limits = [self.min_log_probability, self.max_no_speech]
        compare = {"compare": self.compare} if self.compare else {}
        return {"by": self.by, "model": self.weights, "beams": self.beams, "limits": limits, **compare}


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
        folder = whisper_folder(settings.weights)
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


class Omnilingual:
    """Omnilingual ASR in sherpa-onnx, which knows Amharic, on one clip at a time."""

    def __init__(self, settings: TranscribeSettings) -> None:
        provider = "cuda" if settings.device == "cuda" else "cpu"
        self._model = CtcRecogniser(find_weights(settings.weights), settings.threads, provider)

    def transcribe(self, wave: Wave) -> Transcript:
        """The text; how sure it is, and whether anybody speaks, it does not say."""
        return Transcript(self._model.recognise(wave), math.nan, math.nan)


TRANSCRIBERS: dict[str, Any] = {"whisper": Whisper, "omnilingual": Omnilingual}


@cache
def transcriber(settings: TranscribeSettings) -> Transcriber:
    """Load the recogniser that the settings name, once per process. ConfigError, MissingExtra, DataError."""
    made: Transcriber = resolve(settings.by, TRANSCRIBERS, "dimts.transcriber")(settings)
    return made


def whisper_folder(model: str) -> Path:
    """The folder of Whisper's weights. DataError where they are not there."""
    folder = find_weights(model)
    if not (folder / MODEL_FILE).is_file():
        raise DataError("data.no_whisper_model", folder=folder, model_file=MODEL_FILE)
    return folder


def ready(settings: TranscribeSettings) -> None:
    """Raise what `transcriber` would, as far as is known without loading weights."""
    resolve(settings.by, TRANSCRIBERS, "dimts.transcriber")
    if settings.by == "whisper":
        require("faster_whisper", "whisper")
        whisper_folder(settings.weights)
    if settings.by == "omnilingual":
        require("sherpa_onnx", "omnilingual")
        model_file(find_weights(settings.weights))


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


def character_error_rate(hypothesis: str, reference: str) -> float:
    """Measure the character error rate of a recognised text: 0 for the same text.

    Levenshtein's distance for each letter or digit of the reference; letters of one sound are the same.
    """
    from rapidfuzz.distance import Levenshtein

    wanted, found = (
        "".join(char for char in fold_homophones(text) if char.isalnum()) for text in (reference, hypothesis)
    )
    return Levenshtein.distance(wanted, found) / max(1, len(wanted))


def compared(transcript: Transcript, spoken: str, settings: TranscribeSettings) -> tuple[float, list[Issue]]:
    """Character error rate of a recogniser against a given text, and the reason to doubt the text."""
    rate = character_error_rate(transcript.text, spoken)
    if rate <= settings.compare:
        return rate, []
    message = Message("data.recogniser_differs", rate=rate, text=transcript.text)
    return rate, [Issue("mismatch", message, rate, settings.compare)]


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
