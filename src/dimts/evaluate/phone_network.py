"""The network of the phone recogniser: Whisper's first layers, conformer blocks and a linear layer.
The front end is the two convolutions and the first transformer layers of OpenAI's Whisper (Radford et al.
2022, arXiv 2212.04356; MIT), trained on 680 000 hours of speech. The conformer blocks follow Gulati et al.
2020 (arXiv 2005.08100), with layer norm in place of batch norm, so that results do not depend on the other
waves of a batch. Whisper's decoder is not used: there is no language model.
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
    """Sizes of the network."""

    bands: int = 80
    frontend_width: int = 384
    frontend_layers: int = 4
    frontend_heads: int = 6
    width: int = 128
    blocks: int = 2
    heads: int = 4
    kernel: int = 15
    """Kernel size of a block's convolution, in frames of 20 ms."""
    expansion: int = 2
    dropout: float = 0.1


STRIDE = 2
"""Frames of log-mel for each output frame."""


class Network(nn.Module):
    """Maps log-mel [B, F, bands] to log probabilities [B, ceil(F / 2), labels], blank first."""

    def __init__(self, spec: NetworkSpec, outputs: int) -> None:
        super().__init__()
        self.spec = spec
        self.frontend = WhisperFrontEnd(spec)
        self.norm = nn.LayerNorm(spec.frontend_width)
        self.join = nn.Linear(spec.frontend_width, spec.width)
        self.blocks = nn.ModuleList(ConformerBlock(spec) for _ in range(spec.blocks))
        self.out = nn.Linear(spec.width, outputs)

    def forward(self, mels: Tensor, lengths: Tensor) -> Tensor:
        """Compute log probabilities; `lengths` [B] are valid frames, the rest is padding and has no
        effect."""
        return self.classify(*self.frontend(mels, lengths))

    def classify(self, states: Tensor, real: Tensor) -> Tensor:
        """Map front-end states [B, N, width] and their mask [B, N] to log probabilities [B, N, labels]."""
        x = self.join(self.norm(states))
        for block in self.blocks:
            x = block(x, real)
        logits: Tensor = self.out(x)
        return logits.log_softmax(-1)

    def trainable_parameters(self) -> Iterator[nn.Parameter]:
        """Yield all parameters but those of the frozen front end."""
        for name, parameter in self.named_parameters():
            if not name.startswith("frontend."):
                yield parameter


class WhisperFrontEnd(nn.Module):
    """Maps log-mel [B, F, bands] to states [B, ceil(F / 2), front-end width] and their mask [B, ceil(F /
    2)]."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.width = spec.frontend_width
        self.first = nn.Conv1d(spec.bands, spec.frontend_width, 3, padding=1)
        self.second = nn.Conv1d(spec.frontend_width, spec.frontend_width, 3, stride=STRIDE, padding=1)
        self.layers = nn.ModuleList(
            EncoderLayer(spec.frontend_width, spec.frontend_heads) for _ in range(spec.frontend_layers)
        )

    def forward(self, mels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute states and mask; `lengths` [B] are valid frames."""
        real = torch.arange(mels.shape[1], device=mels.device)[None] < lengths[:, None]  # [B, F]
        x = F.gelu(self.first((mels * real[..., None]).transpose(1, 2)))  # [B, width, F]
        x = F.gelu(self.second(x * real[:, None])).transpose(1, 2)  # [B, ceil(F/2), width]
        real = real[:, ::STRIDE]
        x = x + sinusoids(x.shape[1], self.width).to(x)
        for layer in self.layers:
            x = layer(x, real)
        return x, real


class EncoderLayer(nn.Module):
    """A pre-norm transformer layer: self-attention and feed-forward, each with a residual connection."""

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
        """Apply the layer to [B, N, width] with mask [B, N]."""
        x = x + self.join(attention(self.attend(self.attend_norm(x)), self.heads, real))
        out: Tensor = x + self.narrow(F.gelu(self.widen(self.feed_norm(x))))
        return out


def sinusoids(count: int, width: int) -> Tensor:
    """Compute sinusoidal positional embeddings [count, width] (Vaswani et al. 2017; Whisper's layout)."""
    speeds = torch.exp(-math.log(10_000.0) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(count)[:, None] * speeds[None]
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def attention(mixed: Tensor, heads: int, real: Tensor) -> Tensor:
    """Attend with queries, keys and values in one [B, N, 3 · width] and mask [B, N]; gives [B, N, width]."""
    many, count, width = mixed.shape
    queries, keys, values = mixed.view(many, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=real[:, None, None])
    return attended.transpose(1, 2).reshape(many, count, width // 3)


class ConformerBlock(nn.Module):
    """A conformer block: half-step feed-forward, self-attention, convolution, half-step feed-forward."""

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
        """Apply the block to [B, N, width] with mask [B, N]."""
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
