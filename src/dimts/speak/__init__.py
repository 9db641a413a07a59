"""Synthesise text phrase by phrase, whole or streamed, with natural pauses and the time of every word.

    speaker = Speaker.load("formant")               needs no model
    speaker = Speaker.load("runs/abebe/bundle")     a fine-tuned XTTS voice
    speaker.say("ሰላም ለዓለም።").save("selam.wav")
    for wave in speaker.stream(long_text): play(wave.samples, wave.rate)

Every engine has the same pipeline: front end → phrases → audio, joined by the phrases' pauses. A text without
Amharic is refused before any audio.
"""

from __future__ import annotations

from dimts.speak.results import Engine, SpokenWord, SynthesisedPhrase, Times, estimate_times
from dimts.speak.settings import FASTEST, FORMANT, FORMANT_FRONTEND, RATE, SLOWEST, SpeakSettings
from dimts.speak.speaker import Speaker, frontend_of

__all__ = [
    "FASTEST",
    "FORMANT",
    "FORMANT_FRONTEND",
    "RATE",
    "SLOWEST",
    "Engine",
    "SpeakSettings",
    "Speaker",
    "SpokenWord",
    "SynthesisedPhrase",
    "Times",
    "estimate_times",
    "frontend_of",
]
