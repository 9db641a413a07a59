"""Encode a reference mel [B, 80, F] into the L latents [B, L, D] that condition the GPT on a voice.

An encoder of six attention blocks over frames, then a perceiver whose 32 learned queries attend to them.
Neither has a mask or positions, so the order of frames does not matter, and padding would have an effect:
rows of different length are packed one behind the other (`lengths`), unless the caller wants the padding
(coqui's training does).

Keys below `encoder` and `perceiver` are coqui's. Source of the perceiver: Jaegle et al. (2021), resampled as
in Flamingo (Alayrac et al., 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dimts.xtts.attention import SequenceLayout, attend, attend_self, kernel_for
from dimts.xtts.kernel_limits import Kind
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
    """GroupNorm over each row's frames, computed in float32 whatever the input."""

    def each(self, x: Tensor, layout: SequenceLayout) -> Tensor:
        """Packed frames [N, D] → [N, D]."""
        with torch.autocast(x.device.type, enabled=False):
            parts = []
            for part in torch.split(x.float(), list(layout.lengths)):
                image = part.t()[None, :, None]  # [1, D, 1, F] in the channels-last order: nothing is copied
                normed = F.group_norm(
                    image, self.num_groups, self.weight.float(), self.bias.float(), self.eps
                )
                parts.append(normed[0, :, 0].t())
            return torch.cat(parts).to(x.dtype)


class EncoderBlock(nn.Module):
    """Full attention over a row's frames. The residual is the *normalised* input, as the weights were
    trained."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kind: Kind = "sdpa"
        self.norm = Float32GroupNorm(norm_groups(width), width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, layout: SequenceLayout) -> Tensor:
        """Packed frames [N, D] → [N, D]."""
        normed = self.norm.each(x, layout)
        # Channels are split by head first, then into q, k, v inside each head.
        qkv = framewise(self.qkv, normed).view(1, len(x), self.heads, 3, -1)
        seen = attend_self(self.kind, qkv, 3, layout)[0].flatten(1)
        return normed + framewise(self.proj_out, seen)


def framewise(layer: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution of width 1 over packed frames, [N, in] → [N, out]: one matrix product."""
    return F.linear(x, layer.weight[:, :, 0], layer.bias)


class ConditioningEncoder(nn.Module):
    """Mel encoder, frame by frame."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.checkpoint = False
        """Compute each block again in the backward pass instead of keeping what it needs."""
        self.init = nn.Conv1d(MEL_BANDS, spec.width, 1)
        self.attn = nn.ModuleList(EncoderBlock(spec.width, spec.heads) for _ in range(BLOCKS))

    def forward(self, mel: Tensor, layout: SequenceLayout) -> Tensor:
        """Packed frames [N, 80] → [N, D]."""
        x: Tensor = framewise(self.init, mel)
        for block in self.attn:
            if self.checkpoint and torch.is_grad_enabled():
                x = checkpoint(block, x, layout, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, layout)
        return x


class CrossAttention(nn.Module):
    """Cross-attention of latents over themselves and the frames."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = PERCEIVER_HEADS * PERCEIVER_HEAD_WIDTH
        self.kind: Kind = "sdpa"
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, latents: Tensor, frames: Tensor, layout: SequenceLayout) -> Tensor:
        """latents [B, L, D], packed frames [N, D] → [B, L, D]."""
        # On a processor eager, for the reason given in `attend_self`; 32 queries cost nothing.
        kind: Kind = (
            "eager" if kernel_for(self.kind, frames) == "sdpa" and frames.device.type == "cpu" else self.kind
        )
        batch, count = latents.shape[:2]
        own, others = self.to_kv(latents), torch.split(self.to_kv(frames), list(layout.lengths))
        kv = torch.cat(
            [part for pair in zip(own, others, strict=True) for part in pair]
        )  # [B · L + N, 2 · inner]
        k, v = kv.view(1, -1, 2, PERCEIVER_HEADS, PERCEIVER_HEAD_WIDTH).unbind(2)  # [1, B · L + N, H, w] each
        q = self.to_q(latents).view(1, -1, PERCEIVER_HEADS, PERCEIVER_HEAD_WIDTH)
        asked = SequenceLayout((count,) * batch, packed=True, causal=False)
        keys = SequenceLayout(tuple(count + length for length in layout.lengths), packed=True, causal=False)
        seen = attend(kind, q, k, v, asked, keys=keys)
        out: Tensor = self.to_out(seen.view(batch, count, -1))
        return out


class GatedGelu(nn.Module):
    """(u, gate) → u · gelu(gate), with the exact (erf) gelu."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., 2w] → [..., w]."""
        u, gate = x.chunk(2, dim=-1)
        return u * F.gelu(gate)


class RMSNorm(nn.Module):
    """x / ‖x‖ · √D · gamma."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] → [..., D]."""
        return F.normalize(x, dim=-1) * math.sqrt(x.shape[-1]) * self.gamma


class Perceiver(nn.Module):
    """Resampler of features into L latents."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        inner = int(spec.width * PERCEIVER_GROWTH)
        self.latents = nn.Parameter(torch.empty(LATENTS, spec.width))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                (
                    CrossAttention(spec.width),
                    nn.Sequential(
                        nn.Linear(spec.width, 2 * inner), GatedGelu(), nn.Linear(inner, spec.width)
                    ),
                )
            )
            for _ in range(PERCEIVER_LAYERS)
        )
        self.norm = RMSNorm(spec.width)
        nn.init.normal_(self.latents, std=0.02)

    def forward(self, frames: Tensor, layout: SequenceLayout) -> Tensor:
        """Packed frames [N, D] → [B, L, D]. No norm before the layers, plain residuals."""
        latents = self.latents.expand(len(layout.lengths), -1, -1)
        for layer in self.layers:
            attention, mlp = cast(nn.ModuleList, layer)
            latents = attention(latents, frames, layout) + latents
            latents = mlp(latents) + latents
        out: Tensor = self.norm(latents)
        return out


class Conditioning(nn.Module):
    """Encoder and perceiver in one."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.encoder = ConditioningEncoder(spec)
        self.perceiver = Perceiver(spec)

    def forward(self, mel: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """[B, 80, F] → [B, L, D].

        With `lengths` (real frames of each row) no padding is seen; without, all F frames of every row are
        read. A row's latents do not depend on its neighbours: frames are packed, rows one behind the other,
        and what mixes frames (norms and attention) goes row by row.
        """
        sizes = [mel.shape[-1]] * len(mel) if lengths is None else list(lengths)
        layout = SequenceLayout(tuple(sizes), packed=True, causal=False)
        frames = torch.cat([row[:, :size].t() for row, size in zip(mel, sizes, strict=True)])  # [N, 80]
        out: Tensor = self.perceiver(self.encoder(frames, layout), layout)
        return out

    def use_checkpointing(self, on: bool) -> None:
        """Compute the encoder's blocks again in the backward pass instead of keeping what they need."""
        self.encoder.checkpoint = on

    def use_attention(self, kind: Kind) -> None:
        """Choose the kernel of every attention in here."""
        for module in self.modules():
            if isinstance(module, EncoderBlock | CrossAttention):
                module.kind = kind
