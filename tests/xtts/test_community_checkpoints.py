"""Checkpoints as people share them: each kind loads as coqui-tts loads it, or is refused in one line by its
name."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor

from dimts.base.errors import CheckpointError, TextError
from dimts.xtts import weights
from dimts.xtts.checkpoint import Bundle
from dimts.xtts.coqui_checkpoint import save_coqui
from dimts.xtts.load import load
from dimts.xtts.model import XTTS
from dimts.xtts.vocabulary import Vocabulary
from dimts.xtts.voice import Voice

LFS = (
    "version https://git-lfs.github.com/spec/v1\noid "
    "sha256:c7ea20001c6a0a841c77e252d8409f6a74fb423e79b3206a\nsize 18\n"
)
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def published(built: XTTS, vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as coqui writes it."""
    target = tmp_path_factory.mktemp("published") / "a"
    voice = Voice(torch.randn(1, 32, built.spec.width), torch.randn(1, built.spec.timbre_width, 1))
    save_coqui(Bundle(built, vocabulary, {}, {"abebe": voice}), target)
    (target / "dimts.json").unlink()  # as coqui's own folders
    return target


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy of it to be changed."""
    return Path(shutil.copytree(published, tmp_path / "a"))


def state_of(folder: Path) -> State:
    found: State = torch.load(folder / "model.pth", weights_only=True)["model"]
    return found


def rewrite(folder: Path, content: object, **options: Any) -> None:
    torch.save(content, folder / "model.pth", **options)


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    change(content)
    (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def prefixed(folder: Path, prefix: str) -> None:
    rewrite(folder, {"model": {prefix + key: value for key, value in state_of(folder).items()}})


def arguments(**values: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder, "config.json", lambda config: config["model_args"].update(values))


def with_dvae(folder: Path) -> None:
    coding = torch.load(folder / "dvae.pth", weights_only=True)
    state = {f"xtts.{key}": value for key, value in state_of(folder).items()}
    rewrite(folder, {"model": state | {f"dvae.{key}": value for key, value in coding.items()}, "step": 7})
    (folder / "dvae.pth").unlink()


def with_numpy(folder: Path) -> None:
    losses = {
        "train": np.float64(1.5),
        "dev": np.float32(2.5),
        "best": np.array([1.0, 2.0]),
        "kind": np.dtype("f4"),
    }
    rewrite(folder, {"model": state_of(folder), "model_loss": losses, "epoch": np.int64(3)})


def as_safetensors(folder: Path, name: str) -> None:
    state = state_of(folder)
    (folder / "model.pth").unlink()
    weights.write_safetensors(folder / name, state)


def with_old_norms(folder: Path) -> None:
    def old(key: str) -> str:
        key = key.replace(".parametrizations.weight.original0", ".weight_g")
        return key.replace(".parametrizations.weight.original1", ".weight_v")

    rewrite(folder, {"model": {old(key): value for key, value in state_of(folder).items()}})


def with_aliases(folder: Path) -> None:
    state = state_of(folder)
    state["gpt.gpt.wte.weight"] = torch.zeros(3)
    state["gpt.gpt_inference.lm_head.0.bias"] = torch.zeros(3)
    state["gpt.gpt.h.0.attn.bias"] = torch.zeros(3)
    rewrite(folder, {"model": state})


def with_bom(folder: Path) -> None:
    for name in ("config.json", "vocab.json"):
        path = folder / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def renamed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "model.pth").rename(folder / name) and None


LOADED: dict[str, Callable[[Path], object]] = {
    "as published": lambda folder: None,
    "bare state dict": lambda folder: rewrite(folder, state_of(folder)),
    "old torch format": lambda folder: rewrite(
        folder, {"model": state_of(folder)}, _use_new_zipfile_serialization=False
    ),
    "state_dict": lambda folder: rewrite(folder, {"state_dict": state_of(folder), "epoch": 3}),
    "DeepSpeed": lambda folder: rewrite(
        folder, {"module": {f"ds_engine.{k}": v for k, v in state_of(folder).items()}}
    ),
    "DistributedDataParallel": lambda folder: prefixed(folder, "module."),
    "torch.compile": lambda folder: prefixed(folder, "_orig_mod."),
    "compiled and parallel": lambda folder: prefixed(folder, "module._orig_mod."),
    "trainer, parallel": lambda folder: prefixed(folder, "module.xtts."),
    "parallel in the trainer": lambda folder: prefixed(folder, "xtts.module."),
    "merged by PEFT": lambda folder: prefixed(folder, "base_model.model."),
    "a part compiled": lambda folder: rewrite(
        folder,
        {"model": {k.replace("gpt.gpt.", "gpt.gpt._orig_mod."): v for k, v in state_of(folder).items()}},
    ),
    "trainer with DVAE": with_dvae,
    "numpy scalars of a trainer": with_numpy,
    "safetensors": lambda folder: as_safetensors(folder, "model.safetensors"),
    "safetensors under another name": lambda folder: as_safetensors(folder, "model.pth"),
    "half precision": lambda folder: rewrite(
        folder, {"model": {k: v.half() if v.is_floating_point() else v for k, v in state_of(folder).items()}}
    ),
    "old weight norm": with_old_norms,
    "aliases of inference": with_aliases,
    "a best model": renamed("best_model_120.pth"),
    "byte order marks": with_bom,
    "stale START": arguments(gpt_start_text_token=1, gpt_stop_text_token=2),
    "stale number of ids": arguments(gpt_number_text_tokens=6681),
    "ids of null": arguments(
        gpt_start_text_token=None, gpt_stop_text_token=None, gpt_number_text_tokens=None
    ),
    "sizes as floats": arguments(gpt_layers=2.0),
    "no speakers": lambda folder: (folder / "speakers_xtts.pth").unlink(),
}


@pytest.mark.parametrize("kind", LOADED)
def test_loads_as_coqui_loads_it(kind: str, folder: Path, model: XTTS, vocabulary: Vocabulary) -> None:
    LOADED[kind](folder)
    found = load(folder)
    assert (found.model.spec.start_text, found.model.spec.stop_text) == (vocabulary.start, vocabulary.stop)
    assert found.model.spec.text_ids == vocabulary.size
    assert ("abebe" in found.voices) == (kind != "no speakers")
    close = (
        (lambda a, b: torch.allclose(a, b, atol=1e-2, rtol=1e-2)) if kind == "half precision" else torch.equal
    )
    wanted = model.state_dict()
    assert [name for name, value in found.model.state_dict().items() if not close(value, wanted[name])] == []


def broken_speakers(content: object) -> Callable[[Path], None]:
    return lambda folder: torch.save(content, folder / "speakers_xtts.pth")


def with_adapters(folder: Path) -> None:
    state = state_of(folder)
    state["base_model.model.gpt.gpt.h.0.attn.c_attn.lora_A.default.weight"] = torch.zeros(4, 64)
    rewrite(folder, {"model": state})


def of_other_vocabulary(folder: Path) -> None:
    state = state_of(folder)
    state["gpt.text_embedding.weight"] = torch.cat([state["gpt.text_embedding.weight"]] * 2)
    rewrite(folder, {"model": state})


def truncated(folder: Path) -> None:
    path = folder / "model.pth"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "model.pth of 0 bytes": (lambda folder: (folder / "model.pth").write_bytes(b""), "xtts.empty_file"),
    "model.pth is an LFS pointer": (
        lambda folder: (folder / "model.pth").write_text(LFS),
        "xtts.lfs_pointer",
    ),
    "vocab.json is an LFS pointer": (
        lambda folder: (folder / "vocab.json").write_text(LFS),
        "xtts.lfs_pointer",
    ),
    "config.json of 0 bytes": (lambda folder: (folder / "config.json").write_bytes(b""), "xtts.empty_file"),
    "speakers of 0 bytes": (
        lambda folder: (folder / "speakers_xtts.pth").write_bytes(b""),
        "xtts.empty_file",
    ),
    "truncated": (truncated, "xtts.truncated"),
    "a web page": (
        lambda folder: (folder / "model.pth").write_text("<html>Log in</html>"),
        "xtts.pickle_damaged",
    ),
    "another model's layers": (arguments(gpt_layers=3), "xtts.tensors_missing"),
    "layers as text": (arguments(gpt_layers="4"), "xtts.config_value_wrong"),
    "layers as a list": (arguments(gpt_layers=[4]), "xtts.config_value_wrong"),
    "XTTS v1": (arguments(gpt_use_perceiver_resampler=False), "xtts.config_xtts_v1"),
    "another model": (
        lambda folder: edit(folder, "config.json", lambda config: config.update(model="vits")),
        "xtts.config_not_xtts",
    ),
    "adapters not merged": (with_adapters, "xtts.tensors_unknown"),
    "another vocabulary's weights": (of_other_vocabulary, "xtts.text_shape_differs"),
    "speakers without tensors": (broken_speakers({"a": {"x": 1}}), "xtts.speaker_without_latents"),
    "speakers of another shape": (
        broken_speakers(
            {"a": {"gpt_cond_latent": torch.zeros(3), "speaker_embedding": torch.zeros(1, 64, 1)}}
        ),
        "xtts.speaker_damaged",
    ),
    "speakers that are a list": (broken_speakers([1, 2]), "xtts.no_speakers"),
    "speakers that are text": (
        lambda folder: (folder / "speakers_xtts.pth").write_text("abebe"),
        "xtts.pickle_damaged",
    ),
    "not finite": (
        lambda folder: rewrite(
            folder, {"model": {k: v / 0 if "mel_head.bias" in k else v for k, v in state_of(folder).items()}}
        ),
        "xtts.weights_not_finite",
    ),
    "vocabulary without START": (
        lambda folder: (folder / "vocab.json").write_text(
            (folder / "vocab.json").read_text(encoding="utf-8").replace("[START]", "[BEGIN]"),
            encoding="utf-8",
        ),
        "xtts.special_token_missing",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_is_refused_in_one_line(kind: str, folder: Path) -> None:
    change, code = REFUSED[kind]
    change(folder)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert caught.value.message.remedy("am") not in ("", caught.value.message.remedy("en"))


def grown_by_the_community(base: Vocabulary, texts: list[str]) -> Vocabulary:
    """A vocabulary as the known scripts grow one: merges learnt from the texts, ids appended, no [UNK]
    token."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["[am]"], show_progress=False)
    learner.train_from_iterator(texts, trainer)
    learnt, content = json.loads(learner.to_str()), json.loads(base.text)
    model = content["model"]
    model["unk_token"] = None
    for token in learnt["model"]["vocab"]:
        model["vocab"].setdefault(token, len(model["vocab"]))
    model["merges"] = [*model["merges"], *learnt["model"]["merges"]]
    return Vocabulary.from_text(json.dumps(content, ensure_ascii=False))


def sentences() -> Iterator[str]:
    luck = random.Random(3)
    words = ["ሰላም", "ለዓለም", "ኢትዮጵያ", "አዲስ", "አበባ", "ቡና", "ጠጣ", "መጽሐፍ", "አነበበ", "ትምህርት", "ቤት", "ሄደች"]
    for _ in range(200):
        yield " ".join(luck.choices(words, k=luck.randrange(2, 9))) + luck.choice("።?!")


def test_a_vocabulary_grown_by_the_community_gives_the_same_ids() -> None:
    texts = list(sentences())
    grown = grown_by_the_community(Vocabulary.for_phones(["a", "b"]).spelt("text", ()), texts)
    plain = Tokenizer.from_str(grown.text)
    for text in texts:
        assert grown.encode(text) == plain.encode("[am]" + text.replace(" ", "[SPACE]")).ids


def test_a_tokenizer_without_unk_loses_no_letter() -> None:
    grown = grown_by_the_community(Vocabulary.for_phones(["a", "b"]).spelt("text", ()), ["ሰላም ለዓለም።"])
    assert "ፕ" not in Tokenizer.from_str(grown.text).encode("ሰፕላም").tokens, "it drops the letter in silence"
    with pytest.raises(TextError) as caught:
        grown.encode("ሰፕላም")
    assert caught.value.code == "xtts.no_token"
    assert caught.value.message.parameters["characters"] == ("'ፕ'",)
