"""Stand-ins for the attention kernels of a card, with the refusals of the real ones, computing on the
processor."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from dimts.xtts import attention


def _checked(q: Tensor, k: Tensor, v: Tensor) -> None:
    for t in (q, k, v):
        if t.dtype not in (torch.float16, torch.bfloat16):
            raise RuntimeError("FlashAttention only support fp16 and bf16 data type")
        if t.stride(-1) != 1:
            raise RuntimeError("Input tensor must have contiguous last dimension")
        if t.dim() != 3 or t.shape[-1] % 8 or t.shape[-1] > 256:
            raise RuntimeError("expected [tokens, heads, width], width a multiple of 8 up to 256")
    if not q.dtype == k.dtype == v.dtype:
        raise RuntimeError("query and key must have the same dtype")


def _rows(
    q: Tensor, k: Tensor, v: Tensor, ends_q: Tensor, ends_k: Tensor, sizes: tuple[int, int], causal: bool
) -> Any:
    _checked(q, k, v)
    for ends, total, size in ((ends_q, len(q), sizes[0]), (ends_k, len(k), sizes[1])):
        bounds = ends.tolist()
        if ends.dtype != torch.int32 or not ends.is_contiguous():
            raise RuntimeError("cu_seqlens must have dtype int32 and be contiguous")
        if bounds[0] or bounds != sorted(bounds) or bounds[-1] != total or max(ends.diff().tolist()) != size:
            raise RuntimeError("cu_seqlens do not fit")
    out = []
    for a, b, c, d in zip(
        ends_q.tolist()[:-1], ends_q.tolist()[1:], ends_k.tolist()[:-1], ends_k.tolist()[1:], strict=True
    ):
        row = (q[a:b], k[c:d], v[c:d])
        x = torch.nn.functional.scaled_dot_product_attention(
            *(t.float().transpose(0, 1)[None] for t in row), is_causal=causal
        )
        out.append(x[0].transpose(0, 1).to(q.dtype))
    return torch.cat(out)


class FakeVarlen(ModuleType):
    calls = 0

    def varlen_attn(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cu_seq_q: Tensor,
        cu_seq_k: Tensor,
        max_q: int,
        max_k: int,
        *,
        window_size: tuple[int, int] = (-1, -1),
    ) -> Tensor:
        FakeVarlen.calls += 1
        assert window_size in ((-1, -1), (-1, 0))
        out: Tensor = _rows(query, key, value, cu_seq_q, cu_seq_k, (max_q, max_k), window_size == (-1, 0))
        return out


class FakeFlash(ModuleType):
    calls = 0

    def flash_attn_varlen_func(
        self, q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor, max_seqlen_q: int,
        max_seqlen_k: int, dropout_p: float = 0.0, causal: bool = False,
    ) -> Tensor:  # fmt: skip
        FakeFlash.calls += 1
        assert 0 <= dropout_p < 1
        out: Tensor = _rows(q, k, v, cu_seqlens_q, cu_seqlens_k, (max_seqlen_q, max_seqlen_k), causal)
        return out


def use_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch's variable-length attention and flash-attn run on this processor, as stand-ins."""
    monkeypatch.setattr(attention, "KERNEL_DEVICES", frozenset({"cpu"}))
    monkeypatch.setattr(attention, "_installed", lambda library: library != "xformers")
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", FakeVarlen("varlen"))
    monkeypatch.setitem(sys.modules, "flash_attn", FakeFlash("flash_attn"))
    FakeVarlen.calls = FakeFlash.calls = 0
