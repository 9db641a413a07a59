"""Discrete autoencoder of mel spectrograms: four mel frames become one of 1024 codes, and back.

Encoding is the first step of training (once per clip, cached); decoding is for checking codes by ear and for
training the autoencoder. Without mask or normalisation, so each clip must be encoded alone to have codes of
its own: zeros after it leak about 0.33 s back into its end. Keys are coqui's.

Source: van den Oord et al., "Neural Discrete Representation Learning" (2017), as in Tortoise (Betker, 2023).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dimts.xtts.spec import MEL_BANDS, Spec

RESIDUALS = 3
ACCUMULATED = 100
"""Rows of the training statistics in published files."""


class ResidualUnit(nn.Module):
    """x + three convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, n] → [B, c, n]."""
        out: Tensor = self.net(x) + x
        return out


class UpsampleConv(nn.Module):
    """Double the frames, then convolve."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, n] → [B, out, 2n]."""
        out: Tensor = self.conv(x.repeat_interleave(2, dim=-1))
        return out


class Codebook(nn.Module):
    """The code vectors, [code width, codes], with the statistics of their training."""

    embed: Tensor
    cluster_size: Tensor
    embed_avg: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        embed = torch.randn(spec.dvae_code, spec.dvae_codes)
        self.register_buffer("embed", embed)
        self.register_buffer("cluster_size", torch.zeros(spec.dvae_codes))
        self.register_buffer("embed_avg", embed.clone())

    def nearest(self, x: Tensor) -> Tensor:
        """[..., code width] → ids [...] int64, by squared distance."""
        flat = x.reshape(-1, x.shape[-1])
        distance = (
            flat.square().sum(1, keepdim=True)
            - 2 * flat @ self.embed
            + self.embed.square().sum(0, keepdim=True)
        )
        return distance.argmin(dim=1).view(x.shape[:-1])

    def look_up(self, codes: Tensor) -> Tensor:
        """ids [B, C] → [B, C, code width]."""
        return F.embedding(codes, self.embed.t())


class Accumulator(nn.Module):
    """Training statistics of published files; read and written back, never used."""

    accumulator_index: Tensor
    accumulator_filled: Tensor
    accumulator: Tensor

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.register_buffer("accumulator_index", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("accumulator_filled", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("accumulator", torch.zeros(ACCUMULATED, spec.dvae_codes))


class DVAE(nn.Module):
    """Encoder, codebook, decoder."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        narrow, wide = spec.dvae_hidden, 2 * spec.dvae_hidden
        self.discrete_loss = Accumulator(spec)
        self.encoder = nn.Sequential(
            nn.Sequential(nn.Conv1d(MEL_BANDS, narrow, 3, stride=2, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv1d(narrow, wide, 3, stride=2, padding=1), nn.ReLU()),
            *(ResidualUnit(wide) for _ in range(RESIDUALS)),
            nn.Conv1d(wide, spec.dvae_code, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(spec.dvae_code, wide, 1),
            *(ResidualUnit(wide) for _ in range(RESIDUALS)),
            nn.Sequential(UpsampleConv(wide, wide), nn.ReLU()),
            nn.Sequential(UpsampleConv(wide, narrow), nn.ReLU()),
            nn.Conv1d(narrow, MEL_BANDS, 1),
        )
        self.codebook = Codebook(spec)

    def encode(self, mel: Tensor) -> Tensor:
        """Mel [B, 80, F] → codes [B, ceil(ceil(F / 2) / 2)] int64."""
        return self.codebook.nearest(self.encoder(mel).transpose(1, 2))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, C] → mel [B, 80, 4C]."""
        out: Tensor = self.decoder(self.codebook.look_up(codes).transpose(1, 2))
        return out

    def forward(self, mel: Tensor) -> Tensor:
        """The same as `encode`."""
        return self.encode(mel)
