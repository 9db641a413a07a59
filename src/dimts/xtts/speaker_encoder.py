"""Compute the speaker vector that conditions the vocoder, from a wave at 16 kHz: [B, T] → [B, d, 1].

A ResNet-34 with squeeze-and-excitation over 64 mel bands, pooled by attention. Its input is not changed. Keys
are coqui's, the constant front end included, so that files keep every byte.

Source: Heo et al., "Clova baseline system for the VoxCeleb Speaker Recognition Challenge 2020" (H/ASP).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dimts.xtts.mel import PRE_EMPHASIS, TIMBRE, filter_bank, power_mel, window
from dimts.xtts.spec import Spec

STAGES = (3, 4, 6, 3)
"""Blocks of the four stages."""
SQUEEZE = 8
POOL_WIDTH = 128
LOG_FLOOR = 1e-6
VARIANCE_FLOOR = 1e-5


class PreEmphasis(nn.Module):
    """x[t] - 0.97 x[t-1] as the convolution in the published files."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", torch.empty(1, 1, 2))

    def forward(self, wave: Tensor) -> Tensor:
        """[B, T] → [B, T]; the first sample takes the second as its predecessor."""
        return F.conv1d(F.pad(wave[:, None], (1, 0), mode="reflect"), self.filter)[:, 0]


class _Window(nn.Module):
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.empty(TIMBRE.window))


class _Bank(nn.Module):
    fb: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fb", torch.empty(TIMBRE.transform // 2 + 1, TIMBRE.bands))


class MelSpectrogram(nn.Module):
    """Mel spectrogram with the window and bank of the published files."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrogram = _Window()
        self.mel_scale = _Bank()

    def forward(self, wave: Tensor) -> Tensor:
        """[B, T] → mel power [B, 64, T // 160 + 1]."""
        return power_mel(wave, TIMBRE, (self.spectrogram.window, self.mel_scale.fb))


class SqueezeExcitation(nn.Module):
    """Channel weights from the channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // SQUEEZE),
            nn.ReLU(),
            nn.Linear(channels // SQUEEZE, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, h, n] → [B, c, h, n]."""
        weight: Tensor = self.fc(x.mean(dim=(2, 3)))
        return x * weight[:, :, None, None]


class SEBasicBlock(nn.Module):
    """Two convolutions with a short cut; ReLU comes *before* the first norm."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.se = SqueezeExcitation(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, h, n] → [B, out, h / stride, n / stride]."""
        short = x if self.downsample is None else self.downsample(x)
        x = self.bn1(F.relu(self.conv1(x)))
        x = self.se(self.bn2(self.conv2(x)))
        return F.relu(x + short)


class SpeakerEncoder(nn.Module):
    """The speaker encoder."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        filters = spec.timbre_filters
        self.conv1 = nn.Conv2d(1, filters[0], 3, padding=1)
        self.bn1 = nn.BatchNorm2d(filters[0])
        channels = filters[0]
        for index, (blocks, out_channels) in enumerate(zip(STAGES, filters, strict=True)):
            stride = 1 if index == 0 else 2
            stage = [SEBasicBlock(channels, out_channels, stride)]
            stage += [SEBasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{index + 1}", nn.Sequential(*stage))
            channels = out_channels
        self.torch_spec = nn.Sequential(PreEmphasis(), MelSpectrogram())
        pooled = channels * (TIMBRE.bands // 2 ** (len(STAGES) - 1))
        self.attention = nn.Sequential(
            nn.Conv1d(pooled, POOL_WIDTH, 1),
            nn.ReLU(),
            nn.BatchNorm1d(POOL_WIDTH),
            nn.Conv1d(POOL_WIDTH, pooled, 1),
            nn.Softmax(dim=2),
        )
        self.fc = nn.Linear(2 * pooled, spec.timbre_width)
        self.reset_constants()

    def reset_constants(self) -> None:
        """Compute the front end's constants, which files need not hold."""
        emphasis, mel = cast(tuple[PreEmphasis, MelSpectrogram], tuple(self.torch_spec))
        device = emphasis.filter.device
        if device.type == "meta":
            return
        emphasis.filter = torch.tensor([[[-PRE_EMPHASIS, 1.0]]], device=device)
        mel.spectrogram.window = window(TIMBRE, device)
        mel.mel_scale.fb = filter_bank(TIMBRE).to(device)

    def mel_power(self, wave: Tensor) -> Tensor:
        """[B, T] at 16 kHz → mel power [B, 64, F] of the pre-emphasised wave."""
        out: Tensor = self.torch_spec(wave)
        return out

    def forward(self, wave: Tensor) -> Tensor:
        """[B, T] at 16 kHz → unit vectors [B, d, 1]. Raises AudioError under 0.016 s."""
        mel = F.instance_norm((self.mel_power(wave) + LOG_FLOOR).log())  # [B, 64, F]
        x = self.bn1(F.relu(self.conv1(mel[:, None])))  # [B, c, 64, F]
        for index in range(len(STAGES)):
            x = getattr(self, f"layer{index + 1}")(x)
        x = x.flatten(1, 2)  # [B, c * 8, F / 8]
        weight = self.attention(x)
        mean = (x * weight).sum(dim=2)
        spread = ((x.square() * weight).sum(dim=2) - mean.square()).clamp(min=VARIANCE_FLOOR).sqrt()
        return F.normalize(self.fc(torch.cat((mean, spread), dim=1)))[:, :, None]
