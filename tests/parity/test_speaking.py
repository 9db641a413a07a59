"""Speaking: codes, latents, waves and streams against coqui's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dimts.xtts.generate import Decoder, GeneratedSentence, generate, generate_all
from dimts.xtts.model import XTTS
from dimts.xtts.sampling import GenerateSettings, penalise, softmax, unseen_codes, warp
from dimts.xtts.stream import VocoderStream

GREEDY = GenerateSettings(sample=False)


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture
def latents(expected: dict[str, Tensor]) -> Tensor:
    return expected["cond.full.gpt_cond_latents"]


@pytest.fixture
def ids(expected: dict[str, Tensor]) -> list[int]:
    found: list[int] = expected["gen.text_tokens"][0].tolist()
    return found


def speak(model: XTTS, latents: Tensor, ids: list[int], settings: GenerateSettings) -> GeneratedSentence:
    return generate_all(model.gpt, [latents], [ids], settings)[0]


@pytest.mark.parametrize("penalty", [1, 5, 10])
def test_greedy_codes_are_exact(
    penalty: int, model: XTTS, latents: Tensor, ids: list[int], same: Any, notes: dict[str, Any]
) -> None:
    said = speak(model, latents, ids, replace(GREEDY, repetition_penalty=float(penalty)))
    same(f"gen.greedy.rp{penalty}.codes", said.codes[None])
    assert said.stopped == notes[f"gen.greedy.rp{penalty}"]["stopped"]
    assert len(said.codes) == notes[f"gen.greedy.rp{penalty}"]["n"] <= model.spec.max_codes


def test_first_logits(
    model: XTTS, latents: Tensor, ids: list[int], expected: dict[str, Tensor], same: Any
) -> None:
    wanted = expected["gen.greedy.rp10.first_logits"]
    steps = generate(model.gpt, latents, ids, replace(GREEDY, repetition_penalty=10.0))
    states = torch.stack([next(steps).latent for _ in wanted])
    same("gen.greedy.rp10.first_logits", model.gpt.mel_head(states))


def test_latents_come_without_a_second_pass(model: XTTS, latents: Tensor, ids: list[int], same: Any) -> None:
    said = speak(model, latents, ids, replace(GREEDY, repetition_penalty=10.0))
    same("gen.latents", said.latents[None])
    same("inference.greedy.gpt_latents", said.latents[None])


def test_stops_by_itself(
    model: XTTS, latents: Tensor, expected: dict[str, Tensor], notes: dict[str, Any], same: Any
) -> None:
    bias = model.gpt.mel_head.bias
    before = bias[model.spec.stop_audio].clone()
    bias[model.spec.stop_audio] += notes["gen.stop"]["stop_bias_added"]
    try:
        said = [
            speak(
                model,
                latents,
                expected["gen.text_tokens2"][0].tolist(),
                replace(GREEDY, repetition_penalty=penalty),
            )
            for penalty in (1.0, 5.0, 10.0)
        ]
    finally:
        bias[model.spec.stop_audio] = before
    wanted = expected["gen.stop.codes"][0]
    found = next((one for one in said if torch.equal(one.codes, wanted)), said[-1])
    same("gen.stop.codes", found.codes[None])
    assert found.stopped
    assert found.codes[-1] == model.spec.stop_audio
    assert len(found.latents) == notes["gen.stop"]["n"]


def test_sampling_draws_as_upstream(
    model: XTTS, latents: Tensor, ids: list[int], expected: dict[str, Tensor], same: Any
) -> None:
    """From what our rule leaves, upstream's own random numbers draw upstream's codes."""
    settings = GenerateSettings(temperature=0.75, top_k=50, top_p=0.85, repetition_penalty=5.0)
    wanted = expected["gen.sampled.seed7.codes"][0]
    logits = model.gpt.mel_head(model.gpt.teacher_forced(latents, ids, wanted)).numpy()
    upstream, seen, drawn = (
        torch.Generator().manual_seed(7),
        unseen_codes(*logits.shape[1:], model.spec.start_audio),
        [],
    )
    for row, code in zip(logits, wanted.tolist(), strict=True):
        chances = torch.from_numpy(softmax(warp(penalise(row, seen, settings.repetition_penalty), settings)))
        drawn.append(int(torch.multinomial(chances.float(), 1, generator=upstream)))
        seen[code] = True
    same("gen.sampled.seed7.codes", torch.tensor(drawn)[None])


def test_sentences_together_say_what_each_says_alone(
    model: XTTS, latents: Tensor, ids: list[int], expected: dict[str, Tensor]
) -> None:
    texts = [ids, expected["gen.text_tokens2"][0].tolist()[:10], ids[:5]]
    settings = replace(GREEDY, repetition_penalty=10.0)
    together = generate_all(model.gpt, [latents] * 3, texts, settings)
    for text, said in zip(texts, together, strict=True):
        alone = speak(model, latents, text, settings)
        assert torch.equal(alone.codes, said.codes)
        assert torch.allclose(alone.latents, said.latents, atol=1e-4 * float(alone.latents.abs().max()))


def test_joining_and_leaving_a_running_loop_disturbs_nobody(
    model: XTTS, latents: Tensor, ids: list[int]
) -> None:
    settings = replace(GREEDY, repetition_penalty=10.0)
    texts = [ids, ids[:7], ids[:12], ids[3:9]]
    alone = [speak(model, latents, text, settings).codes.tolist() for text in texts]
    decoder, heard = Decoder(model.gpt, 3), {}
    numbers = [decoder.add(latents, texts[0], settings)]
    for turn in range(500):
        if turn in (3, 5):
            numbers.append(decoder.add(latents, texts[len(numbers)], settings))
        if turn == 9:
            decoder.remove(numbers[1])
            numbers.append(decoder.add(latents, texts[3], settings))
        for step in decoder.step():
            heard.setdefault(step.row, []).append(step.code)
        if not len(decoder):
            break
    assert heard[numbers[0]] == alone[0]
    assert heard[numbers[1]] == alone[1][: len(heard[numbers[1]])]
    assert heard[numbers[2]] == alone[2]
    assert heard[numbers[3]] == alone[3]


def test_decoder(model: XTTS, expected: dict[str, Tensor], same: Any) -> None:
    timbre = expected["cond.full.speaker_embedding"]
    same("decoder.interpolated", model.vocoder.interpolate(expected["decoder.in"]))
    same("decoder.wav", model.vocoder(expected["decoder.in"], timbre)[:, None])
    same("decoder.wav_speed0.8", model.vocoder(expected["decoder.in"], timbre, 0.8)[:, None])


def test_whole_inference(
    model: XTTS, latents: Tensor, ids: list[int], expected: dict[str, Tensor], same: Any
) -> None:
    timbre = expected["cond.full.speaker_embedding"]
    said = speak(model, latents, ids, replace(GREEDY, repetition_penalty=10.0))
    same("inference.greedy.wav", model.vocoder(said.latents[None], timbre)[0])
    said = speak(model, latents, ids, replace(GREEDY, repetition_penalty=5.0))
    same("inference.greedy.speed1.25.wav", model.vocoder(said.latents[None], timbre, 1.25)[0])


@pytest.mark.parametrize("size", [1, 7, 20, 1000])
@pytest.mark.parametrize("speed", [1.0, 0.9, 1.25])
def test_our_stream_is_the_whole(
    size: int,
    speed: float,
    model: XTTS,
    expected: dict[str, Tensor],
    noted: Callable[[str, float, float], None],
) -> None:
    latents, timbre = expected["inference.greedy.gpt_latents"], expected["cond.full.speaker_embedding"]
    whole = model.vocoder(latents, timbre, speed)[0]
    running = VocoderStream(model.vocoder, timbre, speed)
    parts = [running.push(part) for part in latents[0].split(size)]
    streamed = torch.cat([*parts, running.finish()])
    assert streamed.shape == whole.shape
    noted("stream (ours) = whole", float((streamed - whole).abs().max() / whole.abs().max()), 1e-5)


@pytest.mark.parametrize(
    ("name", "chunk", "overlap", "speed"), [("stream", 20, 1024, 1.0), ("stream2", 7, 512, 0.9)]
)
def test_upstream_stream_from_our_parts(
    name: str,
    chunk: int,
    overlap: int,
    speed: float,
    model: XTTS,
    expected: dict[str, Tensor],
    notes: Any,
    same: Any,
) -> None:
    """Decoding all so far at each chunk and cross-fading, as upstream does, from our latents and vocoder."""
    latents, timbre = expected["inference.greedy.gpt_latents"], expected["cond.full.speaker_embedding"]
    parts: list[Tensor] = []
    tail: Tensor | None = None
    before = 0
    ends = [*range(chunk, latents.shape[1] + 1, chunk), latents.shape[1]]
    for turn, end in enumerate(ends, start=1):
        x = latents[:, :end].transpose(1, 2)
        for factor in model.vocoder.stretches(speed):
            x = F.interpolate(x, scale_factor=factor, mode="linear")
        wave = model.vocoder.vocode(x, timbre)[0]
        last = turn == len(ends)
        new = wave[max(before - overlap, 0) :] if last else wave[max(before - overlap, 0) : -overlap]
        new = new.clone()
        if tail is not None and len(new) >= overlap:
            fade = torch.linspace(0.0, 1.0, overlap)
            new[:overlap] = new[:overlap] * fade + tail * (1 - fade)
        tail, before = wave[-overlap:], len(wave)
        parts.append(new)
    assert [len(part) for part in parts] == notes[f"{name}.chunks"]
    same(f"{name}.wav", torch.cat(parts))


@pytest.mark.parametrize("way", ["dynamic", "weight"])
def test_eight_bit_weights_choose_the_same_codes(
    way: Any, model: XTTS, expected: dict[str, Tensor], latents: Tensor, ids: list[int], notes: dict[str, Any]
) -> None:
    """Teacher-forced on golden text and codes: at least 95 % of the likeliest codes are those of float32."""
    from dimts.xtts.quantise import quantise

    codes = expected["gen.greedy.rp10.codes"]
    arguments = (
        latents,
        torch.tensor([ids]),
        [len(ids)],
        codes,
        [min(codes.shape[1], model.spec.max_codes) - 1],
    )
    wanted = model.gpt.mel_head(model.gpt(*arguments).audio).argmax(-1)
    found = quantise(model, way).gpt
    states = found(*arguments).audio
    same_codes = (found.mel_head(states).argmax(-1) == wanted).float().mean()
    assert float(same_codes) >= 0.95
    timbre = expected["cond.full.speaker_embedding"]
    exact = model.vocoder(model.gpt(*arguments).audio[None], timbre)
    near = model.vocoder(states[None], timbre)
    rate = (
        model.spec.output_rate / model.spec.input_rate
    )  # the mel is made for the input rate: near enough to compare
    assert rate < 1.1
    apart = (model.conditioning_mel(near) - model.conditioning_mel(exact)) * model.mel_stats[:, None]
    decibels = float(apart.pow(2).mean(dim=1).sqrt().mean()) * 10 / math.log(10)
    print(f"{way}: {float(same_codes):.3f} of the codes are the same, log-mel {decibels:.2f} dB apart")
    assert decibels < 2.0
