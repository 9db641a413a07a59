"""Any medium → blocks of mono samples: sound files by libsndfile, every other container by PyAV.

    with Medium.open("talk.mp4") as medium:      # no ffmpeg program is needed
        for block in medium.blocks():            # [T] float32, about ten seconds each

A file of any length is read in one pass in constant memory. Whatever cannot be trusted is an
AudioError with a remedy: missing, empty, corrupt, cut short, without sound, or with samples that are
not numbers. What a header promises is never allocated in advance.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dimts.base.errors import AudioError
from dimts.base.plugins import require

Samples = npt.NDArray[np.float32]

BLOCK_SECONDS = 10.0
MAX_RATE = 768_000
"""Hz; no recorder goes beyond it, so more means a corrupt header."""
SHORTFALL_SECONDS = 0.25
"""A file may end this much before the length in its header (encoders round); more means it was cut short."""
CONTAINER_SHORTFALL_SECONDS = 2.0
"""The same for a film, whose last packet may last, and whose tracks may differ, by a moment."""
_STREAMED_SIZES = (0, 0xFFFFFFFF, 0xFFFFFFFF - 8, 0x7FFFFFFF, 0x80000000, 0x7FFFF000)
"""Sizes that programs write into a RIFF header when they cannot know the length (pipes)."""
_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
"""The longest page there can be."""
_RAW_SUFFIXES = (".raw", ".pcm")


class _Decoder(Protocol):
    rate: int
    channels: int
    frames: int | None
    codec: str

    def read(self) -> Iterator[Samples]:
        """Blocks of [T] mono samples."""

    def close(self) -> None:
        """Give the file back."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a medium says about itself."""

    rate: int
    """Samples a second of the original."""
    channels: int
    seconds: float | None
    """None where the container does not know (streams)."""
    codec: str


class Medium:
    """One file that is being read; use it in a `with` block."""

    def __init__(self, path: Path, decoder: _Decoder) -> None:
        self.path = path
        self._decoder = decoder

    @classmethod
    def open(cls, path: Path | str) -> Medium:
        """Open a sound or video file; AudioError if there is no sound to be had from it."""
        path = Path(path)
        _check_file(path)
        decoder, refusal = _by_soundfile(path)
        if decoder is None:
            decoder = _by_av(path, refusal)
        if not 0 < decoder.rate <= MAX_RATE or decoder.channels < 1:
            rate, channels = decoder.rate, decoder.channels
            decoder.close()
            raise AudioError("audio.impossible_format", path=path, channels=channels, rate=rate)
        return cls(path, decoder)

    @property
    def facts(self) -> Facts:
        """Rate, channels, length and codec as the header gives them."""
        inner = self._decoder
        seconds = inner.frames / inner.rate if inner.frames is not None else None
        return Facts(inner.rate, inner.channels, seconds, inner.codec)

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self._decoder.rate

    def blocks(self, seconds: float = BLOCK_SECONDS) -> Iterator[Samples]:
        """The sound as mono blocks [T] float32 of `seconds` (the last is shorter).

        Channels are averaged. Raises AudioError at the place where the file turns out to be empty,
        broken, cut short, or to hold NaN or infinite samples.
        """
        size = max(1, round(seconds * self.rate))
        done, kept, held = 0, [], 0
        for piece in self._decoder.read():
            if not np.isfinite(piece).all():
                where = (done + held) / self.rate
                raise AudioError("audio.not_finite", path=self.path, where=where)
            kept.append(piece)
            held += len(piece)
            while held >= size:
                whole = np.concatenate(kept)
                yield whole[:size]
                done += size
                kept, held = [whole[size:]], held - size
        if held:
            yield np.concatenate(kept)
        done += held
        if done == 0:
            raise AudioError("audio.no_samples", path=self.path)
        promised = self._decoder.frames
        if promised is not None and promised - done > SHORTFALL_SECONDS * self.rate:
            raise AudioError("audio.cut_short", path=self.path, seconds=done / self.rate, promised=promised / self.rate)

    def close(self) -> None:
        """Give the file back."""
        self._decoder.close()

    def __enter__(self) -> Medium:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def probe(path: Path | str) -> Facts:
    """Rate, channels, length and codec of a medium, without decoding it. Raises AudioError."""
    with Medium.open(path) as medium:
        return medium.facts


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise AudioError("audio.source_is_folder", path=path)
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except FileNotFoundError as error:
        raise AudioError("audio.no_such_file", path=path) from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise AudioError("audio.unreadable_file", path=path, reason=reason) from error
    if size == 0:
        raise AudioError("audio.empty_file", path=path)


class _SoundFile:
    """wav, flac, mp3, ogg, opus, aiff … through libsndfile."""

    PIECE_FRAMES = 1 << 16

    def __init__(self, path: Path, library: Any) -> None:
        self._path, self._library = path, library
        self._file = library.SoundFile(str(path))
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.codec: str = f"{self._file.format.lower()}/{self._file.subtype.lower()}"
        frames: int = self._file.frames
        self.frames = _riff_frames(path, frames) if 0 <= frames < 2**62 else None
        self._cut_short = _ogg_is_cut(path)

    def read(self) -> Iterator[Samples]:
        while True:
            try:
                piece = self._file.read(self.PIECE_FRAMES, dtype="float32", always_2d=True)  # [T, C]
            except self._library.LibsndfileError as error:
                raise AudioError("audio.corrupt", path=self._path, reason=error.error_string) from error
            if not len(piece):
                if self._cut_short:
                    raise AudioError("audio.ogg_cut_short", path=self._path)
                return
            yield _average(piece.T)

    def close(self) -> None:
        self._file.close()


class _Av:
    """m4a, mp4, mkv, webm and every other container of FFmpeg's libraries, through PyAV."""

    def __init__(self, path: Path, library: Any) -> None:
        self._path, self._library = path, library
        self._container = library.open(str(path), metadata_errors="ignore")
        if not self._container.streams.audio:
            self._container.close()
            raise AudioError("audio.no_sound_track", path=path)
        stream = self._container.streams.audio[0]
        if stream.codec_context is None:
            self._container.close()
            raise AudioError("audio.unknown_codec", path=path)
        stream.thread_type = "AUTO"
        self._stream = stream
        self.rate: int = stream.rate or 0
        self.channels: int = stream.channels or 0
        self.codec: str = f"{self._container.format.name.split(',')[0]}/{stream.codec_context.name}"
        seconds = float(stream.duration * stream.time_base) if stream.duration else None
        self.frames = round(seconds * self.rate) if seconds else None

    def read(self) -> Iterator[Samples]:
        resampler = self._library.AudioResampler(format="fltp", layout=self._stream.layout, rate=self.rate)
        last = 0.0
        try:
            for packet in self._container.demux():  # pictures are passed over undecoded; they tell how far it got
                if packet.pts is not None:
                    last = max(last, float(packet.pts * packet.time_base))
                if packet.stream.index != self._stream.index:
                    continue
                for frame in packet.decode():
                    for piece in resampler.resample(frame):
                        yield _average(piece.to_ndarray())
            for piece in resampler.resample(None):
                yield _average(piece.to_ndarray())
        except self._library.error.FFmpegError as error:
            raise AudioError("audio.corrupt", path=self._path, reason=error.strerror) from error
        promised = (self._container.duration or 0) / self._library.time_base
        if promised - last > CONTAINER_SHORTFALL_SECONDS:
            raise AudioError("audio.cut_short", path=self._path, seconds=last, promised=promised)

    def close(self) -> None:
        self._container.close()


def _average(channels: npt.NDArray[np.float32]) -> Samples:
    """[C, T] → [T]."""
    mono: Samples = channels[0].copy() if len(channels) == 1 else channels.mean(axis=0, dtype=np.float32)
    return mono


def _by_soundfile(path: Path) -> tuple[_Decoder | None, str]:
    if path.suffix.lower() in _RAW_SUFFIXES:  # libsndfile would ask for a rate that nobody knows
        return None, "raw samples without a header"
    library = require("soundfile", "audio")
    try:
        return _SoundFile(path, library), ""
    except library.LibsndfileError as error:
        return None, str(error.error_string)


def _by_av(path: Path, refusal: str) -> _Decoder:
    library = require("av", "audio")
    try:
        return _Av(path, library)
    except library.error.FFmpegError as error:
        reason = "; ".join(filter(None, (refusal, error.strerror)))
        raise AudioError("audio.not_media", path=path, reason=reason) from error


def _riff_frames(path: Path, frames: int) -> int:
    """Frames that a RIFF header promises; libsndfile clamps the number to what is there.

    Layout: RIFF/WAVE file format, Microsoft and IBM, 1991; with sizes of 64 bits, EBU Tech 3306 (RF64).
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:12] != b"WAVE":
            return frames
        width, long_size = 0, 0
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"fmt " and size >= 14:
                width = struct.unpack("<12xH", file.read(14))[0]
                file.seek(size - 14 + size % 2, os.SEEK_CUR)
            elif name == b"ds64" and size >= 16:
                long_size = struct.unpack("<8xQ", file.read(16))[0]
                file.seek(size - 16 + size % 2, os.SEEK_CUR)
            elif name == b"data":
                size = long_size or size
                if size in _STREAMED_SIZES or width == 0:
                    return frames
                here = file.tell()
                missing = here + size - path.stat().st_size
                return frames + missing // width if missing > 0 else frames
            else:
                file.seek(size + size % 2, os.SEEK_CUR)
    return frames


def _ogg_is_cut(path: Path) -> bool:
    """Whether an Ogg file ends inside a page (RFC 3533, section 6); False for any other file."""
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return False
        size = path.stat().st_size
        tail_from = max(0, size - _OGG_PAGE_BYTES)
        file.seek(tail_from)
        tail = file.read()
    last = tail.rfind(b"OggS")
    table = tail[last + 27 : last + 27 + tail[last + 26]] if last >= 0 and last + 26 < len(tail) else b""
    return last < 0 or not table or last + 27 + len(table) + sum(table) > len(tail)
