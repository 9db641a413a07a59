"""Stand in for cached clips where only their lengths are known: noise instead of recordings, zeros as codes.

A forecast runs the steps of a stage on them, so that it reads no recording and writes no cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dimts.audio.likeness import WIDTH
from dimts.audio.wave import Wave
from dimts.train.generated_clips import GeneratedClips
from dimts.train.tensor_store import TensorStore
from dimts.xtts.spec import Spec

_LOUDNESS = 0.1


@dataclass(frozen=True, slots=True)
class BlankStore:
    """Clips of known lengths without their contents (see `ClipStore`)."""

    lengths: Mapping[str, int]
    """Samples by the clip's key."""
    spec: Spec
    generated: GeneratedClips | None = None
    """Clips whose lengths are known when they are asked for."""

    def __contains__(self, key: str) -> bool:
        return key in self.lengths or (self.generated is not None and key in self.generated)

    def samples(self, key: str) -> int:
        """Length of a clip in samples at the input rate."""
        if key in self.lengths or self.generated is None:
            return self.lengths[key]
        return self.generated.samples(key)

    def codes(self, key: str) -> Tensor:
        """Zeros for a clip's codes, [C] int64."""
        return torch.zeros(self.spec.codes_of(self.samples(key)), dtype=torch.int64)

    def audio(self, key: str, start: int = 0, end: int | None = None) -> Tensor:
        """Noise as long as samples `start` to `end` of a clip, float32 [T]."""
        stop = self.samples(key) if end is None else end
        return torch.randn(stop - start) * _LOUDNESS

    def wave(self, key: str) -> Wave:
        """Silence as long as the clip."""
        rate = self.spec.input_rate if key in self.lengths else self.spec.output_rate
        return Wave.silence(self.samples(key) / self.spec.input_rate, rate)


class BlankTensors(TensorStore):
    """Tensors of the right shapes for what a stage has computed before its first step.

    Only those of generated clips are missing, as these are computed in the steps: the GPT's latents. The
    teacher of the speaker encoder is left out for them, as it does not run on tensors without contents.
    """

    def __init__(self, store: BlankStore) -> None:
        super().__init__(Path())
        self.store = store
        """Lengths of the clips."""

    def __contains__(self, name: str) -> bool:
        kind, _, key = name.partition(".")
        return kind not in ("latents", "timbre") or key in self.store.lengths

    def __getitem__(self, name: str) -> Tensor:
        """Return noise: latents [C, D] or timbre vector [d] of a clip, or the teacher's vector [256]."""
        kind, _, key = name.partition(".")
        spec = self.store.spec
        if kind == "latents":
            return torch.randn(spec.codes_of(self.store.samples(key)), spec.width)
        return torch.randn(spec.timbre_width if kind == "timbre" else WIDTH)
