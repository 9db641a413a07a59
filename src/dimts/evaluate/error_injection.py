"""Inject known errors into speech, to test detectors and metrics.

Every function takes a wave (and the times of its phones) and returns one with a single, known error.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from dimts.audio.formant import FormantSpeech
from dimts.audio.wave import Wave
from dimts.evaluate.hmm_aligner import HMMAligner
from dimts.evaluate.phone_labels import phone_labels, word_labels
from dimts.text.phones import LONG

Words = Sequence[Sequence[str]]

_FADE_SECONDS = 0.008


def wrong_word(words: Words, rng: random.Random, others: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Replace one word of at least four phones by another that shares few phones with it."""
    places = [place for place, word in enumerate(words) if len(word) >= 4] or [0]
    place = rng.choice(places)
    different = [
        word for word in others if len(word) >= 4 and len(set(word) & set(words[place])) <= len(word) // 3
    ]
    return [rng.choice(different) if at == place else word for at, word in enumerate(words)]


def cut_end(spoken: FormantSpeech, share: float) -> Wave:
    """Cut off the end, so that `share` of the phones is left."""
    flat = [time for word in spoken.times for time in word]
    return _faded(spoken.wave.cut(0.0, flat[max(1, round(share * len(flat))) - 1][1]))


def repeat_words(spoken: FormantSpeech, first: int, last: int, times: int = 2) -> Wave:
    """Repeat the words from `first` up to but not including `last`, so that they occur `times` times."""
    start, end = spoken.times[first][0][0], spoken.times[last - 1][-1][1]
    piece = spoken.wave.cut(start, end)
    rest = spoken.wave.cut(end, spoken.wave.seconds)
    return _joined([spoken.wave.cut(0.0, end), *[piece] * (times - 1), rest])


def append_words(spoken: FormantSpeech, more: Wave) -> Wave:
    """Append the wave `more` after a pause."""
    return _joined([spoken.wave, Wave.silence(0.15, spoken.wave.rate), more])


def align_recording(wave: Wave, words: Words, aligner: HMMAligner) -> FormantSpeech:
    """Align a recording with the phones of its words.

    A ʔ that begins a word gets zero duration. AudioError if the wave is too short for the words.
    """
    aligned = iter(aligner.align(wave, [word for word in word_labels(words) if word]))
    times, at = [], 0.0
    for word, labels in zip(words, word_labels(words), strict=True):
        omitted = len(phone_labels(word)) - len(labels)
        one = []
        for place, phone in enumerate(word):
            if place < omitted:
                one.append((at, at))
                continue
            parts = [next(aligned) for _ in phone_labels([phone])]  # Cʷ has two labels
            one.append((parts[0].start, parts[-1].end))
            at = parts[-1].end
        times.append(tuple(one))
    return FormantSpeech(wave, tuple(times))


def halve_long_consonants(spoken: FormantSpeech, words: Words) -> Wave:
    """Shorten every long consonant to half its duration by removing its middle half.

    The last phone is left as it is: before silence, the duration of a stop is undefined.
    """
    pieces: list[Wave] = []
    at = 0.0
    final = len(spoken.times) - 1, len(spoken.times[-1]) - 1
    for number, (word, times) in enumerate(zip(words, spoken.times, strict=True)):
        for place, (phone, (start, end)) in enumerate(zip(word, times, strict=True)):
            if phone.endswith(LONG) and (number, place) != final:
                quarter = (end - start) / 4
                pieces.append(spoken.wave.cut(at, start + quarter))
                at = end - quarter
    pieces.append(spoken.wave.cut(at, spoken.wave.seconds))
    return _joined(pieces)


def _joined(waves: Sequence[Wave]) -> Wave:
    """Concatenate with cross-fades of 8 ms."""
    size = round(_FADE_SECONDS * waves[0].rate)
    out = waves[0].samples.copy()
    for wave in waves[1:]:
        over = min(size, len(out), len(wave.samples))
        if not over:
            out = np.concatenate((out, wave.samples))
            continue
        ramp = np.linspace(0.0, 1.0, over, dtype=np.float32)
        seam = out[-over:] * (1 - ramp) + wave.samples[:over] * ramp
        out = np.concatenate((out[:-over], seam, wave.samples[over:]))
    return Wave(out, waves[0].rate)


def _faded(wave: Wave) -> Wave:
    samples = wave.samples.copy()
    over = min(len(samples), round(_FADE_SECONDS * wave.rate))
    samples[len(samples) - over :] *= np.linspace(1.0, 0.0, over, dtype=np.float32)
    return Wave(samples, wave.rate)
