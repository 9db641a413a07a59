"""Save the result of LoRA training apart from its base: a few megabytes that are loaded together with it.

    save_adapter(bundle, folder, settings, base)   adapters, and other trained parameters (embeddings …)
    load_adapter(folder)                           a bundle of the base with the adapters merged

bundle.json names the base and the fingerprint of its unchanged weights; another base is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dimts.base.errors import CheckpointError
from dimts.xtts import lora, weights
from dimts.xtts.bundle_files import (
    BUNDLE,
    CONFIG,
    VOCABULARY,
    VOICES,
    read_json,
    replace_folder,
    vocabulary_arguments,
    voice_path,
)
from dimts.xtts.checkpoint import Bundle, load_bundle, verify_bundle, write_bundle_files
from dimts.xtts.coqui_checkpoint import load_coqui
from dimts.xtts.download import base_folder
from dimts.xtts.spec import Spec
from dimts.xtts.vocabulary import Vocabulary
from dimts.xtts.voice import Voice

ADAPTER = "adapter.safetensors"
_LEARNT = ("gpt.", "conditioning.")


def save_adapter(
    bundle: Bundle, folder: Path | str, settings: lora.LoraSettings, base: Path | str, learnt: Iterable[str]
) -> None:
    """Write the adapters of the bundle's model, not merged yet, and its parameters named in `learnt`.

    `base` is the folder of the base's weights, or "xtts-v2". Written atomically; an older one is replaced.
    """
    state = bundle.model.state_dict()
    extra = {name: state[name].clone() for name in learnt}
    with replace_folder(folder) as target:
        lora.save(bundle.model, target / ADAPTER, settings, extra)
        write_bundle_files(bundle, target, base={"folder": str(base), "sha256": _untouched(state, extra)})


def load_adapter(
    folder: Path | str,
    *,
    base: Path | str | None = None,
    dvae: bool = False,
    dtype: torch.dtype | None = torch.float32,
) -> Bundle:
    """Load the base with its adapters; `base` names the base's folder if it was moved.

    Raises CheckpointError when the base is absent or another one, or a file of the folder is damaged.
    """
    folder = Path(folder)
    note: dict[str, Any] = read_json(folder / BUNDLE)
    if wrong := verify_bundle(folder):
        raise CheckpointError("xtts.bundle_file_changed", path=folder / wrong[0])
    noted = note["base"]["folder"]
    where = base_folder(base or noted)
    if not where.is_dir():
        raise CheckpointError("xtts.base_missing", folder=folder, base=where)
    load_base = load_bundle if (where / BUNDLE).is_file() else load_coqui
    found = load_base(where, dvae=dvae, dtype=dtype)
    state: weights.State = dict(found.model.state_dict())
    spec = Spec.from_dict(note["spec"])
    with torch.no_grad():
        extra = _extra(folder)
        if _untouched(state, extra) != note["base"]["sha256"]:
            raise CheckpointError("xtts.base_differs", base=where, folder=folder)
        model = weights.build_from(spec, {**state, **extra}, str(folder / ADAPTER), dtype)
        for name, parameter in model.named_parameters():
            if name.startswith("gpt.trunk."):  # the base's file is mapped, and must not be written to
                parameter.data = parameter.data.clone()
        lora.swap(model, folder / ADAPTER)
        lora.merge(model, keep=False)
    vocabulary = Vocabulary.load(folder / VOCABULARY, **vocabulary_arguments(note["vocabulary"]))
    places = folder / VOICES
    voices = {name: Voice.load(voice_path(places, file)) for name, file in note["voices"].items()}
    config = read_json(folder / CONFIG)
    return Bundle(model, vocabulary, note["front_end"], voices, note["meta"], config)


def _extra(folder: Path) -> dict[str, Tensor]:
    state = weights.read(folder / ADAPTER)
    return {name.removeprefix("extra."): value for name, value in state.items() if name.startswith("extra.")}


def _untouched(state: weights.State, learnt: Iterable[str]) -> str:
    """Return the fingerprint of the weights that training did not change."""
    changed = set(learnt)
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.startswith(_LEARNT) and name not in changed and ".adapter." not in name:
            digest.update(json.dumps([name, list(state[name].shape)]).encode())
            digest.update(state[name].detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
