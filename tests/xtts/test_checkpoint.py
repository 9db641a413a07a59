"""Files in and out: the same bytes again, and every file that does not fit refused by the name of what is
wrong."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dimts.base.errors import CheckpointError
from dimts.xtts import weights
from dimts.xtts.checkpoint import Bundle, save_bundle, verify_bundle
from dimts.xtts.coqui_checkpoint import read_mel_stats, save_coqui
from dimts.xtts.load import load
from dimts.xtts.model import XTTS
from dimts.xtts.vocabulary import Vocabulary
from dimts.xtts.voice import Voice

FRONT_END = {"version": "1", "spelling": "phones", "g2p": {"backends": ["rules"]}}


@pytest.fixture
def bundle(model: XTTS, vocabulary: Vocabulary) -> Bundle:
    voice = Voice(
        torch.randn(1, 32, model.spec.width), torch.randn(1, model.spec.timbre_width, 1), {"name": "አበበ"}
    )
    return Bundle(model, vocabulary, FRONT_END, {"አበበ": voice, "ሳራ/2": voice}, {"licence": "CC-BY-4.0"})


def same_state(a: XTTS, b: XTTS) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(
        torch.equal(left[key], right[key]) and left[key].dtype == right[key].dtype for key in left
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_bundle_comes_back_and_is_saved_to_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "a", dvae=True)
    again = load(tmp_path / "a", dvae=True)
    assert same_state(bundle.model, again.model)
    assert again.model.spec == bundle.model.spec
    assert again.vocabulary.fingerprint == bundle.vocabulary.fingerprint
    assert (again.vocabulary.spelling, again.front_end, again.meta) == ("phones", FRONT_END, bundle.meta)
    assert list(again.voices) == list(bundle.voices)
    assert torch.equal(again.voices["አበበ"].latents, bundle.voices["አበበ"].latents)
    save_bundle(again, tmp_path / "b", dvae=True)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert verify_bundle(tmp_path / "a") == []
    assert all(path.parent.name == "voices" for path in (tmp_path / "a").rglob("*.voice"))
    assert not list(tmp_path.glob(".*"))


def test_a_coqui_folder_comes_back_and_is_saved_to_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    save_coqui(bundle, tmp_path / "a")
    assert {"model.pth", "config.json", "vocab.json", "dvae.pth", "mel_stats.pth", "speakers_xtts.pth"} <= {
        path.name for path in (tmp_path / "a").iterdir()
    }
    again = load(tmp_path / "a", dvae=True)
    assert same_state(bundle.model, again.model)
    assert again.vocabulary.fingerprint == bundle.vocabulary.fingerprint
    assert set(again.voices) == set(bundle.voices)
    save_coqui(again, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_model_that_only_speaks_has_no_dvae(bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "a")
    assert load(tmp_path / "a").model.dvae is None
    with pytest.raises(CheckpointError, match=r"no such weights.*dvae"):
        load(tmp_path / "a", dvae=True)
    with pytest.raises(CheckpointError, match="no DVAE"):
        save_bundle(load(tmp_path / "a"), tmp_path / "c", dvae=True)
    assert not (tmp_path / "c").exists()


def test_a_trainers_checkpoint_with_config_objects_and_optimizer(bundle: Bundle, tmp_path: Path) -> None:
    save_coqui(bundle, tmp_path / "a")
    state = torch.load(tmp_path / "a" / "model.pth", weights_only=True)["model"]
    coding = torch.load(tmp_path / "a" / "dvae.pth", weights_only=True)
    trainer = {f"xtts.{key}": value for key, value in state.items()}
    trainer |= {f"dvae.{key}": value for key, value in coding.items()}
    trainer |= {
        "xtts.gpt.gpt.wte.weight": torch.zeros(3),
        "xtts.gpt.gpt_inference.lm_head.0.bias": torch.zeros(3),
        "xtts.gpt.gpt.h.0.attn.bias": torch.zeros(3),
        "torch_mel_spectrogram_dvae.mel_stft.mel_scale.fb": torch.zeros(3),
    }
    content = {
        "model": trainer,
        "config": _config_object("TTS.tts.models.xtts", "XttsArgs", {"gpt_layers": 2}),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 5e-6}]},
        "step": 7,
        "model_loss": {"train_loss": 1.5},
    }
    torch.save(content, tmp_path / "a" / "best_model_7.pth")
    (tmp_path / "a" / "model.pth").unlink()
    (tmp_path / "a" / "dvae.pth").unlink()
    torch.save(content, tmp_path / "a" / "checkpoint_3.pth")
    again = load(tmp_path / "a", dvae=True)
    assert same_state(bundle.model, again.model)
    assert same_state(bundle.model, load(tmp_path / "a" / "checkpoint_3.pth", dvae=True).model)


def _config_object(module: str, name: str, values: dict[str, object]) -> object:
    """An object pickled under a module that is not installed, as coqui's files hold it."""
    import sys
    import types

    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    kind = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, kind)
    made = kind()
    made.__dict__.update(values)
    return made


def test_old_weight_norm_names_are_read(bundle: Bundle) -> None:
    old = {}
    for key, value in bundle.model.state_dict().items():
        name = weights.coquis(key).replace(".parametrizations.weight.original0", ".weight_g")
        old[name.replace(".parametrizations.weight.original1", ".weight_v")] = value
    new = {weights.ours(key) for key in weights.tidy(old)}
    assert new == set(bundle.model.state_dict())


def test_constants_may_be_missing(bundle: Bundle) -> None:
    state = bundle.model.state_dict()
    lean = {key: value for key, value in state.items() if not any(part in key for part in weights.OPTIONAL)}
    assert len(lean) < len(state)
    again = weights.build_from(bundle.model.spec, lean, "lean")
    wave = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again.timbre(wave), bundle.model.timbre(wave))


def spoilt(bundle: Bundle, **changes: Any) -> dict[str, Tensor]:
    state = dict(bundle.model.state_dict())
    for key, change in changes.items():
        name = key.replace("__", ".")
        if change is None:
            del state[name]
        else:
            state[name] = change(state.get(name))
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpt__final_norm__weight": None}, r"lacks gpt\.final_norm\.weight"),
        ({"gpt__trunk__h__0__ln_1__bias": None}, r"lacks gpt\.gpt\.h\.0\.ln_1\.bias"),
        ({"gpt__odd__weight": lambda _: torch.zeros(1)}, r"holds gpt\.odd\.weight"),
        ({"gpt__mel_head__bias": lambda v: v[:-1]}, r"gpt\.mel_head\.bias is \[\d+\], not \[\d+\]"),
        ({"gpt__text_head__weight": lambda v: v[:-1]}, r"gpt\.text_head\.weight .*another vocabulary"),
        (
            {"vocoder__conv_pre__bias": lambda v: v * float("nan")},
            r"waveform_decoder\.conv_pre\.bias holds NaN",
        ),
        ({"gpt__mel_head__bias": lambda v: v / 0}, r"gpt\.mel_head\.bias holds NaN"),
    ],
)
def test_states_that_do_not_fit_are_refused_by_key(
    changes: dict[str, Any], message: str, bundle: Bundle
) -> None:
    with pytest.raises(CheckpointError, match=message):
        weights.build_from(bundle.model.spec, spoilt(bundle, **changes), "weights")


def test_a_refused_state_changes_nothing(bundle: Bundle) -> None:
    before = {key: value.clone() for key, value in bundle.model.state_dict().items()}
    with pytest.raises(CheckpointError):
        weights.fill(bundle.model, spoilt(bundle, gpt__mel_head__bias=lambda v: v * float("nan")), "weights")
    assert all(torch.equal(value, before[key]) for key, value in bundle.model.state_dict().items())


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/dimts-was-here",)


@pytest.mark.parametrize("old_format", [False, True])
def test_a_pickle_with_code_is_refused_by_name_and_never_run(old_format: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model": {"a": Evil()}}, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(CheckpointError, match=r"holds code: (posix|nt|os)\.system"):
        weights.read(path)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"model": Evil()}))
    with pytest.raises(CheckpointError, match=r"holds code: (posix|nt|os)\.system"):
        weights.read(tmp_path / "plain.pth")
    assert not Path("/tmp/dimts-was-here").exists()


def test_old_format_tensors_are_read(tmp_path: Path) -> None:
    torch.save(torch.arange(80.0), tmp_path / "mel_stats.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_mel_stats(tmp_path / "mel_stats.pth"), torch.arange(80.0))


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files_are_refused(name: str, share: float, bundle: Bundle, tmp_path: Path) -> None:
    state = bundle.model.state_dict()
    if name.endswith(".pth"):
        weights.write_pickle(tmp_path / name, {"model": state})
    else:
        weights.write_safetensors(tmp_path / name, state)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match=name):
        weights.read(tmp_path / name)


@pytest.mark.parametrize("content", [{"model": {"a": 3}}, [1, 2], {"a": "b"}])
def test_files_without_tensors_are_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"model\.pth"):
        weights.read(tmp_path / "model.pth")


def change_json(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **values}, ensure_ascii=False), encoding="utf-8")


def test_exchanged_parts_of_a_bundle_are_noticed(bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "a")
    note = json.loads((tmp_path / "a" / "bundle.json").read_text(encoding="utf-8"))
    change_json(tmp_path / "a" / "bundle.json", front_end={**FRONT_END, "version": "2"})
    with pytest.raises(CheckpointError, match="was changed"):
        load(tmp_path / "a")
    change_json(tmp_path / "a" / "bundle.json", **{**note, "format": 99})
    with pytest.raises(CheckpointError, match="format '99'"):
        load(tmp_path / "a")
    change_json(tmp_path / "a" / "bundle.json", format=1, voices={"x": "../../secret.voice"})
    with pytest.raises(CheckpointError, match="outside the bundle"):
        load(tmp_path / "a")
    change_json(tmp_path / "a" / "bundle.json", **note)
    Vocabulary.for_phones(["ə", "b"]).save(tmp_path / "a" / "vocab.json")
    with pytest.raises(CheckpointError, match=r"vocab\.json"):
        load(tmp_path / "a")
    assert verify_bundle(tmp_path / "a") == ["vocab.json"]


def test_a_vocabulary_of_another_size_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the model has \d+ text ids"):
        replace(bundle, vocabulary=Vocabulary.for_phones(["ə"]))
    save_coqui(bundle, tmp_path / "a")
    Vocabulary.for_phones(["ə"]).save(tmp_path / "other.json")
    with pytest.raises(CheckpointError, match=r"gpt\.text_embedding\.weight is \[\d+, 64\]"):
        load(tmp_path / "a", vocabulary=tmp_path / "other.json")


def test_other_front_ends_and_vocabularies_are_refused(bundle: Bundle) -> None:
    bundle.require_front_end(FRONT_END)
    with pytest.raises(CheckpointError, match="version is '1' there, '2' here"):
        bundle.require_front_end({**FRONT_END, "version": "2"})
    bundle.require_vocabulary(bundle.vocabulary.fingerprint)
    with pytest.raises(CheckpointError, match="made with vocabulary"):
        bundle.require_vocabulary("0" * 64)


@pytest.mark.parametrize(
    ("name", "message"),
    [("config.json", r"config\.json"), ("vocab.json", r"vocab\.json"), ("model.pth", "holds no weights")],
)
def test_folders_that_lack_a_part_are_refused(
    name: str, message: str, bundle: Bundle, tmp_path: Path
) -> None:
    save_coqui(bundle, tmp_path / "a")
    (tmp_path / "a" / name).unlink()
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "a")
    with pytest.raises(CheckpointError, match="no such model folder"):
        load(tmp_path / "nowhere")


def test_a_config_of_another_model_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    save_coqui(bundle, tmp_path / "a")
    change_json(tmp_path / "a" / "config.json", model="vits")
    with pytest.raises(CheckpointError, match="no XTTS model"):
        load(tmp_path / "a")


def test_an_interrupted_save_leaves_the_old_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bundle(bundle, tmp_path / "a")
    before = files(tmp_path / "a")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(Exception, match="disk is full"):
        save_bundle(bundle, tmp_path / "a")
    assert files(tmp_path / "a") == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_sizes_are_read_from_the_tensors(bundle: Bundle, tmp_path: Path) -> None:
    save_coqui(bundle, tmp_path / "a")
    assert load(tmp_path / "a", dvae=True).model.spec == bundle.model.spec


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_numbers_may_stay_as_stored(dtype: torch.dtype, bundle: Bundle, tmp_path: Path) -> None:
    state = {key: v.to(dtype) if v.is_floating_point() else v for key, v in bundle.model.state_dict().items()}
    save_bundle(bundle, tmp_path / "a")
    weights.write_safetensors(tmp_path / "half.safetensors", state)
    kept = load(tmp_path / "a", weights_file=tmp_path / "half.safetensors", dtype=None, dvae=False)
    assert kept.model.mel_stats.dtype == dtype
    assert (
        load(tmp_path / "a", weights_file=tmp_path / "half.safetensors").model.mel_stats.dtype
        == torch.float32
    )


def test_building_for_given_weights_does_not_wake_the_compiler() -> None:
    """torch imports its compiler, for seconds, to draw random numbers on tensors that have no memory."""
    code = (
        "import sys\n"
        "from dimts.xtts.model import XTTS\n"
        "from dimts.xtts.spec import SPECS\n"
        "from dimts.xtts.weights import build_from\n"
        "state = XTTS.build(SPECS['tiny'], 0, dvae=False).state_dict()\n"
        "build_from(SPECS['tiny'], state, 'here')\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
