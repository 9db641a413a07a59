"""Adapters add nothing at first, fold in and out exactly, and are exchanged; grown models keep all they
knew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dimts.base.errors import CheckpointError, ConfigError
from dimts.xtts import lora, weights
from dimts.xtts.extend_vocabulary import NEAR, TEXT_ROWS, ExtendSettings, extend_vocabulary
from dimts.xtts.lora import TARGETS, LoraSettings
from dimts.xtts.model import XTTS, Examples
from dimts.xtts.vocabulary import Vocabulary

SMALL = LoraSettings(rank=4, alpha=8.0, targets=TARGETS)


def loss_of(model: XTTS, examples: Examples) -> Tensor:
    with torch.no_grad():
        total: Tensor = model.eval()(examples).total
    return total


def trained(model: XTTS, seed: int = 1) -> None:
    """Adapters as after some training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in lora.parameters(model):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)


def test_fresh_adapters_change_nothing_and_then_learn(model: XTTS, examples: Examples) -> None:
    before = loss_of(model, examples)
    weights_before = {key: value.clone() for key, value in model.state_dict().items()}
    lora.attach(model, SMALL)
    assert torch.equal(loss_of(model, examples), before)
    model.requires_grad_(False)
    learning = lora.parameters(model)
    for parameter in learning:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(learning, lr=1e-2, weight_decay=0.0)
    for _ in range(5):
        optimizer.zero_grad()
        model.train()(examples).total.backward()
        optimizer.step()
    assert loss_of(model, examples) < before - 0.05
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in weights_before.items())
    assert lora.strength(model) > 0


def test_merging_is_the_same_and_unmerging_exact(model: XTTS, examples: Examples) -> None:
    plain = {key: value.clone() for key, value in model.state_dict().items()}
    lora.attach(model, SMALL)
    trained(model)
    beside = loss_of(model, examples)
    lora.merge(model)
    lora.merge(model)  # twice is once
    assert torch.allclose(loss_of(model, examples), beside, rtol=1e-5)
    lora.unmerge(model)
    assert torch.equal(loss_of(model, examples), beside)
    lora.merge(model)
    lora.detach(model)
    assert model.state_dict().keys() == plain.keys()
    assert all(torch.equal(value, plain[key]) for key, value in model.state_dict().items())


def test_merging_for_good_leaves_a_plain_model(model: XTTS, examples: Examples) -> None:
    keys = set(model.state_dict())
    lora.attach(model, SMALL)
    trained(model)
    beside = loss_of(model, examples)
    lora.merge(model, keep=False)
    assert set(model.state_dict()) == keys
    assert lora.adapters(model) == {}
    assert torch.allclose(loss_of(model, examples), beside, rtol=1e-5)


def test_adapters_are_saved_apart_and_swapped(model: XTTS, examples: Examples, tmp_path: Path) -> None:
    plain, found = loss_of(model, examples), []
    for seed in (1, 2):
        lora.attach(model, SMALL, seed)
        trained(model, seed)
        found.append(loss_of(model, examples))
        lora.save(model, tmp_path / f"{seed}.lora", SMALL, {"rows": torch.full((2,), float(seed))})
        lora.detach(model)
    assert not torch.equal(*found)
    for seed in (1, 2, 1):
        extra = lora.swap(model, tmp_path / f"{seed}.lora")
        assert torch.equal(loss_of(model, examples), found[seed - 1])
        assert extra["rows"].tolist() == [seed, seed]
    lora.merge(model)
    lora.swap(model, tmp_path / "2.lora")  # out of the weights first, then the other
    assert torch.equal(loss_of(model, examples), found[1])
    lora.swap(model, None)
    assert torch.equal(loss_of(model, examples), plain)


def test_adapters_of_the_official_size_are_a_few_megabytes() -> None:
    from dimts.xtts.spec import SPECS

    spec, settings = SPECS["v2"], LoraSettings()
    sizes = {"attn.c_attn": 3 * spec.width, "attn.c_proj": spec.width}
    numbers = spec.layers * sum(settings.rank * (spec.width + sizes[target]) for target in settings.targets)
    assert 4 * numbers < 12e6


def test_adapters_that_do_not_fit_are_refused(model: XTTS, examples: Examples, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no adapters to save"):
        lora.save(model, tmp_path / "none.lora", SMALL)
    lora.attach(model, SMALL)
    with pytest.raises(ConfigError, match="adapters already"):
        lora.attach(model, SMALL)
    trained(model)
    before = loss_of(model, examples)
    lora.save(model, tmp_path / "a.lora", SMALL)
    other = XTTS.build(replace(model.spec, width=32), seed=1)
    with pytest.raises(CheckpointError, match=r"0\.attn\.c_attn\.down is \[64, 4\], \[32, 4\]"):
        lora.swap(other, tmp_path / "a.lora")
    whole = (tmp_path / "a.lora").read_bytes()
    (tmp_path / "cut.lora").write_bytes(whole[: len(whole) // 2])
    weights.write_safetensors(tmp_path / "plain.lora", {"a": torch.zeros(1)})
    for name in ("cut", "plain", "absent"):
        with pytest.raises(CheckpointError, match=rf"{name}\.lora"):
            lora.swap(model, tmp_path / f"{name}.lora")
    assert torch.equal(loss_of(model, examples), before)


@pytest.mark.parametrize(
    "wrong", [{"rank": 0}, {"dropout": 1.0}, {"targets": ()}, {"targets": ("attn.c_atn",)}]
)
def test_lora_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        LoraSettings(**wrong)  # type: ignore[arg-type]


# Growing


NEW = ("ə", "b", "bː", "ʃ", "tʼ", "kʷ")


@pytest.fixture
def latin() -> Vocabulary:
    return Vocabulary.for_phones([*"abcdefghijklmnopqrstuvwxyz", "sh", "'", "."], language="en")


@pytest.fixture
def latin_model(latin: Vocabulary, model: XTTS) -> XTTS:
    return XTTS.build(replace(model.spec, text_ids=latin.size), seed=2)


def test_a_grown_model_reads_old_texts_as_before(latin: Vocabulary, latin_model: XTTS) -> None:
    new = latin.grow_phones(NEW)
    grown = extend_vocabulary(latin_model, latin, new)
    assert grown.model.spec.text_ids == new.size
    assert grown.first_row == latin.size
    old_state, state = latin_model.state_dict(), grown.model.state_dict()
    for key, value in old_state.items():
        kept = state[key][: len(value)] if key in TEXT_ROWS else state[key]
        assert torch.equal(kept, value), key
        if key not in TEXT_ROWS:
            assert state[key].data_ptr() == value.data_ptr()  # shared, not copied
    assert latin_model.spec.text_ids == latin.size


def test_new_rows_start_at_near_sounds(latin: Vocabulary, latin_model: XTTS) -> None:
    new = latin.grow_phones(NEW)
    grown = extend_vocabulary(latin_model, latin, new, ExtendSettings(noise=0.0))
    rows = grown.model.gpt.text_embedding.weight.detach()
    old = latin_model.gpt.text_embedding.weight.detach()
    assert dict(grown.near)["ʃ"] == ("sh",)
    assert dict(grown.near)["kʷ"] == ("k", "w")
    assert torch.allclose(rows[new.tokens["ə"]], old[latin.tokens["e"]])
    assert torch.allclose(rows[new.tokens["bː"]], old[latin.tokens["b"]])
    assert torch.allclose(rows[new.tokens["kʷ"]], (old[latin.tokens["k"]] + old[latin.tokens["w"]]) / 2)
    assert torch.allclose(rows[new.tokens["[am]"]], old[latin.tokens["[en]"]])
    assert grown.model.gpt.text_head.bias.shape == (new.size,)


def test_new_rows_may_start_at_the_mean(latin: Vocabulary, latin_model: XTTS) -> None:
    new = latin.grow_phones(NEW)
    grown = extend_vocabulary(latin_model, latin, new, ExtendSettings(start="mean", noise=0.5))
    rows = grown.model.gpt.text_embedding.weight.detach()
    old = latin_model.gpt.text_embedding.weight.detach()
    fresh = rows[latin.size :] - old.mean(0)
    assert float(fresh.std() / (old - old.mean(0)).std()) == pytest.approx(0.5, rel=0.3)
    assert set(grown.near.values()) == {()}
    again = extend_vocabulary(latin_model, latin, new, ExtendSettings(start="mean", noise=0.5))
    assert torch.equal(rows, again.model.gpt.text_embedding.weight)


def test_letters_start_at_the_sounds_they_are_told(latin: Vocabulary, latin_model: XTTS) -> None:
    new = latin.grow_fidel(["ሰላም ሰላም ሰላም"], ["ሰ", "ላ", "ም"], 5)
    sounds = {"ሰ": ("s", "ə"), "ላ": ("l", "a"), "ም": ("m",)}
    grown = extend_vocabulary(latin_model, latin, new, ExtendSettings(noise=0.0), sounds)
    assert dict(grown.near)["ሰ"] == ("s", "e")
    assert dict(grown.near)["ሰላም"] == ("s", "e", "l", "a", "m")
    rows, old = grown.model.gpt.text_embedding.weight.detach(), latin_model.gpt.text_embedding.weight.detach()
    assert torch.allclose(rows[new.tokens["ም"]], old[latin.tokens["m"]])


def test_every_amharic_phone_is_near_something() -> None:
    from dimts.text.phones import inventory

    for phone in inventory():
        assert phone.removesuffix("ː").removesuffix("ʷ") in NEAR


def test_vocabularies_that_do_not_fit_are_refused(latin: Vocabulary, latin_model: XTTS, model: XTTS) -> None:
    with pytest.raises(CheckpointError, match="text ids"):
        extend_vocabulary(model, latin, latin.grow_phones(NEW))
    with pytest.raises(CheckpointError, match="has id"):
        extend_vocabulary(latin_model, latin, Vocabulary.for_phones(NEW))
    with pytest.raises(ConfigError, match="negative"):
        ExtendSettings(noise=-1.0)
