"""Write phones as Piper reads them: its own symbols, ids of them, and the configuration of a voice.

A voice that is trained on these ids is given phones instead of text (`phoneme_type` "text": each character is
a symbol). Symbols and ids are the ones that every Piper voice of IPA has (piper-phonemize, MIT, and piper-tts
1.8: `DEFAULT_PHONEME_ID_MAP`), so that such a checkpoint can be trained further.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dimts.data.clean import RATE
from dimts.text.phones import EJECTIVE, WORD_MARK

_SYMBOLS = (
    "_^$ !'(),-.:;?abcdefhijklmnopqrstuvwxyzæçðøħŋœǀǁǂǃɐɑɒɓɔɕɖɗɘəɚɛɜɞɟɠɡɢɣɤɥɦɧɨɪɫɬɭɮɯɰɱɲɳɴɵɶɸɹɺɻɽɾʀʁʂ"
    "ʃʄʈʉʊʋʌʍʎʏʐʑʒ"
    'ʔʕʘʙʛʜʝʟʡʢʲˈˌːˑ˞βθχᵻⱱ0123456789\u0327\u0303\u032a\u032f\u0329ʰˤε↓#"↑\u033a\u033bgʦX\u031d\u030aɝʷ'
)
"""Piper's symbols in the order of their ids, from 0."""
_PAD, _BEGIN, _END = "_", "^", "$"
PHONEME_IDS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {**{symbol: (number,) for number, symbol in enumerate(_SYMBOLS)}, EJECTIVE: (_SYMBOLS.index("'"),)}
)
"""Symbol → its ids. Piper has no ejective sign; its apostrophe stands for it."""
SYMBOLS = 256
"""Rows of the embedding of Piper's own checkpoints; more than there are symbols."""
_STOPS = ".,;:?!"


def symbols(phones: str, spelling: str = "") -> str:
    """Phones of a clip (by spaces, words by " # ") → one line of Piper's symbols, words by spaces.

    Stops at the ends of words are taken over from `spelling`, where it has as many words.
    """
    words = [word.replace(" ", "") for word in phones.split(f" {WORD_MARK} ")] if phones else []
    spelt = spelling.split()
    if len(spelt) == len(words):
        words = [word + other[len(other.rstrip(_STOPS)) :] for word, other in zip(words, spelt, strict=True)]
    return unicodedata.normalize("NFD", " ".join(words))


def phoneme_ids(line: str) -> list[int]:
    """Ids of a line of symbols: begin, padding between all symbols, end. KeyError for an unknown symbol."""
    inner = [number for symbol in line for number in (*PHONEME_IDS[symbol], *PHONEME_IDS[_PAD])]
    return [*PHONEME_IDS[_BEGIN], *PHONEME_IDS[_PAD], *inner, *PHONEME_IDS[_END]]


def id_map() -> dict[str, list[int]]:
    """Symbols with their ids as Piper's JSON files have them."""
    return {symbol: list(ids) for symbol, ids in PHONEME_IDS.items()}


def voice_config(speakers: Sequence[str], language: str) -> dict[str, object]:
    """The `config.json` of a voice of these speakers; none or one: a voice of one speaker."""
    several = len(speakers) > 1
    return {
        "audio": {"sample_rate": RATE},
        "espeak": {"voice": language},
        "language": {"code": language},
        "phoneme_type": "text",
        "num_symbols": SYMBOLS,
        "num_speakers": len(speakers) if several else 1,
        "speaker_id_map": {name: number for number, name in enumerate(speakers)} if several else {},
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "phoneme_id_map": id_map(),
    }
