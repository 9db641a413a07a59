"""Detect speech in a recording of any length (VAD), to 10 ms, in one pass with little memory.

silero-VAD (Silero Team, MIT; its 16 kHz sequence model as the wheel carries it, run by onnxruntime)
says where speech is, to 32 ms; the levels of 10 ms frames then move each border outwards over what the
detector misses (fricatives, ejective bursts, dying vowels) and inwards over silence it takes along.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dimts.audio.level import CLIP_LEVEL, CLIP_RUN, CLIP_SPREAD, FLOOR_DBFS, HIGH_PASS_HERTZ
from dimts.audio.media import BLOCK_SECONDS, Medium, Samples
from dimts.base.errors import MissingExtra
from dimts.base.issue import Issue
from dimts.base.plugins import require

HOP_SECONDS = 0.010
RATE = 16_000
"""Sample rate of the detector in Hz."""
_FRAME = 512
"""Samples per decision of the detector."""
_CONTEXT = 64
"""Samples of the previous frame in the detector's input."""
_STATE = (1, 1, 128)
_MODEL = Path("data") / "silero_vad_16k_sequence.onnx"

SPEECH_ON = 0.5
"""Probability at which speech begins."""
SPEECH_OFF = 0.35
"""Probability below which speech ends."""
MIN_SPEECH_SECONDS = 0.08
"""Shortest speech: a shorter burst is a click or a chair."""
MIN_GAP_SECONDS = 0.10
"""Shortest silence: a shorter gap is a stop's closure."""
ABOVE_NOISE_DB = 8.0
"""Level above the noise from which sound beside speech is speech."""
BELOW_SPEECH_DB = 40.0
"""Level below the loud speech at which sound is silence, however quiet the room."""
MIN_CONTRAST_DB = 10.0
"""In loud noise the threshold stays this much below the loud speech."""
STEADY_SHARE = 0.9
"""Share of the frames of silence, the quietest, that estimate the noise."""
_REACH_BACK_SECONDS = 0.20
_REACH_ON_SECONDS = 0.30
_CLOSURE_SECONDS = 0.08
"""A burst this long after the detector's end is still the same word (final ejectives and stops)."""
_LOUD_DB = 18.0
"""Level below the loud speech within which sound right beside speech is speech (the detector misses shouts
and laughs)."""
_LOUD_REACH_SECONDS = 1.0
LOWEST_SNR_DB = -20.0
"""SNR reported where the silences are as loud as the speech or louder."""

Levels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SpeechActivity:
    """Result of one pass over a recording."""

    seconds: float
    rate: int
    """Sample rate of the original in Hz."""
    levels: Levels
    """Levels [F] in dBFS of frames of 10 ms, after the high-pass."""
    clipped: npt.NDArray[np.int32]
    """Clipped samples by frame, [F]."""
    dc_offset: float
    """Mean of the samples, as a share of full scale."""
    speech: tuple[tuple[float, float], ...]
    """Stretches of speech as (start, end) seconds, in order, apart."""
    threshold_dbfs: float
    """Threshold between noise and speech."""
    issues: tuple[Issue, ...] = ()
    """Irregularities of the file."""

    def within(self, start: float, end: float) -> slice:
        """Return the frames between two times."""
        return slice(max(0, round(start / HOP_SECONDS)), min(len(self.levels), round(end / HOP_SECONDS)))

    def spoken(self, start: float, end: float) -> list[tuple[float, float]]:
        """Return the speech between two times, cut to them."""
        first = bisect.bisect_right(self.speech, start, key=lambda span: span[1])
        last = bisect.bisect_left(self.speech, end, key=lambda span: span[0])
        return [(max(a, start), min(b, end)) for a, b in self.speech[first:last]]

    def spoken_seconds(self, start: float, end: float) -> float:
        """Return the seconds of speech between two times."""
        return sum(b - a for a, b in self.spoken(start, end))

    def clipped_share(self, start: float, end: float) -> float:
        """Return the share of clipped samples between two times."""
        frames = self.clipped[self.within(start, end)]
        return float(frames.sum()) / max(1.0, (end - start) * self.rate)

    def snr_db(self, start: float, end: float, reach: float = 10.0) -> float:
        """Compute (speech − noise) / noise of a stretch, its noise taken from the silences within `reach`
        seconds of it.

        Where nobody pauses, the quietest twentieth of the frames stands for the noise, which then counts
        rather too loud. nan where there is no speech, inf where the silence is digital.
        """
        wide, own = self.within(start - reach, end + reach), self.within(start, end)
        mask = self.mask(wide)
        around = self.levels[wide][~_widened(mask, frames=5)]
        around = around[around > FLOOR_DBFS + 1.0] if (around > FLOOR_DBFS + 1.0).any() else around
        loud = self.levels[own][mask[own.start - wide.start : own.stop - wide.start]]
        if not len(loud):
            return float("nan")
        if not len(around):
            around = np.percentile(self.levels[wide], [5.0]).astype(np.float32)
        # a breath or a chair in the pauses is not the room's noise
        steady = np.sort(10.0 ** (around / 10.0))[: max(1, round(STEADY_SHARE * len(around)))]
        noise, speech = float(np.mean(steady)), float(np.mean(10.0 ** (loud / 10.0)))
        if noise <= 10.0 ** ((FLOOR_DBFS + 1.0) / 10.0):
            return float("inf")
        return max(LOWEST_SNR_DB, 10.0 * float(np.log10(max(speech - noise, 1e-12) / noise)))

    def mask(self, frames: slice) -> npt.NDArray[np.bool_]:
        """Whether each of these frames is speech."""
        mask = np.zeros(frames.stop - frames.start, dtype=bool)
        for start, end in self.spoken(frames.start * HOP_SECONDS, frames.stop * HOP_SECONDS):
            one = self.within(start, end)
            mask[max(0, one.start - frames.start) : max(0, one.stop - frames.start)] = True
        return mask

    def quietest(self, start: float, end: float) -> float:
        """Return the time of the lowest level between two times (the middle of it, if it is a stretch)."""
        frames = self.within(start, end)
        levels = self.levels[frames]
        if not len(levels):
            return (start + end) / 2
        smooth = (
            np.convolve(levels, np.full(3, 1 / 3, np.float32), mode="same") if len(levels) >= 3 else levels
        )
        lowest = np.flatnonzero(smooth <= smooth.min() + 1e-3)
        return float((frames.start + int(lowest[len(lowest) // 2]) + 0.5) * HOP_SECONDS)


def detect_speech(path: Path | str, detector: Literal["silero", "level"] = "silero") -> SpeechActivity:
    """Detect speech in an audio or video file, read once. AudioError as from reading, MissingExtra without
    detector."""
    with Medium.open(path) as medium:
        activity = _detected(medium.blocks(), medium.rate, detector)
        return replace(activity, issues=medium.issues)


def detect_speech_in(
    samples: Samples, rate: int, detector: Literal["silero", "level"] = "silero"
) -> SpeechActivity:
    """Detect speech in samples [T] in memory."""
    size = round(BLOCK_SECONDS * rate)
    return _detected((samples[at : at + size] for at in range(0, len(samples), size)), rate, detector)


def _detected(blocks: Iterator[Samples], rate: int, detector: str) -> SpeechActivity:
    soxr = require("soxr", "audio")
    resampler = soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ") if rate != RATE else None
    analyst = _FrameAnalyser(detector)
    tops = _ClippingCounter(rate)
    total, sum_ = 0, 0.0
    for block in blocks:
        total += len(block)
        sum_ += float(block.sum(dtype=np.float64))
        tops.feed(block)
        analyst.feed(resampler.resample_chunk(block) if resampler else block)
    if resampler:
        analyst.feed(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    levels, voice = analyst.close()
    clipped = tops.close(len(levels))
    spans, threshold = speech_spans(levels, voice)
    seconds = total / rate
    return SpeechActivity(
        seconds=seconds,
        rate=rate,
        levels=levels,
        clipped=clipped,
        dc_offset=sum_ / max(1, total),
        speech=tuple((start, min(end, seconds)) for start, end in spans if start < seconds),
        threshold_dbfs=threshold,
    )


def speech_spans(levels: Levels, voice: Levels) -> tuple[list[tuple[float, float]], float]:
    """Convert levels and probabilities [F] to stretches of speech in seconds; also the threshold used
    (dBFS)."""
    rough = _hysteresis(voice)
    if not rough:
        return [], float("nan")
    spoken = np.zeros(len(levels), dtype=bool)
    for start, end in rough:
        spoken[start:end] = True
    apart = ~_widened(spoken, frames=round(_REACH_ON_SECONDS / HOP_SECONDS))
    if apart.sum() < 10:
        apart = ~spoken
    speech_level = float(np.percentile(levels[spoken], 90))
    noise_level = (
        float(np.percentile(levels[apart], 50)) if apart.sum() >= 5 else float(np.percentile(levels, 5))
    )
    threshold = max(
        min(noise_level + ABOVE_NOISE_DB, speech_level - MIN_CONTRAST_DB),
        speech_level - BELOW_SPEECH_DB,
    )
    loud = levels > threshold
    spans: list[tuple[int, int]] = []
    for start, end in rough:
        start, end = _refined(loud, start, end)
        start, end = _grown(levels, start, end, max(threshold, speech_level - _LOUD_DB))
        if spans and start - spans[-1][1] < MIN_GAP_SECONDS / HOP_SECONDS:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        elif end > start:
            spans.append((start, end))
    kept = [(start, end) for start, end in spans if end - start >= MIN_SPEECH_SECONDS / HOP_SECONDS]
    return [(start * HOP_SECONDS, end * HOP_SECONDS) for start, end in kept], threshold


def _hysteresis(voice: Levels) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for start, end in runs(voice >= SPEECH_OFF):
        if not (voice[start:end] >= SPEECH_ON).any():
            continue
        if spans and start - spans[-1][1] < MIN_GAP_SECONDS / HOP_SECONDS:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _refined(loud: npt.NDArray[np.bool_], start: int, end: int) -> tuple[int, int]:
    """Move both borders of frames [start, end) to where the level crosses the threshold."""
    back = max(0, start - round(_REACH_BACK_SECONDS / HOP_SECONDS))
    on = min(len(loud), end + round(_REACH_ON_SECONDS / HOP_SECONDS))
    gap = round(_CLOSURE_SECONDS / HOP_SECONDS)
    first, last = start, end
    for frame in range(start - 1, back - 1, -1):
        if loud[frame]:
            first = frame
        elif first - frame > 3:
            break
    for frame in range(end, on):
        if loud[frame]:
            last = frame + 1
        elif frame - last >= gap:
            break
    inner = np.flatnonzero(loud[first:last])
    if not len(inner):  # all of it below the threshold: the detector decides
        return start, end
    return first + int(inner[0]), first + int(inner[-1]) + 1


def _grown(levels: Levels, start: int, end: int, threshold: float) -> tuple[int, int]:
    """Extend frames [start, end) by equally loud ones right beside them."""
    reach, gap = round(_LOUD_REACH_SECONDS / HOP_SECONDS), round(MIN_GAP_SECONDS / HOP_SECONDS)
    first, last = start, end
    for frame in range(start - 1, max(-1, start - reach), -1):
        if levels[frame] > threshold:
            first = frame
        elif first - frame > gap:
            break
    for frame in range(end, min(len(levels), end + reach)):
        if levels[frame] > threshold:
            last = frame + 1
        elif frame - last >= gap:
            break
    return first, last


def runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return half-open borders of the stretches in which `mask` is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _widened(mask: npt.NDArray[np.bool_], frames: int) -> npt.NDArray[np.bool_]:
    wide = mask.copy()
    for start, end in runs(mask):
        wide[max(0, start - frames) : end + frames] = True
    return wide


class _FrameAnalyser:
    """Analyser of samples at 16 kHz, block by block: levels and probabilities of 10 ms frames."""

    def __init__(self, detector: str) -> None:
        from scipy import signal

        self._filter = signal.sosfilt
        self._sections, self._steady = _high_pass()
        self._memory: Any = None
        self._session = silero() if detector == "silero" else None
        self._hidden = np.zeros(_STATE, np.float32)
        self._cell = np.zeros(_STATE, np.float32)
        self._before = np.zeros(_CONTEXT, np.float32)
        self._left = np.zeros(0, np.float32)
        self._level_left = np.zeros(0, np.float32)
        self._levels: list[Levels] = []
        self._voice: list[Levels] = []

    def feed(self, block: Samples) -> None:
        if not len(block):
            return
        if self._memory is None:  # begin as if the offset had always been there, without a jump
            self._memory = self._steady * float(block[: RATE // 10].mean())
        clean, self._memory = self._filter(self._sections, block, zi=self._memory)
        clean = clean.astype(np.float32)
        self._level(np.concatenate([self._level_left, clean]), final=False)
        self._detect(np.concatenate([self._left, clean]), final=False)

    def close(self) -> tuple[Levels, Levels]:
        self._level(self._level_left, final=True)
        self._detect(self._left, final=True)
        levels = np.concatenate([*self._levels, np.zeros(0, np.float32)])
        if self._session is None:
            return levels, _voice_by_level(levels)
        voice = np.concatenate([*self._voice, np.zeros(0, np.float32)])
        if not len(voice):
            return levels, np.zeros(len(levels), np.float32)
        frame = np.arange(1, 2 * len(levels), 2)  # in place, as a recording may last for ten hours
        frame *= round(HOP_SECONDS * RATE)
        frame //= 2 * _FRAME
        return levels, voice[np.minimum(frame, len(voice) - 1, out=frame)]

    def _level(self, samples: Samples, *, final: bool) -> None:
        size = round(HOP_SECONDS * RATE)
        whole = len(samples) // size
        if final and len(samples) % size:
            samples, whole = np.pad(samples, (0, size - len(samples) % size)), whole + 1
        power = np.mean(np.square(samples[: whole * size].reshape(whole, size)), axis=1)
        floor = 10.0 ** (FLOOR_DBFS / 10.0)
        self._levels.append((10.0 * np.log10(np.maximum(power, floor))).astype(np.float32))
        self._level_left = samples[whole * size :]

    def _detect(self, samples: Samples, *, final: bool) -> None:
        if self._session is None:
            return
        whole = len(samples) // _FRAME
        if final and len(samples) % _FRAME:
            samples, whole = np.pad(samples, (0, _FRAME - len(samples) % _FRAME)), whole + 1
        self._left = samples[whole * _FRAME :]
        if not whole:
            return
        frames = samples[: whole * _FRAME].reshape(whole, _FRAME)
        contexts = np.concatenate([self._before[None], frames[:-1, -_CONTEXT:]])
        self._before = frames[-1, -_CONTEXT:].copy()
        voice, self._hidden, self._cell = self._session.run(
            ["speech_probs", "hn", "cn"],
            {"input": np.concatenate([contexts, frames], axis=1), "h": self._hidden, "c": self._cell},
        )
        self._voice.append(np.asarray(voice, np.float32).reshape(-1))


class _ClippingCounter:
    """Counter of clipped samples at the original rate, block by block, by 10 ms frame."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._at = 0
        self._counts: dict[int, int] = {}

    def feed(self, block: Samples) -> None:
        top = np.abs(block) >= CLIP_LEVEL
        if top.any():
            for start, end in runs(top):
                if end - start >= CLIP_RUN and np.ptp(np.abs(block[start:end])) <= CLIP_SPREAD:
                    frame = int((self._at + start) / self._rate / HOP_SECONDS)
                    self._counts[frame] = self._counts.get(frame, 0) + end - start
        self._at += len(block)

    def close(self, frames: int) -> npt.NDArray[np.int32]:
        counts = np.zeros(frames, np.int32)
        for frame, count in self._counts.items():
            counts[min(frame, frames - 1)] += count
        return counts


def _voice_by_level(levels: Levels) -> Levels:
    """Detect speech by level (Otsu's threshold over the levels)."""
    from dimts.audio.level import speech_threshold_dbfs

    threshold = speech_threshold_dbfs(levels.astype(np.float64))
    return (levels > threshold).astype(np.float32)  # nan: nothing is


@functools.cache
def _high_pass() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the filter's sections, and its state under a constant 1."""
    from scipy import signal

    sections = signal.butter(2, HIGH_PASS_HERTZ, "highpass", fs=RATE, output="sos")
    return sections, signal.sosfilt_zi(sections)


@functools.cache
def silero() -> Any:
    """Return the detector's session, one per process; MissingExtra when a wheel is absent."""
    runtime = require("onnxruntime", "data")
    # importing silero_vad would import torch: only its file is wanted
    spec = util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("silero-vad", "data")
    model = Path(next(iter(spec.submodule_search_locations))) / _MODEL
    if not model.is_file():
        raise MissingExtra("silero-vad", "data", f"its wheel holds no {_MODEL.name}; 6.2 or newer does")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
