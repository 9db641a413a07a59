"""Errors put into speech on purpose, to know that they are found: what detectors and metrics are tested on.

Every function takes a wave (and the times of its phones) and gives back one with a single, known error.
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
    """The sentence with one of its words, of at least four phones, replaced by another that shares little with it."""
    places = [place for place, word in enumerate(words) if len(word) >= 4] or [0]
    place = rng.choice(places)
    different = [word for word in others if len(word) >= 4 and len(set(word) & set(words[place])) <= len(word) // 3]
    return [rng.choice(different) if at == place else word for at, word in enumerate(words)]


def cut(spoken: FormantSpeech, share: float) -> Wave:
    """The end gone: only `share` of the phones are left."""
    flat = [time for word in spoken.times for time in word]
    return _faded(spoken.wave.cut(0.0, flat[max(1, round(share * len(flat))) - 1][1]))


def loop(spoken: FormantSpeech, first: int, last: int, times: int = 2) -> Wave:
    """Words `first` to `last` (without it) said `times` times."""
    start, end = spoken.times[first][0][0], spoken.times[last - 1][-1][1]
    piece = spoken.wave.cut(start, end)
    rest = spoken.wave.cut(end, spoken.wave.seconds)
    return _joined([spoken.wave.cut(0.0, end), *[piece] * (times - 1), rest])


def babble(spoken: FormantSpeech, more: Wave) -> Wave:
    """Something, `more`, said behind the end that is not in the text."""
    return _joined([spoken.wave, Wave.silence(0.15, spoken.wave.rate), more])


def located(wave: Wave, words: Words, segmenter: HMMAligner) -> FormantSpeech:
    """A recording with the times of its phones, as a segmenter finds them.

    A ʔ that begins a word takes no time. AudioError if the wave is too short for the words.
    """
    placed = iter(segmenter.segment(wave, [word for word in word_labels(words) if word]))
    times, at = [], 0.0
    for word, heard in zip(words, word_labels(words), strict=True):
        unheard = len(phone_labels(word)) - len(heard)
        one = []
        for place, phone in enumerate(word):
            if place < unheard:
                one.append((at, at))
                continue
            parts = [next(placed) for _ in phone_labels([phone])]  # Cʷ is heard as two
            one.append((parts[0].start, parts[-1].end))
            at = parts[-1].end
        times.append(tuple(one))
    return FormantSpeech(wave, tuple(times))


def halve(spoken: FormantSpeech, words: Words) -> Wave:
    """Every long consonant shortened to half its time: its middle half is cut out.

    Not the very last phone: where the silence follows, the length of a consonant cannot be heard.
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
    """One after another, each border faded over 8 ms."""
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
