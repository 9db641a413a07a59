"""Vocode latents [B, n, D] at 21.53 per second into a wave [B, T] at 24 kHz, with timbre [B, d, 1].

Latents are stretched linearly to the vocoder's frame rate (two steps, as the weights were trained), then
HiFi-GAN turns frames into 256 samples each. Weight norm is folded once and the folded weights are kept until
the parameters change, so speaking costs no renormalisation. `stream.py` runs the same layers piece by piece.

Keys are coqui's. Source: Kong, Kim and Bae, "HiFi-GAN" (2020).
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dimts.xtts import pace
from dimts.xtts.spec import Spec

UPSAMPLE_RATES = (8, 8, 2, 2)
UPSAMPLE_KERNELS = (16, 16, 4, 4)
RESIDUAL_KERNELS = (3, 7, 11)
RESIDUAL_DILATIONS = (1, 3, 5)
SLOPE = 0.1
FINAL_SLOPE = 0.01
EDGE_KERNEL = 7
"""Kernel of the first and the last convolution."""


def neighbours(first: int, end: int, factor: float) -> tuple[Tensor, Tensor]:
    """Return `pace.neighbours` as tensors: left neighbour [n] int64 and share of the right one."""
    left, share = pace.neighbours(first, end, factor)
    return torch.from_numpy(left), torch.from_numpy(share)


def stretch(x: Tensor, factor: float) -> Tensor:
    """Interpolate linearly in time: [B, c, n] → [B, c, floor(n * factor)].

    torch copies its input when both lengths happen to be equal (90 latents at speed 0.99), as upstream does;
    here the factor counts for every length.
    """
    count = x.shape[-1]
    if math.floor(count * factor) == 0:
        return x[..., :0]
    if math.floor(count * factor) != count or factor == 1.0:
        return F.interpolate(x, scale_factor=factor, mode="linear", align_corners=False)
    left, share = neighbours(0, count, factor)
    left, share = left.to(x.device), share.to(x)
    return x[..., left] * (1 - share) + x[..., (left + 1).clamp(max=count - 1)] * share


class _Pair(nn.Module):
    """Length (g) and direction (v) of a normed weight, under torch's own names."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        direction = torch.empty(shape)
        nn.init.normal_(
            direction, std=1 / math.sqrt(math.prod(shape[1:]))
        )  # signals keep their variance at initialisation
        self.original0 = nn.Parameter(torch.ones(shape[0], *(1 for _ in shape[1:])))
        self.original1 = nn.Parameter(direction)


class Normed(nn.Module):
    """A weight-normalised weight: g · v / ‖v‖, the norm over all axes but the first."""

    def __init__(self, shape: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.parametrizations = nn.ModuleDict({"weight": _Pair(shape)})
        self._folded: tuple[tuple[object, ...], Tensor] | None = None
        with torch.no_grad():
            pair = self._pair()
            if not pair.original1.is_meta:
                pair.original0.copy_(pair.original1.flatten(1).norm(dim=1).view_as(pair.original0))

    def train(self, mode: bool = True) -> Normed:
        """Change the mode and drop the folded weight: a fused optimizer changes parameters without a new
        version."""
        self._folded = None
        return super().train(mode)

    def _pair(self) -> _Pair:
        return cast(_Pair, self.parametrizations["weight"])

    def weight(self) -> Tensor:
        """The weight itself; folded once when no gradient is needed."""
        pair = self._pair()
        g, v = pair.original0, pair.original1
        if torch.is_grad_enabled() and (g.requires_grad or v.requires_grad):
            return torch._weight_norm(v, g, 0)
        key = (g.data_ptr(), g._version, v.data_ptr(), v._version, v.dtype, v.device)
        if self._folded is None or self._folded[0] != key:
            with torch.inference_mode(False), torch.no_grad():
                self._folded = (key, torch._weight_norm(v, g, 0))
        return self._folded[1]


class NormedConv(Normed):
    """A convolution that keeps the length."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__((channels, channels, kernel), channels)
        self.kernel, self.dilation = kernel, dilation
        self.padding = (kernel - 1) * dilation // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, n] → [B, c, n]."""
        return F.conv1d(x, self.weight(), self.bias, padding=self.padding, dilation=self.dilation)


class NormedUpsample(Normed):
    """A transposed convolution that multiplies the length by `rate`."""

    def __init__(self, channels: int, out_channels: int, rate: int, kernel: int) -> None:
        super().__init__((channels, out_channels, kernel), out_channels)
        self.rate, self.kernel = rate, kernel
        self.padding = (kernel - rate) // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, n] → [B, out, n * rate]."""
        return F.conv_transpose1d(x, self.weight(), self.bias, stride=self.rate, padding=self.padding)


class VocoderResidualBlock(nn.Module):
    """Three pairs of dilated convolutions, each added to its input."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(NormedConv(channels, kernel, dilation) for dilation in RESIDUAL_DILATIONS)
        self.convs2 = nn.ModuleList(NormedConv(channels, kernel, 1) for _ in RESIDUAL_DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, n] → [B, c, n]."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Vocoder(nn.Module):
    """HiFi-GAN with the timbre added to its input and at every level."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.hop = spec.output_hop
        self.spec = spec
        channels = spec.vocoder_channels
        self.conv_pre = nn.Conv1d(spec.width, channels, EDGE_KERNEL, padding=EDGE_KERNEL // 2)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        conds = []
        self.cond_layer = nn.Conv1d(spec.timbre_width, channels, 1)
        for rate, kernel in zip(UPSAMPLE_RATES, UPSAMPLE_KERNELS, strict=True):
            self.ups.append(NormedUpsample(channels, channels // 2, rate, kernel))
            channels //= 2
            conds.append(nn.Conv1d(spec.timbre_width, channels, 1))
            self.resblocks.extend(VocoderResidualBlock(channels, width) for width in RESIDUAL_KERNELS)
        self.conv_post = nn.Conv1d(channels, 1, EDGE_KERNEL, padding=EDGE_KERNEL // 2, bias=False)
        self.conds = nn.ModuleList(conds)

    def residuals(self, level: int) -> tuple[VocoderResidualBlock, ...]:
        """Return the three residual blocks of one level, whose outputs are averaged."""
        width = len(RESIDUAL_KERNELS)
        return tuple(self.resblocks[level * width + i] for i in range(width))  # type: ignore[misc]

    def stretches(self, speed: float = 1.0) -> tuple[float, ...]:
        """Return the factors that latents are interpolated by in time, in order."""
        return pace.stretches(self.spec, speed)

    def frames(self, latents: int, speed: float = 1.0) -> int:
        """Return the number of vocoder frames (of `hop` samples) of so many latents."""
        count = latents
        for factor in self.stretches(speed):
            count = pace.stretched_count(count, factor)
        return count

    def interpolate(self, latents: Tensor, speed: float = 1.0) -> Tensor:
        """Interpolate [B, n, D] to frames [B, D, frames(n)]; speed 0.8 stretches by 1.25."""
        x = latents.transpose(1, 2)
        for factor in self.stretches(speed):
            x = stretch(x, factor)
        return x

    def vocode(self, frames: Tensor, timbre: Tensor) -> Tensor:
        """Frames [B, D, F], timbre [B, d, 1] → wave [B, 256 F]."""
        if not frames.shape[-1]:
            return frames.new_empty(len(frames), 0)
        x = self.conv_pre(frames) + self.cond_layer(timbre)
        for level, (up, cond) in enumerate(zip(self.ups, self.conds, strict=True)):
            x = up(F.leaky_relu(x, SLOPE)) + cond(timbre)
            x = sum(block(x) for block in self.residuals(level)) / len(RESIDUAL_KERNELS)
        wave: Tensor = torch.tanh(self.conv_post(F.leaky_relu(x, FINAL_SLOPE)))  # [B, 1, T]
        return wave[:, 0]

    def forward(self, latents: Tensor, timbre: Tensor, speed: float = 1.0) -> Tensor:
        """Latents [B, n, D], timbre [B, d, 1] → wave [B, 256 · frames(n)] in [-1, 1]."""
        return self.vocode(self.interpolate(latents, speed), timbre)
