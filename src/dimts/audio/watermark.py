"""Mark speech as synthetic by a watermark, and find the mark: Resemble AI's network Perth.

    marker = WatermarkEncoder()
    for wave in stream: send(marker.push(wave))
    send(marker.finish())
    confidence(wave)            1.0 for a marked wave, 0.0 for another

The network adds a residual to the magnitudes of the bands below 2 kHz, where louder speech masks it, and says
by one number whether a wave has it; nothing else is hidden in it. Its weights come with the package
resemble-perth 1.0.1 (MIT), whose own code is not imported: it needs librosa, torchaudio and pkg_resources
without naming them, and marks a wave only as a whole. Here the layers keep their state, so that a stream is
marked as the whole would be. Spectra are taken at 24 kHz with the same band width, hop and window in seconds
as Perth's at 32 kHz, so that speech is not resampled and stays as it was above 2 kHz.
"""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np

from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, MissingExtra
from dimts.base.plugins import has, require

RATE = 24_000
"""Samples per second at which waves are marked and examined."""
_LIBRARY, _EXTRA = "perth", "watermark"
_WEIGHTS = "perth_net/pretrained/implicit/perth_net_250000.pth.tar"
_HOP, _WINDOW = RATE // 100, RATE * 64 // 1000
_BANDS = 128
_GAIN = 32_000 / RATE
"""A window of as many seconds has this many times the samples at Perth's rate, and so the magnitude."""
_FLOOR, _LOWEST_DB, _RANGE_DB = 1e-9, -180.0, 195.0
_AUDIBLE = 0.05
"""Frames whose summed levels are below this share of the loudest frame's are left as they are."""


def has_watermark() -> bool:
    """Whether waves can be marked here: the network's weights and PyTorch are installed."""
    return _weights_file() is not None and has("torch")


class WatermarkEncoder:
    """Marks one wave piece by piece; what comes out is as long as what went in, 0.22 s later.

    Raises MissingExtra without the weights, CheckpointError for others.
    """

    def __init__(self) -> None:
        weights = require_watermark()
        from dimts.audio.watermark_network import ResidualStream

        self._residual = ResidualStream(weights)
        self._unread = np.zeros(_WINDOW // 2, np.float32)  # silence before the first sample
        self._waiting = np.zeros((0, _BANDS), np.complex64)
        self._loud = np.zeros(0, np.float32)
        self._loudest = 0.0
        self._samples = self._frames = self._given = 0
        self._plain = np.zeros(0, np.float32)
        self._added = np.zeros((2, 0))

    def push(self, wave: Wave) -> Wave:
        """Return the marked samples that are final, at 24 kHz; may be none."""
        samples = wave.resample(RATE).samples
        self._samples += len(samples)
        self._plain = np.concatenate((self._plain, samples))
        self._unread = np.concatenate((self._unread, samples))
        self._take(max((len(self._unread) - _WINDOW) // _HOP + 1, 0), last=False)
        return self._out(self._frames * _HOP - _WINDOW // 2)

    def finish(self) -> Wave:
        """Return the rest."""
        frames = self._samples // _HOP + 1 - self._frames - len(self._waiting)
        self._unread = np.concatenate((self._unread, np.zeros(_WINDOW, np.float32)))
        self._take(frames, last=True)
        return self._out(self._samples)

    def _take(self, frames: int, *, last: bool) -> None:
        """Read that many more frames of the waveform, and add the residual of those that are final."""
        spectrum = _spectrum(self._unread, frames)
        self._unread = self._unread[frames * _HOP :]
        levels = _levels(spectrum)
        self._waiting = np.concatenate((self._waiting, spectrum[:, :_BANDS]))
        loud = levels.sum(axis=1)
        self._loud = np.concatenate((self._loud, loud))
        self._loudest = max(self._loudest, float(loud.max(initial=0.0)))
        residual = self._residual.push(levels[:, :_BANDS], last=last)
        done = len(residual)
        residual = residual * (self._loud[:done, None] > _AUDIBLE * self._loudest)
        change = self._waiting[:done] * (10.0 ** (residual * (_RANGE_DB / 20.0)) - 1.0)
        self._waiting, self._loud = self._waiting[done:], self._loud[done:]
        self._add(change)

    def _add(self, change: np.ndarray) -> None:
        """Overlap and add the change of frames [F, 128] and the window's own weight."""
        if not len(change):
            return
        window = _hann()
        begin = self._frames * _HOP - _WINDOW // 2 - self._given
        need = begin + (len(change) - 1) * _HOP + _WINDOW
        more = max(need - self._added.shape[1], 0)
        self._added = np.concatenate((self._added, np.zeros((2, more))), axis=1)
        spectrum = np.zeros((len(change), _WINDOW // 2 + 1), np.complex64)
        spectrum[:, :_BANDS] = change
        pieces = np.fft.irfft(spectrum, n=_WINDOW, axis=1) * window
        for number, piece in enumerate(pieces):
            start = begin + number * _HOP
            skip = max(-start, 0)  # before the first sample
            self._added[0, start + skip : start + _WINDOW] += piece[skip:]
            self._added[1, start + skip : start + _WINDOW] += window[skip:] ** 2
        self._frames += len(change)

    def _out(self, end: int) -> Wave:
        """Return the samples up to number `end` of the whole."""
        count = max(end - self._given, 0)
        added, weight = self._added[:, :count]
        wave = Wave(self._plain[:count] + added / np.maximum(weight, 1e-6), RATE)
        self._plain, self._added, self._given = (
            self._plain[count:],
            self._added[:, count:],
            self._given + count,
        )
        return wave


def mark(wave: Wave) -> Wave:
    """Return a wave with the mark, as long as it was, at its own rate. Raises as WatermarkEncoder."""
    encoder = WatermarkEncoder()
    first, rest = encoder.push(wave), encoder.finish()
    marked = Wave(np.concatenate((first.samples, rest.samples)), RATE).resample(wave.rate).samples
    return Wave(np.pad(marked, (0, max(len(wave.samples) - len(marked), 0)))[: len(wave.samples)], wave.rate)


def confidence(wave: Wave) -> float:
    """Return the network's confidence that a wave has the mark, 0 to 1.

    Raises AudioError for a silent wave, MissingExtra without the weights, CheckpointError for others.
    """
    weights = require_watermark()
    from dimts.audio.watermark_network import decode

    samples = wave.resample(RATE).samples
    if not np.any(samples):
        raise AudioError("audio.watermark_silent")
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    levels = _levels(_spectrum(padded, len(samples) // _HOP + 1))
    loud = levels.sum(axis=1)
    return decode(weights, levels[:, :_BANDS], loud > _AUDIBLE * loud.max())


def require_watermark() -> Path:
    """Return the file of the network's weights. Raises MissingExtra without it, or without PyTorch."""
    path = _weights_file()
    if path is None:
        raise MissingExtra(_LIBRARY, _EXTRA)
    require("torch", _EXTRA)
    return path


def _weights_file() -> Path | None:
    """Find the weights in the installed package without importing it."""
    try:
        found = util.find_spec(_LIBRARY)
    except (ImportError, ValueError):
        return None
    folders = (found.submodule_search_locations if found else None) or ()
    return next((path for folder in folders if (path := Path(folder) / _WEIGHTS).is_file()), None)


def _hann() -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(_WINDOW) / _WINDOW)


def _spectrum(samples: np.ndarray, frames: int) -> np.ndarray:
    """Return the spectra [F, 769] of the first frames of samples, complex."""
    if frames <= 0:
        return np.zeros((0, _WINDOW // 2 + 1), np.complex64)
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[: frames * _HOP : _HOP]
    return np.fft.rfft(windows * _hann(), axis=1).astype(np.complex64)


def _levels(spectrum: np.ndarray) -> np.ndarray:
    """Return levels [F, 769] on Perth's scale: 0 for -180 dB, 1 for +15 dB."""
    levels = 20.0 * np.log10(np.maximum(np.abs(spectrum) * _GAIN, _FLOOR))
    scaled: np.ndarray = ((levels - _LOWEST_DB) / _RANGE_DB).astype(np.float32)
    return scaled
