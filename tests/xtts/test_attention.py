"""One contract, four kinds: what a token sees does not depend on kernel or layout, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dimts.base.errors import ConfigError, MissingExtra
from dimts.base.plugins import has
from dimts.xtts.attention import KINDS, SequenceLayout, attend, attend_cached, refusal

HEADS, WIDTH = 2, 8
lengths_strategy = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def device_for(kind: Any) -> torch.device:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if reason := refusal(kind, device, torch.float16 if kind == "flash" else torch.float32, WIDTH):
        pytest.skip(reason)
    return device


def by_hand(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
    """One row [T, H, w] in float64, query by query."""
    q, k, v = q.double(), k.double(), v.double()
    out = torch.zeros_like(q)
    for i in range(len(q)):
        seen = i + 1 if causal else len(k)
        for head in range(q.shape[1]):
            scores = k[:seen, head] @ q[i, head] / q.shape[2] ** 0.5
            out[i, head] = scores.softmax(0) @ v[:seen, head]
    return out


def rows_of(x: Tensor, rows: SequenceLayout) -> list[Tensor]:
    return list(torch.split(rows.gather(x), list(rows.lengths)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [True, False])
@settings(max_examples=15, deadline=None)
@given(lengths=lengths_strategy, seed=st.integers(0, 99))
def test_padded_and_packed_follow_the_contract(kind: Any, causal: bool, lengths: list[int], seed: int) -> None:
    device = device_for(kind)
    generator = torch.Generator().manual_seed(seed)
    packed = SequenceLayout(tuple(lengths), packed=True, causal=causal)
    padded = SequenceLayout(tuple(lengths), packed=False, causal=causal)
    flat = [torch.randn(packed.total, HEADS, WIDTH, generator=generator).to(device) for _ in range(3)]
    for rows in (packed, padded):
        q, k, v = (rows.scatter(x, rows.longest) for x in flat)
        found = rows_of(attend(kind, q, k, v, rows), rows)
        parts = zip(*(torch.split(x, lengths) for x in flat), strict=True)
        for mine, (a, b, c) in zip(found, parts, strict=True):
            assert torch.allclose(mine.double(), by_hand(a, b, c, causal=causal), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leaks_between_rows_or_from_padding(kind: Any) -> None:
    device = device_for(kind)
    generator = torch.Generator().manual_seed(0)
    rows = SequenceLayout((3, 5), packed=False)
    x = torch.randn(2, 5, HEADS, WIDTH, generator=generator).to(device)
    y = x.clone()
    y[0, 3:] = 1000.0
    a, b = attend(kind, x, x, x, rows), attend(kind, y, y, y, rows)
    assert torch.equal(a[0, :3], b[0, :3])
    assert torch.isfinite(b).all()
    packed = SequenceLayout((3, 5), packed=True)
    z = torch.randn(1, 8, HEADS, WIDTH, generator=generator).to(device)
    w = z.clone()
    w[0, 3:] = 1000.0
    assert torch.equal(attend(kind, z, z, z, packed)[0, :3], attend(kind, w, w, w, packed)[0, :3])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_those_of_eager(kind: Any) -> None:
    device = device_for(kind)
    found = []
    for one, rows in (("eager", SequenceLayout((4, 7), packed=False)), (kind, SequenceLayout((4, 7), packed=True))):
        generator = torch.Generator().manual_seed(3)
        flat = torch.randn(11, HEADS, WIDTH, generator=generator).to(device).requires_grad_()
        x = rows.scatter(flat, rows.longest)
        (rows.gather(attend(one, x, x, x, rows)) ** 2).sum().backward()  # type: ignore[arg-type]
        found.append(flat.grad)
    assert found[0] is not None
    assert found[1] is not None
    assert torch.allclose(found[0], found[1], atol=1e-4 * float(found[0].abs().max()))


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_dropout_drops_and_keeps_the_mean(kind: Any) -> None:
    torch.manual_seed(0)
    q = torch.zeros(1, 400, 1, 8)
    v = torch.ones(1, 400, 1, 8)
    out = attend(kind, q, q, v, None, dropout=0.5)
    assert not torch.allclose(out, torch.ones_like(out), atol=1e-3)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.02)


def test_a_cached_query_sees_its_own_rows_keys_only() -> None:
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(3, n, HEADS, WIDTH, generator=generator) for n in (1, 6, 6))
    out = attend_cached(q, k, v, [6, 2, 4])
    for row, length in enumerate((6, 2, 4)):
        alone = by_hand(q[row], k[row, :length], v[row, :length], causal=False)
        assert torch.allclose(out[row].double(), alone, atol=1e-5)


def test_refusals_name_the_reason() -> None:
    cpu = torch.device("cpu")
    assert refusal("sdpa", cpu, torch.float32, 64) == ""
    assert "CUDA" in refusal("flash", cpu, torch.bfloat16, 64)
    assert "CUDA" in refusal("xformers", cpu, torch.bfloat16, 64)


def test_unknown_kinds_and_missing_libraries_are_errors() -> None:
    x = torch.zeros(1, 2, 1, 8)
    with pytest.raises(ConfigError, match="unknown attention 'flesh'"):
        attend("flesh", x, x, x, None)  # type: ignore[arg-type]
    for kind, library in (("flash", "flash_attn"), ("xformers", "xformers")):
        if not has(library):
            with pytest.raises(MissingExtra, match=library):
                attend(kind, x, x, x, None)  # type: ignore[arg-type]
