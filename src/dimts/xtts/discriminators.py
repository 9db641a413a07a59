"""Score waves as real or generated, for the adversarial training of the vocoder.

    discriminator = build_discriminator("hifigan", seed=1)
    output = discriminator(wave)                     wave [B, T] → scores and feature maps of each part

Multi-period and multi-scale discriminators are those of HiFi-GAN, with coqui's keys below `mpd` and `msd`. On
a processor they cost many times what the generator costs; `SpectrogramDiscriminator`, a few small
convolutions over complex spectrograms of three resolutions, costs less than the generator of the small size.

Sources: Kong, Kim and Bae, "HiFi-GAN" (2020); Défossez et al., "High Fidelity Neural Audio Compression"
(2022) for discriminators of complex spectrograms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm

SLOPE = 0.1
PERIODS = (2, 3, 5, 7, 11)
PERIOD_CHANNELS = (1, 32, 128, 512, 1024)
SCALE_LAYERS = (
    (1, 128, 15, 1, 1),
    (128, 128, 41, 2, 4),
    (128, 256, 41, 2, 16),
    (256, 512, 41, 4, 16),
    (512, 1024, 41, 4, 16),
    (1024, 1024, 41, 1, 16),
    (1024, 1024, 5, 1, 1),
)
"""Channels in and out, kernel, stride and groups of a scale discriminator's convolutions."""
TRANSFORMS = (1024, 512, 256)
"""Samples of the Fourier transforms of the spectrogram discriminators."""

Kind = Literal["hifigan", "spectrogram"]


@dataclass(frozen=True)
class DiscriminatorOutput:
    """Scores and feature maps of a batch of waves."""

    scores: list[Tensor]
    """For each part, scores [B, n] of stretches of each wave: 1 for real, 0 for generated."""
    features: list[list[Tensor]]
    """For each part, the outputs of its layers, the scores last."""

    def __add__(self, other: DiscriminatorOutput) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.scores + other.scores, self.features + other.features)


class PeriodDiscriminator(nn.Module):
    """Score the samples that are a period apart."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period
        pairs = pairwise(PERIOD_CHANNELS)
        convs = [nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0)) for a, b in pairs]
        convs.append(nn.Conv2d(PERIOD_CHANNELS[-1], PERIOD_CHANNELS[-1], (5, 1), padding=(2, 0)))
        self.convs = nn.ModuleList(parametrizations.weight_norm(conv) for conv in convs)
        self.conv_post = parametrizations.weight_norm(
            nn.Conv2d(PERIOD_CHANNELS[-1], 1, (3, 1), padding=(1, 0))
        )

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, 1, T] → scores [B, n] and feature maps."""
        if missing := -wave.shape[-1] % self.period:
            wave = F.pad(wave, (0, missing), "reflect")
        return _run(wave.view(len(wave), 1, -1, self.period), self.convs, self.conv_post)


class ScaleDiscriminator(nn.Module):
    """Score a wave at one rate."""

    def __init__(self, *, spectral: bool) -> None:
        super().__init__()
        norm = spectral_norm if spectral else parametrizations.weight_norm
        self.convs = nn.ModuleList(
            norm(nn.Conv1d(a, b, kernel, stride, padding=kernel // 2, groups=groups))
            for a, b, kernel, stride, groups in SCALE_LAYERS
        )
        self.conv_post = norm(nn.Conv1d(SCALE_LAYERS[-1][1], 1, 3, padding=1))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, 1, T] → scores [B, n] and feature maps."""
        return _run(wave, self.convs, self.conv_post)


class MultiPeriodDiscriminator(nn.Module):
    """Five period discriminators."""

    def __init__(self) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(PeriodDiscriminator(period) for period in PERIODS)

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        """[B, T] → scores and feature maps."""
        return _gathered(part(wave[:, None]) for part in self.discriminators)


class MultiScaleDiscriminator(nn.Module):
    """Three scale discriminators: the wave itself, at half and at a quarter of its rate."""

    def __init__(self) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(ScaleDiscriminator(spectral=scale == 0) for scale in range(3))
        self.meanpools = nn.ModuleList(nn.AvgPool1d(4, 2, padding=2) for _ in range(2))

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        """[B, T] → scores and feature maps."""
        waves = [wave[:, None]]
        for pool in self.meanpools:
            waves.append(pool(waves[-1]))
        return _gathered(part(scaled) for part, scaled in zip(self.discriminators, waves, strict=True))


class HiFiGANDiscriminator(nn.Module):
    """HiFi-GAN's discriminators: five of periods, three of scales (70.7 M parameters)."""

    def __init__(self) -> None:
        super().__init__()
        self.mpd = MultiPeriodDiscriminator()
        self.msd = MultiScaleDiscriminator()

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        """[B, T] → scores and feature maps."""
        output: DiscriminatorOutput = self.mpd(wave) + self.msd(wave)
        return output


class SpectrogramPart(nn.Module):
    """Score a complex spectrogram of one resolution."""

    window: Tensor

    def __init__(self, transform: int, channels: int) -> None:
        super().__init__()
        self.transform = transform
        self.register_buffer("window", torch.hann_window(transform).clone(), persistent=False)
        shapes = ((2, channels, 1), (channels, channels, 2), (channels, channels, 2), (channels, channels, 2))
        self.convs = nn.ModuleList(
            parametrizations.weight_norm(nn.Conv2d(a, b, (7, 3), (stride, 1), padding=(3, 1)))
            for a, b, stride in shapes
        )
        self.conv_post = parametrizations.weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, T] → scores [B, n] and feature maps."""
        spectrum = torch.stft(
            wave,
            self.transform,
            self.transform // 4,
            window=self.window,
            normalized=True,
            return_complex=True,
        )  # [B, bins, F]
        return _run(torch.stack((spectrum.real, spectrum.imag), dim=1), self.convs, self.conv_post)


class SpectrogramDiscriminator(nn.Module):
    """Score complex spectrograms of three resolutions."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(SpectrogramPart(transform, channels) for transform in TRANSFORMS)

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        """[B, T] → scores and feature maps. T must exceed half the longest transform, 512 samples."""
        return _gathered(part(wave) for part in self.discriminators)


def build_discriminator(kind: Kind, seed: int) -> HiFiGANDiscriminator | SpectrogramDiscriminator:
    """A discriminator with random weights; the same seed gives the same weights, and no global state is
    touched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HiFiGANDiscriminator() if kind == "hifigan" else SpectrogramDiscriminator()


def _run(x: Tensor, convs: nn.ModuleList, conv_post: nn.Module) -> tuple[Tensor, list[Tensor]]:
    features = []
    for conv in convs:
        x = F.leaky_relu(conv(x), SLOPE)
        features.append(x)
    score = conv_post(x)
    features.append(score)
    return score.flatten(1), features


def _gathered(parts: Iterable[tuple[Tensor, list[Tensor]]]) -> DiscriminatorOutput:
    pairs = list(parts)
    return DiscriminatorOutput([score for score, _ in pairs], [features for _, features in pairs])
