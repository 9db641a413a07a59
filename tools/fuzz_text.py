"""Coverage-guided search for texts that break the normaliser's promises (needs atheris; dimts itself does
not).

    python tools/fuzz_text.py SECONDS [CORPUS_FOLDER]       one JSON line; the first broken promise stops it

For any Unicode: no exception; no digit or Ethiopic numeral in the spoken form; spans that cover the text, and
every Ethiopic word of it inside them; a spoken form that reads as itself; line for line; no empty breath,
none of one letter.
"""

from __future__ import annotations

import json
import os
import sys
import time
import unicodedata

import atheris

with atheris.instrument_imports(include=["dimts.text"]):
    from dimts.text.ethiopic import fold_homophones, is_ethiopic_letter
    from dimts.text.normalise import Normaliser, NormaliseSettings
    from dimts.text.phrases import PhraseSettings, breaths

NORMALISERS = tuple(
    Normaliser(settings)
    for settings in (
        NormaliseSettings(),
        NormaliseSettings(latin="hand_on"),
        NormaliseSettings(latin="spell", emoji="read", western_clock="ethiopian"),
        NormaliseSettings(latin="drop", calendar="gregorian"),
        NormaliseSettings(off=("homophones",)),
    )
)
PIECES = (
    "ዓ.ም", "እ.ኤ.አ", "ዶ/ር", "ት/ቤ", "ኛ", "ቱ", "ለ", "በ", "ከ", "ሰዓት", "ብር", "ሺህ", "km", "www.", ".com", "a@b.et",
    "WHO", "/səlam/", "[pause", "<break/>", "<say-as", "</say-as>", "<sub", "alias='", "</sub>", "<prosody",
    "፡፡", "::", "፩", "፲፱፻", "፼", "0911", "12/01/2016", "2:30", "1,000", "3.5", "$", "%", "°", "+", "-", "–",
    "=", "½", "COVID-19", "ጳጉሜ", "መስከረም", "2ለ0", "ዐ",
)  # fmt: skip
_started = time.monotonic()
_tried = 0
_limit_seconds = 0.0


def faults(text: str, normaliser: Normaliser) -> list[str]:
    """The promises that `text` breaks; none if all is well."""
    found = []
    whole = normaliser(text)
    spoken = whole.spoken
    if spoken != normaliser.spoken(text):
        found.append("the two ways to the spoken form differ")
    if any(char.isdigit() or (char.isnumeric() and not char.isalpha()) for char in spoken):
        found.append("a digit is left")
    if normaliser.spoken(spoken) != spoken:
        found.append("the spoken form reads otherwise")
    if "".join(span.written for span in whole.spans) != whole.written:
        found.append("the spans do not cover the text")
    if "\n".join(map(normaliser.spoken, text.split("\n"))) != spoken:
        found.append("lines are not read one by one")
    plain = fold_homophones(" ".join(span.spoken for span in whole.spans if span.kind == "text"))
    if any(span.kind == "text" and _letters(span.written) != _letters(span.spoken) for span in whole.spans):
        found.append("an Ethiopic word is lost")
    phrases = list(breaths(text, normaliser, PhraseSettings()))
    if any(not breath.tokens and not breath.pause_seconds for breath in phrases):
        found.append("an empty breath")
    if (
        len(phrases) > 1
        and "[" not in text
        and "<" not in text
        and any(_size(breath.tokens) == 1 for breath in phrases)
    ):
        found.append("a breath of one letter")
    if len(plain) > len(unicodedata.normalize("NFC", text)):
        found.append("words from nowhere")
    return found


def _letters(text: str) -> str:
    return fold_homophones("".join(filter(is_ethiopic_letter, text)))


def _size(tokens: tuple[object, ...]) -> int:
    return sum(len(getattr(token, "spoken", "")) for token in tokens)


def one_input(data: bytes) -> None:
    global _tried
    provider = atheris.FuzzedDataProvider(data)
    normaliser = NORMALISERS[provider.ConsumeIntInRange(0, len(NORMALISERS) - 1)]
    parts = []
    while provider.remaining_bytes() > 2:
        if provider.ConsumeBool():
            parts.append(PIECES[provider.ConsumeIntInRange(0, len(PIECES) - 1)])
        elif provider.ConsumeBool():
            parts.append(chr(provider.ConsumeIntInRange(0x1200, 0x139F)))
        else:
            parts.append(provider.ConsumeUnicodeNoSurrogates(6))
    text = "".join(parts)
    _tried += 1
    if broken := faults(text, normaliser):
        raise AssertionError(f"{broken} for {text!r}")
    if _tried % 100 == 0 and time.monotonic() - _started > _limit_seconds:
        result = {
            "fuzz": "text",
            "inputs": _tried,
            "seconds": round(time.monotonic() - _started),
            "faults": 0,
        }
        print(json.dumps(result), flush=True)
        os._exit(0)  # libFuzzer ends a process no other way


def main() -> None:
    global _limit_seconds
    _limit_seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    atheris.Setup([sys.argv[0], "-max_len=400", *sys.argv[2:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
