"""Generate training data of the recogniser: random words by many formant voices, with augmentation.

    for wave, labels in synthetic_utterances(random.Random(1), SyntheticSpeechSettings()): ...

The words follow Amharic phonotactics but are not in its lexicon, so that the network cannot learn a language
model. All randomness comes from one generator: the same seed gives the same utterances.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dimts.audio.augment import change_vocal_tract
from dimts.audio.formant import Formant, FormantSettings, variants
from dimts.audio.wave import Wave
from dimts.evaluate.phone_labels import MEL, phone_labels
from dimts.text.phones import CONSONANTS, LONG, ROUND

Words = list[tuple[str, ...]]

HELD_OUT_VARIANTS = ("f2", "m3", "Andy", "klatt2", "linda", "Henrique")
"""Voices kept out of training, to measure the error rate on unseen voices."""
_EXCLUDED_VARIANTS = (
    "whisper", "Demonic", "croak", "obo", "Rob", "rob", "kaukovalta", "fast", "Tweaky", "RicishayMax",
    "Storm", "Reed", "caleb",
)  # fmt: skip
"""Variants unlike human voices and, the last two, not deterministic."""

_VOWELS = {"ə": 28, "a": 24, "ɨ": 18, "u": 9, "i": 8, "e": 8, "o": 8}
_COMMON = dict.fromkeys(CONSONANTS, 3) | dict.fromkeys("lmnrtbsdkjw", 7) | {"p": 1, "pʼ": 1, "v": 1, "ʔ": 1}
"""Sampling weights of consonants, after their rough frequency, with rare ones oversampled."""
_ROUNDED = ("k", "ɡ", "kʼ", "h", "b", "m", "f", "s", "t", "l", "r", "tʼ")
_CODAS = [phone for phone in CONSONANTS if phone not in ("ʔ", "h", "p", "pʼ", "v")]


@dataclass(frozen=True, slots=True)
class SyntheticSpeechSettings:
    """Settings of the synthetic utterances."""

    most_words: int = 5
    """Maximum number of words of an utterance."""
    long_share: float = 0.24
    """Share of consonants between vowels that are long, 0 to 1."""
    rounded_share: float = 0.03
    """Share of labialised consonants, 0 to 1."""
    coda_share: float = 0.3
    """Share of syllables with a coda, 0 to 1."""
    augmented_share: float = 0.85
    """Share of waves that are augmented, 0 to 1."""
    slowest: float = 0.7
    """Lowest speaking rate; 1.0 is about eleven phones a second."""
    fastest: float = 1.45
    """Highest speaking rate; 1.0 is about eleven phones a second."""


def random_words(rng: random.Random, settings: SyntheticSpeechSettings) -> Words:
    """Draw 1 to `most_words` words of legal syllables."""
    return [_word(rng, settings) for _ in range(rng.randint(1, settings.most_words))]


def _word(rng: random.Random, settings: SyntheticSpeechSettings) -> tuple[str, ...]:
    phones: list[str] = []
    syllables = rng.choices((1, 2, 3, 4), (1, 4, 4, 2))[0]
    closed = False
    for number in range(syllables):
        if number or rng.random() > 0.12:
            phone = rng.choices(list(_COMMON), list(_COMMON.values()))[0]
            if phone in _ROUNDED and rng.random() < settings.rounded_share * 3:
                phone += ROUND
            if number and not closed and phone not in ("ʔ", "h") and rng.random() < settings.long_share:
                phone += LONG
            phones.append(phone)
        phones.append(rng.choices(list(_VOWELS), list(_VOWELS.values()))[0])
        closed = rng.random() < settings.coda_share
        if closed:
            coda = rng.choice(_CODAS)
            if number == syllables - 1 and rng.random() < 0.25:
                coda += LONG
            phones.append(coda)
    return tuple(phones)


def training_variants() -> list[str]:
    """List the formant variants used in training; the plain one is ""."""
    kept = [
        name
        for name in variants()
        if name not in HELD_OUT_VARIANTS and not any(odd in name for odd in _EXCLUDED_VARIANTS)
    ]
    return ["", *kept]


_VOCAL_TRACT_RATIOS = (0.8, 1.2)
"""Range of the vocal tract length, relative to that of the voice."""


def synthetic_utterances(
    rng: random.Random, settings: SyntheticSpeechSettings
) -> Iterator[tuple[Wave, tuple[str, ...]]]:
    """Yield utterances without end: a wave at 16 kHz and its labels."""
    names = training_variants()
    while True:
        words = random_words(rng, settings)
        voice = Formant(
            FormantSettings(
                rate=rng.uniform(settings.slowest, settings.fastest),
                pitch=rng.uniform(0.7, 1.5),
                variant=rng.choice(names),
            )
        )
        wave = voice.speak(words, rng.choice("።፣?"))
        wave = change_vocal_tract(wave, 1 / rng.uniform(*_VOCAL_TRACT_RATIOS), MEL.rate)
        if rng.random() < settings.augmented_share:
            wave = augment(wave, rng)
        yield wave, tuple(label for word in words for label in phone_labels(word))


def augment(wave: Wave, rng: random.Random) -> Wave:
    """Apply each augmentation with its probability.

    These are aspiration, silence at both ends, reverberation, equalisation, quantisation, and noise at 3 to
    40 dB.
    """
    draw = np.random.default_rng(rng.getrandbits(32))
    samples = wave.samples
    if rng.random() < 0.4:
        samples = _add_aspiration(samples, wave.rate, rng.uniform(0.1, 0.9), draw)
    samples = np.pad(
        samples, (round(rng.uniform(0, 0.3) * wave.rate), round(rng.uniform(0, 0.3) * wave.rate))
    )
    if rng.random() < 0.5:
        samples = _reverberate(samples, wave.rate, rng, draw)
    if rng.random() < 0.7:
        samples = _equalise(samples, wave.rate, rng)
    if rng.random() < 0.2:
        samples = _quantise(samples, rng.choice((5, 6, 7, 8)))
    if rng.random() < 0.8:
        samples = add_noise(
            Wave(samples, wave.rate), rng.uniform(3, 40), draw, rng.choice((0.0, 0.5, 1.0))
        ).samples
    return Wave(samples.astype(np.float32), wave.rate)


def add_noise(wave: Wave, snr_db: float, draw: np.random.Generator, slope: float = 0.5) -> Wave:
    """Add noise at `snr_db` with power falling as f^(−2·slope): 0 is white, 0.5 pink, 1 brown."""
    from scipy import fft

    count = len(wave.samples)
    size = fft.next_fast_len(max(count, 2), real=True)
    spectrum = fft.rfft(draw.standard_normal(size))
    spectrum /= np.maximum(np.arange(len(spectrum)), 20.0 * size / wave.rate) ** slope
    noise = fft.irfft(spectrum, size)[:count]
    speech = float(np.mean(np.square(wave.samples, dtype=np.float64)))
    noise *= np.sqrt(speech / max(float(np.mean(noise**2)), 1e-20) / 10 ** (snr_db / 10))
    return Wave((wave.samples + noise).astype(np.float32), wave.rate)


def _add_aspiration(samples: np.ndarray, rate: int, share: float, draw: np.random.Generator) -> np.ndarray:
    """Replace `share` of the voiced excitation by noise, with the same LPC envelope (Makhoul 1975)."""
    from scipy import fft, linalg

    size = round(_LPC_SECONDS * rate)
    hop = size // 2
    window = np.hanning(size + 1)[:-1]
    padded = np.pad(samples.astype(np.float64), (size, size + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window  # [N, size]
    length = fft.next_fast_len(2 * size, real=True)
    lags = fft.irfft(np.abs(fft.rfft(frames, length)) ** 2, length)[:, : _LPC_ORDER + 1]
    lags[:, 0] = lags[:, 0] * 1.0001 + _LPC_QUIET
    matrices = lags[:, np.abs(np.subtract.outer(np.arange(_LPC_ORDER), np.arange(_LPC_ORDER)))]
    predictors = -linalg.solve(matrices, lags[:, 1:, None], assume_a="pos")[..., 0]  # [N, order]
    predictors = np.concatenate((np.ones((len(predictors), 1)), predictors), axis=1)
    left = np.maximum((predictors * lags).sum(axis=1), 0.0)  # energy of the prediction residual
    noise = draw.standard_normal(frames.shape) * window * np.sqrt(left / np.sum(window**2))[:, None]
    breath = fft.irfft(fft.rfft(noise, length) / fft.rfft(predictors, length), length)[:, :size]
    mixed = (1 - share) * frames + share * breath
    out = np.zeros(len(padded) + size)
    for number, frame in enumerate(mixed):
        out[number * hop : number * hop + size] += frame
    breathed: np.ndarray = out[size : size + len(samples)].astype(np.float32)
    return breathed


_LPC_ORDER, _LPC_SECONDS, _LPC_QUIET = 18, 0.032, 1e-7


def _quantise(samples: np.ndarray, bits: int) -> np.ndarray:
    """Quantise to `bits` bits on a μ-law curve."""
    top = max(float(np.abs(samples).max()), 1e-9)
    bent = np.sign(samples) * np.log1p(255.0 * np.abs(samples) / top) / np.log(256.0)
    steps = 2.0 ** (bits - 1)
    bent = np.round(bent * steps) / steps
    straight = np.sign(bent) * (np.exp(np.abs(bent) * np.log(256.0)) - 1.0) / 255.0
    grained: np.ndarray = (straight * top).astype(np.float32)
    return grained


def _reverberate(samples: np.ndarray, rate: int, rng: random.Random, draw: np.random.Generator) -> np.ndarray:
    """Convolve with a direct path and exponentially decaying noise."""
    from scipy import signal

    seconds = rng.uniform(0.08, 0.5)
    length = round(seconds * rate)
    tail = draw.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= rng.uniform(0.1, 0.8) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    wet: np.ndarray = signal.fftconvolve(samples, tail)[: len(samples)]
    return wet.astype(np.float32)


def _equalise(samples: np.ndarray, rate: int, rng: random.Random) -> np.ndarray:
    """Apply a smooth random frequency response of ±12 dB, at times with a low-pass filter."""
    from scipy import fft

    size = fft.next_fast_len(max(len(samples), 2), real=True)
    spectrum = fft.rfft(samples, size)
    hertz = np.linspace(0, rate / 2, len(spectrum))
    corners = np.linspace(0, rate / 2, 7)
    gain = np.interp(hertz, corners, [rng.uniform(-12, 12) for _ in corners])
    if rng.random() < 0.25:
        gain = np.where(hertz > rng.uniform(3400, 7000), -60.0, gain)
    coloured: np.ndarray = fft.irfft(spectrum * 10 ** (gain / 20), size)[: len(samples)]
    return coloured.astype(np.float32)


def synthesise(
    voice: Formant, sentences: Sequence[Words], mark: str = "።"
) -> list[tuple[Wave, tuple[str, ...]]]:
    """Speak sentences with one voice, without augmentation; each wave with its labels."""
    return [
        (voice.speak(words, mark), tuple(label for word in words for label in phone_labels(word)))
        for words in sentences
    ]
