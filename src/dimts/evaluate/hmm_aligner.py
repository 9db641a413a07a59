"""An HMM forced aligner: finds when each phone of a wave begins and ends, to a hundredth of a second.

    aligner = HMMAligner.fit(clips)             # waves and the labels of their words
    aligned = aligner.align(wave, words)

CTC gives the order of labels but no boundaries. Boundaries come from hidden Markov models of three states a
phone with Gaussian mixtures over cepstra, trained by Viterbi training from a flat start (Young et al., The
HTK Book, ch. 8). A phone and its long counterpart share their states, so that they differ in duration alone.
Training on ten minutes of a speaker takes half a minute.
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
"""Labels of each word, as phone_labels.word_labels gives them."""

FRAME_SECONDS = 0.010
_CEPSTRA = 20
_SLOPES = 4.0, 8.0
"""Scales of the first and second time derivatives, which scale them to the range of the cepstra."""
_STATES = 3
"""States of a phone; its shortest duration is thus 30 ms."""
_ITERATIONS = 8
"""Iterations of alignment and estimation; the first half with one Gaussian a state."""
_EM_STEPS = 3
"""Expectation-maximisation steps within an iteration."""
_PRIOR_FRAMES = 10.0
"""Pseudo-count of the prior (all speech, or the whole state) in the estimate of a Gaussian."""
_LEAST_VARIANCE = 0.1
"""Variance floor, as a share of the variance of all speech."""
_SMALLEST = 1e-4
"""Smallest variance that half precision represents."""
_INITIAL_SPREAD = 0.5
"""Initial spread of the Gaussians of a state, in standard deviations."""
_QUIETEST, _LOUD, _SPEECH_SHARE = 5, 90, 0.3
"""Flat start: percentiles of loudness, and the share of their distance above which frames are speech."""
_PLAIN = tuple(label for label in LABELS if not label.endswith(LONG))
"""Labels with states of their own: silence, then every label without length."""
_NUMBERS = {label: number for number, label in enumerate(_PLAIN)}
_UNITS = 1 + _STATES * (len(_PLAIN) - 1)
Times = tuple[float, float]
"""Start and end, in seconds."""
_KEYS = ("means", "variances", "log_weights")


def cepstra(wave: Wave) -> Floats:
    """Compute [F, 3 · 20] cepstra with first and second derivatives at 100 frames a second,
    mean-normalised."""
    from scipy import fft

    found = fft.dct(features(wave), axis=1, norm="ortho")[:, :_CEPSTRA]
    found = found - found.mean(axis=0)
    first = _slope(found)
    return np.concatenate((found, _SLOPES[0] * first, _SLOPES[1] * _slope(first)), axis=1)


class HMMAligner:
    """Hidden Markov models of the phones, and the model of durations of long consonants."""

    def __init__(
        self, means: Floats, variances: Floats, log_weights: Floats, gemination: GeminationScorer
    ) -> None:
        self.means, self.variances, self.log_weights = (
            means,
            variances,
            log_weights,
        )  # [U, K, D], [U, K, D], [U, K]
        self.gemination = gemination

    @classmethod
    def fit(
        cls,
        clips: Sequence[tuple[Wave, Words]],
        boundaries: Sequence[Sequence[Times]] | None = None,
        mixtures: int = 4,
    ) -> HMMAligner:
        """Train on waves and the labels of their words; clips too short for their labels are skipped.

        `boundaries` are start and end of every label of each clip, in seconds, where a synthesiser gives
        them. `mixtures` is the number of Gaussians a state; many voices need more. ConfigError if no clip is
        left, or too few long consonants.
        """
        clip_frames, chains, labels, paths = [], [], [], []
        for number, (wave, words) in enumerate(clips):
            chain, inputs = _chain(words), cepstra(wave)
            if 0 < np.count_nonzero(chain[:, 1] >= 0) <= len(inputs):
                clip_frames.append(inputs)
                chains.append(chain)
                labels.append(_flat(words))
                if boundaries is None:
                    paths.append(_flat_start(inputs, chain))
                else:
                    paths.append(_path_of_boundaries(boundaries[number], chain, len(inputs)))
        if not clip_frames:
            raise ConfigError("evaluate.no_speech_to_align")
        frames = np.concatenate(clip_frames)
        models = (np.zeros(0), np.zeros(0), np.zeros(0))
        for iteration in range(_ITERATIONS):
            states = np.concatenate([chain[path, 0] for chain, path in zip(chains, paths, strict=True)])
            if iteration < _ITERATIONS // 2:
                models = _single(frames, states)
            elif iteration == _ITERATIONS // 2:
                models = _mixed(frames, states, _split(*models[:2], mixtures))
            else:
                models = _mixed(frames, states, models)
            if boundaries is None or iteration == _ITERATIONS - 1:
                paths = [
                    _path(models, inputs, chain) for inputs, chain in zip(clip_frames, chains, strict=True)
                ]
        aligned = [
            _aligned(chain[path, 1], names) for chain, path, names in zip(chains, paths, labels, strict=True)
        ]
        return cls(*models, GeminationScorer.fit(aligned))

    def align(self, wave: Wave, words: Words) -> tuple[AlignedPhone, ...]:
        """Align the labels of `words`, silence between words optional. AudioError if the wave is too
        short."""
        chain = _chain(words)
        path = _path((self.means, self.variances, self.log_weights), cepstra(wave), chain)
        return _aligned(chain[path, 1], _flat(words))

    def tensors(self) -> dict[str, npt.NDArray[np.float16]]:
        """Return the parameters in half precision, as `from_tensors` takes them."""
        return {name: getattr(self, name).astype(np.float16) for name in _KEYS}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[np.float16]], gemination: GeminationScorer
    ) -> HMMAligner:
        """Build an aligner from `tensors`. CheckpointError for tensors of another shape."""
        means, variances, log_weights = (np.asarray(tensors[name], np.float64) for name in _KEYS)
        variances = np.maximum(variances, _SMALLEST)
        if means.shape[0] != _UNITS or means.shape != variances.shape or log_weights.shape != means.shape[:2]:
            raise CheckpointError("evaluate.aligner_old")
        return cls(means, variances, log_weights, gemination)


Models = tuple[Floats, Floats, Floats]
"""Means [U, K, D], variances [U, K, D], log weights [U, K]; U states, K Gaussians, D dimensions."""


def _slope(rows: Floats) -> Floats:
    """Compute the time derivative of [F, D] by regression over five frames."""
    padded = np.pad(rows, ((2, 2), (0, 0)), "edge")
    slope: Floats = 0.2 * (padded[4:] - padded[:-4]) + 0.1 * (padded[3:-1] - padded[1:-3])
    return slope


def _flat(words: Words) -> list[str]:
    return [label for word in words for label in word]


def _chain(words: Words) -> Whole:
    """Build the chain [S, 2]: index of the state, and position of its label, −1 for optional silence."""
    states, place = [(0, -1)], 0
    for word in words:
        for label in word:
            label_index(label)  # refuses an unknown label
            first = 1 + _STATES * (_NUMBERS[short(label)] - 1)
            states += [(first + number, place) for number in range(_STATES)]
            place += 1
        states.append((0, -1))
    return np.array(states)


def _aligned(positions: Whole, labels: Sequence[str]) -> tuple[AlignedPhone, ...]:
    """Convert the position of each frame [F] to times of the labels."""
    starts = np.searchsorted(np.maximum.accumulate(positions), np.arange(len(labels)))
    counts = np.bincount(positions[positions >= 0], minlength=len(labels))
    return tuple(
        AlignedPhone(label, float(start * FRAME_SECONDS), float((start + count) * FRAME_SECONDS), 1.0)
        for label, start, count in zip(labels, starts, counts, strict=True)
    )


def _flat_start(inputs: Floats, chain: Whole) -> Whole:
    """Initialise the path [F]: silence at quiet ends, all states of equal duration between."""
    low, high = np.percentile(inputs[:, 0], (_QUIETEST, _LOUD))
    loud = np.flatnonzero(inputs[:, 0] > low + _SPEECH_SHARE * (high - low))
    spoken = np.flatnonzero(chain[:, 1] >= 0)
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(inputs))
    path = np.zeros(len(inputs), np.int64)
    path[first:last] = spoken[np.linspace(0, len(spoken), last - first, endpoint=False).astype(int)]
    path[last:] = len(chain) - 1
    return path


def _path_of_boundaries(times: Sequence[Times], chain: Whole, count: int) -> Whole:
    """Build the path [F] from the times of the labels; the states of a label have equal durations."""
    path = np.zeros(count, np.int64)  # silence
    for place, (start, end) in enumerate(times):
        states = np.flatnonzero(chain[:, 1] == place)
        edges = np.round(np.linspace(start, end, len(states) + 1) / FRAME_SECONDS).astype(int)
        for state, (first, last) in zip(states, itertools.pairwise(edges), strict=True):
            path[first:last] = state
    return path


def _scores(models: Models, inputs: Floats) -> Floats:
    """Compute [F, U, K] log weight plus log density of every Gaussian, up to a constant."""
    means, variances, log_weights = models
    precision = (1.0 / variances).reshape(-1, means.shape[2])  # [U · K, D]
    scaled = (means / variances).reshape(precision.shape)
    constant = log_weights - 0.5 * (means**2 / variances + np.log(variances)).sum(axis=2)
    exponent: Floats = inputs @ scaled.T - 0.5 * inputs**2 @ precision.T
    scores: Floats = exponent.reshape(len(inputs), *constant.shape) + constant
    return scores


def _path(models: Models, inputs: Floats, chain: Whole) -> Whole:
    """Find the Viterbi path [F] through the chain. AudioError if there are more states than frames."""
    scores = np.logaddexp.reduce(_scores(models, inputs), axis=2)
    silent = chain[:, 1] < 0
    skip = np.concatenate(([False, False], silent[1:-1]))  # over a silence
    return viterbi_path(scores[:, chain[:, 0]], skip)


def _single(frames: Floats, states: Whole) -> Models:
    """Estimate one Gaussian for each state from the frames aligned to it."""
    mean, variance = frames.mean(axis=0, keepdims=True), frames.var(axis=0, keepdims=True)
    groups = _by_unit(frames, states)
    found = [_estimated(group, np.ones((len(group), 1)), mean, variance) for group in groups]
    means, variances = (np.stack(some) for some in zip(*found, strict=True))
    return means, np.maximum(variances, _LEAST_VARIANCE * variance), np.zeros(means.shape[:2])


def _split(means: Floats, variances: Floats, mixtures: int) -> Models:
    """Split each Gaussian into `mixtures`, with small random offsets."""
    draw = np.random.default_rng(0).standard_normal((len(means), mixtures, means.shape[2])) * _INITIAL_SPREAD
    draw[:, 0] = 0.0
    return (
        means + draw * np.sqrt(variances),
        np.repeat(variances, mixtures, axis=1),
        np.full((len(means), mixtures), -np.log(mixtures)),
    )


def _mixed(frames: Floats, states: Whole, models: Models) -> Models:
    """Run EM on each state's mixture, with the state's single Gaussian as prior."""
    least = _LEAST_VARIANCE * frames.var(axis=0)
    means, variances, log_weights = (some.copy() for some in models)
    wholes = _single(frames, states)
    for unit, group in enumerate(_by_unit(frames, states)):
        here = slice(unit, unit + 1)
        for _ in range(_EM_STEPS):
            scores = _scores((means[here], variances[here], log_weights[here]), group)[:, 0]  # [N, K]
            shares = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
            means[unit], found = _estimated(group, shares, wholes[0][unit], wholes[1][unit])
            variances[unit] = np.maximum(found, least)
            counts = shares.sum(axis=0) + 1.0
            log_weights[unit] = np.log(counts / counts.sum())
    return means, variances, log_weights


def _by_unit(frames: Floats, states: Whole) -> list[Floats]:
    """Group frames by state."""
    order = np.argsort(states, kind="stable")
    edges = np.searchsorted(states[order], np.arange(_UNITS + 1))
    return [frames[order[first:last]] for first, last in itertools.pairwise(edges)]


def _estimated(group: Floats, shares: Floats, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Estimate means and variances [K, D] from frames [N, D] with shares [N, K] and the prior."""
    total = shares.sum(axis=0)[:, None] + _PRIOR_FRAMES
    means = (shares.T @ group + _PRIOR_FRAMES * mean) / total
    return means, (shares.T @ group**2 + _PRIOR_FRAMES * (variance + mean**2)) / total - means**2
