"""Encode waves into the bytes of an audio file that is sent while it grows: mp3, opus, aac, flac, wav, pcm.

    encoder = Encoder("mp3", 24_000)
    for wave in speaker.stream(text): send(encoder.push(wave))
    send(encoder.finish())

Nothing is ever gone back to, as what was sent cannot be changed; so a wav says that its length is unknown, as
players take it from a pipe. With `file`, a seekable one, the bytes are written there instead, in bounded
memory, and wav, flac and mp3 (Xing header) carry their true length.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import numpy as np

from dimts.audio.tags import FileTags
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError
from dimts.base.plugins import nearest, require

STREAMED: dict[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""Media type of each format. opus is in Ogg pages, aac in ADTS frames, pcm bare 16-bit little-endian
samples."""

_CODERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp3": ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "3"}),
    "opus": ("ogg", "libopus", {"page_duration": "100000"}),
    "aac": ("adts", "aac", {}),
    "flac": ("flac", "flac", {}),
}
"""Container, coder and options of FFmpeg's libraries by format. A table of contents would need seeking; Ogg
has a whole second on one page by default."""
_SEEKABLE: dict[str, dict[str, str]] = {"mp3": {"write_xing": "1"}}
"""Options that change where the file is seekable."""
BIT_RATES: dict[str, int] = {"mp3": 64_000, "opus": 32_000, "aac": 64_000}
"""Bits per second of mono speech; transparent at 24 kHz."""
_ENDLESS = 0xFFFFFFFF
"""Size in a RIFF header whose length is not known yet."""
_WAV_HEADER_BYTES = 44


class AudioEncoder:
    """Encoder of one stream. Raises AudioError for an unknown format or a coder that refuses."""

    def __init__(self, form: str, rate: int, file: BinaryIO | None = None) -> None:
        if form not in STREAMED:
            raise AudioError("audio.unknown_stream_format", form=form, nearest=nearest(form, STREAMED))
        self.form, self.rate, self._begun = form, rate, False
        encoder = _LibavEncoder if form in _CODERS else _RawEncoder
        self._inner: _RawEncoder | _LibavEncoder = encoder(form, rate, file)

    def push(self, wave: Wave) -> bytes:
        """Return the bytes that are final once `wave` is encoded; may be none, and are none with a file.

        The tags of the first wave go into the format's fields. aac and pcm have none, and wav only with a
        file: there they follow the samples, so that its header has the usual 44 bytes.
        """
        if not self._begun and wave.tags is not None:
            self._inner.tag(wave.tags)
        self._begun = True
        return self._inner.push(wave.resample(self.rate))

    def finish(self) -> bytes:
        """Return the rest; with a file, none, and its header is completed."""
        return self._inner.finish()


class _RawEncoder:
    """Samples without compression, with a wav header or none."""

    def __init__(self, form: str, rate: int, file: BinaryIO | None) -> None:
        self._wav, self._rate, self._file, self._written = form == "wav", rate, file, 0
        self._head = _wav_header(rate) if self._wav else b""
        self._tags = b""

    def tag(self, tags: FileTags) -> None:
        """Set the fields, before the first push."""
        self._tags = tags.riff()

    def push(self, wave: Wave) -> bytes:
        return self._out(_whole_numbers(wave).astype("<i2").tobytes())

    def finish(self) -> bytes:
        rest = self._out(b"")
        if self._file is not None and self._wav:
            samples = self._written - _WAV_HEADER_BYTES
            self._out(self._tags)
            self._file.seek(0)
            self._file.write(_wav_header(self._rate, samples, len(self._tags)))
            self._file.seek(self._written)
        return rest

    def _out(self, data: bytes) -> bytes:
        data, self._head = self._head + data, b""
        self._written += len(data)
        if self._file is None:
            return data
        self._file.write(data)
        return b""


class _LibavEncoder:
    """A coder of FFmpeg's libraries, writing into memory."""

    def __init__(self, form: str, rate: int, file: BinaryIO | None) -> None:
        self._library = require("av", "audio")
        container, coder, options = _CODERS[form]
        if file is not None:
            options = {**options, **_SEEKABLE.get(form, {})}
        self._file, self._sink = file, _Sink()
        self._rate, self._form, self._done = rate, form, 0
        try:
            self._container = self._library.open(
                file or self._sink, "w", format=container, options={**options, "flush_packets": "1"}
            )
            self._stream: Any = self._container.add_stream(coder, rate=rate, layout="mono")
            if form in BIT_RATES:
                self._stream.bit_rate = BIT_RATES[form]
        except (self._library.error.FFmpegError, ValueError) as error:
            raise AudioError("audio.unstreamable_rate", form=form, rate=rate, error=error) from error

    def tag(self, tags: FileTags) -> None:
        """Set the fields, before the first push: the header is written with the first packet."""
        for place in (self._container, self._stream):
            place.metadata.update(tags.vorbis())

    def push(self, wave: Wave) -> bytes:
        if len(wave.samples):
            frame = self._library.AudioFrame.from_ndarray(
                _whole_numbers(wave)[None], format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = self._rate, self._done
            self._done += len(wave.samples)
            self._encode(frame)
        return self._sink.take()

    def finish(self) -> bytes:
        if self._done:
            self._encode(None)
        self._container.close()
        return self._sink.take()

    def _encode(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._library.error.FFmpegError as error:
            raise AudioError("audio.encoder_failed", form=self._form, error=error) from error


class _Sink:
    """A file that can only be written."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _whole_numbers(wave: Wave) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Convert to [T] int16; samples beyond full scale are clipped."""
    scaled: np.ndarray[Any, np.dtype[np.int16]] = np.rint(np.clip(wave.samples, -1.0, 1.0) * 32767.0).astype(
        np.int16
    )
    return scaled


def _wav_header(rate: int, data_bytes: int | None = None, other_bytes: int = 0) -> bytes:
    """Return a header of 44 bytes, without a length if none is given (RIFF/WAVE, Microsoft and IBM, 1991)."""
    size = min(data_bytes, _ENDLESS - 36) if data_bytes is not None else _ENDLESS
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", min(size + 36 + other_bytes, _ENDLESS), b"WAVE")
        + form
        + struct.pack("<4sI", b"data", size)
    )
