"""The listener's network: log-mel → log chances of phones. Convolutions, then conformer blocks, then one linear layer.

Conformer after Gulati et al. 2020 (arXiv 2005.08100), small, with layer norm for batch norm, so that one wave alone
is heard as it is in a batch. There is no language model and no memory of words: it writes what it hears.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Sizes."""

    bands: int = 64
    width: int = 128
    blocks: int = 4
    heads: int = 4
    kernel: int = 15
    """Frames (of 20 ms) that one block's convolution sees."""
    expansion: int = 3
    dropout: float = 0.05


STRIDE = 2
"""Frames of log-mel to one answer."""


class Network(nn.Module):
    """[B, F, bands] log-mel → [B, ceil(F / 2), phones] log chances, blank first."""

    def __init__(self, spec: NetworkSpec, outputs: int) -> None:
        super().__init__()
        self.spec = spec
        self.first = nn.Conv1d(spec.bands, spec.width, 3, padding=1)
        self.second = nn.Conv1d(spec.width, spec.width, 5, stride=STRIDE, padding=2)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.blocks))
        self.out = nn.Linear(spec.width, outputs)

    def forward(self, mels: Tensor, lengths: Tensor) -> Tensor:
        """`lengths` [B]: frames of each that are sound; the rest is padding and is not looked at."""
        real = torch.arange(mels.shape[1], device=mels.device)[None] < lengths[:, None]  # [B, F]
        x = F.gelu(self.first((mels * real[..., None]).transpose(1, 2)))  # [B, width, F]
        x = F.gelu(self.second(x * real[:, None])).transpose(1, 2)  # [B, ceil(F/2), width]
        real = real[:, ::STRIDE]
        for block in self.blocks:
            x = block(x, real)
        logits: Tensor = self.out(x)
        return logits.log_softmax(-1)


class Block(nn.Module):
    """Half a feed-forward, attention, convolution, the other half."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        width, self.heads = spec.width, spec.heads
        self.before, self.after = _feed(spec), _feed(spec)
        self.attend_norm, self.attend, self.join = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )
        self.convolve_norm, self.gate = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, spec.kernel, padding=spec.kernel // 2, groups=width)
        self.mix_norm, self.mix = nn.LayerNorm(width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(spec.dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[B, N, width] and which of its places are sound [B, N] → [B, N, width]."""
        x = x + 0.5 * self.before(x)
        x = x + self.drop(self._attention(self.attend_norm(x), real))
        x = x + self.drop(self._convolution(self.convolve_norm(x), real))
        x = x + 0.5 * self.after(x)
        normed: Tensor = self.norm(x)
        return normed

    def _attention(self, x: Tensor, real: Tensor) -> Tensor:
        many, places, width = x.shape
        asked, keys, values = self.attend(x).view(many, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(asked, keys, values, attn_mask=real[:, None, None])
        joined: Tensor = self.join(seen.transpose(1, 2).reshape(many, places, width))
        return joined

    def _convolution(self, x: Tensor, real: Tensor) -> Tensor:
        x = F.glu(self.gate(x)) * real[..., None]
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = self.mix(F.silu(self.mix_norm(x)))
        return mixed


def _feed(spec: NetworkSpec) -> nn.Sequential:
    inner = spec.width * spec.expansion
    return nn.Sequential(
        nn.LayerNorm(spec.width),
        nn.Linear(spec.width, inner),
        nn.SiLU(),
        nn.Dropout(spec.dropout),
        nn.Linear(inner, spec.width),
        nn.Dropout(spec.dropout),
    )
