"""Encode clips once into DVAE codes and 22 050 Hz audio, cached on disk, so that training steps need no DVAE.

    codes/<engine>/shard-00000.safetensors    "codes.<clip>" int16 [C], "audio.<clip>" int16 [T]

<engine> is the fingerprint of the DVAE and its mel statistics, <clip> that of the sound file: a changed
clip or another base is computed anew, all else is found again. Shards are written whole, so an
interrupted pass goes on where it stopped; they are memory-mapped, so a big corpus costs no memory.
Each clip is encoded alone: zeros behind it would leak into its last codes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, DataError, DimtsError
from dimts.base.files import fingerprint, write_text
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.manifest import Utterance
from dimts.train.tensor_store import TensorStore
from dimts.xtts import mel
from dimts.xtts.dvae import DVAE
from dimts.xtts.spec import Spec

_FULL_SCALE = 32768.0
"""int16 per 1.0; clips are 16-bit files, so nothing is lost."""
_SHARD_SECONDS = 300.0
"""Seconds of audio per shard: the most that an interruption can lose."""
_KEY_LETTERS = 16
INPUT_RATE = 22_050
"""Samples per second of cached sound."""
SILENCE = 1e-4
"""Amplitude below which a clip counts as silent: less than four steps of 16 bits."""
_MEMO = "fingerprints.json"


class ClipStore(Protocol):
    """Codes and sound of clips by their keys."""

    def __contains__(self, clip: str) -> bool: ...

    def samples(self, clip: str) -> int:
        """Length of a clip in samples at 22 050 Hz."""

    def codes(self, clip: str) -> Tensor:
        """A clip's codes, [C] int64."""

    def audio(self, clip: str, start: int = 0, end: int | None = None) -> Tensor:
        """Samples `start` to `end` of a clip at 22 050 Hz, float32 [T]."""

    def wave(self, clip: str) -> Wave:
        """A clip's audio at the highest sample rate available."""


@dataclass(frozen=True, slots=True)
class CodeStore:
    """The cached clips of one model."""

    shards: TensorStore

    @classmethod
    def open(cls, folder: Path) -> CodeStore:
        """Open the cache in `folder`; a shard that cannot be read is dropped, and computed again later."""
        return cls(TensorStore.open(folder))

    def __contains__(self, clip: str) -> bool:
        return f"audio.{clip}" in self.shards

    def samples(self, clip: str) -> int:
        """T: length of a clip in samples at 22 050 Hz."""
        return self.shards.sizes[f"audio.{clip}"]

    def codes(self, clip: str) -> Tensor:
        """A clip's codes, [C] int64."""
        out: Tensor = self.shards[f"codes.{clip}"][:].long()
        return out

    def audio(self, clip: str, start: int = 0, end: int | None = None) -> Tensor:
        """Samples `start` to `end` of a clip, float32 [T]; only they are read from the disk."""
        out: Tensor = self.shards[f"audio.{clip}"][start : self.samples(clip) if end is None else end].float()
        return out / _FULL_SCALE

    def wave(self, clip: str) -> Wave:
        """A clip's sound at 22 050 Hz."""
        return Wave(self.audio(clip).numpy(), INPUT_RATE)

    def write(self, clips: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Add clips, {clip: (audio float32 [T], codes [C])}, as one shard: whole or not at all."""
        tensors: dict[str, Tensor] = {}
        for clip, (audio, codes) in clips.items():
            tensors[f"audio.{clip}"] = (
                (audio * _FULL_SCALE).round().clamp(-_FULL_SCALE, _FULL_SCALE - 1).short()
            )
            tensors[f"codes.{clip}"] = codes.short()
        self.shards.write(tensors)


@dataclass(frozen=True, slots=True)
class Coder:
    """Encoder of audio into codes: the DVAE, its mel statistics and the sizes."""

    dvae: DVAE
    mel_stats: Tensor
    """[80]"""
    spec: Spec

    @property
    def name(self) -> str:
        """Fingerprint of everything that decides the codes."""
        digest = hashlib.sha256()
        state = {**self.dvae.encoder.state_dict(), "embed": self.dvae.codebook.embed, "stats": self.mel_stats}
        for key in sorted(state):
            digest.update(key.encode())
            digest.update(np.ascontiguousarray(state[key].detach().cpu().float().numpy()).tobytes())
        return digest.hexdigest()[:_KEY_LETTERS]

    @torch.no_grad()
    def __call__(self, audio: Tensor) -> Tensor:
        """Samples [T] at 22 050 Hz → codes [ceil(T / 1024)] int64."""
        device = self.mel_stats.device
        seen = mel.log_mel(audio[None].to(device), mel.DVAE, self.mel_stats)  # [1, 80, F]
        codes: Tensor = self.dvae.encode(seen)[0, : self.spec.codes_of(len(audio))]
        return codes.cpu()


@dataclass(frozen=True, slots=True)
class AudioOnly:
    """Takes the place of a `Coder` where a stage needs the audio alone."""

    spec: Spec
    name: str = "audio"

    def __call__(self, audio: Tensor) -> Tensor:
        """Return no codes: [0] int64."""
        return torch.zeros(0, dtype=torch.int64)


def cache_codes(
    project: Project,
    rows: Sequence[Utterance],
    coder: Coder | AudioOnly,
    on_progress: ProgressCallback = ignore,
    *,
    skip: bool = False,
) -> tuple[CodeStore, dict[str, str]]:
    """Cache every row's clip; returns the store and {utterance id: clip}.

    Raises AudioError or DataError for a clip that is missing, unreadable, too short or not a number; with
    `skip` such rows are reported and left out of the answer. Safe to interrupt; the next call continues.
    """
    store = CodeStore.open(project.codes / coder.name)
    clips: dict[str, str] = {}
    waiting: dict[str, tuple[Tensor, Tensor]] = {}
    held = 0.0
    if isinstance(coder, Coder):
        coder.dvae.eval()
    with _memo(project) as memo:
        for done, row in enumerate(rows):
            try:
                path = project.inside(row.path)
                clip = _fingerprint_of(path, row.path, memo)
                if clip not in store and clip not in waiting:
                    audio = _audio_of(path, coder.spec)
                    waiting[clip] = (audio, coder(audio))
                    held += len(audio) / coder.spec.input_rate
            except DimtsError as error:
                if not skip:
                    raise type(error)("train.clip_unusable", clip=row.id, reason=error) from error
                on_progress(
                    Progress(
                        "codes",
                        done,
                        len(rows),
                        "clips",
                        message=Message("train.left_out", row=row.id, error=error.message),
                    )
                )
                continue
            clips[row.id] = clip
            if held >= _SHARD_SECONDS:
                store.write(waiting)
                waiting, held = {}, 0.0
            on_progress(Progress("codes", done + 1, len(rows), "clips"))
    if waiting:
        store.write(waiting)
    return store, clips


_REMEDY = "mend or remove the clip and run 'dimts data prepare', or set train.batches.unusable = 'skip'"


def _audio_of(path: Path, spec: Spec) -> Tensor:
    if not path.is_file():
        raise DataError("train.clip_missing", path=path.name)
    samples = Wave.load(path, spec.input_rate).samples
    if not np.isfinite(samples).all():
        raise AudioError("train.samples_not_finite", path=path.name)
    if not (np.abs(samples) > SILENCE).any():
        raise AudioError("train.silent_clip")
    return torch.from_numpy(samples.copy())


def _fingerprint_of(path: Path, name: str, memo: dict[str, list[Any]]) -> str:
    """Return a clip file's fingerprint; a file with unchanged size and time is not read again."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError("train.clip_missing", path=name) from error
    looks = [status.st_size, status.st_mtime_ns]
    if name not in memo or memo[name][:2] != looks:
        memo[name] = [*looks, fingerprint(path)[:_KEY_LETTERS]]
    return str(memo[name][2])


@contextlib.contextmanager
def _memo(project: Project) -> Iterator[dict[str, list[Any]]]:
    """{path: [bytes, time, fingerprint]} of the project's clips, kept between runs."""
    path = project.codes / _MEMO
    try:
        content: dict[str, list[Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        content = {}
    try:
        yield content
    finally:
        write_text(path, json.dumps(content))
