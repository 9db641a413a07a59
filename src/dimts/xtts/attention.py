"""Queries, keys and values → what each token sees, behind one function with four kinds of kernel.

One mask contract, `Rows`: a batch is rows of tokens, either *padded* (tensors [B, T, H, w], row b holds lengths[b]
real tokens at its start) or *packed* (tensors [1, N, H, w], the rows one after another without padding). A token sees
tokens of its own row only, and none after itself if `causal`. What comes out at padding is finite but means nothing.
No rows at all (`None`) means: every query sees every key.

    eager      softmax(q kᵀ) v written out; the reference the others are tested against
    sdpa       torch's fused kernels, everywhere; a packed batch goes row by row, so no N × N mask is ever made
    flash      FlashAttention 2 (flash-attn), variable lengths; CUDA from sm_80, float16 or bfloat16
    xformers   memory-efficient attention with a block-diagonal bias; CUDA

Source of flash: Dao, "FlashAttention-2" (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from dimts.base.errors import ConfigError
from dimts.base.plugins import has, nearest, require

Kind = Literal["eager", "sdpa", "flash", "xformers"]

FLASH_CAPABILITY = (8, 0)
"""The oldest CUDA compute capability FlashAttention 2 runs on."""
FLASH_MAX_HEAD = 256
"""The widest head FlashAttention 2 takes."""


@dataclass(frozen=True)
class SequenceLayout:
    """Which tokens belong together; the mask contract of every kernel."""

    lengths: tuple[int, ...]
    """Real tokens of each row."""
    packed: bool
    """True: one tensor row [1, N, ...]; False: padded [B, T, ...]."""
    causal: bool = True
    _cumulative: dict[torch.device, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(self.lengths)

    @cached_property
    def total(self) -> int:
        """N: real tokens of all rows."""
        return sum(self.lengths)

    @cached_property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """(first, end) of each row in the packed order."""
        ends = [sum(self.lengths[: i + 1]) for i in range(len(self.lengths))]
        return tuple(zip([0, *ends[:-1]], ends, strict=True))

    def cumulative(self, device: torch.device) -> Tensor:
        """Cumulative lengths [rows + 1] int32, made once per device."""
        if device not in self._cumulative:
            ends = [0, *(end for _, end in self.bounds)]
            self._cumulative[device] = torch.tensor(ends, dtype=torch.int32, device=device)
        return self._cumulative[device]

    def mask(self, tokens: int, device: torch.device) -> Tensor:
        """True where query i may see key j: [B, 1, T, T] padded, [1, 1, N, N] packed. The contract, spelled out."""
        place = torch.arange(tokens, device=device)
        if self.packed:
            row = torch.repeat_interleave(
                torch.arange(len(self.lengths), device=device), torch.tensor(self.lengths, device=device)
            )
            seen = (row[:, None] == row[None])[None]  # [1, N, N]
        else:
            seen = place[None, None] < torch.tensor(self.lengths, device=device)[:, None, None]  # [B, 1, T]
            seen = seen.expand(-1, tokens, -1)
        if self.causal:
            seen = seen & (place[None] <= place[:, None])
        return seen[:, None]

    def gather(self, x: Tensor) -> Tensor:
        """Padded [B, T, ...] → packed [N, ...]; a packed tensor [1, N, ...] only loses its first axis."""
        if self.packed:
            return x[0]
        return torch.cat([x[b, :length] for b, length in enumerate(self.lengths)])

    def scatter(self, x: Tensor, tokens: int) -> Tensor:
        """Packed [N, ...] → the layout of these rows: [1, N, ...], or [B, tokens, ...] with zeros as padding."""
        if self.packed:
            return x[None]
        still = (0, 0) * (x.dim() - 1)
        parts = torch.split(x, list(self.lengths))
        return torch.stack([F.pad(part, (*still, 0, tokens - len(part))) for part in parts])


def attend(kind: Kind, q: Tensor, k: Tensor, v: Tensor, rows: SequenceLayout | None, dropout: float = 0.0) -> Tensor:
    """Attention of q over k, v, all [B, T, H, w] (or [1, N, H, w] packed) → the same shape; scale 1/√w.

    `dropout` is applied to the probabilities. Without `rows`, k and v may have another T than q.
    Raises ConfigError for an unknown kind, MissingExtra if its library is absent.
    """
    if kind not in _KERNELS:
        raise ConfigError("xtts.unknown_attention", kind=kind, nearest=nearest(kind, _KERNELS))
    if rows is not None and rows.packed and q.shape[1] != rows.total:
        raise ValueError(f"rows of {rows.total} tokens do not fit a tensor of {q.shape[1]}")
    return _KERNELS[kind](q, k, v, rows, dropout)


def attend_self(kind: Kind, qkv: Tensor, axis: int, rows: SequenceLayout, dropout: float = 0.0) -> Tensor:
    """Attention of tokens over those of their own row: all three in one tensor, stacked along `axis` → [B, T, H, w].

    On a processor with packed rows, sdpa writes the gradients of all three straight into one tensor: slicing rows and
    unbinding would fill and add a whole tensor for each row.
    """
    on_processor = kind == "sdpa" and rows.packed and qkv.device.type == "cpu"
    if on_processor and rows.causal and not dropout and torch.is_grad_enabled():
        out: Tensor = _PackedRows.apply(qkv, axis, rows)  # type: ignore[no-untyped-call]
        return out
    q, k, v = qkv.unbind(axis)
    if rows.packed and not rows.causal and (on_processor or kind == "eager"):
        # Row by row, as a mask over all rows would be as large as their square. Frames of a voice are much alike, so
        # gradients of their scores are small differences of large numbers: other roundings than these, those of the
        # fused kernels too, were seen to move the losses of recorded optimizer steps by more than 1e-5.
        split = (torch.split(t, list(rows.lengths), dim=1) for t in (q, k, v))
        return torch.cat([_eager(a, b, c, None, dropout) for a, b, c in zip(*split, strict=True)], dim=1)
    return attend(kind, q, k, v, rows, dropout)


class _PackedRows(Function):
    """torch's fused attention for processors, row by row of a packed batch."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, axis: int, rows: SequenceLayout) -> Tensor:
        q, k, v = (t.transpose(1, 2) for t in qkv.unbind(axis))  # [1, H, N, w]
        out = torch.empty(1, qkv.shape[1], q.shape[1], q.shape[3], dtype=qkv.dtype)
        sums = []
        for a, b in rows.bounds:
            seen, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                q[:, :, a:b], k[:, :, a:b], v[:, :, a:b], 0.0, rows.causal
            )
            out[:, a:b] = seen.transpose(1, 2)
            sums.append(total)
        ctx.axis, ctx.rows = axis, rows
        ctx.save_for_backward(qkv, out, *sums)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        qkv, out, *sums = ctx.saved_tensors
        found = torch.empty_like(qkv)
        parts, target = qkv.unbind(ctx.axis), found.unbind(ctx.axis)
        for (a, b), total in zip(ctx.rows.bounds, sums, strict=True):
            q, k, v, seen, wanted = (t[:, a:b].transpose(1, 2) for t in (*parts, out, grad))
            gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                wanted, q, k, v, seen, total, 0.0, ctx.rows.causal
            )
            for into, gradient in zip(target, gradients, strict=True):
                into[:, a:b] = gradient.transpose(1, 2)
        return found, None, None


def attend_cached(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """One new query per row over a cache: q [B, 1, H, w], k and v [B, T, H, w] → [B, 1, H, w].

    Row b sees its first `lengths[b]` keys. Used when codes are decoded one by one, where no kind beats sdpa. On a CPU
    rows of unlike length are looked at one by one: that is faster than masking, and a row gets bit for bit what it
    would get alone.
    """
    tokens = k.shape[1]
    if all(length == tokens for length in lengths):
        return _fused(q, k, v, 0.0, causal=False)
    if q.device.type == "cpu":
        rows = enumerate(lengths)
        return torch.cat([_fused(q[b : b + 1], k[b : b + 1, :n], v[b : b + 1, :n], 0.0, causal=False) for b, n in rows])
    ends = torch.tensor(list(lengths), device=q.device)
    mask = (torch.arange(tokens, device=q.device) < ends[:, None])[:, None, None]  # [B, 1, 1, T]
    return _fused(q, k, v, 0.0, causal=False, mask=mask)


def refusal(kind: Kind, device: torch.device, dtype: torch.dtype, head_width: int) -> str:
    """Why this kind cannot run there, in one line; empty if it can. Asks, never tries."""
    if kind in ("eager", "sdpa"):
        return ""
    library = "flash_attn" if kind == "flash" else "xformers"
    if device.type != "cuda":
        return f"{kind} needs a CUDA device, this is {device.type}"
    if not has(library):
        return f"{library} is not installed"
    if kind == "flash":
        capability = torch.cuda.get_device_capability(device)
        if capability < FLASH_CAPABILITY:
            return f"FlashAttention 2 needs compute capability 8.0, this card has {capability[0]}.{capability[1]}"
        if dtype not in (torch.float16, torch.bfloat16):
            return f"FlashAttention 2 computes in float16 or bfloat16, not {str(dtype).removeprefix('torch.')}"
        if head_width > FLASH_MAX_HEAD:
            return f"FlashAttention 2 takes heads up to {FLASH_MAX_HEAD} wide, this model has {head_width}"
    return ""


def _eager(q: Tensor, k: Tensor, v: Tensor, rows: SequenceLayout | None, dropout: float) -> Tensor:
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # [B, H, T, w]
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5  # [B, H, T, T]
    if rows is not None:
        scores = scores.masked_fill(~rows.mask(q.shape[2], q.device), torch.finfo(scores.dtype).min)
    weights = F.dropout(scores.float().softmax(dim=-1).to(v.dtype), dropout, training=dropout > 0)
    return (weights @ v).transpose(1, 2)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, rows: SequenceLayout | None, dropout: float) -> Tensor:
    if rows is None:
        return _fused(q, k, v, dropout, causal=False)
    if rows.packed:
        split = (torch.split(t, list(rows.lengths), dim=1) for t in (q, k, v))  # slices would add up zeros backward
        parts = [_fused(a, b, c, dropout, causal=rows.causal) for a, b, c in zip(*split, strict=True)]
        return torch.cat(parts, dim=1)
    if rows.causal:  # padding stands after all real tokens, so none of them sees it
        return _fused(q, k, v, dropout, causal=True)
    mask = None if min(rows.lengths) == q.shape[1] else rows.mask(q.shape[1], q.device)
    return _fused(q, k, v, dropout, causal=False, mask=mask)


def _fused(q: Tensor, k: Tensor, v: Tensor, dropout: float, *, causal: bool, mask: Tensor | None = None) -> Tensor:
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, dropout_p=dropout, is_causal=causal
    )
    return out.transpose(1, 2)


def _flash(q: Tensor, k: Tensor, v: Tensor, rows: SequenceLayout | None, dropout: float) -> Tensor:
    library = require("flash_attn", "flash")
    if rows is None:
        out: Tensor = library.flash_attn_func(q, k, v, dropout_p=dropout, causal=False)
        return out
    ends = rows.cumulative(q.device)
    out = library.flash_attn_varlen_func(
        rows.gather(q),
        rows.gather(k),
        rows.gather(v),
        ends,
        ends,
        rows.longest,
        rows.longest,
        dropout_p=dropout,
        causal=rows.causal,
    )  # [N, H, w]
    return rows.scatter(out, q.shape[1])


def _xformers(q: Tensor, k: Tensor, v: Tensor, rows: SequenceLayout | None, dropout: float) -> Tensor:
    ops = require("xformers.ops", "xformers")
    if rows is None:
        out: Tensor = ops.memory_efficient_attention(q, k, v, p=dropout)
        return out
    biases = ops.fmha.attn_bias
    maker = biases.BlockDiagonalCausalMask if rows.causal else biases.BlockDiagonalMask
    out = ops.memory_efficient_attention(
        rows.gather(q)[None],
        rows.gather(k)[None],
        rows.gather(v)[None],
        attn_bias=maker.from_seqlens(list(rows.lengths)),
        p=dropout,
    )
    return rows.scatter(out[0], q.shape[1])


_KERNELS: dict[str, Callable[[Tensor, Tensor, Tensor, SequenceLayout | None, float], Tensor]] = {
    "eager": _eager,
    "sdpa": _sdpa,
    "flash": _flash,
    "xformers": _xformers,
}
KINDS: tuple[Kind, ...] = ("eager", "sdpa", "flash", "xformers")
"""Every kind of attention, the plainest first."""
