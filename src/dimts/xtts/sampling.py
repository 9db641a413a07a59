"""Sample a code from logits by upstream's rule, with random numbers that every engine draws alike.

Repetition penalty on raw logits, then (when sampling) temperature, top-k, top-p, softmax, one draw. Upstream
counts a placeholder id 1 and START as already seen, so both are penalised from the first step on; that is
kept, as the codes would differ otherwise.

A draw needs one number in [0, 1). It is a function of the seed, the sequence and the number of the draw alone
(Philox4x32-10), so that PyTorch, ONNX and a browser choose the same codes. `docs/onnx.md` specifies it.

Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dimts.base.errors import ConfigError, SynthesisError

PLACEHOLDER = 1
"""Id that upstream fills the prefix with, and therefore penalises."""
_ROUNDS = 10
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
_WORD = 0xFFFFFFFF
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """Parameters of choosing codes."""

    sample: bool = True
    """Draw codes at random; False: always the likeliest (greedy)."""
    temperature: float = 0.75
    """Sampling temperature: below 1 less varied, above 1 more."""
    top_k: int = 50
    """Only the k likeliest codes; 0: all."""
    top_p: float = 0.85
    """Only the likeliest codes that together reach this probability; 1.0: all."""
    repetition_penalty: float = 5.0
    """Logits of codes already chosen are divided (or, if negative, multiplied) by this; 1.0: none."""
    max_codes: int = 0
    """Stop after this many codes (21.5 per second); 0: as many as the model can."""
    seed: int | None = None
    """Same seed, same random numbers everywhere; None: different each time. Its lowest 64 bits count."""
    sequence: tuple[int, int, int] = (0, 0, 0)
    """Index of the seed's sequence of random numbers, each part 0 to 2**32 - 1; e.g. one for each
    utterance."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError("xtts.temperature_not_positive", temperature=self.temperature)
        if not 0 < self.top_p <= 1:
            raise ConfigError("xtts.top_p_out_of_range", top_p=self.top_p)
        if not self.repetition_penalty > 0:
            raise ConfigError("xtts.penalty_not_positive", repetition_penalty=self.repetition_penalty)
        if self.top_k < 0 or self.max_codes < 0:
            raise ConfigError("xtts.limit_negative")

    @classmethod
    def from_coqui(cls, config: dict[str, Any]) -> GenerateSettings:
        """Read the generation values of a coqui config.json."""
        names = ("temperature", "top_k", "top_p", "repetition_penalty")
        return cls(**{name: config[name] for name in names if config.get(name) is not None})

    def numbers(self) -> RandomNumbers:
        """Return the random numbers of these settings, from the first one on."""
        return RandomNumbers(secrets.randbits(64) if self.seed is None else self.seed, self.sequence)


@dataclass(frozen=True)
class DecodingStep:
    """One code of one sentence, and its hidden state."""

    row: int
    """Number of the sentence, as returned by its decoder's `add`."""
    code: int
    latent: Any
    """Hidden state [D], the input of the vocoder: a tensor, or an array where ONNX graphs decode."""
    last: bool
    """Whether this is the last code: STOP, or the limit is reached."""
    probability: float
    """Probability of this code before temperature and cuts, after the penalty, 0 to 1."""
    attention: Any = None
    """Attention over the text while the code was chosen, [heads, 2] as in `alignment.py`; None if it is not
    recorded, and for the first code."""


class RandomNumbers:
    """A sequence of numbers in [0, 1): the n-th is a function of seed, sequence and n."""

    def __init__(self, seed: int, sequence: tuple[int, int, int] = (0, 0, 0)) -> None:
        self._key = seed & _WORD, (seed >> 32) & _WORD
        self._sequence = sequence
        self._count = 0

    def next(self) -> float:
        """Return the next number, a multiple of 2**-53."""
        first, second, _, _ = philox((self._count, *self._sequence), self._key)
        self._count += 1
        return float(((first >> 5) * (1 << 26) + (second >> 6)) / (1 << 53))


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Compute four random words of 32 bits from a counter and a key (Philox4x32-10)."""
    a, b, c, d = (word & _WORD for word in counter)
    low, high = key
    for _ in range(_ROUNDS):
        one, two = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (two >> 32) ^ b ^ low, two & _WORD, (one >> 32) ^ d ^ high, one & _WORD
        low, high = (low + _KEY_STEPS[0]) & _WORD, (high + _KEY_STEPS[1]) & _WORD
    return a, b, c, d


def unseen_codes(codes: int, start_audio: int) -> npt.NDArray[np.bool_]:
    """Return the codes that the penalty applies to before the first is chosen, [V] bool."""
    seen = np.zeros(codes, np.bool_)
    seen[PLACEHOLDER] = seen[start_audio] = True
    return seen


def choose(
    logits: Floats,
    seen_codes: npt.NDArray[np.bool_],
    settings: GenerateSettings,
    numbers: RandomNumbers | None = None,
) -> tuple[int, float]:
    """Choose one code from logits [V] float32 and the codes already chosen [V] bool; returns it and its
    probability before sampling's cuts.

    Raises SynthesisError if the logits are not finite.
    """
    logits = penalise(logits, seen_codes, settings.repetition_penalty)
    if not np.isfinite(logits).all():
        raise SynthesisError("xtts.logits_not_finite")
    plain = softmax(logits)
    if not settings.sample:
        code = int(logits.argmax())
    else:
        number = (numbers or settings.numbers()).next()
        sums = softmax(warp(logits, settings)).cumsum()  # in the order of the codes
        code = int(np.searchsorted(sums, min(number * sums[-1], np.nextafter(sums[-1], 0.0)), side="right"))
    return code, float(plain[code])


def penalise(logits: Floats, seen_codes: npt.NDArray[np.bool_], penalty: float) -> Floats:
    """Reduce the logits [V] of codes already chosen [V] bool."""
    if penalty == 1.0:
        return logits
    by = np.float32(penalty)
    return np.where(seen_codes, np.where(logits < 0, logits * by, logits / by), logits)


def warp(logits: Floats, settings: GenerateSettings) -> Floats:
    """Apply temperature, top-k and top-p, in this order: logits [V] → [V] with -inf where nothing is
    drawn."""
    logits = logits / np.float32(settings.temperature)
    if settings.top_k and settings.top_k < len(logits):
        least = np.partition(logits, -settings.top_k)[-settings.top_k]
        logits = np.where(logits < least, -np.inf, logits)
    if settings.top_p < 1.0:
        order = np.argsort(logits, kind="stable")  # ascending; of equals the smaller code first
        unlikely = softmax(logits[order]).cumsum() <= 1 - settings.top_p
        unlikely[-1] = False
        logits = logits.copy()
        logits[order[unlikely]] = -np.inf
    return logits


def softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Convert logits [V] to probabilities [V] in float64; -inf becomes 0."""
    powers: npt.NDArray[np.float64] = np.exp(logits.astype(np.float64) - float(logits.max()))
    shares: npt.NDArray[np.float64] = powers / powers.sum()
    return shares
