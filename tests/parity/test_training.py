"""Training of DVAE and vocoder beside coqui-tts 0.28's own classes, on the same tensors (see
record_training.py)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dimts.xtts.discriminators import DiscriminatorOutput, HiFiGANDiscriminator
from dimts.xtts.dvae import DVAE
from dimts.xtts.dvae_training import reconstruct, update_codebook
from dimts.xtts.gan_loss import discriminator_loss, feature_loss, generator_loss
from dimts.xtts.spec import Spec

TOLERANCE = 1e-5
PARTS, LAYERS = 8, 54
"""Parts of HiFi-GAN's discriminators and their feature maps, over which coqui-tts takes means."""


def _recorder() -> ModuleType:
    path = Path(__file__).with_name("record_training.py")
    spec = importlib.util.spec_from_file_location("record_training", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recorder = _recorder()


@pytest.fixture(scope="module")
def answers() -> dict[str, Tensor]:
    return load_file(recorder.OUT)


@pytest.fixture(scope="module")
def outputs() -> tuple[DiscriminatorOutput, DiscriminatorOutput, int]:
    model = HiFiGANDiscriminator()
    recorder.fill(model)
    model.eval()
    real, fake = recorder.waves()
    with torch.no_grad():
        return model(real), model(fake), len(model.state_dict())


def _near(found: Tensor | None, wanted: Tensor) -> None:
    assert found is not None
    error = float((found.detach() - wanted).abs().max() / wanted.abs().max())
    assert error <= TOLERANCE, f"relative error {error:.1e}"


def test_discriminators_have_the_peers_keys_scores_and_features(
    outputs: tuple[DiscriminatorOutput, DiscriminatorOutput, int], answers: dict[str, Tensor]
) -> None:
    _, fake, keys = outputs
    assert keys == int(answers["keys"])
    for part, (score, features) in enumerate(zip(fake.scores, fake.features, strict=True)):
        _near(recorder.summary(score), answers[f"score.{part}"])
        for layer, feature in enumerate(features):
            _near(recorder.summary(feature), answers[f"feature.{part}.{layer}"])


def test_gan_losses_are_the_peers(
    outputs: tuple[DiscriminatorOutput, DiscriminatorOutput, int], answers: dict[str, Tensor]
) -> None:
    real, fake, _ = outputs
    _near(discriminator_loss(real, fake) / PARTS, answers["discriminator_loss"])
    _near(generator_loss(fake) / PARTS, answers["generator_loss"])
    _near(feature_loss(real, fake) / LAYERS, answers["feature_loss"])


def test_dvae_losses_gradient_and_codebook_step_are_the_peers(answers: dict[str, Tensor]) -> None:
    sizes = recorder.DVAE_SIZES
    dvae = DVAE(
        Spec(dvae_codes=sizes["num_tokens"], dvae_code=sizes["codebook_dim"], dvae_hidden=sizes["hidden_dim"])
    )
    recorder.fill(dvae)
    dvae.codebook.cluster_size.abs_()
    out = reconstruct(dvae, recorder.dvae_mel())
    (out.reconstruction + out.commitment).backward()
    update_codebook(dvae.codebook, out.vectors, out.codes)
    _near(out.reconstruction, answers["dvae.reconstruction"])
    _near(out.commitment, answers["dvae.commitment"])
    gradient = dvae.encoder[0][0].weight.grad
    _near(gradient, answers["dvae.gradient"])
    for name in ("embed", "embed_avg", "cluster_size"):
        _near(getattr(dvae.codebook, name), answers[f"dvae.{name}"])
