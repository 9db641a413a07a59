"""One contract, four kinds: what a token sees does not depend on kernel or layout, forward and backward."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dimts.base.errors import ConfigError
from dimts.xtts import attention
from dimts.xtts.attention import KINDS, SequenceLayout, attend, attend_cached, has_varlen, refusal
from dimts.xtts.generate import generate
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.sampling import GenerateSettings
from dimts.xtts.spec import SPECS
from tests.kernels import FakeFlash, FakeVarlen, use_kernels

HEADS, WIDTH = 2, 8
lengths_strategy = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def device_for(kind: Any) -> torch.device:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if reason := refusal(kind, device, torch.float16 if kind == "flash" else torch.float32, WIDTH):
        pytest.skip(str(reason))
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
    return list(torch.split(rows.pack(x), list(rows.lengths)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [True, False])
@settings(max_examples=15, deadline=None)
@given(lengths=lengths_strategy, seed=st.integers(0, 99))
def test_padded_and_packed_follow_the_contract(
    kind: Any, causal: bool, lengths: list[int], seed: int
) -> None:
    device = device_for(kind)
    generator = torch.Generator().manual_seed(seed)
    packed = SequenceLayout(tuple(lengths), packed=True, causal=causal)
    padded = SequenceLayout(tuple(lengths), packed=False, causal=causal)
    flat = [torch.randn(packed.total, HEADS, WIDTH, generator=generator).to(device) for _ in range(3)]
    for rows in (packed, padded):
        q, k, v = (rows.unpack(x, rows.max_length) for x in flat)
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
    for one, rows in (
        ("eager", SequenceLayout((4, 7), packed=False)),
        (kind, SequenceLayout((4, 7), packed=True)),
    ):
        generator = torch.Generator().manual_seed(3)
        flat = torch.randn(11, HEADS, WIDTH, generator=generator).to(device).requires_grad_()
        x = rows.unpack(flat, rows.max_length)
        (rows.pack(attend(one, x, x, x, rows)) ** 2).sum().backward()  # type: ignore[arg-type]
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
    assert refusal("sdpa", cpu, torch.float32, 64) is None
    for kind in ("flash", "xformers"):
        reason = refusal(kind, cpu, torch.bfloat16, 64)
        assert reason is not None
        assert reason.code == "xtts.kernel_needs_cuda"


def test_this_torch_has_the_kernel_that_is_called() -> None:
    assert has_varlen()


def test_an_unknown_kind_is_an_error() -> None:
    x = torch.zeros(1, 2, 1, 8)
    with pytest.raises(ConfigError) as caught:
        attend("flesh", x, x, x, None)  # type: ignore[arg-type]
    assert caught.value.code == "xtts.unknown_attention"


@pytest.mark.parametrize("kind", ["flash", "xformers"])
def test_what_a_kernel_refuses_goes_to_sdpa(kind: Any) -> None:
    """On a processor, and in float32 or with odd heads on a card, a model trained with a kernel still
    speaks."""
    generator = torch.Generator().manual_seed(1)
    layout = SequenceLayout((3, 5), packed=True)
    x = torch.randn(1, 8, HEADS, WIDTH, generator=generator)
    assert torch.equal(attend(kind, x, x, x, layout), attend("sdpa", x, x, x, layout))


def test_keys_of_other_lengths() -> None:
    """Row b of the queries sees row b of the keys, whatever their lengths."""
    generator = torch.Generator().manual_seed(2)
    asked = SequenceLayout((2, 2, 2), packed=True, causal=False)
    keys = SequenceLayout((5, 3, 7), packed=True, causal=False)
    q = torch.randn(asked.total, HEADS, WIDTH, generator=generator)
    k, v = (torch.randn(keys.total, HEADS, WIDTH, generator=generator) for _ in range(2))
    for kind in ("eager", "sdpa"):
        found = attend(kind, q[None], k[None], v[None], asked, keys=keys)  # type: ignore[arg-type]
        parts = zip(q.split(2), k.split(keys.lengths), v.split(keys.lengths), found[0].split(2), strict=True)
        for a, b, c, out in parts:
            assert torch.allclose(out.double(), by_hand(a, b, c, causal=False), atol=1e-5)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of a card on this processor."""
    use_kernels(monkeypatch)


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_flash_is_torchs_own_kernel_first(packed: bool, causal: bool, dtype: torch.dtype) -> None:
    layout = SequenceLayout((4, 1, 6), packed=packed, causal=causal)
    generator = torch.Generator().manual_seed(3)
    flat = [torch.randn(layout.total, HEADS, WIDTH, generator=generator).to(dtype) for _ in range(3)]
    q, k, v = (layout.unpack(x, layout.max_length) for x in flat)
    found = layout.pack(attend("flash", q, k, v, layout))
    wanted = layout.pack(attend("eager", q.float(), k.float(), v.float(), layout))
    assert torch.allclose(found.float(), wanted, atol=0.03)
    assert (FakeVarlen.calls, FakeFlash.calls) == (1, 0)
    attend("flash", q, k, v, layout, dropout=0.1)
    assert (FakeVarlen.calls, FakeFlash.calls) == (1, 1), "torch's kernel has no dropout"


@pytest.mark.usefixtures("card")
def test_flash_without_a_layout_and_packed_sdpa_are_one_call() -> None:
    x = torch.randn(2, 5, HEADS, WIDTH).to(torch.bfloat16)
    y = torch.randn(2, 9, HEADS, WIDTH).to(torch.bfloat16)
    found = attend("flash", x, y, y, None)
    assert torch.allclose(found.float(), attend("eager", x.float(), y.float(), y.float(), None), atol=0.03)
    packed = SequenceLayout((4, 3, 3), packed=True)
    z = torch.randn(1, 10, HEADS, WIDTH).to(torch.bfloat16)
    attend("sdpa", z, z, z, packed)
    assert FakeVarlen.calls == 2, "no loop over rows"


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_never_gets_what_it_refuses(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """float32, mixed types and odd heads go to sdpa whatever was asked for."""
    if kind == "xformers":
        monkeypatch.setitem(sys.modules, "xformers.ops", None)  # importing it would be an error
        monkeypatch.setattr(attention, "KERNEL_DEVICES", frozenset({"cuda"}))
    layout = SequenceLayout((3, 4), packed=True)
    for dtype, width in ((torch.float32, 8), (torch.float64, 8), (torch.bfloat16, 12)):
        x = torch.randn(1, 7, HEADS, width).to(dtype)
        assert attend(kind, x, x, x, layout).dtype == dtype
    assert FakeVarlen.calls == FakeFlash.calls == 0


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("kind", ["flash", "sdpa"])
def test_a_model_trains_codes_and_speaks_with_a_cards_kernels(kind: Any) -> None:
    """Under autocast the trunk runs the kernel; conditioning outside of autocast and speaking run too."""
    model = XTTS.build(SPECS["tiny"], 1)
    model.use_attention(kind)
    model.gpt.use_dropout(0.1, 0.0)
    examples = made_examples()
    with torch.autocast("cpu", torch.bfloat16):
        model.train()(examples).total.backward()
    assert FakeVarlen.calls > 0
    made = FakeVarlen.calls
    assert examples.mel is not None
    latents = model.eval().conditioning(examples.mel)
    steps = list(generate(model.gpt, latents[:1], [5, 6, 7], GenerateSettings(seed=1, max_codes=4)))
    assert len(steps) > 0
    assert FakeVarlen.calls == made, "float32 is not for this kernel"
    half = model.to(torch.bfloat16)
    assert list(generate(half.gpt, latents[:1], [5, 6, 7], GenerateSettings(seed=1, max_codes=4)))


def made_examples() -> Examples:
    generator = torch.Generator().manual_seed(4)
    return Examples(
        torch.randint(4, 100, (2, 9), generator=generator),
        [9, 6],
        torch.randint(0, 250, (2, 12), generator=generator),
        [12, 8],
        mel=torch.randn(2, 80, 40, generator=generator),
        mel_lengths=[40, 31],
    )
