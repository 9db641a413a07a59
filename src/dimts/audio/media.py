"""Read any audio or video file as blocks of mono samples: by libsndfile, other containers by PyAV.

    with Medium.open("talk.mp4") as medium:      # no ffmpeg program is needed
        for block in medium.blocks():            # [T] float32, about ten seconds each

A file of any length is read in one pass in constant memory. Sound is placed by its presentation times: a
late start and a hole are silence. Where libsndfile fails, finds nothing, or differs from the packets by more
than 1 %, PyAV decides. Whatever cannot be trusted is an AudioError with a remedy: missing, empty, corrupt,
cut short, without sound, or with samples that are not numbers. Memory is never allocated by what a header
claims.
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
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import require

Samples = npt.NDArray[np.float32]

BLOCK_SECONDS = 10.0
_MAX_PEAK = 10_000.0
"""Largest credible sample: floats 80 dB over full scale are damage."""
MIN_RATE, MAX_RATE = 2_000, 768_000
"""Credible sample rates in Hz; other values mean a corrupt header."""
SHORTFALL_SECONDS = 0.25
"""A file may end this much before the length in its header (encoders round); more means it was cut short."""
CONTAINER_SHORTFALL_SECONDS = 2.0
"""Tolerance for a video, whose tracks and last packet may differ by a moment."""
_LENGTH_TOLERANCE = 0.01
"""Share by which the length in an MPEG header may differ from its packets."""
_HOLE_SECONDS = 0.1
"""Distance of packets above which the gap is filled with silence."""
_MAX_JOINS = 20
"""Packets without sound that are tolerated in a file of unknown length."""
_MAX_HOLE_SECONDS = 4 * 3600.0
_FREE_START = ("mpegts", "mpeg", "flv", "rm", "asf")
"""Containers whose times begin anywhere; in others they begin at 0."""
_LANGUAGES = ("am", "amh")
"""Language of the preferred track where there are several."""
_CANCELS = 0.03
"""Share of the channels' power left in their mean below which they cancel each other (-15 dB)."""
_STREAMED_SIZES = (0, 0xFFFFFFFF, 0xFFFFFFFF - 8, 0x7FFFFFFF, 0x80000000, 0x7FFFF000)
"""Sizes in a RIFF header of programs that cannot know the length (pipes)."""
_HEADER_BYTES = 200
"""Most bytes of an audio file without sound."""
_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
"""Size of the longest possible page."""
_RAW_SUFFIXES = (".raw", ".pcm")


class _Decoder(Protocol):
    rate: int
    channels: int
    frames: int | None
    codec: str
    length_known: bool
    layout: tuple[str, ...]

    def read(self) -> Iterator[Samples]:
        """Blocks of [C, T] samples."""

    def close(self) -> None:
        """Close the file."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Properties in the header of a medium."""

    rate: int
    """Samples per second of the original."""
    channels: int
    seconds: float | None
    """Length in seconds; None where the container does not know (streams)."""
    codec: str


class Medium:
    """One file that is being read; use it in a `with` block."""

    def __init__(self, path: Path, decoder: _Decoder) -> None:
        self.path = path
        self._decoder = decoder
        self._mixer = _Mixer(decoder.layout)

    @classmethod
    def open(cls, path: Path | str) -> Medium:
        """Open an audio or video file; AudioError if it has no sound."""
        path = Path(path)
        _check_file(path)
        decoder, refusal = _by_soundfile(path)
        if decoder is None:
            decoder = _by_av(path, refusal)
        if not MIN_RATE <= decoder.rate <= MAX_RATE or decoder.channels < 1:
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
        """Samples per second."""
        return self._decoder.rate

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Irregularities of the sound read so far."""
        found = []
        if self._mixer.cancels:
            found.append(
                Issue("channels_cancel", Message("audio.channels_cancel", channels=self._decoder.channels))
            )
        if not self._decoder.length_known:
            found.append(Issue("length_unknown", Message("audio.length_unknown")))
        return tuple(found)

    def blocks(self, seconds: float = BLOCK_SECONDS) -> Iterator[Samples]:
        """Yield mono blocks [T] float32 of `seconds` (the last is shorter).

        Channels are mixed down (ITU-R BS.775), without those that cancel. Raises AudioError at the place
        where the file turns out to be empty, broken, cut short, or to hold samples that are
        no numbers or far beyond full scale.
        """
        size = max(1, round(seconds * self.rate))
        done, kept, held = 0, [], 0
        for channels in self._decoder.read():
            peak = float(np.abs(channels).max(initial=0.0))
            if not peak <= _MAX_PEAK:  # NaN is not either
                code = "audio.samples_absurd" if np.isfinite(peak) else "audio.not_finite"
                raise AudioError(code, path=self.path, where=(done + held) / self.rate)
            piece = self._mixer.mono(channels)
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
            raise AudioError(
                "audio.cut_short", path=self.path, seconds=done / self.rate, promised=promised / self.rate
            )

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()

    def __enter__(self) -> Medium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()


def probe(path: Path | str) -> Facts:
    """Return rate, channels, length and codec of a medium, without decoding it. Raises AudioError."""
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
    """Decoder of wav, flac, mp3, ogg, opus, aiff … by libsndfile."""

    PIECE_FRAMES = 1 << 16

    def __init__(self, path: Path, library: Any) -> None:
        self._path, self._library = path, library
        self._file = library.SoundFile(str(path))
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.codec: str = f"{self._file.format.lower()}/{self._file.subtype.lower()}"
        frames: int = self._file.frames
        self.frames = _riff_frames(path, frames) if 0 <= frames < 2**62 else None
        self.length_known = self.frames is not None
        self.layout = _WAV_LAYOUTS.get(self.channels, ())
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
            yield piece.T

    def close(self) -> None:
        self._file.close()


class _Av:
    """Decoder of m4a, mp4, mkv, webm and every other container of FFmpeg's libraries, by PyAV."""

    def __init__(self, path: Path, library: Any, *, length_known: bool) -> None:
        self._path, self._library = path, library
        self._container = library.open(str(path), metadata_errors="ignore")
        if not self._container.streams.audio:
            self._container.close()
            raise AudioError("audio.no_sound_track", path=path)
        stream = _chosen(self._container.streams.audio)
        if stream.codec_context is None:
            self._container.close()
            raise AudioError("audio.unknown_codec", path=path)
        stream.thread_type = "AUTO"
        self._stream = stream
        self.rate: int = stream.rate or 0
        self.channels: int = stream.channels or 0
        self.codec: str = f"{self._container.format.name.split(',')[0]}/{stream.codec_context.name}"
        seconds = _track_seconds(stream, alone=len(self._container.streams) == 1)
        self.frames = round(seconds * self.rate) if seconds else None
        self.length_known = length_known and bool(seconds or (self._container.duration or 0) > 0)
        self.layout = tuple(channel.name for channel in stream.layout.channels) if stream.layout else ()
        start = self._container.start_time
        free = start and any(name in self._container.format.name.split(",") for name in _FREE_START)
        self._begin = start / library.time_base if free else 0.0
        self._done = self._passed_over = 0

    def read(self) -> Iterator[Samples]:
        resampler = self._library.AudioResampler(format="fltp", layout=self._stream.layout, rate=self.rate)
        last = 0.0
        try:
            for (
                packet
            ) in self._container.demux():  # pictures are passed over undecoded; they tell how far it got
                if packet.pts is not None:
                    last = max(last, float(packet.pts * packet.time_base))
                if packet.stream.index != self._stream.index:
                    continue
                for frame in self._decoded(packet):
                    yield from self._silence_before(frame)
                    for piece in resampler.resample(frame):
                        self._done += piece.samples
                        yield piece.to_ndarray()
            for piece in resampler.resample(None):
                yield piece.to_ndarray()
        except self._library.error.FFmpegError as error:
            raise AudioError("audio.corrupt", path=self._path, reason=error.strerror) from error
        promised = self._begin + (self._container.duration or 0) / self._library.time_base
        if promised - last > CONTAINER_SHORTFALL_SECONDS:
            raise AudioError("audio.cut_short", path=self._path, seconds=last, promised=promised)

    def _decoded(self, packet: Any) -> list[Any]:
        """Return the frames of a packet. Where a second file was appended, its header is not sound and
        skipped."""
        try:
            frames: list[Any] = packet.decode()
        except self._library.error.InvalidDataError:
            if self.length_known or self._passed_over >= _MAX_JOINS:
                raise
            self._passed_over += 1
            return []
        return frames

    def _silence_before(self, frame: Any) -> Iterator[Samples]:
        """Yield the silence between the sound so far and the time of a frame."""
        if frame.pts is None or frame.time_base is None:
            return
        hole = float(frame.pts * frame.time_base) - self._begin - self._done / self.rate
        if hole > _MAX_HOLE_SECONDS:
            raise AudioError("audio.corrupt", path=self._path, reason=Message("audio.wrong_times"))
        if hole <= _HOLE_SECONDS:
            return
        left = round(hole * self.rate)
        self._done += left
        while left > 0:
            size = min(left, round(BLOCK_SECONDS * self.rate))
            yield np.zeros((max(1, self.channels), size), np.float32)
            left -= size

    def close(self) -> None:
        self._container.close()


def _track_seconds(stream: Any, *, alone: bool) -> float | None:
    """Return the length of a track: Matroska's own value, else the container's where it has no other
    track."""
    try:
        hours, minutes, rest = str(stream.metadata.get("DURATION", "")).split(":")
        seconds = float(hours) * 3600 + float(minutes) * 60 + float(rest)
    except ValueError:
        seconds = float(stream.duration * stream.time_base) if stream.duration and alone else 0.0
    return seconds if seconds > 0 else None


def _chosen(streams: Any) -> Any:
    """Choose the Amharic track, else the default one, else the first."""
    for stream in streams:
        if str(stream.metadata.get("language", "")).lower() in _LANGUAGES:
            return stream
    return next((stream for stream in streams if "default" in str(stream.disposition).lower()), streams[0])


_WAV_LAYOUTS = {
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
"""Channels of an audio file by their number, in the order of RIFF and of FLAC (RFC 9639, 9.1.3)."""
_WEIGHTS = {"FC": 1.0, "FL": 0.707, "FR": 0.707, "LFE": 0.0, "LFE2": 0.0}
_SURROUND = 0.354
"""Weight of the channels at the sides and behind: speech is in front (ITU-R BS.775-4, to mono)."""


class _Mixer:
    """Mixer of channels to mono."""

    def __init__(self, layout: tuple[str, ...]) -> None:
        weights = np.array([_WEIGHTS.get(name, _SURROUND) for name in layout], np.float32)
        self._weights = weights / weights.sum() if len(layout) > 2 and weights.any() else None
        self._apart = self._together = 0.0
        """Power of two channels, and of their mean, summed over the sound so far."""
        self.cancels = False
        """Whether two channels cancel each other in their mean."""

    def mono(self, channels: npt.NDArray[np.float32]) -> Samples:
        """Mix [C, T] to [T]."""
        first: Samples = channels[0].copy()
        if len(channels) == 1:
            return first
        if len(channels) == 2:
            mean: Samples = channels.mean(axis=0, dtype=np.float32)
            with np.errstate(invalid="ignore", over="ignore"):
                self._apart += float(np.square(channels, dtype=np.float64).sum()) / 2
                self._together += float(np.square(mean, dtype=np.float64).sum())
            self.cancels = self._together < _CANCELS * self._apart
            return first if self.cancels else mean
        if self._weights is not None and len(self._weights) == len(channels):
            mixed: Samples = np.tensordot(self._weights, channels, axes=1).astype(np.float32)
            return mixed
        average: Samples = channels.mean(axis=0, dtype=np.float32)
        return average


def _by_soundfile(path: Path) -> tuple[_Decoder | None, str | None]:
    """Return the decoder, or why there is none; None where libsndfile has a false length."""
    if path.suffix.lower() in _RAW_SUFFIXES:  # libsndfile would ask for a rate that nobody knows
        return None, ""
    library = require("soundfile", "audio")
    try:
        decoder = _SoundFile(path, library)
    except library.LibsndfileError as error:
        return None, str(error.error_string)
    if _length_is_false(path, decoder):
        decoder.close()
        return None, None
    return decoder, ""


def _length_is_false(path: Path, decoder: _SoundFile) -> bool:
    """Whether libsndfile would not read everything: no length in the header, or one that the packets
    contradict."""
    if not decoder.frames:
        return path.stat().st_size > _HEADER_BYTES
    if "mpeg" not in decoder.codec:
        return False
    library = require("av", "audio")
    try:
        with library.open(str(path), metadata_errors="ignore") as container:
            (stream, *_) = container.streams.audio
            seconds = sum(
                float(one.duration * one.time_base) for one in container.demux(stream) if one.duration
            )
    except (library.error.FFmpegError, ValueError):
        return False
    promised = decoder.frames / decoder.rate
    return abs(seconds - promised) > max(_LENGTH_TOLERANCE * promised, SHORTFALL_SECONDS)


def _by_av(path: Path, refusal: str | None) -> _Decoder:
    library = require("av", "audio")
    try:
        return _Av(path, library, length_known=refusal is not None)
    except library.error.FFmpegError as error:
        reason = "; ".join(filter(None, (refusal, error.strerror)))
        raise AudioError("audio.not_media", path=path, reason=reason) from error


def _riff_frames(path: Path, frames: int) -> int:
    """Return the frames that a RIFF header claims; libsndfile clamps the number to what is there.

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
