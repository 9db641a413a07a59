"""Mel-cepstral distortion and pitch correlation of two waves; pitch, tempo and pauses of one.
Mel-cepstral distortion after dynamic time warping, as here defined: mel-cepstra c1–c13 (c0, the loudness,
left out) of the levels in dB of 80 Slaney bands at 24 kHz, 50 ms Hann windows, 12.5 ms hop; frames over 40 dB
under the loudest are silence and left out at both ends; frames warped by the steps (1,1), (1,0), (0,1). The
cepstra are scaled so that ‖c − c′‖ is the root mean square difference of the smoothed levels over the bands,
which is what Kubichek's 10 / ln 10 · √(2 Σ Δc²) of 1993 measures on SPTK's cepstra; MCD is its mean over the
warping path, in dB, so identical waves have 0. Values compare only with values of the same definition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dimts.audio.alignment import dtw
from dimts.audio.level import high_pass, silences
from dimts.audio.spectrum import Mel, frames, mel_power
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError

MEL = Mel(rate=24_000, transform=1200, window=1200, hop=300, bands=80, low_hz=0.0, high_hz=12_000.0)
CEPSTRA = 13
_QUIET_DB = 40.0
_FLOOR = 1e-10

PITCH_RATE = 16_000
PITCH_HOP_SECONDS = 0.010
LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
_PITCH_WINDOW_SECONDS = 0.040
_YIN_THRESHOLD = 0.15
"""Threshold of de Cheveigné and Kawahara 2002, who recommend 0.1 to 0.15."""
_VOICED_BELOW = 0.3
"""Value of the deepest dip above which a frame is unvoiced."""
_INAUDIBLE = 1e-5
"""Amplitude of −100 dBFS, below which a frame is silent."""
PAUSE_SECONDS = 0.15
"""Least duration of a pause in seconds; shorter silences are closures."""

Array = npt.NDArray[np.float64]


def cepstra(wave: Wave) -> Array:
    """Compute [F, 13] mel-cepstra in dB at 80 frames a second, without silence at the ends."""
    from scipy import fft

    power = mel_power(high_pass(wave.resample(MEL.rate)).samples, MEL).astype(np.float64)
    level = 10.0 * np.log10(np.maximum(power, max(float(power.max()) * _FLOOR, 1e-20)))  # [F, 80] dB
    loud = level.max(axis=1)
    audible = np.flatnonzero(loud > loud.max() - _QUIET_DB)
    level = level[audible[0] : audible[-1] + 1]
    cosines: Array = fft.dct(level, type=2, norm="ortho", axis=1)[:, 1 : CEPSTRA + 1]
    return cosines / math.sqrt(MEL.bands)


def mcd_db(wave: Wave, reference: Wave) -> float:
    """Compute mel-cepstral distortion after warping in dB (see the module); 0 for the same wave, about 4–8
    for other voices.

    AudioError for a silent wave.
    """
    for one in (wave, reference):
        if not len(one.samples) or not np.any(one.samples):
            raise AudioError("evaluate.silent_wave")
    return dtw(cepstra(wave), cepstra(reference)).mean


def pitch(wave: Wave) -> Array:
    """Estimate [F] F0 in Hz at 100 frames a second, nan where unvoiced, with YIN (de Cheveigné, Kawahara
    2002).

    The difference function is computed by FFT and normalised by its cumulative mean; the lag is its first dip
    under 0.15, or else the deepest, refined by a parabola; steps over an octave against the median of the
    neighbours are unvoiced.
    """
    from scipy import fft, signal

    samples = high_pass(wave.resample(PITCH_RATE)).samples.astype(np.float64)
    window, hop = round(_PITCH_WINDOW_SECONDS * PITCH_RATE), round(PITCH_HOP_SECONDS * PITCH_RATE)
    longest, shortest = round(PITCH_RATE / LOWEST_HZ), round(PITCH_RATE / HIGHEST_HZ)
    if len(samples) < window + longest:
        return np.full(len(samples) // hop + 1, math.nan)
    block = frames(samples.astype(np.float32), window + longest, hop).astype(np.float64)  # [F, W + L]
    size = fft.next_fast_len(2 * window + longest)
    first = fft.rfft(block[:, :window], size, axis=1)
    whole = fft.rfft(block, size, axis=1)
    products = fft.irfft(whole * np.conj(first), size, axis=1)[:, : longest + 1]  # Σ x[t] x[t + lag]
    energy = np.concatenate((np.zeros((len(block), 1)), np.cumsum(np.square(block), axis=1)), axis=1)
    lags = np.arange(longest + 1)
    power = energy[:, lags + window] - energy[:, lags]
    difference = np.maximum(power[:, :1] + power - 2.0 * products, 0.0)
    summed = np.cumsum(difference[:, 1:], axis=1)
    normal = np.ones_like(difference)
    normal[:, 1:] = difference[:, 1:] * lags[1:] / np.maximum(summed, 1e-12)
    found = np.array([_dip(row, shortest, longest) for row in normal])
    loud = np.sqrt(power[:, 0] / window)
    found[loud < max(loud.max() * 10 ** (-_QUIET_DB / 20), _INAUDIBLE)] = math.nan
    level = signal.medfilt(
        np.nan_to_num(found, nan=float(np.nanmedian(found)) if np.isfinite(found).any() else 0), 5
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        found[np.abs(np.log2(found / level)) > 0.8] = math.nan
    return found


def _dip(row: Array, shortest: int, longest: int) -> float:
    part = row[shortest : longest + 1]
    low = np.flatnonzero(part < _YIN_THRESHOLD)
    if len(low):
        at = int(low[0])
        while at + 1 < len(part) and part[at + 1] < part[at]:
            at += 1
    else:
        at = int(part.argmin())
        if part[at] > _VOICED_BELOW:
            return math.nan
    lag = at + shortest
    if 0 < lag < len(row) - 1:
        before, here, after = row[lag - 1 : lag + 2]
        bend = before - 2 * here + after
        if bend > 0:
            return float(PITCH_RATE / (lag + 0.5 * (before - after) / bend))
    return PITCH_RATE / lag


def pitch_correlation(wave: Wave, reference: Wave) -> float:
    """Correlate log F0 (Pearson) over frames voiced in both waves after DTW; nan under 10 frames."""
    path = dtw(cepstra(wave), cepstra(reference)).pairs
    one, other = _contour(wave)[path[:, 0]], _contour(reference)[path[:, 1]]
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 10 or one[both].std() < 1e-9 or other[both].std() < 1e-9:
        return math.nan
    return float(np.corrcoef(one[both], other[both])[0, 1])


def _contour(wave: Wave) -> Array:
    """Compute log F0 at the frames of `cepstra`."""
    curve = np.log(pitch(wave))
    power = mel_power(high_pass(wave.resample(MEL.rate)).samples, MEL)
    loud = 10.0 * np.log10(np.maximum(power, max(float(power.max()) * _FLOOR, 1e-20))).max(axis=1)
    audible = np.flatnonzero(loud > loud.max() - _QUIET_DB)
    times = np.arange(audible[0], audible[-1] + 1) * MEL.hop / MEL.rate
    contour: Array = curve[np.minimum(np.round(times / PITCH_HOP_SECONDS).astype(int), len(curve) - 1)]
    return contour


@dataclass(frozen=True, slots=True)
class Prosody:
    """Tempo, pauses and pitch of a wave."""

    seconds: float
    """Duration of the wave."""
    phones_per_second: float
    """Articulation rate, pauses left out; nan without speech."""
    pauses: tuple[tuple[float, float], ...]
    """Start and end of silences within the sentence, in seconds."""
    lead_seconds: float
    """Seconds of silence at the start."""
    trail_seconds: float
    """Seconds of silence at the end."""
    pitch_hz: float
    """Median F0 in Hz; nan if nothing is voiced."""
    pitch_semitones: float
    """Range of F0 between the 10th and the 90th percentile, in semitones."""


def prosody(wave: Wave, phones: Sequence[str]) -> Prosody:
    """Measure tempo, pauses and pitch of a wave that holds `phones`."""
    clean = high_pass(wave)
    quiet = silences(clean, PAUSE_SECONDS) if len(wave.samples) else []
    edge = 0.03
    inner = tuple((a, b) for a, b in quiet if a > edge and b < wave.seconds - edge)
    lead = next((b - a for a, b in quiet if a <= edge), 0.0)
    trail = next((b - a for a, b in quiet if b >= wave.seconds - edge), 0.0)
    spoken = wave.seconds - sum(b - a for a, b in quiet)
    voiced = pitch(wave)
    voiced = voiced[np.isfinite(voiced)]
    low, middle, high = np.percentile(voiced, (10, 50, 90)) if len(voiced) else (math.nan,) * 3
    return Prosody(
        seconds=wave.seconds,
        phones_per_second=len(phones) / spoken if spoken > edge else math.nan,
        pauses=inner,
        lead_seconds=lead,
        trail_seconds=trail,
        pitch_hz=float(middle),
        pitch_semitones=float(12 * np.log2(high / low)) if len(voiced) else math.nan,
    )
