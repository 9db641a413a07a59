"""Rows, layouts, kernels and checkpointing change nothing; padding is never seen; the slips are where we
say."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import dimts.xtts
from dimts.base.errors import AudioError, ConfigError, TrainingError
from dimts.xtts import mel
from dimts.xtts.loss import LossSettings
from dimts.xtts.model import XTTS, Examples, covered_codes
from dimts.xtts.spec import SPECS, STOP_TARGETS

WAYS = [
    pytest.param(kind, packed, every, id=f"{kind}-{'packed' if packed else 'padded'}-every{every}")
    for kind, packed, every in itertools.product(("eager", "sdpa"), (True, False), (0, 1, 2))
]


def run(
    model: XTTS, examples: Examples, settings: LossSettings | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    model.train()
    model.zero_grad(set_to_none=True)
    losses = model(examples, settings)
    losses.total.backward()
    return losses.total.detach(), {name: p.grad.clone() for name, p in model.trained() if p.grad is not None}


@pytest.mark.parametrize(("kind", "packed", "every"), WAYS)
def test_every_way_gives_the_same(
    kind: Any, packed: bool, every: int, model: XTTS, examples: Examples
) -> None:
    model.use_attention("eager")
    model.packed = False
    reference, wanted = run(model, examples)
    model.use_attention(kind)
    model.packed = packed
    model.gpt.use_checkpointing(every)
    loss, found = run(model, examples)
    assert float((loss - reference).abs() / reference.abs()) <= 1e-5
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        error = (found[name] - gradient).abs().max()
        assert error <= 1e-4 * gradient.abs().max() + 1e-7, name


def test_every_trained_parameter_learns(model: XTTS, examples: Examples) -> None:
    _, gradients = run(model, examples)
    silent = [name for name, p in model.trained() if name not in gradients or not gradients[name].any()]
    assert silent == []
    assert all(
        not p.requires_grad for part in (model.timbre, model.vocoder, model.dvae) for p in part.parameters()
    )


def test_padding_is_never_seen(model: XTTS, examples: Examples) -> None:
    assert examples.mel is not None
    text, codes, heard = examples.text_ids.clone(), examples.codes.clone(), examples.mel.clone()
    for row in range(3):
        text[row, examples.text_lengths[row] :] = model.spec.stop_text
        codes[row, examples.code_lengths[row] :] = 0
        heard[row, :, examples.mel_lengths[row] :] = 99.0  # type: ignore[index]
    other = replace(examples, text_ids=text, codes=codes, mel=heard)
    assert torch.equal(model(examples).total, model(other).total)
    coqui = LossSettings(compat="coqui")
    assert not torch.equal(model(examples, coqui).total, model(other, coqui).total)


@pytest.mark.parametrize("packed", [True, False])
def test_a_rows_loss_does_not_depend_on_its_company(packed: bool, model: XTTS, examples: Examples) -> None:
    model.packed = packed
    model.eval()
    together = model(replace(examples, crops=None))
    sums = [0.0, 0.0]
    for row in range(3):
        alone = Examples(
            examples.text_ids[row : row + 1],
            examples.text_lengths[row : row + 1],
            examples.codes[row : row + 1],
            examples.code_lengths[row : row + 1],
            mel=examples.mel[row : row + 1],  # type: ignore[index]
            mel_lengths=examples.mel_lengths[row : row + 1],  # type: ignore[index]
        )
        losses = model(alone)
        sums[0] += float(losses.text.detach()) * losses.text_tokens
        sums[1] += float(losses.mel.detach()) * losses.mel_tokens
    assert float(together.text.detach()) == pytest.approx(sums[0] / together.text_tokens, rel=1e-5)
    assert float(together.mel.detach()) == pytest.approx(sums[1] / together.mel_tokens, rel=1e-5)
    assert together.mel_tokens == sum(examples.code_lengths) + 3 * STOP_TARGETS


def test_latents_may_be_given_instead_of_mels(model: XTTS, examples: Examples) -> None:
    latents = model.conditioning(examples.mel, examples.mel_lengths)
    given = replace(examples, mel=None, mel_lengths=None, latents=latents)
    assert torch.allclose(model(examples).total, model(given).total, rtol=1e-6)


def test_mended_and_coqui_masks_differ_as_documented(model: XTTS) -> None:
    crops, lengths = [(4410, 30_870), (1000, 15_332)], [46, 28]
    mended = covered_codes(crops, lengths, model.spec)
    coqui = covered_codes(crops, lengths, model.spec, coqui=True)
    assert mended.nonzero()[:, 0].tolist() == [*range(4, 31), *range(50, 65)]
    assert coqui.nonzero()[:, 0].tolist() == [*range(50 + 3, 50 + 28 + STOP_TARGETS)]


def test_dropout_acts_in_training_only_and_checkpointing_repeats_it(model: XTTS, examples: Examples) -> None:
    model.gpt.use_dropout(0.3)
    assert torch.equal(model.eval()(examples).total, model(examples).total)
    found = []
    for every in (0, 1):
        model.gpt.use_checkpointing(every)
        torch.manual_seed(0)
        found.append(run(model, examples))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.allclose(found[0][1][name], g, atol=1e-5) for name, g in found[1][1].items())
    torch.manual_seed(1)
    assert not torch.equal(run(model, examples)[0], found[0][0])


def test_checkpointing_keeps_fewer_tensors(model: XTTS, examples: Examples) -> None:
    kept = {}
    for every in (0, 2, 1):
        model.gpt.use_checkpointing(every)
        model.train()
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t,  # type: ignore[misc]
            lambda t: t,
        ):
            model(examples)
        kept[every] = sum(sizes)
    assert kept[1] < kept[2] < kept[0]


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_chunks_of_the_loss_change_nothing(chunk: int, model: XTTS, examples: Examples) -> None:
    whole, wanted = run(model, examples, LossSettings(label_smoothing=0.1))
    loss, found = run(model, examples, LossSettings(label_smoothing=0.1, chunk_tokens=chunk))
    assert float(loss) == pytest.approx(float(whole), rel=1e-6)
    assert all(torch.allclose(found[name], g, atol=1e-5) for name, g in wanted.items())


def test_the_same_seed_builds_the_same_model_and_touches_nothing() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = (XTTS.build(SPECS["tiny"], seed=9).state_dict() for _ in range(2))
    other = XTTS.build(SPECS["tiny"], seed=10).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["gpt.mel_head.weight"], other["gpt.mel_head.weight"])


def test_rows_beyond_the_tables_are_refused(model: XTTS, examples: Examples) -> None:
    long = torch.zeros(3, 200, dtype=torch.long)
    with pytest.raises(TrainingError, match="200 codes"):
        model(replace(examples, codes=long, code_lengths=[200, 3, 3]))
    with pytest.raises(TrainingError, match="200 ids"):
        model(replace(examples, text_ids=long, text_lengths=[200, 3, 3]))
    with pytest.raises(TrainingError, match="at least one"):
        model(replace(examples, text_lengths=[]))
    with pytest.raises(TrainingError, match="mels or latents"):
        model(replace(examples, mel=None))


def test_sounds_too_short_are_refused(model: XTTS) -> None:
    with pytest.raises(AudioError, match="shorter than"):
        model.conditioning_mel(torch.zeros(1, 500))
    with pytest.raises(TrainingError, match="without its DVAE"):
        XTTS.build(model.spec, 1, dvae=False).codes(torch.zeros(1, 22_050))


def test_loss_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="label_smoothing"):
        LossSettings(label_smoothing=1.0)
    with pytest.raises(ConfigError, match="chunk_tokens"):
        LossSettings(chunk_tokens=-1)


def test_resampling_keeps_a_tone() -> None:
    time = torch.arange(44_100) / 44_100
    tone = torch.sin(2 * torch.pi * 440 * time)[None]
    for rate in (16_000, 22_050, 48_000):
        again = mel.resample(tone, 44_100, rate)
        assert again.shape[1] == rate
        wanted = torch.sin(2 * torch.pi * 440 * torch.arange(rate) / rate)
        assert (again[0] - wanted)[100:-100].abs().max() < 2e-3
    assert mel.resample(tone, 44_100, 44_100) is tone


def test_the_engine_imports_no_heavy_stranger() -> None:
    modules = [
        path.stem for path in Path(dimts.xtts.__file__).parent.glob("[a-z]*.py") if "kernel" not in path.name
    ]
    code = (
        f"import sys, dimts.xtts\nfor name in {modules!r}: __import__('dimts.xtts.' + name)\n"
        "print([name for name in ('transformers', 'torchaudio', 'TTS', "
        "'librosa', 'peft') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
