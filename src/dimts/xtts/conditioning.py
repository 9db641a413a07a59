"""Reference mel [B, 80, F] → L latents [B, L, D] that tell the GPT whose voice it is.

An encoder of six attention blocks over frames, then a perceiver whose 32 learned queries read them. Neither has a
mask or positions, so frames may be in any order, and padding would be heard: rows of different length are therefore
encoded one by one, each as if alone (`lengths`), unless the caller wants the padding (coqui's training does).

Keys below `encoder` and `perceiver` are coqui's. Source of the perceiver: Jaegle et al. (2021), resampled as in
Flamingo (Alayrac et al., 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dimts.xtts.attention import Kind, attend
from dimts.xtts.spec import LATENTS, MEL_BANDS, Spec

BLOCKS = 6
PERCEIVER_LAYERS = 2
PERCEIVER_HEADS = 8
PERCEIVER_HEAD_WIDTH = 64
"""Fixed whatever D is."""
PERCEIVER_GROWTH = 8 / 3
"""Width of the perceiver's MLP over D."""


def norm_groups(channels: int) -> int:
    """Groups of a GroupNorm over `channels`: 8, 16 or 32 by size, halved until they divide it."""
    groups = 8 if channels <= 16 else 16 if channels <= 64 else 32
    while channels % groups:
        groups //= 2
    return groups


class Float32GroupNorm(nn.GroupNorm):
    """GroupNorm computed in float32 whatever comes in."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, F] → [B, D, F]."""
        with torch.autocast(x.device.type, enabled=False):
            normed = F.group_norm(x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps)
        return normed.to(x.dtype)


class EncoderBlock(nn.Module):
    """Full attention over frames. The residual is the *normalised* input, as the weights were trained."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kind: Kind = "sdpa"
        self.norm = Float32GroupNorm(norm_groups(width), width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, D, F] → [B, D, F]."""
        batch, width, frames = x.shape
        normed = self.norm(x)
        # Channels are split by head first, then into q, k, v inside each head.
        qkv = self.qkv(normed).view(batch, self.heads, 3, width // self.heads, frames)
        q, k, v = qkv.permute(2, 0, 4, 1, 3).unbind(0)  # each [B, F, H, w]
        seen = attend(self.kind, q, k, v, None).permute(0, 2, 3, 1).reshape(batch, width, frames)
        out: Tensor = normed + self.proj_out(seen)
        return out


class Encoder(nn.Module):
    """Mel → features, frame by frame."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.init = nn.Conv1d(MEL_BANDS, spec.width, 1)
        self.attn = nn.ModuleList(EncoderBlock(spec.width, spec.heads) for _ in range(BLOCKS))

    def forward(self, mel: Tensor) -> Tensor:
        """[B, 80, F] → [B, D, F]."""
        x: Tensor = self.init(mel)
        for block in self.attn:
            x = block(x)
        return x


class CrossAttention(nn.Module):
    """Latents read themselves and the frames."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = PERCEIVER_HEADS * PERCEIVER_HEAD_WIDTH
        self.kind: Kind = "sdpa"
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, latents: Tensor, frames: Tensor) -> Tensor:
        """latents [B, L, D], frames [B, F, D] → [B, L, D]."""
        k, v = self.to_kv(torch.cat((latents, frames), dim=1)).chunk(2, dim=-1)  # [B, L + F, inner]
        q, k, v = (t.unflatten(-1, (PERCEIVER_HEADS, PERCEIVER_HEAD_WIDTH)) for t in (self.to_q(latents), k, v))
        out: Tensor = self.to_out(attend(self.kind, q, k, v, None).flatten(2))
        return out


class GatedGelu(nn.Module):
    """(u, gate) → u · gelu(gate), with the exact (erf) gelu."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., 2w] → [..., w]."""
        u, gate = x.chunk(2, dim=-1)
        return u * F.gelu(gate)


class UnitNorm(nn.Module):
    """x / ‖x‖ · √D · gamma."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] → [..., D]."""
        return F.normalize(x, dim=-1) * math.sqrt(x.shape[-1]) * self.gamma


class Perceiver(nn.Module):
    """Features → L latents."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        inner = int(spec.width * PERCEIVER_GROWTH)
        self.latents = nn.Parameter(torch.empty(LATENTS, spec.width))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                (
                    CrossAttention(spec.width),
                    nn.Sequential(nn.Linear(spec.width, 2 * inner), GatedGelu(), nn.Linear(inner, spec.width)),
                )
            )
            for _ in range(PERCEIVER_LAYERS)
        )
        self.norm = UnitNorm(spec.width)
        nn.init.normal_(self.latents, std=0.02)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, F, D] → [B, L, D]. No norm before the layers, plain residuals."""
        latents = self.latents.expand(frames.shape[0], -1, -1)
        for layer in self.layers:
            attention, mlp = cast(nn.ModuleList, layer)
            latents = attention(latents, frames) + latents
            latents = mlp(latents) + latents
        out: Tensor = self.norm(latents)
        return out


class Conditioning(nn.Module):
    """Encoder and perceiver in one."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.encoder = Encoder(spec)
        self.perceiver = Perceiver(spec)

    def forward(self, mel: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """[B, 80, F] → [B, L, D].

        With `lengths` (real frames of each row) no padding is seen: rows of equal length run together, others
        alone, so a row's latents do not depend on its neighbours. Without, all F frames of every row are read.
        """
        if lengths is None or all(length == mel.shape[-1] for length in lengths):
            out: Tensor = self.perceiver(self.encoder(mel).transpose(1, 2))
            return out
        groups: dict[int, list[int]] = {}
        for row, length in enumerate(lengths):
            groups.setdefault(length, []).append(row)
        parts = [self(mel[rows, :, :length]) for length, rows in groups.items()]
        order = [row for rows in groups.values() for row in rows]
        back = torch.tensor(order, device=mel.device).argsort()
        return torch.cat(parts)[back]

    def use_attention(self, kind: Kind) -> None:
        """Choose the kernel of every attention in here."""
        for module in self.modules():
            if isinstance(module, EncoderBlock | CrossAttention):
                module.kind = kind
