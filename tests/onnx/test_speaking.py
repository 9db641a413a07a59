"""An ONNX voice chooses PyTorch's codes and makes PyTorch's wave, without PyTorch."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.audio.wave import join
from dimts.base.errors import ConfigError, SynthesisError, TextError
from dimts.onnx.decoder import OnnxDecoder, Sentence
from dimts.onnx.export import export_voice
from dimts.onnx.vocoder import OnnxVocoder
from dimts.onnx.voice_folder import OnnxVoice, load_voice
from dimts.server.models import LoadedModel, ModelSource
from dimts.speak import FORMANT_FRONTEND, Speaker, SpeakSettings
from dimts.text.frontend import Frontend
from dimts.xtts.checkpoint import Bundle
from dimts.xtts.generate import generate, generate_all
from dimts.xtts.sampling import GenerateSettings
from tests.onnx.conftest import TEXTS, ids_of, make_bundle


@pytest.fixture(scope="module")
def voice(onnx_folder: Path) -> OnnxVoice:
    return load_voice(onnx_folder, 1)


def codes_of(voice: OnnxVoice, ids: list[int], chosen: GenerateSettings) -> list[int]:
    decoder = OnnxDecoder(voice)
    decoder.add(ids, chosen)
    codes = []
    while len(decoder):
        codes += [step.code for step in decoder.step()]
    return codes


def test_with_one_seed_both_choose_the_same_codes(bundle: Bundle, voice: OnnxVoice) -> None:
    latents = bundle.voices["abebe"].latents
    for number, ids in enumerate(ids_of(bundle, TEXTS)):
        chosen = GenerateSettings(
            seed=number, sequence=(number, 1, 2), max_codes=150
        )  # past a block of the cache
        expected = [step.code for step in generate(bundle.model.gpt, latents, ids, chosen)]
        assert codes_of(voice, ids, chosen) == expected
        assert codes_of(voice, ids, replace(chosen, seed=number + 1)) != expected


def test_attention_over_the_text_is_that_of_torch(bundle: Bundle, voice: OnnxVoice) -> None:
    ids = ids_of(bundle, TEXTS)[0]
    greedy = GenerateSettings(sample=False, max_codes=6)
    steps = list(
        generate(bundle.model.gpt, bundle.voices["abebe"].latents, ids, greedy, record_attention=True)
    )
    sentence = Sentence(voice, ids)
    for before, step in itertools.pairwise(steps):
        sentence.read(before.code)
        np.testing.assert_allclose(sentence.attention, step.attention.numpy(), atol=1e-4)
        np.testing.assert_allclose(sentence.latent, step.latent.numpy(), atol=1e-4)


@settings(max_examples=12)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    speed=st.sampled_from([1.0, 0.5, 0.99, 1.3, 2.0]),
)
def test_a_streamed_wave_is_the_whole_one(
    bundle: Bundle, voice: OnnxVoice, sizes: list[int], speed: float
) -> None:
    latents = torch.randn(sum(sizes), bundle.model.spec.width, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        whole = bundle.model.vocoder(latents[None], bundle.voices["abebe"].timbre, speed)[0].numpy()
    vocoder, waiting = OnnxVocoder(voice, speed), iter(latents.numpy())
    pieces = [vocoder.push([next(waiting) for _ in range(size)]) for size in sizes]
    pieces.append(vocoder.finish())
    wave = np.concatenate(pieces)
    assert len(wave) == len(whole)
    np.testing.assert_allclose(wave, whole, atol=1e-5)
    with pytest.raises(ValueError, match="ended"):
        vocoder.push([])


def test_phones_have_the_ids_of_the_vocabulary(bundle: Bundle, voice: OnnxVoice) -> None:
    text = "በ2017 ዓ.ም 1,250 ተማሪዎች፤ ቡና! ጠጡ? «ሰላም» አለ፣ ከዚያ ሄደ።"
    for phrase in Frontend(FORMANT_FRONTEND)(text):
        assert voice.vocabulary.encode(phrase.spelling) == bundle.vocabulary.encode(phrase.spelling)
    with pytest.raises(TextError) as refused:
        voice.vocabulary.encode("səlam ☃")
    assert refused.value.code == "xtts.no_token"


def test_a_speaker_of_graphs_says_what_a_speaker_of_tensors_says(
    bundle_folder: Path, onnx_folder: Path
) -> None:
    chosen = SpeakSettings(retries=1, seed=5, max_stretch=1.0)
    torch_voice, graphs = (Speaker.load(folder, chosen) for folder in (bundle_folder, onnx_folder))
    assert graphs.engine.name == "tiny voice"
    text = "ሰላም። ደህና?"
    expected, found = torch_voice.say(text), graphs.say(text)
    assert len(found.samples) == len(expected.samples)
    np.testing.assert_allclose(found.samples, expected.samples, atol=1e-3)
    streamed, wanted = join(graphs.stream(text)), join(torch_voice.stream(text))
    assert len(streamed.samples) == len(wanted.samples)
    np.testing.assert_allclose(streamed.samples, wanted.samples, atol=1e-3)
    other = graphs.with_settings(seed=6)
    assert other.engine.onnx_voice is graphs.engine.onnx_voice  # type: ignore[attr-defined]
    assert not np.array_equal(other.say("ሰላም").samples, graphs.say("ሰላም").samples)


def test_what_has_no_effect_is_refused(onnx_folder: Path) -> None:
    for wrong in ({"weights": "int8"}, {"steps": "compiled"}):
        with pytest.raises(ConfigError) as refused:
            Speaker.load(onnx_folder, SpeakSettings(**wrong))  # type: ignore[arg-type]
        assert refused.value.code == "speak.onnx_setting_fixed"
    with pytest.raises(ConfigError) as device:
        Speaker.load(onnx_folder, device="cuda")
    assert device.value.code == "speak.onnx_cpu_only"
    speaker = Speaker.load(onnx_folder)
    with pytest.raises(SynthesisError) as clone:
        speaker.clone("abebe.wav", consent="signed form of 2026-03-01")
    assert clone.value.code == "speak.onnx_has_one_voice"


def test_the_server_takes_an_onnx_voice(onnx_folder: Path) -> None:
    model = LoadedModel.load(ModelSource(str(onnx_folder), SpeakSettings(retries=0, max_stretch=1.0)), 2)
    assert model.voices() == ["default"]
    assert model.kind("default") == "built-in"
    speaker, voice = model.speaker_for("default", model.session(), speed=1.5, seed=3, whole=False)
    assert speaker.settings.rate == 1.5
    assert sum(wave.seconds for wave in speaker.stream("ሰላም", voice)) > 0.3


def without(libraries: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process in which these libraries cannot be imported."""
    blocked = f"import sys\nfor name in {libraries.split()!r}: sys.modules[name] = None\n"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", blocked + code], capture_output=True, text=True, env=environment
    )


def test_it_speaks_where_nothing_but_its_extra_is_installed(onnx_folder: Path, tmp_path: Path) -> None:
    arguments = ["say", "ሰላም", "--voice", str(onnx_folder), "-o", str(tmp_path / "out.wav")]
    absent = "torch tokenizers safetensors scipy soxr av pyloudnorm espeakng_loader numba onnx epitran"
    done = without(absent, f"from dimts.cli.main import main; sys.exit(main({arguments!r}))")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.wav").stat().st_size > 10_000


def test_without_onnxruntime_its_extra_is_named(onnx_folder: Path) -> None:
    arguments = ["say", "ሰላም", "--voice", str(onnx_folder), "-o", "out.wav"]
    done = without("onnxruntime", f"from dimts.cli.main import main; sys.exit(main({arguments!r}))")
    assert done.returncode == 2
    assert "dimts[onnx]" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


# Fifty sentences at the size of a laptop


@pytest.fixture(scope="module")
def small() -> Bundle:
    return make_bundle("small")


def fifty(bundle: Bundle) -> list[list[int]]:
    names = ("አበበ", "ሳራ", "ከበደ", "ሒሩት", "ዮሐንስ")
    return ids_of(bundle, [f"{names[n % 5]} {n * 37 + 11} ብር ከፍሎ {n + 2} መጻሕፍት ገዛ" for n in range(50)])


@pytest.mark.slow
def test_fifty_sentences_of_the_small_size(small: Bundle, tmp_path: Path) -> None:
    ids = fifty(small)
    assert len(ids) == 50
    found = export_voice(small, tmp_path / "small", ids)
    print(found)
    assert found.logits_error < 1e-4
    assert found.wave_error < 1e-3
    made = load_voice(tmp_path / "small", 1)
    latents = small.voices["abebe"].latents
    for chosen in (GenerateSettings(sample=False, max_codes=60), GenerateSettings(seed=11, max_codes=60)):
        expected = generate_all(small.model.gpt, [latents] * 50, ids, chosen)
        for one, sentence in zip(ids, expected, strict=True):
            assert codes_of(made, one, chosen) == sentence.codes.tolist()


@pytest.mark.slow
def test_eight_bits_at_the_small_size(small: Bundle, tmp_path: Path) -> None:
    found = export_voice(small, tmp_path / "int8", fifty(small)[:12], weights="int8")
    print(found, sum(path.stat().st_size for path in (tmp_path / "int8").iterdir()))
    assert found.equal_codes > 0.9  # of random weights, whose logits lie close together
    assert found.logits_error < 0.05
