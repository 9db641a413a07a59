"""Layers of the trunk with backward passes of their own that recompute instead of keeping activations.

    layernorm_linear LayerNorm, then x W + b (and its adapter): keeps x, not the normed x
    gelu_linear   tanh gelu, then x W + b (and its adapter): keeps the input of the gelu, not its output
    dropout_add   x + dropout(y): keeps one byte per element

Under autocast the weights come in its number type: products are made in that of the weights, norms in that of
x, which stays the residual stream's float32.

What is not kept is computed again in the backward pass, which costs a read and a write of it; the two
products a layer is made of cost a hundred times that. Values and gradients are those of the plain layers to
the last rounding. Source of keeping inputs instead of outputs: Chen et al., "Training Deep Nets with
Sublinear Memory Cost" (2016).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_RESOLUTION = 1 << 16
"""Probabilities of dropout are multiples of 1 / 65 536."""


class LinearParams(NamedTuple):
    """x W + b, plus x A B · scale where there is an adapter."""

    weight: Tensor
    """[in, out]"""
    bias: Tensor
    """[out]"""
    down: Tensor | None = None
    """A, [in, rank]"""
    up: Tensor | None = None
    """B, [rank, out]"""
    scale: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """[N, in] → [N, out], outside of autograd."""
        y = torch.addmm(self.bias, x, self.weight)
        return (
            y if self.down is None or self.up is None else y.addmm_(x @ self.down, self.up, alpha=self.scale)
        )

    def backward_input(self, grad: Tensor) -> Tensor:
        """Compute the gradient of x from that of the result."""
        out = grad @ self.weight.t()
        if self.down is None or self.up is None:
            return out
        return out.addmm_(grad @ self.up.t(), self.down.t(), alpha=self.scale)

    def backward_own(self, x: Tensor, grad: Tensor, needed: tuple[bool, ...]) -> list[Tensor | None]:
        """Compute those of the gradients of weight, bias, down and up that are needed."""
        found: list[Tensor | None] = [None] * 4
        if needed[0]:
            found[0] = x.t() @ grad
        if needed[1]:
            found[1] = grad.sum(0)
        if self.down is not None and self.up is not None:
            if needed[2]:
                found[2] = (x.t() @ (grad @ self.up.t())).mul_(self.scale)
            if needed[3]:
                found[3] = ((x @ self.down).t() @ grad).mul_(self.scale)
        return found


def layernorm_linear(x: Tensor, norm: nn.LayerNorm, product: LinearParams) -> Tensor:
    """[..., in] → [..., out]: the product of the normed x."""
    out: Tensor = _LayerNormLinear.apply(x, norm.weight, norm.bias, norm.eps, *product)  # type: ignore[no-untyped-call]
    return out


def gelu_linear(x: Tensor, product: LinearParams) -> Tensor:
    """[..., in] → [..., out]: the product of gelu(x), with the tanh gelu."""
    out: Tensor = _GeluLinear.apply(x, *product)  # type: ignore[no-untyped-call]
    return out


def dropout_add(x: Tensor, y: Tensor, rate: float) -> Tensor:
    """x + dropout(y), both of one shape."""
    if not rate:
        return x + y
    out: Tensor = _DropoutAdd.apply(x, y, *dropout_mask(y, rate))  # type: ignore[no-untyped-call]
    return out


def dropout(x: Tensor, rate: float) -> Tensor:
    """Apply dropout to x."""
    if not rate:
        return x
    dropped, scale = dropout_mask(x, rate)
    return x.masked_fill(dropped, 0.0) * scale


def dropout_mask(like: Tensor, rate: float) -> tuple[Tensor, float]:
    """Draw which elements are dropped (bool, of the shape of `like`), and the factor of the others.

    Four elements are drawn from each number of the generator, as torch's own mask takes one number for each,
    which on a processor costs as much as all norms together. The others are multiplied by the inverse of the
    probability of being kept, so expectations are exact.
    """
    if like.device.type != "cpu":
        return torch.rand_like(like, dtype=torch.float32) < rate, 1 / (1 - rate)
    chance = round(rate * _RESOLUTION)
    words = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    dropped = words.view(torch.int16)[: like.numel()] < chance - _RESOLUTION // 2
    return dropped.view(like.shape), _RESOLUTION / (_RESOLUTION - chance)


class _LayerNormLinear(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        eps: float,
        weight: Tensor,
        bias: Tensor,
        down: Tensor | None,
        up: Tensor | None,
        scale: float,
    ) -> Tensor:
        width = weight.shape[0]
        normed, mean, spread = torch.native_layer_norm(x, (width,), norm_weight, norm_bias, eps)
        ctx.eps, ctx.scale = eps, scale
        ctx.save_for_backward(x, mean, spread, norm_weight, norm_bias, weight, bias, down, up)
        with torch.autocast(x.device.type, enabled=False):
            y = LinearParams(weight, bias, down, up, scale)(normed.view(-1, width).to(weight.dtype))
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, spread, norm_weight, norm_bias, weight, bias, down, up = ctx.saved_tensors
        made = LinearParams(weight, bias, down, up, ctx.scale)
        width = x.shape[-1]
        grad = grad.reshape(-1, grad.shape[-1]).to(weight.dtype)
        own: list[Tensor | None] = [None] * 4
        if any(ctx.needs_input_grad[4:8]):
            normed = torch.native_layer_norm(x, (width,), norm_weight, norm_bias, ctx.eps)[0]
            own = made.backward_own(normed.view(-1, width).to(weight.dtype), grad, ctx.needs_input_grad[4:8])
            del normed
        found: tuple[Tensor | None, ...] = torch.ops.aten.native_layer_norm_backward(
            made.backward_input(grad).view_as(x).to(x.dtype),
            x,
            (width,),
            mean,
            spread,
            norm_weight,
            norm_bias,
            list(ctx.needs_input_grad[:3]),
        )
        return (*found, None, *own, None)


class _GeluLinear(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        down: Tensor | None,
        up: Tensor | None,
        scale: float,
    ) -> Tensor:
        ctx.scale = scale
        ctx.save_for_backward(x, weight, bias, down, up)
        active = F.gelu(x, approximate="tanh").view(-1, x.shape[-1])
        with torch.autocast(x.device.type, enabled=False):
            y = LinearParams(weight, bias, down, up, scale)(active.to(weight.dtype))
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, down, up = ctx.saved_tensors
        made = LinearParams(weight, bias, down, up, ctx.scale)
        grad = grad.reshape(-1, grad.shape[-1]).to(weight.dtype)
        own: list[Tensor | None] = [None] * 4
        if any(ctx.needs_input_grad[1:5]):
            active = F.gelu(x, approximate="tanh").view(-1, x.shape[-1])
            own = made.backward_own(active.to(weight.dtype), grad, ctx.needs_input_grad[1:5])
            del active
        found = None
        if ctx.needs_input_grad[0]:
            inner = made.backward_input(grad).view_as(x).to(x.dtype)
            found = torch.ops.aten.gelu_backward(inner, x, approximate="tanh")
        return (found, *own, None)


class _DropoutAdd(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, dropped: Tensor, scale: float) -> Tensor:
        ctx.scale, ctx.kind = scale, y.dtype
        ctx.save_for_backward(dropped)
        out = y.masked_fill(dropped, 0.0).to(x.dtype)  # x is the residual stream and keeps its precision
        return torch.add(x, out, alpha=scale, out=out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (dropped,) = ctx.saved_tensors
        return grad, grad.masked_fill(dropped, 0.0).mul_(ctx.scale).to(ctx.kind), None, None
