"""Layers that recompute in the backward pass give values and gradients of plain ones, under autocast too."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dimts.xtts.gpt import Conv1D, _linear_params
from dimts.xtts.lora import Adapter, LoraSettings
from dimts.xtts.recompute import dropout_add, gelu_linear, layernorm_linear

WIDTH, INNER = 24, 40


class Pair(nn.Module):
    """Norm, product, gelu, product, and the sum with what came in."""

    def __init__(self, adapters: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.first, self.second = Conv1D(WIDTH, INNER), Conv1D(INNER, WIDTH)
        if adapters:
            for layer in (self.first, self.second):
                layer.adapter = Adapter(layer, LoraSettings(rank=3, alpha=6.0, dropout=0.0), None)
                nn.init.normal_(layer.adapter.up, std=0.1)

    def forward(self, x: Tensor, plain: bool) -> Tensor:
        if plain:
            return x + self.second(F.gelu(self.first(self.norm(x)), approximate="tanh"))
        first, second = _linear_params(self.first), _linear_params(self.second)
        assert first is not None
        assert second is not None
        return dropout_add(x, gelu_linear(layernorm_linear(x, self.norm, first), second), 0.0)


def passes(module: Pair, plain: bool, half: bool) -> tuple[Tensor, list[Tensor], int]:
    """The result, all gradients, and the bytes that are kept for the backward pass beside the parameters."""
    x = torch.randn(2, 9, WIDTH, generator=torch.Generator().manual_seed(2)).requires_grad_()
    owned = {one.data_ptr() for one in module.parameters()} | {x.data_ptr()}
    kept: dict[int, int] = {}

    def keep(one: Tensor) -> Tensor:
        storage = one.untyped_storage()
        if storage.data_ptr() not in owned and one.shape[:1] != (WIDTH,) and one.shape[:1] != (INNER,):
            kept[storage.data_ptr()] = storage.nbytes()
        return one

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        y = module(x, plain)
    assert y.dtype == torch.float32
    (y * torch.linspace(0, 1, WIDTH)).sum().backward()
    leaves = [x, *(one for one in module.parameters() if one.requires_grad)]
    grads = [one.grad.clone() for one in leaves if one.grad is not None]
    assert len(grads) == len(leaves)
    assert all(one.dtype == torch.float32 for one in grads)
    module.zero_grad()
    return y.detach(), grads, sum(kept.values())


@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_values_and_gradients_are_those_of_plain_layers(adapters: bool, half: bool) -> None:
    torch.manual_seed(1)
    module = Pair(adapters)
    plain, wanted, more = passes(module, True, half)
    lean, found, less = passes(module, False, half)
    near = 3e-2 if half else 1e-5
    assert torch.allclose(lean, plain, rtol=near, atol=near)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=near, atol=near * float(other.abs().max()))
    assert less < more


def test_a_sum_with_dropout_keeps_the_precision_of_the_residual_stream() -> None:
    x = torch.randn(4, 8).requires_grad_()
    y = torch.randn(4, 8).to(torch.bfloat16).requires_grad_()
    out = dropout_add(x, y, 0.3)
    assert out.dtype == torch.float32
    out.sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad.dtype, y.grad.dtype) == (torch.float32, torch.bfloat16)
    dropped = y.grad == 0
    assert torch.equal(out[dropped], x[dropped])
    assert not torch.allclose(out[~dropped], x[~dropped])
