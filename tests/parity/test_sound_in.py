"""Sound in: resampling, mels, codes, conditioning latents, speaker embeddings, ids; each against coqui's
own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dimts.xtts import mel
from dimts.xtts.attention import SequenceLayout
from dimts.xtts.spec import MEL_HOP, TIMBRE_RATE
from dimts.xtts.vocabulary import Vocabulary
from dimts.xtts.voice import CloneSettings, clone

RATE = 22_050


@pytest.fixture(autouse=True)
def _no_grad() -> Any:
    with torch.no_grad():
        yield


def test_resampling(same: Any, expected: dict[str, Tensor], wave: Tensor) -> None:
    low = mel.resample(wave, RATE, TIMBRE_RATE)
    same("resample.22050_16000", low)
    same("resample.16000_22050", mel.resample(low[:, 3000:11000], TIMBRE_RATE, RATE))
    same("resample.48000_22050", mel.resample(expected["resample.48000_22050_in"], 48_000, RATE))


def test_filter_banks_and_windows(same: Any, model: Any) -> None:
    same("const.fb_cond", mel.filter_bank(mel.CONDITIONING))
    same("const.fb_dvae", mel.filter_bank(mel.DVAE))
    same("const.fb_spk", mel.filter_bank(mel.TIMBRE))
    same("const.win_spk", mel.window(mel.TIMBRE))
    held = dict(model.timbre.named_buffers())
    same("const.fb_spk", held["torch_spec.1.mel_scale.fb"])
    same("const.win_spk", held["torch_spec.1.spectrogram.window"])


def test_mels(same: Any, model: Any, wave: Tensor) -> None:
    same("mel.cond", model.conditioning_mel(wave[:, : 3 * RATE]))
    same("mel.dvae", mel.log_mel(wave[:, : 3 * RATE], mel.DVAE, model.mel_stats))
    same("cond.wav_to_mel_cloning", model.conditioning_mel(wave[:, :RATE]))
    same("mel.speaker16k", model.timbre.mel_power(mel.resample(wave, RATE, TIMBRE_RATE)[:, :TIMBRE_RATE]))


def test_codes_are_exact(same: Any, model: Any, expected: dict[str, Tensor], wave: Tensor) -> None:
    heard = expected["mel.dvae"]
    same("dvae.encoder_out", model.dvae.encoder(heard))
    same("dvae.codes", model.dvae.encode(heard))
    same("dvae.codes", model.dvae.encode(mel.log_mel(wave[:, : 3 * RATE], mel.DVAE, model.mel_stats)))
    same("dvae.decoded", model.dvae.decode(expected["dvae.codes"]))


def test_codes_of_a_clip_are_as_many_as_its_length_says(
    model: Any, expected: dict[str, Tensor], wave: Tensor
) -> None:
    clip = wave[:, : 3 * RATE]
    codes = model.codes(clip)
    assert codes.shape[1] == model.spec.codes_of(clip.shape[1])
    assert torch.equal(codes, expected["dvae.codes"][:, : codes.shape[1]])


def test_conditioning_of_given_frames(same: Any, model: Any, expected: dict[str, Tensor]) -> None:
    frames = expected["mel.cond"][:, :, :120]
    rows = SequenceLayout((120,) * len(frames), packed=True, causal=False)
    heard = model.conditioning.encoder(frames.transpose(1, 2).flatten(0, 1), rows)  # [N, D]
    same("cond.encoder_out", heard.view(len(frames), 120, -1).transpose(1, 2))
    same("cond.latents_from_120_frames", model.conditioning(frames).transpose(1, 2))


REFERENCES = {
    "full": CloneSettings(max_reference_seconds=30, conditioning_seconds=30, chunk_seconds=4),
    "chunk1": CloneSettings(max_reference_seconds=30, conditioning_seconds=3, chunk_seconds=1),
    "default": CloneSettings(max_reference_seconds=30, conditioning_seconds=6, chunk_seconds=6),
    "norm": CloneSettings(2, conditioning_seconds=6, chunk_seconds=6, normalise_peak=True),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_listening_to_one_reference(name: str, same: Any, model: Any, wave: Tensor) -> None:
    voice = clone(model, [wave[0]], REFERENCES[name])
    same(f"cond.{name}.gpt_cond_latents", voice.latents)
    same(f"cond.{name}.speaker_embedding", voice.timbre)


def test_listening_to_two_references(same: Any, model: Any, wave: Tensor) -> None:
    voice = clone(model, [wave[0], wave[0]], CloneSettings(2, conditioning_seconds=6, chunk_seconds=6))
    same("cond.two_refs.gpt_cond_latents", voice.latents)
    same("cond.two_refs.speaker_embedding", voice.timbre)


def test_padding_is_not_heard(model: Any, wave: Tensor) -> None:
    heard = model.conditioning_mel(wave[:, : 2 * RATE])
    padded = torch.nn.functional.pad(heard, (0, 50))
    together = model.conditioning(torch.cat((padded, padded)), [heard.shape[-1], padded.shape[-1]])
    alone = model.conditioning(heard)
    assert torch.allclose(together[:1], alone, atol=1e-5 * float(alone.abs().max()))
    assert not torch.allclose(together[1:], alone, atol=1e-3)


def test_frames_per_code(model: Any) -> None:
    assert model.spec.code_stride // MEL_HOP == 4


def test_ids_of_the_stored_vocabulary(golden: Path, notes: dict[str, Any]) -> None:
    vocabulary = Vocabulary.load(golden / "vocab.json")
    assert vocabulary.size == notes["number_text_tokens"]
    for token, i in notes["vocab_specials"].items():
        assert vocabulary.tokens[token] == i
    for text, ids in notes["tokenizer"].get("raw [am]", ()):
        assert vocabulary.encode(text, "am") == ids
        assert vocabulary.decode(ids) == text
    for _, ids in notes["tokenizer"].get("en", ()):  # the texts went through coqui's English cleaners first
        assert vocabulary.encode(vocabulary.decode(ids), "en") == ids
