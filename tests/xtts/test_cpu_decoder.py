"""Compiled decoding steps say what torch's say, whoever speaks beside, and are taken where they were asked
for."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dimts.base.errors import ConfigError, MissingExtra, SynthesisError
from dimts.base.messages import Message
from dimts.speak.xtts import prepare_for_inference
from dimts.xtts import cpu_decoder, lora
from dimts.xtts.batch_invariance import min_invariant_batch
from dimts.xtts.generate import Decoder, GeneratedSentence, generate_all
from dimts.xtts.model import XTTS
from dimts.xtts.quantise import quantise
from dimts.xtts.sampling import GenerateSettings
from tests.xtts.test_batch_invariance import jobs_of, spoken

pytest.importorskip("numba", reason="compiled steps need the extra fast")

WIDE = GenerateSettings(seed=3, max_codes=25, temperature=1.3, top_k=0, top_p=1.0)


def said(model: XTTS, count: int, settings: GenerateSettings = WIDE) -> list[GeneratedSentence]:
    noise = torch.Generator().manual_seed(9)
    voices = [torch.randn(1, 32, model.spec.width, generator=noise) for _ in range(count)]
    texts = [[7, 8, 9, 10][: 4 - n % 3] for n in range(count)]
    return generate_all(model.gpt, voices, texts, settings, record_attention=True)


@pytest.mark.parametrize("kept", ["float32", "int8"])
@pytest.mark.parametrize("count", [1, 3])
def test_they_say_what_torch_says(model: XTTS, kept: str, count: int) -> None:
    if kept == "int8":
        model = quantise(model, "weight")
    wanted = said(model, count)
    cpu_decoder.compile_decoder(model.gpt)
    found = said(model, count)
    assert model.gpt.compiled is not None
    assert model.gpt.compiled.steps > 0
    for before, after in zip(wanted, found, strict=True):
        assert torch.equal(before.codes, after.codes)
        torch.testing.assert_close(after.latents, before.latents, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            torch.stack(after.attention), torch.stack(before.attention), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("kept", ["float32", "int8"])
def test_neighbours_change_no_bit(model: XTTS, kept: str) -> None:
    if kept == "int8":
        model = quantise(model, "weight")
    cpu_decoder.compile_decoder(model.gpt)
    slots = 7
    assert min_invariant_batch(model.gpt, slots) == 1
    jobs = jobs_of(model, 14)
    together = spoken(model, 1, jobs, slots)
    assert len({len(row) for row in together}) > 2, "sentences of unlike length come and go"

    def alone(job: tuple[Tensor, list[int], int]) -> list[int]:
        decoder = Decoder(model.gpt, slots)
        latents, ids, seed = job
        chosen = GenerateSettings(
            seed=seed, max_codes=10 + 7 * (seed % 5), temperature=1.3, top_k=0, top_p=1.0
        )
        decoder.add(latents, ids, chosen)
        out: list[int] = []
        while len(decoder):
            for step in decoder.step():
                out += [step.code, *step.latent.view(torch.int32).tolist()]
        return out

    assert together == [alone(job) for job in jobs]
    assert model.gpt.compiled is not None
    assert model.gpt.compiled.steps > 0


def test_threads_change_no_bit(model: XTTS) -> None:
    cpu_decoder.compile_decoder(model.gpt)
    before = said(model, 2)
    torch.set_num_threads(2)
    try:
        after = said(model, 2)
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a.latents, b.latents) for a, b in zip(before, after, strict=True))


STARTED = """
import torch
from dimts.xtts import cpu_decoder
from dimts.xtts.generate import generate
from dimts.xtts.sampling import GenerateSettings
from dimts.xtts.model import XTTS
from dimts.xtts.spec import SPECS

torch.set_num_threads(1)
model = XTTS.build(SPECS["tiny"], 1, dvae=False)
cpu_decoder.compile_decoder(model.gpt)
list(generate(model.gpt, torch.zeros(1, 32, model.spec.width), [7, 8], GenerateSettings(seed=1, max_codes=2)))
print(torch.get_num_threads(), model.gpt.compiled.steps)
"""


def test_the_first_start_leaves_torch_its_threads() -> None:
    """Numba's OpenMP layer starts with its own number; in a process of its own, as it starts once."""
    own = {**os.environ, "NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": "omp"}
    done = subprocess.run(
        [sys.executable, "-c", STARTED], env=own, capture_output=True, text=True, check=True
    )
    threads, steps = done.stdout.split()
    assert int(steps) > 0
    assert threads == "1"


def test_weights_are_held_once_and_stay_what_they_were(model: XTTS) -> None:
    state = {key: value.clone() for key, value in model.state_dict().items()}
    cpu_decoder.compile_decoder(model.gpt)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    kinds = {block.mlp.c_fc.weight.untyped_storage().data_ptr() for block in model.gpt.trunk.blocks()}
    assert len(kinds) == 1, "layers are views of one array"


def test_a_damaged_model_is_noticed(model: XTTS) -> None:
    with torch.no_grad():
        model.gpt.trunk.blocks()[1].mlp.c_fc.bias[3] = torch.nan
    cpu_decoder.compile_decoder(model.gpt)
    with pytest.raises(SynthesisError, match="not a number"):
        said(model, 1)


def test_the_setting_takes_effect(model: XTTS, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[Message | None] = []
    assert prepare_for_inference(quantise(model, "weight"), "float32", "torch").gpt.compiled is None
    assert prepare_for_inference(model, "int8", "torch").gpt.compiled is None
    assert prepare_for_inference(model, "int8", "auto").gpt.compiled is not None
    with monkeypatch.context() as patch:
        patch.setattr(cpu_decoder, "has", lambda _: False)
        plain = prepare_for_inference(
            model, "float32", "auto", lambda progress: notes.append(progress.message)
        )
    assert plain.gpt.compiled is None
    assert notes == [Message("speak.decoding_not_compiled", reason=Message("xtts.numba_missing"))]
    assert prepare_for_inference(model, "float32", "compiled").gpt.compiled is not None


def test_what_cannot_be_compiled_is_refused(model: XTTS, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="packed for torch"):
        cpu_decoder.compile_decoder(quantise(model, "dynamic").gpt)
    monkeypatch.setattr(cpu_decoder, "require", _missing)
    with pytest.raises(MissingExtra, match="dimts\\[fast\\]"):
        cpu_decoder.compile_decoder(model.gpt)
    monkeypatch.undo()
    lora.attach(model, replace(lora.LoraSettings(), rank=2))
    with pytest.raises(ConfigError, match="adapters"):
        cpu_decoder.compile_decoder(model.gpt)
    model.gpt.to(torch.bfloat16)
    assert cpu_decoder.refusal(model.gpt)


def _missing(library: str, extra: str) -> None:
    raise MissingExtra(library, extra, "")
