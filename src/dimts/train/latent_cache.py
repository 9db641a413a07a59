"""Cache the conditioning latents of crops when the conditioning is frozen, computed once, beside the codes.

    codes/latents-<conditioning>/shard-00000.safetensors    "<clip>.<start>-<end>" float32 [32, D]

<conditioning> is the fingerprint of encoder, perceiver and mel statistics, <clip> that of the sound file:
with another base or a changed clip latents are computed anew, else they are found again, by the next run too.
Each crop is encoded alone, so its latents do not depend on the batch. With `reference.fixed = 0` each step
draws new crops, so only those of the dev clips can be cached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.train.settings import TrainSettings
from dimts.train.tensor_store import TensorStore
from dimts.xtts.model import XTTS

_PER_SHARD = 256
"""Latents in one shard, 32 MB at the official size: the most that an interruption can lose."""
_KEY_LETTERS = 16


@dataclass(slots=True)
class LatentCache:
    """The cached latents of one conditioning, by clip and crop."""

    shards: TensorStore
    read: int = 0
    """How often latents were read from disk instead of being computed."""

    @classmethod
    def of(cls, project: Project, model: XTTS) -> LatentCache:
        """Open the cache of this model's conditioning."""
        digest = hashlib.sha256()
        state = {**model.conditioning.state_dict(), "mel_stats": model.mel_stats}
        for key in sorted(state):
            digest.update(key.encode())
            digest.update(np.ascontiguousarray(state[key].detach().cpu().float().numpy()).tobytes())
        return cls(TensorStore.open(project.codes / f"latents-{digest.hexdigest()[:_KEY_LETTERS]}"))

    def __getitem__(self, crop: str) -> Tensor:
        """Return the latents [L, D] of a cached crop."""
        self.read += 1
        out: Tensor = self.shards[crop][:]
        return out

    def keep(self, crops: Mapping[str, Callable[[], Tensor]], on_progress: ProgressCallback = ignore) -> int:
        """Compute and cache the latents [L, D] of new crops; returns how many that were.

        Safe to interrupt; the next call continues. Raises DimtsError when the disk is full.
        """
        new = [name for name in crops if name not in self.shards]
        waiting: dict[str, Tensor] = {}
        for done, name in enumerate(new, start=1):
            waiting[name] = crops[name]().contiguous().cpu()
            if len(waiting) == _PER_SHARD or done == len(new):
                self.shards.write(waiting)
                waiting = {}
            on_progress(Progress("latents", done, len(new), "crops"))
        return len(new)


def latents_plan(settings: TrainSettings) -> Message:
    """Return whether a run with these settings caches latents, and if not why."""
    if not settings.frozen_conditioning:
        return Message("train.latents_of_learning_conditioning")
    if settings.reference.fixed:
        return Message("train.latents_cached")
    return Message("train.latents_of_new_crops")
