"""Official sizes, filled by the golden folder's recipe: decoder, speaker encoder, and the whole GPT
(slow)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimts.xtts import mel, weights
from dimts.xtts.conditioning import Conditioning
from dimts.xtts.gpt import GPT
from dimts.xtts.loss import LossSettings
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.speaker_encoder import SpeakerEncoder
from dimts.xtts.spec import SPECS, TIMBRE_RATE
from dimts.xtts.vocoder import Vocoder

V2 = SPECS["v2"]
NORMS = nn.BatchNorm1d, nn.BatchNorm2d


@pytest.fixture(scope="module")
def recipe(golden: Path) -> Any:
    """The folder's own recipe.py."""
    source = importlib.util.spec_from_file_location("golden_recipe", golden / "recipe.py")
    assert source is not None
    assert source.loader is not None
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    return module


def fill(part: nn.Module, prefix: str, recipe: Any, seed: int) -> None:
    """Recipe values into a part whose names under ours start with `prefix`."""
    batch_norms = {name for name, module in part.named_modules() if isinstance(module, NORMS)}
    for name, value in part.state_dict().items():
        key = weights.coquis(prefix + name)
        made = recipe.recipe(seed, key, tuple(value.shape), name.rpartition(".")[0] in batch_norms)
        if made is not None:
            value.copy_(torch.from_numpy(made))


def test_decoder_and_speaker_encoder(
    recipe: Any, expected: dict[str, Tensor], notes: dict[str, Any], same: Any
) -> None:
    if "official.decoder_wav" not in expected:
        pytest.skip("this golden folder holds no official sizes")
    seed = notes["params"]["seed"]
    timbre, vocoder = SpeakerEncoder(V2).eval(), Vocoder(V2).eval()
    with torch.no_grad():
        fill(timbre, "timbre.", recipe, seed)
        fill(vocoder, "vocoder.", recipe, seed)
        embedding = timbre(expected["resample.22050_16000"])
        same("official.speaker_embedding", embedding)
        latents = torch.from_numpy(recipe.z(seed, "official.latents", (1, 9, 1024)).astype(np.float16))
        wave = vocoder(latents.float(), expected["official.speaker_embedding"])
    same("official.decoder_wav", wave[:, None])
    assert mel.TIMBRE.rate == TIMBRE_RATE


@pytest.mark.slow
def test_whole_gpt(
    recipe: Any,
    expected: dict[str, Tensor],
    notes: dict[str, Any],
    noted: Callable[[str, float, float], None],
) -> None:
    """30 layers forward and backward: about 5 GB of memory, a minute or two."""
    if "full" not in notes:
        pytest.skip("this golden folder holds no full-size GPT")
    wanted, seed = notes["full"], notes["params"]["seed"]
    with torch.device("meta"):
        model = XTTS(V2, dvae=False)
    model.gpt, model.conditioning = GPT(V2), Conditioning(V2)
    model.gpt.use_dropout(0.0)
    with torch.no_grad():
        fill(model.gpt, "gpt.", recipe, seed)
        fill(model.conditioning, "conditioning.", recipe, seed)
    model.train()
    examples = Examples(
        expected["full.text_inputs"].long(),
        expected["full.text_lengths"].tolist(),
        expected["full.audio_codes"],
        [V2.codes_of(n) for n in expected["full.wav_lengths"].tolist()],
        mel=expected["full.cond_mels"][:, 0],
    )
    losses = model(examples, LossSettings(compat="coqui"))
    losses.total.backward()
    for mine, theirs in (("text", "loss_text"), ("mel", "loss_mel")):
        found = float(getattr(losses, mine).detach())
        noted(f"full.{theirs}", abs(found - wanted[theirs]) / wanted[theirs], 1e-5)
    parts = {
        "conditioning_encoder": "conditioning.encoder.",
        "conditioning_perceiver": "conditioning.perceiver.",
        "gpt": "gpt.trunk.",
        "heads": ("gpt.text_head.", "gpt.mel_head."),
    }
    named = list(model.trained())
    for part, norm in wanted["grad_norm_groups"].items():
        gradients = [p.grad for name, p in named if name.startswith(parts[part]) and p.grad is not None]
        found = float(torch.stack([gradient.norm() for gradient in gradients]).norm())
        noted(f"full.grad_norm.{part}", abs(found - norm) / norm, 1e-4)
    with torch.no_grad():
        hidden = model.hidden(examples, "coqui")
        logits = model.gpt.mel_head(hidden.audio).split([n + 4 for n in examples.code_lengths])
    head = expected["full.mel_logits_head"]  # [B, 64 ids, 12 positions], of the first positions
    for row, mine in enumerate(logits):
        slice_ = mine.t()[: head.shape[1], : head.shape[2]]
        noted("full.mel_logits_head", float((slice_ - head[row]).abs().max() / head.abs().max()), 1e-4)
