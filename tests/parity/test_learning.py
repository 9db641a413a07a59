"""Learning: losses, logits, gradients and optimizer steps against coqui's own, under compat = "coqui"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dimts.xtts import weights
from dimts.xtts.attention import refusal
from dimts.xtts.gpt import IGNORED
from dimts.xtts.loss import LossSettings
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.spec import LATENTS, STOP_TARGETS

LOSS_TOLERANCE = 1e-5
COQUI = LossSettings(compat="coqui")
PARTS = {
    "conditioning_encoder": ("conditioning.encoder.",),
    "conditioning_perceiver": ("conditioning.perceiver.",),
    "gpt": ("gpt.trunk.",),
    "heads": ("gpt.text_head.", "gpt.mel_head."),
}


def examples_of(
    expected: dict[str, Tensor], model: XTTS, prefix: str = "batch", crops: bool = False
) -> Examples:
    """The golden batch as ours: lengths as numbers, codes counted from samples."""
    samples = expected[f"{prefix}.wav_lengths"].tolist()
    return Examples(
        expected[f"{prefix}.text_inputs"].long(),
        expected[f"{prefix}.text_lengths"].tolist(),
        expected[f"{prefix}.audio_codes"],
        [model.spec.codes_of(n) for n in samples],
        mel=expected[f"{prefix}.cond_mels"][:, 0],
        crops=[(int(a), int(b)) for a, b in expected[f"{prefix}.cond_idxs"]] if crops else None,
    )


def check_losses(
    found: Any, wanted: dict[str, float], name: str, noted: Callable[[str, float, float], None]
) -> None:
    for mine, theirs in (("text", "loss_text"), ("mel", "loss_mel"), ("total", "loss")):
        if theirs in wanted:
            value = float(getattr(found, mine).detach())
            noted(f"{name}.{theirs}", abs(value - wanted[theirs]) / abs(wanted[theirs]), LOSS_TOLERANCE)


def check_gradients(
    model: XTTS, wanted: dict[str, Any], name: str, noted: Callable[[str, float, float], None]
) -> None:
    gradients = {key: p.grad for key, p in model.trained() if p.grad is not None}
    for key, norm in wanted.get("grad_norms", {}).items():
        found = float(gradients[weights.ours(f"gpt.{key}")].norm())
        noted(f"{name}.grad_norms", abs(found - norm) / norm, 1e-4)
    for part, norm in wanted["grad_norm_groups"].items():
        found = float(
            torch.stack([g.norm() for key, g in gradients.items() if key.startswith(PARTS[part])]).norm()
        )
        noted(f"{name}.grad_norm.{part}", abs(found - norm) / norm, 1e-4)
    if "grad_norm_total" in wanted:
        total = float(torch.stack([g.norm() for g in gradients.values()]).norm())
        noted(
            f"{name}.grad_norm.total",
            abs(total - wanted["grad_norm_total"]) / wanted["grad_norm_total"],
            1e-4,
        )


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("attention", ["eager", "sdpa", "flash", "xformers"])
@pytest.mark.parametrize("every", [0, 1, 2], ids=["kept", "checkpointed", "every-second"])
@pytest.mark.parametrize("entry", ["train.plain", "train.cond_idxs", "eval.plain"])
def test_forward_and_backward(
    entry: str,
    every: int,
    attention: Any,
    packed: bool,
    model: XTTS,
    expected: dict[str, Tensor],
    notes: dict[str, Any],
    same: Any,
    noted: Callable[[str, float, float], None],
) -> None:
    if reason := refusal(attention, model.device, torch.float32, model.spec.head_width):
        pytest.skip(str(reason))
    model.train(entry.startswith("train"))
    model.use_attention(attention)
    model.gpt.use_checkpointing(every)
    model.packed = packed
    examples = examples_of(expected, model, crops=entry.endswith("cond_idxs"))
    losses = model(examples, COQUI)
    losses.total.backward()
    name = f"fwd.{entry}"
    check_losses(losses, notes[name], name, noted)
    if "grad_norm_groups" in notes[name]:
        check_gradients(model, notes[name], name, noted)
    named = dict(model.trained())
    for key in expected:
        if key.startswith(f"{name}.grad."):
            gradient = named[weights.ours("gpt." + key.removeprefix(f"{name}.grad."))].grad
            assert gradient is not None
            same(key, gradient)
    model.use_attention("sdpa")
    model.gpt.use_checkpointing(0)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_logits_and_states_of_every_real_token(
    packed: bool, model: XTTS, expected: dict[str, Tensor], noted: Callable[[str, float, float], None]
) -> None:
    """coqui's tensors hold padding too; what it computes there has no loss and is read by nothing."""
    model.train()
    model.packed = packed
    examples = examples_of(expected, model)
    with torch.no_grad():
        hidden = model.hidden(examples, "coqui")
        found = {
            "text_logits": model.gpt.text_head(hidden.text),
            "mel_logits": model.gpt.mel_head(hidden.audio),
        }
    sizes = {
        "text_logits": [n + 1 for n in examples.text_lengths],
        "mel_logits": [n + STOP_TARGETS for n in examples.code_lengths],
    }
    for name, rows in sizes.items():
        for entry in ("fwd.train.plain", "fwd.train.cond_idxs", "fwd.eval.plain"):
            if f"{entry}.{name}" not in expected:
                continue
            wanted = expected[f"{entry}.{name}"]  # [B, V, T]
            for row, mine in enumerate(found[name].split(rows)):
                error = (mine.t() - wanted[row, :, : len(mine)]).abs().max() / wanted.abs().max()
                noted(f"{entry}.{name}", float(error), 1e-4)


def test_last_hidden_states(
    model: XTTS, expected: dict[str, Tensor], noted: Callable[[str, float, float], None]
) -> None:
    """States after the trunk's last norm, before the final norm, at every real token."""
    wanted = expected["fwd.train.plain.gpt_last_hidden"]  # [B, L + text + audio, D] or without the L latents
    model.train()
    examples = examples_of(expected, model)
    states: list[Tensor] = []
    handle = model.gpt.trunk.register_forward_hook(
        lambda module, inputs, output: states.append(output.detach())
    )
    model.packed = False
    with torch.no_grad():
        model.hidden(examples, "coqui")
    handle.remove()
    text_width = examples.text_ids.shape[1] + 2
    shift = (
        LATENTS if wanted.shape[1] >= LATENTS + text_width + max(examples.code_lengths) + STOP_TARGETS else 0
    )
    for row, (text, codes) in enumerate(zip(examples.text_lengths, examples.code_lengths, strict=True)):
        mine = states[0][row]
        pairs = (
            (mine[LATENTS : LATENTS + text + 1], wanted[row, shift : shift + text + 1]),
            (
                mine[LATENTS + text + 1 : LATENTS + text + 1 + codes + STOP_TARGETS],
                wanted[row, shift + text_width : shift + text_width + codes + STOP_TARGETS],
            ),
        )
        for found, theirs in pairs:
            noted(
                "fwd.train.plain.gpt_last_hidden",
                float((found - theirs).abs().max() / wanted.abs().max()),
                1e-4,
            )


@pytest.mark.parametrize("entry", ["train.plain", "train.cond_idxs"])
def test_losses_in_float64(
    entry: str,
    bundle: Any,
    expected: dict[str, Tensor],
    notes: dict[str, Any],
    noted: Callable[[str, float, float], None],
) -> None:
    state = {key: v.double() if v.is_floating_point() else v for key, v in bundle.model.state_dict().items()}
    model = weights.build_from(bundle.model.spec, state, "golden", dtype=None)
    model.gpt.use_dropout(0.0)
    examples = examples_of(expected, model, crops=entry.endswith("cond_idxs"))
    assert examples.mel is not None
    examples = replace(examples, mel=examples.mel.double())
    with torch.no_grad():
        losses = model(examples, COQUI)
    # our cross-entropy and norms of the conditioner run in float32, coqui's partly too
    check_losses(losses, notes[f"fwd.{entry}.float64"], f"fwd.{entry}.float64", noted)


def test_chunked_loss_is_the_same(model: XTTS, expected: dict[str, Tensor]) -> None:
    model.packed = True
    found = []
    for chunk in (0, 7):
        model.zero_grad(set_to_none=True)
        losses = model(examples_of(expected, model), LossSettings(chunk_tokens=chunk, label_smoothing=0.1))
        losses.total.backward()
        head = model.gpt.mel_head.weight.grad
        assert head is not None
        found.append((float(losses.total.detach()), head.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)


def test_mended_mask_covers_every_row_on_the_right_grid(model: XTTS, expected: dict[str, Tensor]) -> None:
    from dimts.xtts.model import covered_codes

    crops, lengths = [(4410, 30870), (22050, 55125), (1000, 15332)], [46, 74, 28]
    mended = covered_codes(crops, lengths, model.spec).split([n + STOP_TARGETS for n in lengths])
    stride = model.spec.code_stride
    for covered, (start, end) in zip(mended, crops, strict=True):
        assert covered.nonzero()[:, 0].tolist() == list(range(start // stride, -(-end // stride)))
    coqui = covered_codes(crops, lengths, model.spec, coqui=True).split([n + STOP_TARGETS for n in lengths])
    assert not coqui[0].any()
    assert not coqui[1].any()
    assert coqui[2].nonzero()[:, 0].tolist() == list(range(1000 // 256, min(15332 // 256, 28 + STOP_TARGETS)))
    assert IGNORED < 0


def test_optimizer_steps(
    bundle: Any,
    expected: dict[str, Tensor],
    notes: dict[str, Any],
    noted: Callable[[str, float, float], None],
) -> None:
    """AdamW on coqui's two groups: four losses and every parameter's norm after."""
    wanted = notes["optimizer"]
    state = {key: value.clone() for key, value in bundle.model.state_dict().items()}
    model = weights.build_from(bundle.model.spec, state, "golden").train()
    model.gpt.use_dropout(0.0)
    named = dict(model.trained())
    groups = [
        {
            "params": [named[weights.ours(f"gpt.{key}")] for key in wanted["groups"][group]],
            "weight_decay": decay,
        }
        for group, decay in (("decay", 1e-2), ("no_decay", 0.0))
    ]
    assert sum(len(group["params"]) for group in groups) == len(named)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(groups, lr=wanted["lr"], betas=(0.9, 0.96), eps=1e-8)
    examples = examples_of(expected, model)
    for index, losses in enumerate(wanted["losses"]):
        optimizer.zero_grad()
        found = model(examples, COQUI)
        check_losses(found, losses, f"optimizer.step{index}", noted)
        found.total.backward()
        optimizer.step()
    for key, norm in wanted["param_norms_after"].items():
        found_norm = float(named[weights.ours(f"gpt.{key}")].detach().norm())
        # A bias of keys has no true gradient (softmax ignores it); AdamW makes full steps of its rounding
        # noise.
        noise = key.endswith(("qkv.bias", "c_attn.bias"))
        error = abs(found_norm - norm) / norm
        noted(
            "optimizer.param_norms_after" + (" (with key bias)" if noise else ""),
            error,
            5e-3 if noise else 1e-4,
        )


def test_crop_rule(notes: dict[str, Any]) -> None:
    """The training crop of the published recipe, drawn by Python's own generator."""
    import random

    from dimts.train import sampler

    if "prompt_slices" not in notes:
        pytest.skip("this golden folder holds no crops")
    samples, luck = notes["wav_samples"], random.Random(notes["params"]["seed"])
    wanted = [tuple(pair) for pair in notes["prompt_slices"]]
    for pair in wanted:
        too_long = pair[1] - pair[0] == samples // 2
        limits = (90_000, 100_000) if too_long else (20_000, 50_000)
        assert sampler.crop(samples, luck, *limits) == pair
    assert sampler.crop_for_dev(samples, 20_000, 50_000) == tuple(notes["prompt_slice_eval"])
