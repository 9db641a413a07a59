"""How fast the formant voice speaks: real-time factor and first sound, beside espeak-ng driven bare.

python benchmarks/formant.py            prints one JSON line; times are medians of CPU seconds in this process

The peer is the same library reading the same sentences by its own Amharic rules into 22 050 Hz, opened once,
nothing resampled; what is ours on top is phones, a fresh start for each phrase, levels, times and 24 kHz.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import time
from collections.abc import Callable

import espeakng_loader
import numpy as np

from dimts.audio.formant import _Callback
from dimts.speak import Speaker

TEXT = (
    "ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ አገር ናት። ዋና ከተማዋ አዲስ አበባ ይባላል። ሕዝቧ ብዙ ቋንቋዎችን ይናገራል፤ ከእነዚህም አንዱ አማርኛ ነው። "
    "ዛሬ ጠዋት ዝናብ ስለዘነበ መንገዱ ጭቃ ሆኗል። እንዴት ናችሁ? ሁላችንም ደህና ነን!"
)
ROUNDS = 9


def median(do: Callable[[], object]) -> float:
    """Median CPU seconds of `do`."""
    taken = []
    for _ in range(ROUNDS):
        before = time.process_time()
        do()
        taken.append(time.process_time() - before)
    return statistics.median(taken)


def peer() -> Callable[[], float]:
    """espeak-ng reading TEXT by its own rules; returns the seconds of sound."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetVoiceByName(b"am")
    count = 0

    def take(samples: object, size: int, events: object) -> int:
        nonlocal count
        count += size
        return 0

    callback = _Callback(take)
    library.espeak_SetSynthCallback(callback)

    def run() -> float:
        nonlocal count
        count = 0
        data = TEXT.encode() + b"\0"
        library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 0, 0, 1, None, None)
        return count / rate

    run.callback = callback  # type: ignore[attr-defined]  # kept alive with it
    return run


def main() -> None:
    speaker = Speaker.load("formant")
    wave = speaker.say(TEXT)
    phrases = [phrase for phrase, _ in speaker.text_phrases(TEXT)]
    other = peer()
    sound = median(lambda: [list(speaker.engine.stream(phrase, 0, None)) for phrase in phrases])
    result = {
        "speech_seconds": wave.seconds,
        "text_to_wave_times_real_time": wave.seconds / median(lambda: speaker.say(TEXT)),
        "phones_to_wave_times_real_time": wave.seconds / sound,
        "first_sound_ms": 1000 * median(lambda: next(speaker.stream(TEXT))),
        "load_ms": 1000 * median(lambda: Speaker.load("formant")),
        "peer_times_real_time": other() / median(other),
        "rms_dbfs": float(20 * np.log10(np.sqrt(np.mean(np.square(wave.samples, dtype=np.float64))))),
    }
    result["ours_over_peer"] = result["phones_to_wave_times_real_time"] / result["peer_times_real_time"]
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))


if __name__ == "__main__":
    main()
