"""Embed voices in 256 numbers, and compare two speakers by cosine similarity, −1 to 1.

The voice encoder of Resemblyzer (Resemble AI, Apache-2.0; GE2E loss, Wan et al. 2018): three LSTM layers over
40 mel bands, windows of 1.6 s. Its weights are in weights/, converted to ONNX; mel, level and windows are our
own, so that neither torch nor librosa nor webrtcvad is needed. Silences are shortened by level instead of by
webrtcvad.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimts.audio.level import high_pass, rms_dbfs, silences
from dimts.audio.spectrum import Mel, mel_power
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError
from dimts.base.plugins import require

Embedding = npt.NDArray[np.float32]

WEIGHTS = Path(__file__).parent / "weights" / "voice_encoder.onnx"
MEL = Mel(rate=16_000, transform=400, window=400, hop=160, bands=40, low_hz=0.0, high_hz=8000.0)
WIDTH = 256
_WINDOW = 160
"""Frames per window: 1.6 s."""
_STEP = 77
"""Frames between windows: 1.3 windows a second."""
_QUICK_WINDOWS = 2
_LEAST_COVERED = 0.75
"""Share of the last window that must be covered by sound, 0 to 1."""
_LEVEL_DBFS = -30.0
_LONGEST_SILENCE = 0.2
SAME_SPEAKER = 0.80
"""Similarity above which two sentences usually have one speaker (docs/evaluation.md)."""


def embed(wave: Wave, *, quick: bool = False) -> Embedding:
    """Embed a wave as [256] of length 1. `quick` uses two windows instead of 1.3 a second.

    AudioError for a wave in which nothing is spoken.
    """
    samples = _prepare(wave)
    if not len(samples):
        raise AudioError("audio.no_voice")
    mels = mel_power(samples, MEL)  # [F, 40] power, no logarithm
    starts = list(range(0, max(1, len(mels) - _WINDOW + _STEP + 1), _STEP))
    if quick and len(starts) > _QUICK_WINDOWS:
        starts = [round(at) for at in np.linspace(0, len(mels) - _WINDOW, _QUICK_WINDOWS)]
    elif len(starts) > 1 and (len(mels) - starts[-1]) / _WINDOW < _LEAST_COVERED:
        starts.pop()
    mels = np.pad(mels, ((0, max(0, starts[-1] + _WINDOW - len(mels))), (0, 0)))
    found = _encoded(np.stack([mels[start : start + _WINDOW] for start in starts]))
    return _unit(found.mean(axis=0))


def profile(waves: Sequence[Wave]) -> Embedding:
    """Return one embedding for several waves of one speaker. AudioError if there are none."""
    if not waves:
        raise AudioError("audio.no_speaker_waves")
    return _unit(np.mean([embed(wave) for wave in waves], axis=0))


def likeness(one: Embedding, other: Embedding) -> float:
    """Return the cosine of two embeddings: 1 is the same; speakers differ below about 0.75."""
    return float(np.clip(one @ other, -1.0, 1.0))


def _prepare(wave: Wave) -> npt.NDArray[np.float32]:
    """Resample to 16 kHz, set −30 dBFS (the authors only raise), and cut silences to 0.2 s."""
    wave = high_pass(wave.resample(MEL.rate))
    if not len(wave.samples) or not np.any(wave.samples):
        return np.zeros(0, np.float32)
    level = rms_dbfs(wave)
    if math.isfinite(level):
        wave = wave.gain(_LEVEL_DBFS - level)
    keep = np.ones(len(wave.samples), dtype=bool)
    for start, end in silences(wave, _LONGEST_SILENCE):
        half = _LONGEST_SILENCE / 2
        keep[round((start + half) * wave.rate) : round((end - half) * wave.rate)] = False
    kept: npt.NDArray[np.float32] = wave.samples[keep]
    return kept


def _unit(rows: Embedding) -> Embedding:
    unit: Embedding = (rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)).astype(
        np.float32
    )
    return unit


def _encoded(windows: npt.NDArray[np.float32]) -> Embedding:
    """Encode [B, F, bands] mel windows as [B, 256] of length 1: last state of the third layer, mapped and
    rectified."""
    (found,) = _encoder().run(["voice"], {"mels": windows})
    return _unit(found)


@cache
def _encoder() -> Any:
    runtime = require("onnxruntime", "data")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(str(WEIGHTS), options, providers=["CPUExecutionProvider"])
