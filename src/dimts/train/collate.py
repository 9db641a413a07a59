"""Collate clips into `Examples` for the model: ids, codes, and the crop used for conditioning.

Everything random about a clip (its crop) depends on seed, epoch and clip alone, not on the other clips of its
batch or the process: splitting a step otherwise changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from dimts.base.progress import ProgressCallback, ignore
from dimts.train.code_cache import ClipStore
from dimts.train.latent_cache import LatentCache
from dimts.train.sampler import Row, crop, crop_for_dev
from dimts.train.settings import ReferenceSettings
from dimts.xtts.guided_conditioning import count_pairs, labels
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.spec import LATENTS, STOP_TARGETS, Spec
from dimts.xtts.transfer import to_device

_GRID_SECONDS = 0.5
"""Length step of unpadded crops, so that crops of similar length share a batch."""


@dataclass(frozen=True, slots=True)
class TrainingClip:
    """One clip as it is trained on."""

    id: str
    key: str
    """Key in the store."""
    ids: tuple[int, ...]
    """Ids of its spelling, without START and STOP."""
    samples: int
    codes: int
    spec: Spec
    speaker: str = ""
    weight: float = 1.0
    top_hz: float = 0.0
    """Highest frequency the recording holds, as far as it was measured; 0: unknown."""
    alignment: tuple[tuple[int, int], ...] = ()
    """Indices in `ids` of the first and the last phone that sound during each code; empty: not known."""

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.samples / self.spec.input_rate

    @property
    def tokens(self) -> int:
        """Number of positions in the trunk: latents, START and text, START and codes and three STOPs."""
        return LATENTS + self.text_targets + self.audio_targets

    @property
    def text_targets(self) -> int:
        """Number of text targets: ids and STOP."""
        return len(self.ids) + 1

    @property
    def audio_targets(self) -> int:
        """Number of audio targets: codes and four STOPs."""
        return self.codes + STOP_TARGETS

    @property
    def row(self) -> Row:
        """The clip as the sampler needs it."""
        return Row(self.seconds, self.tokens, self.weight)


@dataclass(slots=True)
class Collator:
    """Collate clips into Examples on the model's device."""

    clips: Sequence[TrainingClip]
    stores: Sequence[ClipStore]
    """Stores of the clips' codes and audio: this project's, and that of replayed clips."""
    settings: ReferenceSettings
    seed: int
    frozen: bool
    """Whether the conditioning is frozen: its latents are computed apart, without gradients."""
    latents: LatentCache | None = None
    """Cache of the latents of repeated crops, filled by `cache_latents`."""

    def examples(self, model: XTTS, members: Sequence[int], epoch: int | None) -> Examples:
        """Collate the clips `members` into one batch; `epoch` None: the fixed crops used for evaluation."""
        clips = [self.clips[index] for index in members]
        ids = [torch.tensor(clip.ids) for clip in clips]
        codes = [self._store(clip).codes(clip.key)[: clip.codes] for clip in clips]
        crops = [self.crop_of(index, epoch) for index in members]
        speakers = [clip.speaker for clip in clips]
        latents = mel = lengths = None
        if self.frozen:
            latents = self._frozen_latents(model, members, crops, epoch)
        else:
            mel, lengths = self._mels(model, members, crops)
        return Examples(
            torch.nn.utils.rnn.pad_sequence(ids, batch_first=True),
            [len(row) for row in ids],
            torch.nn.utils.rnn.pad_sequence(codes, batch_first=True),
            [len(row) for row in codes],
            mel=mel,
            mel_lengths=lengths,
            latents=latents,
            crops=crops if self.settings.mask != "none" and epoch is not None else None,
            alignment=_alignment(clips) if epoch is not None else None,
            speakers=labels(speakers) if epoch is not None else None,
            speaker_pairs=count_pairs(speakers),
        ).to(model.device)

    def _store(self, clip: TrainingClip) -> ClipStore:
        return next(store for store in self.stores if clip.key in store)

    def crop_of(self, index: int, epoch: int | None) -> tuple[int, int]:
        """Return the conditioning crop of clip `index` in `epoch`: start and end in samples."""
        clip, settings = self.clips[index], self.settings
        rate = clip.spec.input_rate
        shortest, longest = round(settings.min_seconds * rate), round(settings.max_seconds * rate)
        if epoch is None:
            start, end = crop_for_dev(clip.samples, shortest, longest)
        else:
            turn = epoch % settings.fixed if settings.fixed else epoch
            start, end = crop(
                clip.samples, random.Random(f"{self.seed}:{clip.key}:{turn}"), shortest, longest
            )
        grid = round(_GRID_SECONDS * rate)
        if not settings.pad and end - start > grid:
            end = start + (end - start) // grid * grid
        return start, end

    def _mels(
        self, model: XTTS, members: Sequence[int], crops: Sequence[tuple[int, int]]
    ) -> tuple[Tensor, list[int] | None]:
        """Return mels of the crops, [B, 80, F], and their real frames; with padding all are as long as the
        longest."""
        waves = [
            self._store(self.clips[index]).audio(self.clips[index].key, start, end)
            for index, (start, end) in zip(members, crops, strict=True)
        ]
        if self.settings.pad:
            longest = round(self.settings.max_seconds * model.spec.input_rate)
            padded = torch.stack([torch.nn.functional.pad(wave, (0, longest - len(wave))) for wave in waves])
            return model.conditioning_mel(to_device(padded, model.device)), None
        mels = [
            model.conditioning_mel(to_device(wave[None], model.device))[0] for wave in waves
        ]  # [80, F] each
        lengths = [mel.shape[-1] for mel in mels]
        rows = torch.nn.utils.rnn.pad_sequence([mel.t() for mel in mels], batch_first=True)  # [B, F, 80]
        return rows.transpose(1, 2), lengths

    def keeps(self, epoch: int | None) -> bool:
        """Whether the latents of the crops of `epoch` are cached for all epochs."""
        return self.latents is not None and (bool(self.settings.fixed) or epoch is None)

    def cache_latents(
        self, model: XTTS, wanted: Iterable[tuple[int, int | None]], on_progress: ProgressCallback = ignore
    ) -> int:
        """Cache the latents of repeated (clip, epoch) pairs; returns how many were computed."""
        if self.latents is None:
            return 0
        model.conditioning.eval()
        crops: dict[str, Callable[[], Tensor]] = {}
        for index, epoch in wanted:
            if self.keeps(epoch):
                crops[self.name_of(index, epoch)] = partial(
                    self._crop_latents, model, index, self.crop_of(index, epoch)
                )
        return self.latents.keep(crops, on_progress)

    @torch.no_grad()
    def _crop_latents(self, model: XTTS, index: int, crop: tuple[int, int]) -> Tensor:
        """Return the latents [L, D] of one crop, computed alone."""
        latents: Tensor = model.conditioning(*self._mels(model, [index], [crop]))[0]
        return latents

    def name_of(self, index: int, epoch: int | None) -> str:
        """Return the cache key of a clip's latents in `epoch`: content, crop, and length of the padding."""
        start, end = self.crop_of(index, epoch)
        padded = f"+{self.settings.max_seconds:g}" if self.settings.pad else ""
        return f"{self.clips[index].key}.{start}-{end}{padded}"

    @torch.no_grad()
    def _frozen_latents(
        self, model: XTTS, members: Sequence[int], crops: Sequence[tuple[int, int]], epoch: int | None
    ) -> Tensor:
        """Return the latents [B, L, D] of a frozen conditioning."""
        if self.latents is not None and self.keeps(epoch):
            return torch.stack([self.latents[self.name_of(index, epoch)] for index in members])
        latents: Tensor = model.conditioning(*self._mels(model, members, crops))
        return latents


def _alignment(clips: Sequence[TrainingClip]) -> Tensor | None:
    """Return the clips' alignments, [B, C, 2] int64, −1 where there is none; None where no clip has one."""
    if not any(clip.alignment for clip in clips):
        return None
    found = torch.full((len(clips), max(clip.codes for clip in clips), 2), -1)
    for row, clip in zip(found, clips, strict=True):
        if clip.alignment:
            row[: clip.codes] = torch.tensor(clip.alignment)
    return found
