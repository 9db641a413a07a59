"""Synthesise IPA phones by formant synthesis, with the espeak-ng library inside the wheel `espeakng-loader`.

    Formant(FormantSettings(variant="f2")).speak([["s", "ə", "l", "a", "m"]], "።").save("selam.wav")

No model, no network, no program to install. It takes phones, as espeak-ng phoneme names; espeak-ng's own
spelling rules are not used. MNEMONICS is its whole inventory; any other phone is an AudioError. The same
phones and settings give the same samples (except for the noise in the variants Reed and caleb, which comes
from the C library's generator).

The library has one state for the whole process, so all voices share one lock.
Source of the interface: espeak-ng 1.52, src/include/espeak-ng/speak_lib.h.
"""

from __future__ import annotations

import _ctypes
import atexit
import ctypes
import difflib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dimts.audio.media import Samples
from dimts.audio.wave import Wave, join
from dimts.base.errors import AudioError, ConfigError
from dimts.base.plugins import require

RATE = 24_000
"""Samples per second of synthesised speech."""

MNEMONICS: dict[str, tuple[str, ...]] = {
    "ə": ("@",), "u": ("u",), "i": ("i",), "a": ("a",), "e": ("e",), "ɨ": ("y",), "o": ("o",),
    "h": ("h",), "l": ("l",), "m": ("m",), "s": ("s",), "r": ("r",), "ʃ": ("S",), "b": ("b",), "t": ("t",),
    "tʃ": ("tS",), "n": ("n",), "ɲ": ("n^",), "ʔ": ("?",), "k": ("k",), "w": ("w",), "z": ("z",), "ʒ": ("Z",),
    "j": ("j",), "d": ("d",), "dʒ": ("dZ",), "ɡ": ("g",), "f": ("f",), "p": ("p",), "v": ("v",),
    "kʼ": ("k`",), "tʼ": ("t`",), "tʃʼ": ("tS`",), "pʼ": ("p`",), "sʼ": ("t", "s", "?"),
}  # fmt: skip
"""Phonemes of espeak-ng's table `am` by IPA phone. There is no ejective s: closure, friction and then a
glottal hold are what its recordings show. ʷ adds a `w`, ː a `:` to the first phoneme (see `phonemes`)."""

VOWELS = frozenset("əuiaeɨo")
LONG, ROUND = "ː", "ʷ"
_LONG_SPECIAL = {"b": ("b", "b")}
"""Between vowels a single b is softened to β; doubled it stays a stop, with a voiced hold before it."""

MARKS: dict[str, str] = {"።": ".", "፣": ",", "፤": ",", "፥": ",", "፦": ",", "፧": "?", "": "."} | {
    mark: mark for mark in ".,;:?!"
}
"""Clause type, which chooses the intonation, by punctuation mark."""

_VOICE = "am"
_WORDS_A_MINUTE = 175
"""espeak-ng's default rate; about eleven Amharic phones per second."""
SLOWEST, FASTEST = 0.5, 2.5
"""Limits of the rate; espeak-ng's are 80 and 450 words per minute."""
_PITCH_POINTS = ((0.64, 0), (0.69, 10), (0.75, 20), (0.82, 30), (0.91, 40), (1.0, 50), (1.1, 60), (1.23, 70),
                 (1.37, 80), (1.53, 90), (1.7, 99))  # fmt: skip
"""espeak-ng's pitch number by factor of the fundamental frequency, measured on the plain voice."""
LOWEST, HIGHEST = _PITCH_POINTS[0][0], _PITCH_POINTS[-1][0]
"""Limits of the pitch, which are espeak-ng's."""
LEVEL_DBFS = -21.0
"""RMS level of running speech. The variants' own are between −31 and −9, so each gets a gain of its own."""
_HOLDS = frozenset(["b", "t", "tS", "k", "d", "dZ", "g", "p", "k`", "t`", "tS`", "p`", "?"])
"""Phonemes that begin with a hold."""
_VOICED_HOLDS = frozenset(["b", "d", "dZ", "g"])
_LEAST_HOLD_SECONDS, _ECHO_SECONDS, _ECHO_DB = 0.02, 0.010, -22.0
"""Some variants have an echo, which continues during a hold: there a hold under the first of these is
searched by level, in steps of the second, and is what is quieter than the third, against the loudest step."""
_VOWEL_NAMES = frozenset(name for vowel in VOWELS for name in MNEMONICS[vowel])
_PATTERN = tuple(
    tuple(word.split()) for word in ("s ə l a m", "l ə d ə h i n", "t o l o", "m a r i j a m", "n e ɡ u s")
)
"""Phones that each variant synthesises once to measure its level."""
_PIECE_PHONEMES = 150
"""Phonemes per request; the library cuts clauses of more than 800 bytes at arbitrary places."""
_TRAILING_SECONDS = 0.02
_DATA_PATH_LIMIT = 150
"""The library copies its data path into 160 bytes."""

_REINSTALL = "pip install --force-reinstall espeakng-loader"

_SEED = 1
"""Seed of the noise in breathy variants."""

# speak_lib.h
_SYNCHRONOUS, _PHONEME_EVENTS, _DO_NOT_EXIT = 2, 0x0001, 0x8000
_UTF8, _PHONEMES = 1, 0x0100
_P_RATE, _P_PITCH = 1, 3
_E_WORD, _E_PHONEME = 1, 7


@dataclass(frozen=True, slots=True)
class FormantSettings:
    """[speak.formant]: settings of the formant voice."""

    rate: float = 1.0
    """Tempo; 1.0 is about eleven phones a second, 2.0 twice as fast (0.5 to 2.5)."""
    pitch: float = 1.0
    """Pitch as a factor of the variant's own (0.64 to 1.7); 1.5 is a fifth higher."""
    variant: str = ""
    """One of the voices of `variants()`, e.g. "f2", "m3", "klatt"; empty: the plain voice."""

    def __post_init__(self) -> None:
        for name, low, high in (("rate", SLOWEST, FASTEST), ("pitch", LOWEST, HIGHEST)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    "audio.out_of_range", name=name, value=getattr(self, name), low=low, high=high
                )


@dataclass(frozen=True, slots=True)
class FormantSpeech:
    """Speech and the times of its phones."""

    wave: Wave
    times: tuple[tuple[tuple[float, float], ...], ...]
    """For each word, for each phone of it: (start, end) in seconds."""


class Formant:
    """Formant synthesiser that needs no model."""

    def __init__(self, settings: FormantSettings | None = None) -> None:
        """Raises ConfigError for an unknown variant (the nearest is named), MissingExtra without the
        wheel."""
        self.settings = settings or FormantSettings()
        self._library = _library()
        self._voice = _VOICE
        if self.settings.variant:
            known = {name.lower(): name for name in variants()}
            if self.settings.variant.lower() not in known:
                close = difflib.get_close_matches(self.settings.variant.lower(), known, n=3, cutoff=0.0)
                raise ConfigError(
                    "audio.unknown_variant",
                    variant=self.settings.variant,
                    close=tuple(known[name] for name in close),
                )
            self._voice = f"{_VOICE}+{known[self.settings.variant.lower()]}"
        self._gain = _gain(self._voice)

    def speak(self, words: Sequence[Sequence[str]], mark: str = "") -> Wave:
        """Synthesise words, each a sequence of phones, as one phrase closed by the punctuation `mark`.

        Returns 24 kHz mono. Raises AudioError for a phone it does not have, or if there is none at all.
        """
        return self.speak_timed(words, mark).wave

    def speak_timed(self, words: Sequence[Sequence[str]], mark: str = "") -> FormantSpeech:
        """Synthesise as `speak`, with the time of every phone; the hold of a stop belongs to the stop."""
        if not any(words):
            raise AudioError("audio.no_phones")
        waves: list[Wave] = []
        times: list[list[tuple[float, float]]] = [[] for _ in words]
        offset = 0.0
        pieces = list(_pieces(words))
        for piece in pieces:
            clause = MARKS.get(mark, ".") if piece is pieces[-1] else ","
            wave, borders = self._synthesise(piece, clause)
            for part, starts in zip(piece, borders, strict=True):
                times[part.word] += [(offset + start, offset + end) for start, end in starts]
            offset += wave.seconds
            waves.append(wave)
        return FormantSpeech(join(waves).resample(RATE), tuple(tuple(word) for word in times))

    def _synthesise(self, piece: list[_Part], clause: str) -> tuple[Wave, list[list[tuple[float, float]]]]:
        names = [[phonemes(phone) for phone in part.phones] for part in piece]
        text = "[[" + " ".join(_spell(part.phones, phones) for part, phones in zip(piece, names, strict=True))
        text += "]]" + clause
        raw = self._library.synthesise(text, self._voice, self.settings)
        if not len(raw.samples):
            raise AudioError("audio.formant_voice_silent", text=text)
        rate, end = raw.rate, _sounding_end(raw)
        borders = _borders(names, raw, end)
        return Wave(raw.samples[:end] * self._gain, rate), [
            [(a / rate, b / rate) for a, b in word] for word in borders
        ]


def phonemes(phone: str) -> tuple[str, ...]:
    """Return the espeak-ng phonemes of one phone; AudioError if the voice does not have it.

    >>> phonemes("kʼʷː")
    ('k`:', 'w')
    """
    base = phone.removesuffix(LONG)
    long, base, rounded = base != phone, base.removesuffix(ROUND), base.endswith(ROUND)
    if base not in MNEMONICS:
        raise AudioError("audio.unknown_phone", phone=phone, known=" ".join(MNEMONICS))
    names = MNEMONICS[base]
    if long:
        names = _LONG_SPECIAL.get(base) or (names[0] + ":", *names[1:])
    return (*names, "w") if rounded else names


@cache
def variants() -> tuple[str, ...]:
    """Return the names of the variants in the wheel."""
    folder = _data_folder() / "voices" / "!v"
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))


def _spell(phones: tuple[str, ...], names: list[tuple[str, ...]]) -> str:
    """Spell a word in espeak-ng phonemes, its last vowel but one accented: without accents there is no
    intonation."""
    vowels = [place for place, phone in enumerate(phones) if phone in VOWELS]
    accent = vowels[-2:][0] if vowels else -1
    return "|".join("'" * (place == accent) + name for place, phone in enumerate(names) for name in phone)


@cache
def _gain(voice: str) -> np.float32:
    """Return the factor that sets a voice to LEVEL_DBFS."""
    text = "[[" + " ".join(_spell(word, [phonemes(phone) for phone in word]) for word in _PATTERN) + "]]."
    raw = _library().synthesise(text, voice, FormantSettings())
    sound = raw.samples[: _sounding_end(raw)]
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if len(sound) else 1.0
    return np.float32(10.0 ** (LEVEL_DBFS / 20.0) / max(rms, 1e-4))


@dataclass(frozen=True, slots=True)
class _Part:
    """A word, or a piece of a very long one."""

    word: int
    phones: tuple[str, ...]


def _pieces(words: Sequence[Sequence[str]]) -> Iterator[list[_Part]]:
    """Group words so that the library takes each group in one request."""
    piece: list[_Part] = []
    size = 0
    for index, word in enumerate(words):
        for first in range(0, len(word), _PIECE_PHONEMES):
            part = _Part(index, tuple(word[first : first + _PIECE_PHONEMES]))
            if piece and size + len(part.phones) > _PIECE_PHONEMES:
                yield piece
                piece, size = [], 0
            piece.append(part)
            size += len(part.phones)
    yield piece


def _sounding_end(raw: _Raw) -> int:
    """Return where the sound ends, plus a moment; the pause after a phrase is added by the speaker."""
    loud = np.flatnonzero(np.abs(raw.samples) > 1e-3)
    end = (int(loud[-1]) + 1 if len(loud) else 0) + round(_TRAILING_SECONDS * raw.rate)
    return min(end, len(raw.samples))


@dataclass(frozen=True, slots=True)
class _Raw:
    """Output of the library: samples, their rate, events."""

    samples: Samples
    rate: int
    events: list[_Event]


@dataclass(frozen=True, slots=True)
class _Event:
    kind: int
    sample: int
    name: str


def _borders(names: list[list[tuple[str, ...]]], raw: _Raw, end: int) -> list[list[tuple[int, int]]]:
    """Return the samples at which each phone of each word starts and ends, from the library's events.

    The library speaks a long consonant as one or two phonemes of one name, gives a stop's time at its
    burst, and that of a vowel before the hold of an ejective is over. Here a hold belongs to the consonant.
    """
    spoken: list[list[_Event]] = [[]]
    for event in raw.events:
        if event.kind == _E_WORD:
            spoken.append([])
        elif event.kind == _E_PHONEME and not event.name.startswith("_"):
            spoken[-1].append(event)
    spoken = [word for word in spoken if word]
    starts: list[list[int]] = []
    for index, word in enumerate(names):
        events = spoken[index] if index < len(spoken) else []
        starts.append(_starts(word, events))
    sounds = np.flatnonzero(np.abs(raw.samples) >= 1e-6)
    before = ""
    flat: list[int] = []
    for word, places in zip(names, starts, strict=True):
        for phone, start in zip(word, places, strict=True):
            name = phone[0].rstrip(":")
            move = _hold_start if name in _HOLDS else _sound_start
            at = move(start, sounds, len(raw.samples))
            if (
                name in _HOLDS - _VOICED_HOLDS
                and before in _VOWEL_NAMES
                and start - at < _LEAST_HOLD_SECONDS * raw.rate
            ):
                at = _echo_start(at, raw)
            flat.append(min(max(at, flat[-1] if flat else 0), end))
            before = phone[-1]
    closes = [*flat[1:], end]
    pairs = iter(zip(flat, closes, strict=True))
    return [[next(pairs) for _ in word] for word in starts]


def _starts(word: list[tuple[str, ...]], events: list[_Event]) -> list[int]:
    """Return the event that opens each phone: events are assigned in order, a doubled one to its long
    phone."""
    starts: list[int] = []
    place = 0
    for position, names in enumerate(word):
        at = events[min(place, len(events) - 1)].sample if events else 0
        starts.append(at)
        rest = sum(len(later) for later in word[position + 1 :])
        for name in names:
            place += 1
            doubled = (
                name.endswith(":") and place < len(events) and events[place].name == events[place - 1].name
            )
            if doubled and len(events) - place > rest:
                place += 1
    return starts


def _hold_start(start: int, sounds: np.ndarray[Any, np.dtype[np.intp]], length: int) -> int:
    """Return the sample behind the last of `sounds` (the samples that are not silent) before `start`."""
    before = int(np.searchsorted(sounds, min(start, length)))
    return int(sounds[before - 1]) + 1 if before else 0


def _echo_start(start: int, raw: _Raw) -> int:
    """Return the sample behind the last loud step before `start`, an echo being quieter than its source."""
    size = round(_ECHO_SECONDS * raw.rate)
    count = start // size
    levels = np.sqrt(
        np.mean(np.square(raw.samples[start - count * size : start].reshape(count, size)), axis=1)
    )
    loud = np.flatnonzero(levels >= 10 ** (_ECHO_DB / 20) * levels.max(initial=0.0))
    return start - (count - 1 - int(loud[-1])) * size if len(loud) else start


def _sound_start(start: int, sounds: np.ndarray[Any, np.dtype[np.intp]], length: int) -> int:
    """Return the first of `sounds` from `start` on."""
    behind = int(np.searchsorted(sounds, start))
    return int(sounds[behind]) if behind < len(sounds) else max(start, length)


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _EventStruct(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_EventStruct)
)


class _Library:
    """The library file: opened anew for each request, by one thread at a time.

    Its variation of pitch and its noise continue from request to request, so only a new start gives the same
    samples again; that costs less than a millisecond.
    """

    def __init__(self, file: str, data: Path) -> None:
        self._file, self._data = file, data
        self._content = Path(file).read_bytes()
        self._lock = threading.Lock()

    def synthesise(self, text: str, voice: str, settings: FormantSettings) -> _Raw:
        """Synthesise `text`, phonemes in [[…]]; AudioError if the library cannot."""
        chunks: list[bytes] = []
        events: list[_Event] = []

        def take(samples: Any, count: int, found: Any) -> int:
            if count > 0:
                chunks.append(ctypes.string_at(samples, 2 * count))
            place = 0
            while (event := found[place]).type:
                name = (
                    event.id.string.decode("utf-8", "replace").lstrip("',%=")
                    if event.type == _E_PHONEME
                    else ""
                )
                events.append(_Event(event.type, event.sample, name))
                place += 1
            return 0

        callback = _Callback(take)
        data = text.encode("utf-8") + b"\0"
        with self._lock, self._open() as (handle, rate):
            if handle.espeak_SetVoiceByName(voice.encode()) != 0:
                raise AudioError("audio.espeak_voice_missing", voice=voice)
            handle.espeak_SetParameter(_P_RATE, round(_WORDS_A_MINUTE * settings.rate), 0)
            handle.espeak_SetParameter(_P_PITCH, _pitch_number(settings.pitch), 0)
            handle.espeak_ng_SetRandSeed(_SEED)
            handle.espeak_SetSynthCallback(callback)
            code = handle.espeak_Synth(data, len(data), 0, 0, 0, _UTF8 | _PHONEMES, None, None)
        if code != 0:
            raise AudioError("audio.espeak_refused", status=code)
        samples = np.frombuffer(b"".join(chunks), np.int16)
        return _Raw(samples.astype(np.float32) / np.float32(32768.0), rate, events)

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, int]]:
        handle, copy = self._load()
        try:
            handle.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
            handle.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
            handle.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
            handle.espeak_SetSynthCallback.argtypes = [_Callback]
            handle.espeak_SetSynthCallback.restype = None
            handle.espeak_Synth.argtypes = [
                ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
                ctypes.c_void_p, ctypes.c_void_p,
            ]  # fmt: skip
            handle.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
            path = os.fsencode(self._data)
            rate = handle.espeak_Initialize(_SYNCHRONOUS, 0, path, _PHONEME_EVENTS | _DO_NOT_EXIT)
            if rate <= 0:
                raise AudioError("audio.espeak_data_missing", data=self._data)
            try:
                yield handle, int(rate)
            finally:
                handle.espeak_Terminate()
        finally:
            _close(handle)
            if copy is not None:
                copy.unlink(missing_ok=True)

    def _load(self) -> tuple[ctypes.CDLL, Path | None]:
        """Load the library from a copy of its file, so that its state is not shared with other users of the
        file.

        On POSIX the copy is gone as soon as it is loaded, so nothing stays behind whatever happens; elsewhere
        its path is given back, to be removed after closing.
        """
        try:
            number, name = tempfile.mkstemp(prefix="dimts-", suffix=Path(self._file).suffix)
            copy = Path(name)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(self._content)
                handle = ctypes.CDLL(name)
            except OSError:
                copy.unlink(missing_ok=True)
                raise
            if os.name == "posix":
                copy.unlink(missing_ok=True)
                return handle, None
            return handle, copy
        except OSError:  # disk full, or a temporary folder from which nothing may be run
            try:
                return ctypes.CDLL(self._file), None
            except OSError as error:
                raise AudioError("audio.espeak_not_loaded", error=error) from error


def _pitch_number(factor: float) -> int:
    """Convert a factor of frequency to espeak-ng's pitch (0 to 99, 50 neutral)."""
    factors, numbers = zip(*_PITCH_POINTS, strict=True)
    return round(float(np.interp(factor, factors, numbers)))


def _data_folder() -> Path:
    loader = require("espeakng_loader", "formant")
    return Path(loader.get_data_path())


@cache
def _library() -> _Library:
    loader = require("espeakng_loader", "formant")
    return _Library(str(loader.get_library_path()), _short_path(_data_folder()))


def _close(handle: ctypes.CDLL) -> None:
    name = "FreeLibrary" if os.name == "nt" else "dlclose"
    getattr(_ctypes, name)(handle._handle)


def _short_path(folder: Path) -> Path:
    """Return `folder`, or a link to it where its path is too long for the library."""
    if len(os.fsencode(folder)) <= _DATA_PATH_LIMIT:
        return folder
    nest = Path(tempfile.mkdtemp(prefix="dimts-"))
    atexit.register(shutil.rmtree, nest, ignore_errors=True)
    link = nest / "espeak-ng-data"
    try:
        link.symlink_to(folder, target_is_directory=True)
    except OSError:  # Windows without the right to make links
        shutil.copytree(folder, link)
    return link
