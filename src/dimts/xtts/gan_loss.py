"""Losses that train the vocoder: adversarial, feature matching, log-mel distance, speaker consistency.

    total = 45.0 * mel_distance(fake, real) + 2.0 * feature_loss(output_real, output_fake)
    total += generator_loss(output_fake)

All are means over what they compare, but feature matching, which is HiFi-GAN's: a sum over the layers of the
mean distance of each. (coqui-tts takes the mean over layers and multiplies its weight by their number, 54.)

Sources: Mao et al., "Least Squares Generative Adversarial Networks" (2017); Kong, Kim and Bae, "HiFi-GAN"
(2020); Casanova et al., "YourTTS" (2022) for the speaker consistency loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dimts.xtts.discriminators import DiscriminatorOutput
from dimts.xtts.mel import MEL_FLOOR, FrontEnd, power_mel, resample
from dimts.xtts.speaker_encoder import SpeakerEncoder
from dimts.xtts.spec import MEL_BANDS, MEL_HOP, TIMBRE_RATE

LOSS_MEL = FrontEnd(24_000, 1024, 1024, MEL_HOP, MEL_BANDS, 12_000.0)
"""The mel spectrogram whose distance trains the vocoder, for a recording without a limit to its band."""
MIN_SPEAKER_SECONDS = 0.4
"""Shortest wave, in seconds, with a reliable speaker vector."""


@dataclass(frozen=True, slots=True)
class GeneratorLossSettings:
    """Weights of the vocoder's losses."""

    mel_weight: float = 45.0
    """Weight of the log-mel distance."""
    feature_weight: float = 2.0
    """Weight of feature matching, summed over layers."""
    adversarial_weight: float = 1.0
    """Weight of the adversarial loss, summed over the parts of the discriminator."""
    speaker_weight: float = 0.0
    """Weight of the speaker consistency loss; 9.0 in YourTTS."""


def discriminator_loss(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Least squares: scores of real waves to 1, of generated ones to 0; summed over the parts."""
    parts = [
        (1.0 - true).square().mean() + false.square().mean()
        for true, false in zip(real.scores, fake.scores, strict=True)
    ]
    return torch.stack(parts).sum()


def generator_loss(fake: DiscriminatorOutput) -> Tensor:
    """Least squares: scores of generated waves to 1; summed over the parts."""
    return torch.stack([(1.0 - score).square().mean() for score in fake.scores]).sum()


def feature_loss(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    """Mean absolute distance of the feature maps, summed over layers and parts. Those of real waves are
    constants."""
    pairs = zip(real.features, fake.features, strict=True)
    distances = [
        F.l1_loss(found, wanted.detach())
        for wants, finds in pairs
        for wanted, found in zip(wants, finds, strict=True)
    ]
    return torch.stack(distances).sum()


def mel_distance(fake: Tensor, real: Tensor, band_limits: Sequence[float] | None = None) -> Tensor:
    """Compute the mean absolute distance of log-mels of waves [B, T] at 24 kHz.

    `band_limits` are the highest frequencies in Hz that each real recording holds (8 000 for one made at 16
    kHz); the mel bands end there, so that the empty band above is not learnt. None: no limits.
    """
    limits = (
        [LOSS_MEL.top_hz] * len(real)
        if band_limits is None
        else [min(x, LOSS_MEL.top_hz) for x in band_limits]
    )
    total = real.new_zeros(())
    for limit in sorted(set(limits)):
        rows = [row for row, own in enumerate(limits) if own == limit]
        front = replace(LOSS_MEL, top_hz=limit)
        found, wanted = (power_mel(wave[rows], front).clamp(min=MEL_FLOOR).log() for wave in (fake, real))
        total = total + (found - wanted).abs().mean() * len(rows)
    return total / len(real)


def speaker_loss(encoder: SpeakerEncoder, fake: Tensor, real: Tensor, rate: int) -> Tensor:
    """Negative mean cosine of the speaker vectors of waves [B, T] at `rate`, −1 to 1; the real ones are
    constants.

    The waves should be longer than MIN_SPEAKER_SECONDS. The encoder is to be frozen and in evaluation mode.
    """
    with torch.no_grad():
        wanted = encoder(resample(real, rate, TIMBRE_RATE))[..., 0]  # [B, d]
    found = encoder(resample(fake, rate, TIMBRE_RATE))[..., 0]
    return -F.cosine_similarity(found, wanted, dim=1).mean()
