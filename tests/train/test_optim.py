"""AdamW steps as the peer takes them, the learning rate over time, learning rates of rows, averages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from dimts.base.errors import ConfigError, MissingExtra
from dimts.train import optim
from dimts.train.optim import EMA, EmbeddingRowLR, adamw, choose_kernel, decayed, groups, share_at
from dimts.train.settings import ScheduleSettings
from dimts.xtts.coqui_checkpoint import load_coqui
from dimts.xtts.loss import LossSettings
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.weights import coquis


def _peer_name(name: str) -> str:
    return coquis(name).removeprefix("gpt.")


def _model(folder: Path) -> XTTS:
    model = load_coqui(folder).model
    model.gpt.use_dropout(0.0)
    return model.train()


_GOLDEN_STEPS = [("fused", True), ("foreach", False), ("loop", True)]


def test_the_golden_optimizer_steps(shared: Path) -> None:
    """With each kernel of AdamW, in a process of its own: MKL orders its sums by the kind of processor unless
    a variable forbids it before its first call, and Adam's first steps, which are as long for a gradient of
    rounding as for any other, show it."""
    done = subprocess.run(
        [sys.executable, __file__, str(shared / "golden")],
        env={**os.environ, "MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]


def golden_steps(folder: Path, kernel: str, packed: bool) -> None:
    """Take the recorded steps; AssertionError where a loss or a norm is another."""
    tensors = load_file(folder / "outputs.safetensors")
    wanted = json.loads((folder / "outputs.json").read_text())["optimizer"]
    model = _model(folder)
    model.packed = packed
    parameters = dict(model.trained())
    made = groups(model, weight_decay=0.01)
    names = {id(parameter): _peer_name(name) for name, parameter in parameters.items()}
    for group, title in zip(made, ("decay", "no_decay"), strict=True):
        assert sorted(names[id(p)] for p in group["params"]) == sorted(wanted["groups"][title])
    optimizer = adamw(made, wanted["lr"], kernel)  # type: ignore[arg-type]
    stride = model.spec.code_stride
    examples = Examples(
        tensors["batch.text_inputs"].long(),
        tensors["batch.text_lengths"].tolist(),
        tensors["batch.audio_codes"],
        [-(-samples // stride) for samples in tensors["batch.wav_lengths"].tolist()],
        mel=tensors["batch.cond_mels"][:, 0],
    )
    for number, expected in enumerate(wanted["losses"]):
        losses = model(examples, LossSettings())
        assert float(losses.text.detach()) == pytest.approx(expected["loss_text"], abs=1e-5)
        assert float(losses.mel.detach()) == pytest.approx(expected["loss_mel"], abs=1e-5)
        if number < 3:
            losses.total.backward()
            optimizer.step()
            optimizer.zero_grad()
    losses.total.backward()
    optimizer.step()
    for name, parameter in parameters.items():
        # A key's bias shifts all scores of a query alike: its true gradient is 0, and Adam follows the
        # rounding.
        close = 1e-3 if name.endswith(("c_attn.bias", "qkv.bias")) else 1e-6
        norm = wanted["param_norms_after"][_peer_name(name)]
        assert float(parameter.detach().norm()) == pytest.approx(norm, rel=close)


@given(
    st.sampled_from(["constant", "linear", "cosine"]),
    st.integers(0, 30),
    st.floats(0, 1),
    st.integers(1, 200),
)
def test_the_rate_climbs_then_falls_and_never_leaves_its_bounds(
    shape: str, warmup: int, final: float, steps: int
) -> None:
    settings = ScheduleSettings(shape, warmup, final)  # type: ignore[arg-type]
    curve = [share_at(settings, step, steps) for step in range(steps)]
    assert all(0 <= share <= 1 for share in curve)
    warm = min(warmup, steps)
    assert curve[:warm] == sorted(curve[:warm])
    assert all(left >= right - 1e-12 for left, right in zip(curve[warm:], curve[warm + 1 :], strict=False))
    if shape != "constant" and steps > warm + 1:
        assert curve[-1] == pytest.approx(final)


def test_rows_keep_their_own_learning_rate() -> None:
    table = nn.Embedding(6, 3)
    before = table.weight.detach().clone()
    rates = EmbeddingRowLR([table.weight], old_rows=4, old_lr_scale=0.0, new_lr_scale=2.0)
    optimizer = torch.optim.SGD([table.weight], lr=0.1)
    table.weight.grad = torch.ones_like(table.weight)
    rates.before()
    optimizer.step()
    rates.after()
    change = before - table.weight.detach()
    assert change[:4].abs().max() == 0
    assert change[4:].allclose(torch.full((2, 3), 0.2))


def test_the_average_follows_and_gives_back() -> None:
    model = nn.Linear(3, 2)
    average = EMA(model, 0.9)
    start = {name: value.clone() for name, value in average.shadow.items()}
    with torch.no_grad():
        model.weight.add_(1.0)
    average.update(model)
    moved = (average.shadow["weight"] - start["weight"]).mean()
    assert 0 < float(moved) < 1
    own = model.weight.detach().clone()
    with average.inside(model):
        assert torch.equal(model.weight, average.shadow["weight"])
    assert torch.equal(model.weight, own)
    other = EMA(nn.Linear(3, 2), 0.9)
    other.restore(average.shadow, average.steps)
    assert torch.equal(other.shadow["weight"], average.shadow["weight"])
    assert other.steps == 1
    assert average.distance(model) > 0


def test_decay_spares_biases_norms_and_embeddings() -> None:
    model = nn.Sequential(nn.Embedding(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    assert decayed(model) == {"2.weight"}


def test_8bit_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optim, "has", lambda library: False)
    with pytest.raises(MissingExtra, match="bitsandbytes"):
        choose_kernel("8bit", "cpu")
    monkeypatch.setattr(optim, "has", lambda library: True)
    monkeypatch.setattr(optim, "_version", lambda library: (0, 49))
    with pytest.raises(ConfigError, match=r"needs bitsandbytes 0\.50, this is 0\.49"):
        choose_kernel("8bit", "cpu")
    assert choose_kernel("8bit", "cuda")[0] == "8bit"


if __name__ == "__main__":
    torch.set_num_threads(1)
    for one_kernel, is_packed in _GOLDEN_STEPS:
        golden_steps(Path(sys.argv[1]), one_kernel, is_packed)
