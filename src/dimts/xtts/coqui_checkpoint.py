"""Load and save coqui's folders: as published by coqui, written by its trainer, or by `save_coqui`.

config.json        sizes and defaults
model.pth          or a trainer's best_model*.pth, checkpoint_*.pth
dvae.pth, mel_stats.pth, speakers_xtts.pth
vocab.json
dimts.json         our additions, ignored by coqui-tts
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dimts.base.errors import CheckpointError
from dimts.base.files import write_text
from dimts.xtts import weights
from dimts.xtts.bundle_files import (
    CONFIG,
    COQUI_DVAE,
    COQUI_MODEL,
    COQUI_NOTE,
    COQUI_SPEAKERS,
    COQUI_STATS,
    DVAE,
    MODEL,
    VOCABULARY,
    read_json,
    replace_folder,
    to_json,
    vocabulary_arguments,
)
from dimts.xtts.checkpoint import Bundle
from dimts.xtts.spec import Spec
from dimts.xtts.vocabulary import Vocabulary
from dimts.xtts.voice import Voice

_COQUI_WEIGHTS = (COQUI_MODEL, MODEL, "best_model.pth", "best_model_*.pth", "checkpoint_*.pth")


def load_coqui(
    folder: Path | str,
    *,
    weights_file: Path | str | None = None,
    vocabulary: Path | str | None = None,
    dvae: bool = False,
    dtype: torch.dtype | None = torch.float32,
) -> Bundle:
    """Load a folder with config.json, vocab.json and weights, as published by coqui or written by its
    trainer."""
    folder = Path(folder)
    note = read_json(folder / COQUI_NOTE) if (folder / COQUI_NOTE).is_file() else {}
    config = read_json(folder / CONFIG)
    vocab = Path(vocabulary) if vocabulary else folder / VOCABULARY
    words = Vocabulary.load(vocab, **vocabulary_arguments(note.get("vocabulary", {})))
    path = Path(weights_file) if weights_file else _find_weights(folder)
    raw = weights.read(path)
    coding = {key: value for key, value in raw.items() if key.startswith("dvae.")}
    raw = {key: value for key, value in raw.items() if not key.startswith("dvae.")}
    if dvae:
        raw.update(coding or _read_dvae(folder))
    if "mel_stats" not in raw and (folder / COQUI_STATS).is_file():
        raw["mel_stats"] = read_mel_stats(folder / COQUI_STATS)
    shapes = {weights.coquis(key): tuple(value.shape) for key, value in raw.items()}
    spec = Spec.from_coqui(config, shapes, text_ids=words.size, start_text=words.start, stop_text=words.stop)
    model = weights.build_from(
        spec, {weights.ours(key): value for key, value in raw.items()}, str(path), dtype
    )
    voices = read_speakers(folder / COQUI_SPEAKERS) if (folder / COQUI_SPEAKERS).is_file() else {}
    return Bundle(model, words, note.get("front_end", {}), voices, note.get("meta", {}), config)


def save_coqui(bundle: Bundle, folder: Path | str) -> None:
    """Write a folder that coqui-tts loads: model.pth, config.json, vocab.json, mel_stats.pth, and dvae.pth
    and speakers_xtts.pth if there is a DVAE and are voices. Written atomically."""
    state = {key: weights.owned(value) for key, value in bundle.model.state_dict().items()}
    speaking = {weights.coquis(key): value for key, value in state.items() if not key.startswith("dvae.")}
    coding = {key.removeprefix("dvae."): value for key, value in state.items() if key.startswith("dvae.")}
    speakers = {
        name: {
            "gpt_cond_latent": weights.owned(voice.latents),
            "speaker_embedding": weights.owned(voice.timbre),
        }
        for name, voice in bundle.voices.items()
    }
    with replace_folder(folder) as target:
        weights.write_pickle(target / COQUI_MODEL, {"model": speaking})
        weights.write_pickle(target / COQUI_STATS, state["mel_stats"])
        if coding:
            weights.write_pickle(target / COQUI_DVAE, coding)
        if speakers:
            weights.write_pickle(target / COQUI_SPEAKERS, speakers)
        bundle.vocabulary.save(target / VOCABULARY)
        write_text(target / CONFIG, to_json(bundle.model.spec.to_coqui(bundle.config)))
        write_text(target / COQUI_NOTE, to_json(bundle.note()))


def read_mel_stats(path: Path | str) -> Tensor:
    """mel_stats.pth → [80]."""
    content = weights.read_pickle(path)
    if not isinstance(content, Tensor) or content.dim() != 1:
        raise CheckpointError("xtts.no_mel_stats", path=path)
    return content


def read_speakers(path: Path | str) -> dict[str, Voice]:
    """speakers_xtts.pth → {name: Voice}."""
    content = weights.read_pickle(path)
    if not isinstance(content, Mapping):
        raise CheckpointError("xtts.no_speakers", path=path)
    voices = {}
    for name, parts in content.items():
        if not isinstance(parts, Mapping) or not all(isinstance(part, Tensor) for part in parts.values()):
            raise CheckpointError("xtts.speaker_without_latents", path=path, name=name)
        tensors = list(parts.values())  # coqui reads them by order; the names differ between its files
        if len(tensors) != 2:
            raise CheckpointError("xtts.speaker_tensor_count", path=path, name=name, count=len(tensors))
        try:
            voices[str(name)] = Voice(
                tensors[0].float(), tensors[1].float(), {"name": str(name), "source": Path(path).name}
            )
        except CheckpointError as error:
            raise CheckpointError("xtts.speaker_damaged", path=path, name=name, reason=error) from error
    return voices


def _read_dvae(folder: Path) -> weights.State:
    for name in (COQUI_DVAE, DVAE):
        if (folder / name).is_file():
            state = weights.read(folder / name)
            return {key if key.startswith("dvae.") else f"dvae.{key}": value for key, value in state.items()}
    raise CheckpointError("xtts.file_missing", folder=folder, name=COQUI_DVAE)


def _find_weights(folder: Path) -> Path:
    for pattern in _COQUI_WEIGHTS:
        found = sorted(folder.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", path.stem)])
        if found:
            return found[-1]
    raise CheckpointError("xtts.folder_without_weights", folder=folder, names=tuple(_COQUI_WEIGHTS))
