"""Wave and the phones said in it → when each begins and ends, to a hundredth of a second.

    segmenter = Segmenter.fit(clips)            # waves and the words said in them
    placed = segmenter.segment(wave, words)

The phone recogniser knows which phones there are, but CTC's labels stand somewhere within their phones. Borders
are found as phone aligners do it: hidden Markov models of three states a phone, Gaussian mixtures over cepstra,
learnt by Viterbi training from an even start (Young et al., The HTK Book, ch. 8). A phone and its long twin share
their states, so nothing but time tells them apart. It learns a speaker from ten minutes in half a minute.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dimts.audio.wave import Wave
from dimts.base.errors import CheckpointError, ConfigError
from dimts.evaluate.gemination import GeminationScorer
from dimts.evaluate.phone_labels import LABELS, AlignedPhone, features, label_index, viterbi_path
from dimts.text.phones import LONG, short

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Words = Sequence[Sequence[str]]
"""Signs of each word, as recogniser.words_signs gives them."""

FRAME_SECONDS = 0.010
_CEPSTRA = 20
_SLOPES = 4.0, 8.0
"""By which first and second slopes over time are raised, to stand beside the cepstra."""
_STATES = 3
"""Of a phone; it lasts 30 ms at the least."""
_ROUNDS = 8
"""Of segmenting and estimating; in the first half with one Gaussian a state."""
_SETTLING = 3
"""Turns of expectation and maximisation within a round."""
_PRIOR_FRAMES = 10.0
"""As many frames of all speech, or of the state as a whole, are added to those of a Gaussian."""
_LEAST_VARIANCE = 0.1
"""Of that of all speech."""
_SMALLEST = 1e-4
"""Variance that half precision still knows."""
_APART = 0.5
"""Standard deviations by which the Gaussians of a state begin apart."""
_QUIETEST, _LOUD, _SPEECH_SHARE = 5, 90, 0.3
"""Percentiles of loudness, and how far from the first to the second speech begins: for the even start."""
_PLAIN = tuple(sign for sign in LABELS if not sign.endswith(LONG))
"""What has states of its own: silence, then every sign, long or short."""
_NUMBERS = {sign: number for number, sign in enumerate(_PLAIN)}
_UNITS = 1 + _STATES * (len(_PLAIN) - 1)
Times = tuple[float, float]
"""Begin and end, in seconds."""
_KEYS = ("means", "variances", "log_weights")


def cepstra(wave: Wave) -> Floats:
    """[F, 3 · 20] of what the recogniser sees, at 100 a second, their mean taken out, with first and second slopes."""
    from scipy import fft

    found = fft.dct(features(wave), axis=1, norm="ortho")[:, :_CEPSTRA]
    found = found - found.mean(axis=0)
    first = _slope(found)
    return np.concatenate((found, _SLOPES[0] * first, _SLOPES[1] * _slope(first)), axis=1)


class HMMAligner:
    """Models of the phones, ready to find their borders, and how long they usually last."""

    def __init__(self, means: Floats, variances: Floats, log_weights: Floats, lengths: GeminationScorer) -> None:
        self.means, self.variances, self.log_weights = means, variances, log_weights  # [U, K, D], the same, [U, K]
        self.lengths = lengths

    @classmethod
    def fit(
        cls, clips: Sequence[tuple[Wave, Words]], known: Sequence[Sequence[Times]] | None = None, mixtures: int = 4
    ) -> HMMAligner:
        """Learn from waves and the words (signs) said in them; clips too short for their words are passed over.

        `known`: begin and end of every sign of each clip, in seconds, where a synthesiser has told them. `mixtures`:
        Gaussians a state; many voices need more. ConfigError if too little is left to learn from.
        """
        frames, chains, signs, paths = [], [], [], []
        for number, (wave, words) in enumerate(clips):
            chain, seen = _chain(words), cepstra(wave)
            if 0 < np.count_nonzero(chain[:, 1] >= 0) <= len(seen):
                frames.append(seen)
                chains.append(chain)
                signs.append(_flat(words))
                paths.append(_evenly(seen, chain) if known is None else _told(known[number], chain, len(seen)))
        if not frames:
            raise ConfigError("evaluate.no_speech_to_align")
        every = np.concatenate(frames)
        models = (np.zeros(0), np.zeros(0), np.zeros(0))
        for turn in range(_ROUNDS):
            said = np.concatenate([chain[path, 0] for chain, path in zip(chains, paths, strict=True)])
            if turn < _ROUNDS // 2:
                models = _single(every, said)
            elif turn == _ROUNDS // 2:
                models = _mixed(every, said, _parted(*models[:2], mixtures))
            else:
                models = _mixed(every, said, models)
            if known is None or turn == _ROUNDS - 1:
                paths = [_path(models, seen, chain) for seen, chain in zip(frames, chains, strict=True)]
        placed = [_placed(chain[path, 1], told) for chain, path, told in zip(chains, paths, signs, strict=True)]
        return cls(*models, GeminationScorer.fit(placed))

    def segment(self, wave: Wave, words: Words) -> tuple[AlignedPhone, ...]:
        """Begin and end of every sign of `words`; between words there may be silence. AudioError if it is too short."""
        chain, seen = _chain(words), cepstra(wave)
        path = _path((self.means, self.variances, self.log_weights), seen, chain)
        return _placed(chain[path, 1], _flat(words))

    def tensors(self) -> dict[str, npt.NDArray[np.float16]]:
        """What `of` needs, in half precision."""
        return {name: getattr(self, name).astype(np.float16) for name in _KEYS}

    @classmethod
    def of(cls, tensors: Mapping[str, npt.NDArray[np.float16]], lengths: GeminationScorer) -> HMMAligner:
        """The inverse of `tensors`. CheckpointError for tensors of another make."""
        means, variances, log_weights = (np.asarray(tensors[name], np.float64) for name in _KEYS)
        variances = np.maximum(variances, _SMALLEST)
        if means.shape[0] != _UNITS or means.shape != variances.shape or log_weights.shape != means.shape[:2]:
            raise CheckpointError("evaluate.aligner_old")
        return cls(means, variances, log_weights, lengths)


Models = tuple[Floats, Floats, Floats]
"""Means [U, K, D], variances [U, K, D], logarithms of weights [U, K]."""


def _slope(rows: Floats) -> Floats:
    """[F, D] → the same: regression over five frames."""
    padded = np.pad(rows, ((2, 2), (0, 0)), "edge")
    slope: Floats = 0.2 * (padded[4:] - padded[:-4]) + 0.1 * (padded[3:-1] - padded[1:-3])
    return slope


def _flat(words: Words) -> list[str]:
    return [sign for word in words for sign in word]


def _chain(words: Words) -> Whole:
    """[S, 2] states in their order: the model's number, and the place of the sign, −1 for silence (may be skipped)."""
    states, place = [(0, -1)], 0
    for word in words:
        for sign in word:
            label_index(sign)  # says which sign it does not know
            first = 1 + _STATES * (_NUMBERS[short(sign)] - 1)
            states += [(first + number, place) for number in range(_STATES)]
            place += 1
        states.append((0, -1))
    return np.array(states)


def _placed(places: Whole, signs: Sequence[str]) -> tuple[AlignedPhone, ...]:
    """[F] the place of each frame → times."""
    starts = np.searchsorted(np.maximum.accumulate(places), np.arange(len(signs)))
    counts = np.bincount(places[places >= 0], minlength=len(signs))
    return tuple(
        AlignedPhone(sign, float(start * FRAME_SECONDS), float((start + count) * FRAME_SECONDS), 1.0)
        for sign, start, count in zip(signs, starts, counts, strict=True)
    )


def _evenly(seen: Floats, chain: Whole) -> Whole:
    """[F] a first guess: silence where it is quiet at the ends, all states of the same length between."""
    low, high = np.percentile(seen[:, 0], (_QUIETEST, _LOUD))
    loud = np.flatnonzero(seen[:, 0] > low + _SPEECH_SHARE * (high - low))
    spoken = np.flatnonzero(chain[:, 1] >= 0)
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(seen))
    path = np.zeros(len(seen), np.int64)
    path[first:last] = spoken[np.linspace(0, len(spoken), last - first, endpoint=False).astype(int)]
    path[last:] = len(chain) - 1
    return path


def _told(times: Sequence[Times], chain: Whole, count: int) -> Whole:
    """[F] the state of each frame, from the times of the signs; the states of a sign share its time evenly."""
    path = np.zeros(count, np.int64)  # silence
    for place, (start, end) in enumerate(times):
        states = np.flatnonzero(chain[:, 1] == place)
        edges = np.round(np.linspace(start, end, len(states) + 1) / FRAME_SECONDS).astype(int)
        for state, (first, last) in zip(states, itertools.pairwise(edges), strict=True):
            path[first:last] = state
    return path


def _scores(models: Models, seen: Floats) -> Floats:
    """[F, U, K] ln of weight and density of every Gaussian, but for a constant."""
    means, variances, log_weights = models
    sharp = (1.0 / variances).reshape(-1, means.shape[2])  # [U · K, D]
    scaled = (means / variances).reshape(sharp.shape)
    constant = log_weights - 0.5 * (means**2 / variances + np.log(variances)).sum(axis=2)
    found: Floats = (seen @ scaled.T - 0.5 * seen**2 @ sharp.T).reshape(len(seen), *constant.shape) + constant
    return found


def _path(models: Models, seen: Floats, chain: Whole) -> Whole:
    """[F] the likeliest state of the chain for each frame. AudioError if there are more states than frames."""
    scores = np.logaddexp.reduce(_scores(models, seen), axis=2)
    silent = chain[:, 1] < 0
    skip = np.concatenate(([False, False], silent[1:-1]))  # over a silence
    return viterbi_path(scores[:, chain[:, 0]], skip)


def _single(every: Floats, said: Whole) -> Models:
    """One Gaussian for each state, of the frames that are said to be its own."""
    mean, variance = every.mean(axis=0, keepdims=True), every.var(axis=0, keepdims=True)
    found = [_estimated(mine, np.ones((len(mine), 1)), mean, variance) for mine in _by_unit(every, said)]
    means, variances = (np.stack(some) for some in zip(*found, strict=True))
    return means, np.maximum(variances, _LEAST_VARIANCE * variance), np.zeros(means.shape[:2])


def _parted(means: Floats, variances: Floats, mixtures: int) -> Models:
    """Each Gaussian → several, a little apart."""
    draw = np.random.default_rng(0).standard_normal((len(means), mixtures, means.shape[2])) * _APART
    draw[:, 0] = 0.0
    return (
        means + draw * np.sqrt(variances),
        np.repeat(variances, mixtures, axis=1),
        np.full((len(means), mixtures), -np.log(mixtures)),
    )


def _mixed(every: Floats, said: Whole, models: Models) -> Models:
    """Expectation and maximisation of each state's mixture, held to the state as a whole."""
    least = _LEAST_VARIANCE * every.var(axis=0)
    means, variances, log_weights = (some.copy() for some in models)
    wholes = _single(every, said)
    for unit, mine in enumerate(_by_unit(every, said)):
        here = slice(unit, unit + 1)
        for _ in range(_SETTLING):
            scores = _scores((means[here], variances[here], log_weights[here]), mine)[:, 0]  # [N, K]
            shares = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
            means[unit], found = _estimated(mine, shares, wholes[0][unit], wholes[1][unit])
            variances[unit] = np.maximum(found, least)
            counts = shares.sum(axis=0) + 1.0
            log_weights[unit] = np.log(counts / counts.sum())
    return means, variances, log_weights


def _by_unit(every: Floats, said: Whole) -> list[Floats]:
    """The frames of each state."""
    order = np.argsort(said, kind="stable")
    edges = np.searchsorted(said[order], np.arange(_UNITS + 1))
    return [every[order[first:last]] for first, last in itertools.pairwise(edges)]


def _estimated(mine: Floats, shares: Floats, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Means and variances [K, D] of frames [N, D] by shares [N, K], `_PRIOR_FRAMES` of `mean` [1, D] among them."""
    total = shares.sum(axis=0)[:, None] + _PRIOR_FRAMES
    means = (shares.T @ mine + _PRIOR_FRAMES * mean) / total
    return means, (shares.T @ mine**2 + _PRIOR_FRAMES * (variance + mean**2)) / total - means**2
