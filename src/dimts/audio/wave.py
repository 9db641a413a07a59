"""Wave: mono float32 samples and their rate; read from any medium, resampled, written whole.

    Wave.load("talk.mp4").resample(24_000).save("talk.flac")

A Wave is never empty by accident: reading nothing, or samples that are not numbers, is an AudioError.
Full scale is ±1.0; what is beyond is clipped only when it is written.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from dimts.audio.media import BLOCK_SECONDS, Medium, Samples
from dimts.audio.tags import FileTags
from dimts.base.errors import AudioError
from dimts.base.files import atomic_path
from dimts.base.plugins import nearest, require

FORMATS: dict[str, tuple[str, str]] = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Container and encoding of libsndfile by file suffix."""

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Sample rates of Opus in Hz (RFC 6716, section 2). Another rate is written at the next higher one."""
MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates of MPEG-1, 2 and 2.5 layer III in Hz."""
_RIFF_LIMIT_BYTES = 0xFFFFFFFF - 4096
_CODER_FRAMES = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Wave:
    """A mono audio signal."""

    samples: Samples
    """[T] float32, full scale ±1.0."""
    rate: int
    """Samples per second (Hz)."""
    tags: FileTags | None = None
    """What a file written from it says about it; not read from files."""

    def __post_init__(self) -> None:
        samples = np.ascontiguousarray(self.samples, dtype=np.float32)
        if samples.ndim != 1:
            raise ValueError(f"a Wave is mono, [T]; not {samples.shape}")
        if self.rate <= 0:
            raise ValueError(f"a Wave has a positive rate, not {self.rate}")
        object.__setattr__(self, "samples", samples)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate

    @classmethod
    def load(cls, path: Path | str, rate: int | None = None) -> Wave:
        """Read any audio or video file as mono, resampled to `rate` Hz if given.

        Raises AudioError: missing, empty, corrupt, cut short, no sound in it, NaN samples.
        """
        with Medium.open(path) as medium:
            wave = cls(np.concatenate(list(medium.blocks())), medium.rate)
        return wave.resample(rate) if rate is not None else wave

    @classmethod
    def silence(cls, seconds: float, rate: int) -> Wave:
        """Return `seconds` of silence."""
        return cls(np.zeros(round(seconds * rate), np.float32), rate)

    def resample(self, rate: int) -> Wave:
        """Resample to `rate` Hz (soxr, high quality: flat to 0.91 of the new Nyquist frequency)."""
        if rate == self.rate or not len(self.samples):
            return Wave(self.samples, rate, self.tags)
        soxr = require("soxr", "audio")
        return Wave(soxr.resample(self.samples, self.rate, rate, quality="HQ"), rate, self.tags)

    def cut(self, start: float, end: float) -> Wave:
        """Return the part from `start` to `end` seconds; empty beyond the ends."""
        first, last = (max(0, round(seconds * self.rate)) for seconds in (start, end))
        return Wave(self.samples[first:last].copy(), self.rate, self.tags)

    def gain(self, decibels: float) -> Wave:
        """Amplify by `decibels`."""
        return Wave(self.samples * np.float32(10.0 ** (decibels / 20.0)), self.rate, self.tags)

    def encode(self, form: str) -> bytes:
        """Return the bytes of an audio file; `form` is one of FORMATS. Raises AudioError for an unknown
        one."""
        memory = io.BytesIO()
        with Writer(memory, form, self.rate) as writer:
            writer.write(self)
        return memory.getvalue()

    def save(self, path: Path | str) -> Path:
        """Write an audio file atomically; the suffix chooses the format (see FORMATS).

        Raises AudioError for an unknown suffix, DimtsError for a full or read-only disk.
        """
        with writing(path, self.rate) as writer:
            writer.write(self)
        return Path(path)


def join(waves: Iterable[Wave]) -> Wave:
    """Join waves one after another, at the rate of the first, with its tags. AudioError if there are none."""
    kept = list(waves)
    if not kept:
        raise AudioError("audio.nothing_to_join")
    rate = kept[0].rate
    tags = next((wave.tags for wave in kept if wave.tags is not None), None)
    return Wave(np.concatenate([wave.resample(rate).samples for wave in kept]), rate, tags)


def stream(path: Path | str, rate: int, seconds: float = BLOCK_SECONDS) -> Iterator[Wave]:
    """Read a file of any length as waves of about `seconds` at `rate` Hz, in constant memory.

    Joined together they equal the resampled whole. Raises AudioError as `Wave.load` does, where the
    fault is found (an earlier block may have been yielded already).
    """
    with Medium.open(path) as medium:
        if medium.rate == rate:
            for block in medium.blocks(seconds):
                yield Wave(block, rate)
            return
        soxr = require("soxr", "audio")
        resampler = soxr.ResampleStream(medium.rate, rate, 1, dtype="float32", quality="HQ")
        for block in medium.blocks(seconds):
            piece: npt.NDArray[np.float32] = resampler.resample_chunk(block)
            if len(piece):
                yield Wave(piece, rate)
        rest: npt.NDArray[np.float32] = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(rest):
            yield Wave(rest, rate)


class Writer:
    """Writer of an audio file that grows, for speech longer than memory or not complete yet.

    `file` is open for writing in binary and can be sought. Raises AudioError for an unknown format, and the
    OSError of a full disk where it happens (libsndfile itself would pass over it).
    """

    def __init__(self, file: BinaryIO, form: str, rate: int) -> None:
        form = form.lower().removeprefix(".")
        if form not in FORMATS:
            raise AudioError("audio.unknown_format", form=form, nearest=nearest(form, FORMATS))
        soundfile = require("soundfile", "audio")
        container, coding = FORMATS[form]
        self._rate, self._frames, self._form, self._begun = rate, 0, form, False
        self._resampler: Any = None
        if (held := _rate_for(form, rate)) != rate:
            self._resampler = require("soxr", "audio").ResampleStream(
                rate, held, 1, dtype="float32", quality="HQ"
            )
        self._sink = _Sink(file)
        self._file = soundfile.SoundFile(self._sink, "w", held, 1, coding, format=container)

    def write(self, wave: Wave) -> None:
        """Add a wave; one of another rate is resampled. The file gets the tags of the first one."""
        if not self._begun and wave.tags is not None:
            for name, text in wave.tags.libsndfile(self._form).items():
                setattr(self._file, name, text)
        self._begun = True
        samples = wave.resample(self._rate).samples
        self._put(samples if self._resampler is None else self._resampler.resample_chunk(samples))

    def close(self) -> None:
        """Write the rest, and the header."""
        if self._file.closed:
            return
        if self._resampler is not None:
            self._put(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._file.close()
        self._sink.check()

    def _put(self, samples: Samples) -> None:
        self._frames += len(samples)
        if self._form == "wav" and 2 * self._frames > _RIFF_LIMIT_BYTES:
            raise AudioError("audio.wav_too_large")
        # libsndfile's Vorbis coder overruns its stack when it is given minutes at once
        for first in range(0, len(samples), _CODER_FRAMES):
            self._file.write(samples[first : first + _CODER_FRAMES])
            self._sink.check()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._file.close()


class _Sink:
    """A file whose first error is kept and raised by `check`: errors cannot pass through libsndfile."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        self._try(self._file.write, data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._try(self._file.seek, offset, whence)

    def tell(self) -> int:
        return self._try(self._file.tell)

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def flush(self) -> None:
        self._try(self._file.flush)

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def _try(self, do: Callable[..., int | None], *arguments: Any) -> int:
        if self._error is None:
            try:
                return do(*arguments) or 0
            except OSError as error:
                self._error = error
        return 0


@contextmanager
def writing(path: Path | str, rate: int) -> Iterator[Writer]:
    """Open a Writer onto `path`, which appears only when the block has ended well; the suffix chooses the
    format.

    Raises AudioError for an unknown suffix, DimtsError for a full or read-only disk.
    """
    path = check_target(path)
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(atomic_path(path))
            file = stack.enter_context(temporary.open("wb"))
        except OSError as error:  # an error of the disk has been raised by `atomic_path` already
            reason = (error.strerror or str(error)).lower()
            raise AudioError("audio.unwritable_file", path=path, reason=reason) from error
        yield stack.enter_context(Writer(file, path.suffix or "wav", rate))


def check_target(path: Path | str) -> Path:
    """Return `path`, if audio can be written there; AudioError if it is a folder or has an unknown suffix."""
    path = Path(path)
    if path.is_dir():
        raise AudioError("audio.target_is_folder", path=path, example=path / "speech.wav")
    if (form := path.suffix.lower().removeprefix(".") or "wav") not in FORMATS:
        raise AudioError("audio.unknown_format", form=form, nearest=nearest(form, FORMATS))
    return path


def _rate_for(form: str, rate: int) -> int:
    """Return the nearest rate not below `rate` that a format supports."""
    allowed = {"opus": OPUS_RATES, "mp3": MP3_RATES}.get(form)
    if allowed is None or rate in allowed:
        return rate
    return next((known for known in allowed if known > rate), allowed[-1])
