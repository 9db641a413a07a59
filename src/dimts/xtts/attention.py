"""Attention of queries over keys and values, behind one function with four kinds of kernel.

One mask contract, `SequenceLayout`: a batch is rows of tokens, either *padded* (tensors [B, T, H, w], row b
holds lengths[b] real tokens at its start) or *packed* (tensors [1, N, H, w], the rows one after another
without padding). A token sees tokens of its own row only, and none after itself if `causal`. Results
at padding are finite but meaningless. No layout (`None`) means: every query sees every key.

    eager      softmax(q kᵀ) v written out; the reference the others are tested against
    sdpa       torch's fused kernels, everywhere; a packed batch goes row by row, so no N × N mask is
               ever made; on CUDA one call of torch's variable-length kernel where that takes the tensors
    flash      FlashAttention 2 over variable lengths, CUDA from sm_80, float16 or bfloat16: torch's own
               (torch.nn.attention.varlen), or the wheel flash-attn for dropout of probabilities
    xformers   memory-efficient attention with a block-diagonal bias; CUDA

flash and xformers take some tensors only (`refusal`). What they refuse in a call, e.g. float32 outside of
autocast, goes to sdpa: a model speaks and is exported with whatever kind it was trained with.

Source of flash: Dao, "FlashAttention-2" (2023).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.base.plugins import has, nearest, require
from dimts.xtts.kernel_limits import FLASH_CAPABILITY, FLASH_MAX_HEAD, HEAD_MULTIPLE, VARLEN, Kind
from dimts.xtts.transfer import integers

KERNEL_DEVICES = frozenset({"cuda"})
"""Device types that flash and xformers run on."""
_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class SequenceLayout:
    """Layout of a batch's rows; the mask contract of every kernel."""

    lengths: tuple[int, ...]
    """Real tokens of each row."""
    packed: bool
    """True: one tensor row [1, N, ...]; False: padded [B, T, ...]."""
    causal: bool = True
    _made: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def max_length(self) -> int:
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

    def cu_seqlens(self, device: torch.device) -> Tensor:
        """Cumulative lengths [rows + 1] int32, made once per device."""
        ends = [0, *(end for _, end in self.bounds)]
        found: Tensor = self.once(device, lambda: integers(ends, device, torch.int32))
        return found

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return a kernel's constants for this layout, made at the first layer that needs them."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def mask(self, tokens: int, device: torch.device) -> Tensor:
        """Return the mask, true where query i may see key j: [B, 1, T, T] padded, [1, 1, N, N] packed."""
        place = torch.arange(tokens, device=device)
        if self.packed:
            row = integers(
                [index for index, length in enumerate(self.lengths) for _ in range(length)], device
            )
            seen = (row[:, None] == row[None])[None]  # [1, N, N]
        else:
            seen = place[None, None] < integers(self.lengths, device)[:, None, None]  # [B, 1, T]
            seen = seen.expand(-1, tokens, -1)
        if self.causal:
            seen = seen & (place[None] <= place[:, None])
        return seen[:, None]

    def pack(self, x: Tensor) -> Tensor:
        """Padded [B, T, ...] → packed [N, ...]; a packed tensor [1, N, ...] only loses its first axis."""
        if self.packed:
            return x[0]
        return torch.cat([x[b, :length] for b, length in enumerate(self.lengths)])

    def unpack(self, x: Tensor, tokens: int) -> Tensor:
        """Packed [N, ...] → the layout of these rows: [1, N, ...], or [B, tokens, ...] with zeros as
        padding."""
        if self.packed:
            return x[None]
        still = (0, 0) * (x.dim() - 1)
        parts = torch.split(x, list(self.lengths))
        return torch.stack([F.pad(part, (*still, 0, tokens - len(part))) for part in parts])


def attend(
    kind: Kind,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: SequenceLayout | None,
    dropout: float = 0.0,
    keys: SequenceLayout | None = None,
) -> Tensor:
    """Attention of q over k, v, all [B, T, H, w] (or [1, N, H, w] packed) → the shape of q; scale 1/√w.

    `dropout` is applied to the probabilities. `keys` is the layout of k and v where it is not that of q
    (packed, not causal: row b of q sees row b of k). Without `layout`, k and v may have another T than q.
    Raises ConfigError for an unknown kind, MissingExtra if its library is absent.
    """
    if kind not in _KERNELS:
        raise ConfigError("xtts.unknown_attention", kind=kind, nearest=nearest(kind, _KERNELS))
    if layout is not None and layout.packed and q.shape[1] != layout.total:
        raise ValueError(f"rows of {layout.total} tokens do not fit a tensor of {q.shape[1]}")
    if keys is not None and (
        layout is None or not (layout.packed and keys.packed) or layout.causal or keys.causal
    ):
        raise ValueError("keys of another layout are for packed rows that are not causal")
    return _KERNELS[kernel_for(kind, q, k, v)](q, k, v, layout, keys or layout, dropout)


def kernel_for(kind: Kind, *tensors: Tensor) -> Kind:
    """Return the kind that takes these tensors: the requested one, or sdpa where that refuses them."""
    if kind in ("eager", "sdpa"):
        return kind
    first = tensors[0]
    taken = (
        first.device.type in KERNEL_DEVICES
        and all(one.dtype == first.dtype for one in tensors)
        and first.shape[-1] % HEAD_MULTIPLE == 0
        and (first.dtype in _HALF or (kind == "xformers" and first.dtype == torch.float32))
        and (first.shape[-1] <= FLASH_MAX_HEAD or kind == "xformers")
    )
    return kind if taken else "sdpa"


def attend_self(kind: Kind, qkv: Tensor, axis: int, layout: SequenceLayout, dropout: float = 0.0) -> Tensor:
    """Attention of tokens over those of their own row: all three in one tensor, stacked along `axis` → [B, T,
    H, w].

    On a processor with packed rows, sdpa writes the gradients of all three straight into one tensor: slicing
    rows and unbinding would fill and add a whole tensor for each row.
    """
    on_processor = (
        layout.packed
        and qkv.device.type == "cpu"
        and kernel_for(kind, qkv) == "sdpa"
        and not _varlen_takes(qkv)
    )
    if on_processor and layout.causal and not dropout and torch.is_grad_enabled():
        out: Tensor = _PackedRows.apply(qkv, axis, layout)  # type: ignore[no-untyped-call]
        return out
    q, k, v = qkv.unbind(axis)
    if layout.packed and not layout.causal and (on_processor or kind == "eager"):
        # Row by row, as a mask over all rows would be as large as their square. Frames of a voice are much
        # alike, so gradients of their scores are small differences of large numbers: other roundings than
        # these, those of the fused kernels too, were seen to move the losses of recorded optimizer steps by
        # more than 1e-5.
        split = (torch.split(t, list(layout.lengths), dim=1) for t in (q, k, v))
        return torch.cat(
            [_eager(a, b, c, None, None, dropout) for a, b, c in zip(*split, strict=True)], dim=1
        )
    return attend(kind, q, k, v, layout, dropout)


class _PackedRows(Function):
    """torch's fused attention for processors, row by row of a packed batch."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, axis: int, layout: SequenceLayout) -> Tensor:
        q, k, v = (t.transpose(1, 2) for t in qkv.unbind(axis))  # [1, H, N, w]
        out = torch.empty(1, qkv.shape[1], q.shape[1], q.shape[3], dtype=qkv.dtype)
        sums = []
        for a, b in layout.bounds:
            seen, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                q[:, :, a:b], k[:, :, a:b], v[:, :, a:b], 0.0, layout.causal
            )
            out[:, a:b] = seen.transpose(1, 2)
            sums.append(total)
        ctx.axis, ctx.layout = axis, layout
        ctx.save_for_backward(qkv, out, *sums)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        qkv, out, *sums = ctx.saved_tensors
        found = torch.empty_like(qkv)
        parts, target = qkv.unbind(ctx.axis), found.unbind(ctx.axis)
        for (a, b), total in zip(ctx.layout.bounds, sums, strict=True):
            q, k, v, seen, wanted = (t[:, a:b].transpose(1, 2) for t in (*parts, out, grad))
            gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                wanted, q, k, v, seen, total, 0.0, ctx.layout.causal
            )
            for into, gradient in zip(target, gradients, strict=True):
                into[:, a:b] = gradient.transpose(1, 2)
        return found, None, None


def attend_cached(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """One new query per row over a cache: q [B, 1, H, w], k and v [B, T, H, w] → [B, 1, H, w].

    Row b sees its first `lengths[b]` keys. Used when codes are decoded one by one, where no kind beats sdpa.
    On a CPU rows of unlike length are computed one by one: that is faster than masking, and a row gets bit
    for bit what it would get alone.
    """
    tokens = k.shape[1]
    if all(length == tokens for length in lengths):
        return _fused(q, k, v, 0.0, causal=False)
    if q.device.type == "cpu":
        rows = enumerate(lengths)
        return torch.cat(
            [_fused(q[b : b + 1], k[b : b + 1, :n], v[b : b + 1, :n], 0.0, causal=False) for b, n in rows]
        )
    ends = torch.tensor(list(lengths), device=q.device)
    mask = (torch.arange(tokens, device=q.device) < ends[:, None])[:, None, None]  # [B, 1, 1, T]
    return _fused(q, k, v, 0.0, causal=False, mask=mask)


def refusal(kind: Kind, device: torch.device, dtype: torch.dtype, head_width: int) -> Message | None:
    """Return why this kind cannot run there; None if it can. Nothing is tried."""
    if kind in ("eager", "sdpa"):
        return None
    if device.type not in KERNEL_DEVICES:
        return Message("xtts.kernel_needs_cuda", kind=kind, device=device.type)
    libraries = ("xformers",) if kind == "xformers" else (VARLEN, "flash_attn")
    if not any(_installed(library) for library in libraries):
        return Message("xtts.kernel_not_installed", library=libraries[-1])
    if kind == "flash":
        if device.type == "cuda" and (found := torch.cuda.get_device_capability(device)) < FLASH_CAPABILITY:
            needed, have = (".".join(map(str, one)) for one in (FLASH_CAPABILITY, found))
            return Message("xtts.kernel_card_too_old", kind=kind, needed=needed, found=have)
        if dtype not in _HALF:
            return Message("xtts.kernel_needs_16_bit", kind=kind, found=str(dtype).removeprefix("torch."))
    if head_width % HEAD_MULTIPLE or (kind == "flash" and head_width > FLASH_MAX_HEAD):
        return Message("xtts.kernel_head_width", kind=kind, limit=FLASH_MAX_HEAD, found=head_width)
    return None


@cache
def has_varlen() -> bool:
    """Whether this torch has `varlen_attn` in the form that is called here."""
    return has(VARLEN) and "window_size" in inspect.signature(require(VARLEN, "train").varlen_attn).parameters


@cache
def _installed(library: str) -> bool:
    return has_varlen() if library == VARLEN else has(library)


@cache
def _runs_flash(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.get_device_capability(device) >= FLASH_CAPABILITY


def _eager(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: SequenceLayout | None,
    keys: SequenceLayout | None,
    dropout: float,
) -> Tensor:
    if layout is not None and keys is not layout and keys is not None:
        return _row_by_row(_eager, q, k, v, layout, keys, dropout)
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # [B, H, T, w]
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5  # [B, H, T, T]
    if layout is not None:
        scores = scores.masked_fill(~layout.mask(q.shape[2], q.device), torch.finfo(scores.dtype).min)
    weights = F.dropout(scores.float().softmax(dim=-1).to(v.dtype), dropout, training=dropout > 0)
    return (weights @ v).transpose(1, 2)


def _sdpa(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: SequenceLayout | None,
    keys: SequenceLayout | None,
    dropout: float,
) -> Tensor:
    if layout is None or keys is None:
        return _fused(q, k, v, dropout, causal=False)
    if layout.packed:
        if not dropout and len(layout.lengths) > 1 and _varlen_takes(q, k, v):
            return _varlen(q, k, v, layout, keys)
        if keys is not layout:
            return _row_by_row(_sdpa, q, k, v, layout, keys, dropout)
        split = (
            torch.split(t, list(layout.lengths), dim=1) for t in (q, k, v)
        )  # slices would add up zeros backward
        parts = [_fused(a, b, c, dropout, causal=layout.causal) for a, b, c in zip(*split, strict=True)]
        return torch.cat(parts, dim=1)
    if layout.causal:  # padding is after all real tokens, so none of them sees it
        return _fused(q, k, v, dropout, causal=True)
    mask = None if min(layout.lengths) == q.shape[1] else layout.mask(q.shape[1], q.device)
    return _fused(q, k, v, dropout, causal=False, mask=mask)


def _row_by_row(
    kernel: _Kernel,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: SequenceLayout,
    keys: SequenceLayout,
    dropout: float,
) -> Tensor:
    """Attend from packed rows of q over packed rows of k and v of other lengths."""
    asked = torch.split(q, list(layout.lengths), dim=1)
    others = (torch.split(t, list(keys.lengths), dim=1) for t in (k, v))
    rows = zip(asked, *others, strict=True)
    return torch.cat([kernel(a, b, c, None, None, dropout) for a, b, c in rows], dim=1)


def _fused(
    q: Tensor, k: Tensor, v: Tensor, dropout: float, *, causal: bool, mask: Tensor | None = None
) -> Tensor:
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=causal,
    )
    return out.transpose(1, 2)


def _varlen_takes(*tensors: Tensor) -> bool:
    """Whether torch's variable-length kernel takes these tensors."""
    return kernel_for("flash", *tensors) == "flash" and _installed(VARLEN) and _runs_flash(tensors[0].device)


def _varlen(q: Tensor, k: Tensor, v: Tensor, layout: SequenceLayout, keys: SequenceLayout) -> Tensor:
    """Run torch's own FlashAttention over rows of any length; it has no dropout."""
    library = require(VARLEN, "train")
    out: Tensor = library.varlen_attn(
        layout.pack(q).contiguous(),
        keys.pack(k).contiguous(),
        keys.pack(v).contiguous(),
        layout.cu_seqlens(q.device),
        keys.cu_seqlens(q.device),
        layout.max_length,
        keys.max_length,
        window_size=(-1, 0) if layout.causal else (-1, -1),
    )  # [N, H, w]
    return layout.unpack(out, q.shape[1])


def _flash(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: SequenceLayout | None,
    keys: SequenceLayout | None,
    dropout: float,
) -> Tensor:
    if layout is None or keys is None:  # as rows of one length each
        layout = SequenceLayout((q.shape[1],) * q.shape[0], packed=False, causal=False)
        keys = SequenceLayout((k.shape[1],) * k.shape[0], packed=False, causal=False)
    if not dropout and _varlen_takes(q, k, v):
        return _varlen(q, k, v, layout, keys)
    if not _installed("flash_attn") and _installed(VARLEN):  # torch's kernel has no dropout
        return _sdpa(q, k, v, layout, keys, dropout)
    library = require("flash_attn", "flash")
    out = library.flash_attn_varlen_func(
        layout.pack(q).contiguous(),
        keys.pack(k).contiguous(),
        keys.pack(v).contiguous(),
        layout.cu_seqlens(q.device),
        keys.cu_seqlens(q.device),
        layout.max_length,
        keys.max_length,
        dropout_p=dropout,
        causal=layout.causal,
    )  # [N, H, w]
    return layout.unpack(out, q.shape[1])


def _xformers(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: SequenceLayout | None,
    keys: SequenceLayout | None,
    dropout: float,
) -> Tensor:
    ops = require("xformers.ops", "xformers")
    if layout is None or keys is None:
        out: Tensor = ops.memory_efficient_attention(q, k, v, p=dropout)
        return out
    bias = layout.once(("xformers", keys.lengths), lambda: _block_diagonal(ops, layout, keys))
    out = ops.memory_efficient_attention(
        layout.pack(q)[None], keys.pack(k)[None], keys.pack(v)[None], attn_bias=bias, p=dropout
    )
    return layout.unpack(out[0], q.shape[1])


def _block_diagonal(ops: ModuleType, layout: SequenceLayout, keys: SequenceLayout) -> Any:
    """Return the bias by which xformers separates rows; made once a batch."""
    biases = ops.fmha.attn_bias
    maker = biases.BlockDiagonalCausalMask if layout.causal else biases.BlockDiagonalMask
    return maker.from_seqlens(list(layout.lengths), None if keys is layout else list(keys.lengths))


_Kernel = Callable[[Tensor, Tensor, Tensor, SequenceLayout | None, SequenceLayout | None, float], Tensor]
_KERNELS: dict[str, _Kernel] = {"eager": _eager, "sdpa": _sdpa, "flash": _flash, "xformers": _xformers}
KINDS: tuple[Kind, ...] = ("eager", "sdpa", "flash", "xformers")
"""Every kind of attention, the plainest first."""
