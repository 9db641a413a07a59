"""The recogniser's network: log-mel → log chances of phones. A borrowed frontend, conformer blocks, one linear layer.

The frontend is the beginning of a network that has heard 680 000 hours of people: two convolutions and the first
transformer layers of OpenAI's Whisper (Radford et al. 2022, arXiv 2212.04356; MIT). What follows is ours: conformer
blocks after Gulati et al. 2020 (arXiv 2005.08100), small, with layer norm for batch norm, so that one wave alone is
heard as it is in a batch. Whisper's words are left behind: there is no language model, it writes what it hears.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Sizes."""

    bands: int = 80
    frontend_width: int = 384
    frontend_layers: int = 4
    frontend_heads: int = 6
    width: int = 128
    blocks: int = 2
    heads: int = 4
    kernel: int = 15
    """Frames (of 20 ms) that one block's convolution sees."""
    expansion: int = 2
    dropout: float = 0.1


STRIDE = 2
"""Frames of log-mel to one answer."""


class Network(nn.Module):
    """[B, F, bands] log-mel → [B, ceil(F / 2), phones] log chances, blank first."""

    def __init__(self, spec: NetworkSpec, outputs: int) -> None:
        super().__init__()
        self.spec = spec
        self.frontend = WhisperFrontEnd(spec)
        self.norm = nn.LayerNorm(spec.frontend_width)
        self.join = nn.Linear(spec.frontend_width, spec.width)
        self.blocks = nn.ModuleList(ConformerBlock(spec) for _ in range(spec.blocks))
        self.out = nn.Linear(spec.width, outputs)

    def forward(self, mels: Tensor, lengths: Tensor) -> Tensor:
        """`lengths` [B]: frames of each that are sound; the rest is padding and is not looked at."""
        return self.judge(*self.frontend(mels, lengths))

    def judge(self, states: Tensor, real: Tensor) -> Tensor:
        """What the frontend gave, [B, N, front-end width] and [B, N] → [B, N, phones] log chances."""
        x = self.join(self.norm(states))
        for block in self.blocks:
            x = block(x, real)
        logits: Tensor = self.out(x)
        return logits.log_softmax(-1)

    def own(self) -> Iterator[nn.Parameter]:
        """What is not the ear's: all that learns."""
        for name, parameter in self.named_parameters():
            if not name.startswith("frontend."):
                yield parameter


class WhisperFrontEnd(nn.Module):
    """[B, F, bands] → states [B, ceil(F / 2), front-end width], and which of them are sound [B, ceil(F / 2)]."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.width = spec.frontend_width
        self.first = nn.Conv1d(spec.bands, spec.frontend_width, 3, padding=1)
        self.second = nn.Conv1d(spec.frontend_width, spec.frontend_width, 3, stride=STRIDE, padding=1)
        self.layers = nn.ModuleList(
            Layer(spec.frontend_width, spec.frontend_heads) for _ in range(spec.frontend_layers)
        )

    def forward(self, mels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """`lengths` [B]: frames of each that are sound."""
        real = torch.arange(mels.shape[1], device=mels.device)[None] < lengths[:, None]  # [B, F]
        x = F.gelu(self.first((mels * real[..., None]).transpose(1, 2)))  # [B, width, F]
        x = F.gelu(self.second(x * real[:, None])).transpose(1, 2)  # [B, ceil(F/2), width]
        real = real[:, ::STRIDE]
        x = x + sinusoids(x.shape[1], self.width).to(x)
        for layer in self.layers:
            x = layer(x, real)
        return x, real


class Layer(nn.Module):
    """Attention, then a feed-forward, each beside a straight way (pre-norm)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attend_norm, self.attend, self.join = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )
        self.feed_norm, self.widen, self.narrow = (
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """[B, N, width] → the same."""
        x = x + self.join(attention(self.attend(self.attend_norm(x)), self.heads, real))
        out: Tensor = x + self.narrow(F.gelu(self.widen(self.feed_norm(x))))
        return out


def sinusoids(count: int, width: int) -> Tensor:
    """Sines and cosines that tell where a frame stands, [count, width] (Vaswani et al. 2017, as Whisper has them)."""
    speeds = torch.exp(-math.log(10_000.0) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(count)[:, None] * speeds[None]
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def attention(mixed: Tensor, heads: int, real: Tensor) -> Tensor:
    """Queries, keys and values in one, [B, N, 3 · width] → [B, N, width]; places that are no sound are not seen."""
    many, count, width = mixed.shape
    asked, keys, values = mixed.view(many, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
    seen = F.scaled_dot_product_attention(asked, keys, values, attn_mask=real[:, None, None])
    return seen.transpose(1, 2).reshape(many, count, width // 3)


class ConformerBlock(nn.Module):
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
        x = x + self.drop(self.join(attention(self.attend(self.attend_norm(x)), self.heads, real)))
        x = x + self.drop(self._convolution(self.convolve_norm(x), real))
        x = x + 0.5 * self.after(x)
        normed: Tensor = self.norm(x)
        return normed

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
