"""Pronounce words by espeak-ng: its voice `am` as a backend, and English words in Amharic sounds.

The library comes with the wheel `espeakng-loader` and is called through ctypes, one caller at a time.
espeak-ng is GPL-3: an optional extra. Its Amharic rules mark no length and guess ɨ after every
sixth-order letter.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from functools import cache

from dimts.base.errors import TextError
from dimts.base.plugins import require
from dimts.text.ethiopic import bare
from dimts.text.g2p.letters import LetterReading, pronounce
from dimts.text.phones import VOWELS, from_espeak

_SYNCHRONOUS, _UTF8, _IPA = 2, 1, 2
_ONE_AT_A_TIME = threading.Lock()


class Espeak:
    """espeak-ng's voice `am`. MissingExtra without `espeakng-loader`."""

    name = "espeak"
    marks_length = False

    def __init__(self) -> None:
        self._library = _library()

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return its answers in our inventory; unknown signs are kept for the judge."""
        return [_amharic(_phonemes(self._library, "am", bare(word), 0)) for word in words]


class English:
    """English words as an Amharic speaker pronounces them: espeak-ng's `en-us`, each sound as its nearest of
    ours."""

    name = "espeak-en"
    marks_length = False

    def __init__(self) -> None:
        self._library = _library()

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return phones of our inventory, with ɨ between consonants that cannot form a cluster."""
        return [to_amharic(_phonemes(self._library, "en-us", word, _IPA)) for word in words]


def _amharic(text: str) -> tuple[str, ...]:
    try:
        return from_espeak(text)
    except TextError:
        return tuple(text.split()) if " " in text else tuple(text)


# English sound → Amharic sounds, as English words are written in fidel (ኮምፒውተር, ኢንተርኔት, ቴክኖሎጂ).
_ENGLISH = {
    "eɪ": "e j", "aɪ": "a j", "ɔɪ": "o j", "aʊ": "a w", "oʊ": "o", "əʊ": "o", "ɪə": "i j ə", "eə": "e r",
    "ʊə": "u w ə", "iː": "i", "uː": "u", "ɑː": "a", "ɔː": "o", "ɜː": "ə", "ɚ": "ə r", "ɝ": "ə r",
    "iə": "i j a", "tʃ": "tʃ", "dʒ": "dʒ", "aɪə": "a j ə", "aɪɚ": "a j ə r", "oːɹ": "o r", "ɔːɹ": "o r",
    "ɑːɹ": "a r", "ɪ": "i", "i": "i", "ɛ": "e", "e": "e", "æ": "a", "a": "a", "ɑ": "a", "ɐ": "a", "ʌ": "a",
    "ɔ": "o", "o": "o", "ɒ": "o", "ʊ": "u", "u": "u", "ə": "ə", "ɜ": "ə", "ᵻ": "i", "n̩": "ə n", "l̩": "ə l",
    "p": "p", "b": "b", "t": "t", "d": "d", "ɾ": "t", "k": "k", "ɡ": "ɡ", "f": "f", "v": "v", "θ": "s",
    "ð": "z", "s": "s", "z": "z", "ʃ": "ʃ", "ʒ": "ʒ", "h": "h", "m": "m", "n": "n", "ŋ": "n ɡ", "l": "l",
    "ɫ": "l", "ɹ": "r", "r": "r", "w": "w", "j": "j", "x": "k", "ʔ": "t", "ŋk": "n k", "ŋɡ": "n ɡ",
}  # fmt: skip
_SILENT = frozenset("ˈˌː ̩̃\u0361\u200d-")


def to_amharic(ipa: str) -> tuple[str, ...]:
    """Convert English IPA to the nearest Amharic phones, with ɨ inside clusters that Amharic does not
    have."""
    sounds: list[str] = []
    text = ipa.replace("ˈ", "").replace("ˌ", "")
    at = 0
    while at < len(text):
        for size in (3, 2, 1):
            found = _ENGLISH.get(text[at : at + size])
            if found is not None:
                sounds += found.split()
                at += size
                break
        else:
            if text[at] not in _SILENT:
                raise TextError("text.no_amharic_sound_for", text=text[at], ipa=ipa)
            at += 1
    return _with_breaks(sounds)


def _with_breaks(sounds: Sequence[str]) -> tuple[str, ...]:
    """Insert a glide between vowels and syllabify the rest as Amharic does."""
    consonants: list[str] = []
    vowels: list[str] = []
    for sound in sounds:
        if sound not in VOWELS:
            consonants.append(sound)
            vowels.append("")
        elif consonants and not vowels[-1]:
            vowels[-1] = sound
        else:
            glide = (
                "ʔ" if not consonants else "w" if vowels[-1] in "uo" else "j" if vowels[-1] in "ie" else "ʔ"
            )
            consonants.append(glide)
            vowels.append(sound)
    return pronounce(
        LetterReading(tuple(consonants), tuple(vowels), (False,) * len(vowels)), (False,) * len(vowels)
    )


# ---------------------------------------------------------------- the library
@cache
def _library() -> ctypes.CDLL:
    loader = require("espeakng_loader", "g2p")
    library = ctypes.CDLL(loader.get_library_path())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    if library.espeak_Initialize(_SYNCHRONOUS, 0, loader.get_data_path().encode(), 0) < 0:
        raise TextError("text.espeak_not_started")
    return library


def _phonemes(library: ctypes.CDLL, voice: str, text: str, mode: int) -> str:
    with _ONE_AT_A_TIME:
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise TextError("text.espeak_voice_missing", voice=voice)
        rest = ctypes.c_char_p(text.encode())
        pieces = []
        while rest.value:
            piece = library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, mode)
            if not piece:
                break
            pieces.append(piece.decode())
    return " ".join(pieces)
