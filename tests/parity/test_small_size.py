"""coqui-tts 0.28 itself loads a folder of the small size and gives our logits, waves and speaker vectors.

Its config.json has no fields for the channels of vocoder and speaker encoder, so its two classes get them
beforehand.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dimts.text.frontend import MARKS
from dimts.text.phones import inventory
from dimts.xtts.checkpoint import Bundle
from dimts.xtts.coqui_checkpoint import save_coqui
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.spec import SPECS
from dimts.xtts.vocabulary import Vocabulary
from dimts.xtts.voice import clone

PEER = "DIMTS_PEER_PYTHON"
TOLERANCE = 1e-5

PROGRAM = """
import functools, sys, torch
from safetensors.torch import load_file, save_file
from TTS.tts.configs.xtts_config import XttsConfig
from TTS.tts.layers.xtts import hifigan_decoder as decoder
from TTS.tts.models import xtts
encoder = decoder.ResNetSpeakerEncoder
small = {"proj_dim": 256, "num_filters": [16, 32, 64, 128]}
decoder.ResNetSpeakerEncoder = lambda **sizes: encoder(**{**sizes, **small})
xtts.HifiDecoder = functools.partial(decoder.HifiDecoder, upsample_initial_channel_decoder=128)
torch.set_num_threads(1)
folder, given, out = sys.argv[1:]
config = xtts.XttsConfig() if hasattr(xtts, "XttsConfig") else XttsConfig()
config.load_json(folder + "/config.json")
model = xtts.Xtts.init_from_config(config)
model.load_checkpoint(config, checkpoint_dir=folder, eval=True)
b = load_file(given)
speaker = next(iter(model.speaker_manager.speakers.values()))
with torch.no_grad():
    latents = speaker["gpt_cond_latent"]
    batch = (b["ids"], b["id_lengths"], b["codes"], b["wav_lengths"])
    _, _, logits = model.gpt(*batch, cond_mels=latents[..., :1].mT, cond_latents=latents)
    states = model.gpt(*batch, cond_latents=latents, return_latent=True)
    wave = model.hifigan_decoder(states, g=speaker["speaker_embedding"])
    timbre = model.hifigan_decoder.speaker_encoder(b["wave"].clone(), l2_norm=True)
save_file({"logits": logits.contiguous(), "states": states.contiguous(), "wave": wave.contiguous(),
           "timbre": timbre.contiguous()}, out)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_peer_loads_the_small_size_and_gives_our_logits_waves_and_speaker_vectors(tmp_path: Path) -> None:
    peer = os.environ.get(PEER, "")
    if not peer:
        pytest.skip(f"no coqui-tts: set {PEER} to the Python of an environment with coqui-tts 0.28")
    vocabulary = Vocabulary.for_phones(list(inventory()), marks=sorted({*MARKS.values(), "?", "!"}))
    spec = replace(
        SPECS["small"], text_ids=vocabulary.size, start_text=vocabulary.start, stop_text=vocabulary.stop
    )
    model = XTTS.build(spec, seed=1)
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(40_000, generator=generator) * 0.1
    voice = clone(model, [noise])
    save_coqui(Bundle(model, vocabulary, voices={"one": voice}), tmp_path / "small")
    ids = torch.tensor([vocabulary.encode("səlam")])
    codes = torch.randint(0, spec.dvae_codes, (1, 37), generator=generator)
    given = {
        "ids": ids,
        "id_lengths": torch.tensor([ids.shape[1]]),
        "codes": codes,
        "wav_lengths": torch.tensor([37 * spec.code_stride]),
        "wave": noise[None, :16_000],
    }
    save_file(given, tmp_path / "given.safetensors")
    arguments = [str(tmp_path / name) for name in ("small", "given.safetensors", "out.safetensors")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [peer, "-c", PROGRAM, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = load_file(arguments[-1])
    with torch.no_grad():
        hidden = model.hidden(Examples(ids, [ids.shape[1]], codes, [37], latents=voice.latents))
        logits = model.gpt.mel_head(hidden.audio).T[None]  # [1, V, C + 4]
        wave = model.vocoder(theirs["states"], voice.timbre)
        timbre = model.timbre(noise[None, :16_000])[..., 0]
    pairs = {
        "logits": (theirs["logits"][..., : logits.shape[-1]], logits),
        "wave": (theirs["wave"].flatten(), wave.flatten()),
        "timbre": (theirs["timbre"].flatten(), timbre.flatten()),
    }
    for name, (found, ours) in pairs.items():
        assert found.shape == ours.shape, name
        error = float((found - ours).abs().max() / ours.abs().max())
        assert error < TOLERANCE, f"{name}: {error:.1e}"
