"""The loss that teaches heads to follow the text: what it measures, whom it moves, and that it teaches."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from dimts.xtts.guided_attention import HEAD, guided_blocks
from dimts.xtts.loss import LossSettings
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.spec import LATENTS, SPECS

SPEC = dataclasses.replace(SPECS["tiny"], layers=4, width=64, heads=2, dropout=0.0)
GUIDED = LossSettings(guided_attention=1.0)


def _examples(*, aligned: bool = True) -> Examples:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(4, SPEC.text_ids, (2, 7), generator=generator)
    codes = torch.randint(0, 200, (2, 12), generator=generator)
    spans = torch.arange(12).div(2, rounding_mode="floor").clamp(max=6)
    alignment = torch.stack((spans, (spans + 1).clamp(max=6)), dim=-1).expand(2, -1, -1).clone()
    alignment[1] = -1
    latents = torch.randn(2, LATENTS, SPEC.width, generator=generator)
    return Examples(ids, [7, 5], codes, [12, 9], latents=latents, alignment=alignment if aligned else None)


def _by_hand(model: XTTS, examples: Examples) -> float:
    """The same from softmax over whole rows of attention of the first, aligned row."""
    seen: list[Tensor] = []
    hooks = [
        model.gpt.trunk.blocks()[index].ln_1.register_forward_hook(lambda _m, _i, out: seen.append(out))
        for index in guided_blocks(SPEC.layers)
    ]
    model.packed = False
    row = dataclasses.replace(
        examples,
        text_ids=examples.text_ids[:1],
        text_lengths=[7],
        codes=examples.codes[:1],
        code_lengths=[12],
        latents=examples.latents[:1] if examples.latents is not None else None,
        alignment=None,
    )
    blocks = [model.gpt.trunk.blocks()[index] for index in guided_blocks(SPEC.layers)]
    for block in blocks:
        block.attn.tap = []
    model(row)
    total = 0.0
    assert examples.alignment is not None
    spans = examples.alignment[0].tolist()
    for block, wanted in zip(blocks, ([[0, 0], *spans[:-1]], spans), strict=True):
        assert block.attn.tap is not None
        qkv, block.attn.tap = block.attn.tap[0][0], None
        q, k = qkv[:, 0, HEAD], qkv[:, 1, HEAD]
        scores = (q @ k.T / q.shape[-1] ** 0.5).masked_fill(
            torch.ones(len(q), len(q)).triu(1).bool(), -torch.inf
        )
        shares = scores.softmax(dim=1)
        for code, (first, last) in enumerate(wanted):
            at = LATENTS + 1 + 7 + code
            total -= shares[at, LATENTS + 1 + first : LATENTS + 2 + last].sum().log().item()
    for hook in hooks:
        hook.remove()
    return total / len(blocks) / len(spans)


@pytest.mark.parametrize("packed", [True, False])
def test_it_is_the_attention_on_the_phones_that_sound(packed: bool) -> None:
    model, examples = XTTS.build(SPEC, 1, dvae=False), _examples()
    expected = _by_hand(model, examples)
    model.packed = packed
    losses = model(examples, GUIDED)
    assert losses.attention is not None
    assert losses.attention_tokens == 12, "the row without an alignment counts for nothing"
    assert losses.attention.item() == pytest.approx(expected, rel=1e-5)
    plain = model(examples, LossSettings())
    assert plain.attention is None
    assert losses.total.item() == pytest.approx(plain.total.item() + expected, rel=1e-5)
    assert all(block.attn.tap is None for block in model.gpt.trunk.blocks()), "nothing is kept afterwards"


def test_without_any_alignment_it_is_nothing_and_moves_nothing() -> None:
    model = XTTS.build(SPEC, 1, dvae=False)
    losses = model(_examples(aligned=False), GUIDED)
    assert losses.attention is not None
    assert (losses.attention.item(), losses.attention_tokens) == (0.0, 0)
    losses.attention.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_heads_learn_to_follow_the_text() -> None:
    model, examples = XTTS.build(SPEC, 1, dvae=False).train(), _examples()
    optimizer = torch.optim.Adam(model.gpt.parameters(), lr=3e-3)
    first = last = 0.0
    for step in range(40):
        losses = model(examples, GUIDED)
        assert losses.attention is not None
        losses.attention.backward()
        optimizer.step()
        optimizer.zero_grad()
        last = losses.attention.item()
        first = last if not step else first
    assert last < 0.25 * first
