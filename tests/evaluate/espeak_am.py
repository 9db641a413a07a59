"""Speaks a text with espeak-ng's own voice `am` into a WAV file, as the program espeak-ng does.

    python espeak_am.py -w OUT.wav TEXT

It loads the library inside the wheel espeakng-loader, for machines without the program.
"""

from __future__ import annotations

import argparse
import ctypes
import wave
from pathlib import Path

import espeakng_loader

_SYNCHRONOUS, _UTF8, _END = 2, 1, 0x1000


def main() -> None:
    """Write the speech of the text in the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-v", default="am")
    parser.add_argument("-w", required=True, type=Path)
    parser.add_argument("text")
    given = parser.parse_args()
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if library.espeak_SetVoiceByName(given.v.encode()) != 0:
        raise SystemExit(f"no voice {given.v}")
    pieces: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples: object, count: int, _: object) -> int:
        if samples and count:
            pieces.append(ctypes.string_at(samples, 2 * count))  # type: ignore[arg-type]
        return 0

    library.espeak_SetSynthCallback(take)
    text = given.text.encode()
    library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8 | _END, None, None)
    library.espeak_Synchronize()
    with wave.open(str(given.w), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(pieces))


if __name__ == "__main__":
    main()
