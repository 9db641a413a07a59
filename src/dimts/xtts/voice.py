"""Clone a voice from reference waves: the speaker's latents and timbre, a few kilobytes that can be saved.

    voice = clone(model, [wave])          wave [T] at 22 050 Hz
    voice.save("abebe.voice"); Voice.load("abebe.voice")

Latents are the mean over chunks of all references, the timbre the mean over references (not made a unit
vector again), as upstream does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dimts.base.errors import AudioError, CheckpointError, ConfigError, SynthesisError
from dimts.base.files import atomic_path
from dimts.xtts import mel as mels
from dimts.xtts.model import XTTS
from dimts.xtts.spec import LATENTS, TIMBRE_RATE

LEAST_CHUNK_SECONDS = 0.33
"""Length of chunks, in seconds, below which they are left out."""
PEAK = 0.75
"""Peak amplitude of references with `normalise_peak`."""
_META = "dimts_voice"


@dataclass(frozen=True, slots=True)
class CloneSettings:
    """Parameters of cloning from references."""

    max_reference_seconds: float = 30.0
    """Seconds used of each reference."""
    conditioning_seconds: float = 30.0
    """Seconds of all references together that the GPT's latents use."""
    chunk_seconds: float = 4.0
    """Length of the chunks over which the latents are averaged."""
    normalise_peak: bool = False
    """Scale each reference to the same peak first."""

    def __post_init__(self) -> None:
        for name in ("max_reference_seconds", "conditioning_seconds", "chunk_seconds"):
            if not getattr(self, name) >= LEAST_CHUNK_SECONDS:
                raise ConfigError(
                    "xtts.clone_setting_too_short",
                    name=name,
                    seconds=getattr(self, name),
                    least=LEAST_CHUNK_SECONDS,
                )


@dataclass(frozen=True)
class Voice:
    """Conditioning of one speaker."""

    latents: Tensor
    """[1, L, D] float32."""
    timbre: Tensor
    """[1, d, 1] float32."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Plain values for JSON: name, source, licence, consent, ..."""

    def __post_init__(self) -> None:
        if self.latents.dim() != 3 or self.latents.shape[:2] != (1, LATENTS):
            raise CheckpointError(
                "xtts.latents_shape_wrong", shape=tuple(self.latents.shape), latents=LATENTS
            )
        if self.timbre.dim() != 3 or self.timbre.shape[0] != 1 or self.timbre.shape[2] != 1:
            raise CheckpointError("xtts.embedding_shape_wrong", shape=tuple(self.timbre.shape))
        for name, tensor in (("latents", self.latents), ("timbre", self.timbre)):
            if not torch.isfinite(tensor).all():
                raise CheckpointError("xtts.voice_not_finite", name=name)

    def to(self, device: torch.device | str) -> Voice:
        """Return the same voice on another device."""
        return Voice(self.latents.to(device), self.timbre.to(device), self.meta)

    def check(self, model: XTTS) -> None:
        """Raise SynthesisError if this voice was made for a model of another size."""
        spec = model.spec
        if self.latents.shape[2] != spec.width or self.timbre.shape[1] != spec.timbre_width:
            raise SynthesisError(
                "xtts.voice_of_other_size",
                voice_latent=self.latents.shape[2],
                voice_embedding=self.timbre.shape[1],
                model_latent=spec.width,
                model_embedding=spec.timbre_width,
            )

    def save(self, path: Path | str) -> None:
        """Write a safetensors file."""
        tensors = {
            "latents": self.latents.detach().cpu().contiguous(),
            "timbre": self.timbre.detach().cpu().contiguous(),
        }
        meta = {_META: json.dumps(dict(self.meta), ensure_ascii=False, sort_keys=True)}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, meta)

    @classmethod
    def load(cls, path: Path | str) -> Voice:
        """Read what `save` wrote; CheckpointError if the file is something else or damaged."""
        try:
            with safe_open(path, "pt") as file:
                names, meta = set(file.keys()), file.metadata() or {}
                if names != {"latents", "timbre"}:
                    raise CheckpointError("xtts.not_a_voice", path=path, names=sorted(names)[:3])
                return cls(
                    file.get_tensor("latents").clone(),
                    file.get_tensor("timbre").clone(),
                    json.loads(meta.get(_META, "{}")),
                )
        except (OSError, SafetensorError, json.JSONDecodeError) as error:
            raise CheckpointError("xtts.voice_unreadable", path=path, reason=error) from error

    @staticmethod
    def blend(voices: Sequence[tuple[Voice, float]]) -> Voice:
        """Return a weighted mean of voices (weights normalised to 1). ConfigError for none, or a weight sum
        of 0."""
        total = sum(weight for _, weight in voices)
        if not voices or total <= 0 or any(weight < 0 for _, weight in voices):
            raise ConfigError("xtts.blend_weights_wrong")
        shares = [weight / total for _, weight in voices]
        latents = torch.stack(
            [voice.latents * share for (voice, _), share in zip(voices, shares, strict=True)]
        ).sum(0)
        timbre = torch.stack(
            [voice.timbre * share for (voice, _), share in zip(voices, shares, strict=True)]
        ).sum(0)
        parts = [
            {"share": share, **dict(voice.meta)} for (voice, _), share in zip(voices, shares, strict=True)
        ]
        return Voice(latents, timbre, {"blend_of": parts})


@torch.no_grad()
def clone(model: XTTS, waves: Sequence[Tensor], settings: CloneSettings | None = None, **meta: Any) -> Voice:
    """Compute a voice from references [T] each, mono at 22 050 Hz in [-1, 1].

    `meta` is stored in the voice. Raises AudioError when less than 0.33 s is left, or a wave is no finite
    mono signal.
    """
    settings = settings or CloneSettings()
    rate, used, timbres = model.spec.input_rate, [], []
    for wave in waves:
        if wave.dim() != 1 or not torch.isfinite(wave).all():
            raise AudioError("xtts.reference_not_mono")
        wave = wave[: int(rate * settings.max_reference_seconds)].to(model.device, torch.float32)[
            None
        ]  # [1, T]
        if wave.shape[1] < LEAST_CHUNK_SECONDS * rate:
            raise AudioError("xtts.reference_too_short", seconds=wave.shape[1] / rate)
        if settings.normalise_peak:
            wave = wave / wave.abs().max().clamp(min=torch.finfo(wave.dtype).tiny) * PEAK
        used.append(wave)
        timbres.append(model.timbre(mels.resample(wave, rate, TIMBRE_RATE)))
    if not used:
        raise AudioError("xtts.no_reference")
    together = torch.cat(used, dim=1)[:, : int(rate * settings.conditioning_seconds)]
    chunks = torch.split(together, int(rate * settings.chunk_seconds), dim=1)
    latents = [
        model.conditioning(model.conditioning_mel(chunk))
        for chunk in chunks
        if chunk.shape[1] >= rate * LEAST_CHUNK_SECONDS
    ]
    return Voice(torch.stack(latents).mean(dim=0), torch.stack(timbres).mean(dim=0), meta)
