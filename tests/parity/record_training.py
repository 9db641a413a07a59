"""Record what coqui-tts 0.28's own classes give for the training of DVAE and vocoder, into
training.safetensors.

    PEER/bin/python tests/parity/record_training.py        PEER: an environment with coqui-tts 0.28 on a CPU

Weights and inputs come from a formula, so that only answers are stored.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

OUT = Path(__file__).with_name("training.safetensors")
DVAE_SIZES = {"num_tokens": 24, "codebook_dim": 8, "hidden_dim": 8}
KEPT_VALUES = 64


def pattern(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """Values that look random but follow from name and shape alone, within ± `scale`."""
    count = math.prod(shape)
    start = zlib.crc32(name.encode()) % 10_007
    return (
        (torch.sin((torch.arange(count, dtype=torch.float64) * 12.9898 + start) * 1.2345) * scale)
        .float()
        .view(shape)
    )


def fill(module: torch.nn.Module) -> None:
    """Every floating weight and buffer of a module from the pattern of its name, scaled by its fan-in."""
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                fan = math.prod(value.shape[1:]) if value.dim() > 1 and value.shape[1:] != (1, 1, 1) else 1
                value.copy_(pattern(name, tuple(value.shape), 1.5 / math.sqrt(max(1, fan))))


def waves() -> tuple[Tensor, Tensor]:
    """A real and a generated wave, [2, 3000] each."""
    return pattern("real", (2, 3000), 0.5), pattern("fake", (2, 3000), 0.4)


def dvae_mel() -> Tensor:
    """A mel spectrogram, [3, 80, 40]."""
    return pattern("mel", (3, 80, 40), 1.0)


def summary(feature: Tensor) -> Tensor:
    """The first values of a feature map, its mean and its mean square, in one vector."""
    flat = feature.detach().flatten()
    return torch.cat((flat[:KEPT_VALUES], flat.mean()[None], flat.square().mean()[None]))


def _record_discriminators() -> dict[str, Tensor]:
    from TTS.vocoder.layers.losses import (
        MelganFeatureLoss,
        MSEDLoss,
        MSEGLoss,
        _apply_D_loss,
        _apply_G_adv_loss,
    )
    from TTS.vocoder.models.hifigan_discriminator import HifiganDiscriminator

    torch.manual_seed(0)
    model = HifiganDiscriminator()
    fill(model)
    model.eval()
    real, fake = (wave[:, None] for wave in waves())
    scores_real, features_real = model(real)
    scores_fake, features_fake = model(fake)
    found = {}
    for part, (score, features) in enumerate(zip(scores_fake, features_fake, strict=True)):
        found[f"score.{part}"] = summary(score)
        for layer, feature in enumerate(features):
            found[f"feature.{part}.{layer}"] = summary(feature)
    found["keys"] = torch.tensor([len(model.state_dict())])
    found["discriminator_loss"] = _apply_D_loss(scores_fake, scores_real, MSEDLoss())[0].detach()
    found["generator_loss"] = _apply_G_adv_loss(scores_fake, MSEGLoss()).detach()
    found["feature_loss"] = MelganFeatureLoss()(features_fake, features_real).detach()
    return found


def _record_dvae() -> dict[str, Tensor]:
    from TTS.tts.layers.xtts.dvae import DiscreteVAE

    torch.manual_seed(0)
    model = DiscreteVAE(
        channels=80, normalization=None, positional_dims=1, num_resnet_blocks=3, num_layers=2, kernel_size=3,
        use_transposed_convs=False, **DVAE_SIZES,
    )  # fmt: skip
    fill(model)
    with torch.no_grad():
        model.codebook.cluster_size.abs_()
    model.train()
    reconstruction, commitment, _ = model(dvae_mel())
    (reconstruction.mean() + commitment).backward()
    return {
        "dvae.reconstruction": reconstruction.mean().detach(),
        "dvae.commitment": commitment.detach(),
        "dvae.gradient": model.encoder[0][0].weight.grad.clone(),
        "dvae.embed": model.codebook.embed.clone(),
        "dvae.embed_avg": model.codebook.embed_avg.clone(),
        "dvae.cluster_size": model.codebook.cluster_size.clone(),
    }


if __name__ == "__main__":
    from safetensors.torch import save_file

    answers = {**_record_discriminators(), **_record_dvae()}
    save_file({name: value.contiguous() for name, value in answers.items()}, OUT)
    print(f"{len(answers)} answers in {OUT}, {OUT.stat().st_size} bytes")
