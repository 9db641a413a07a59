"""Folders ↔ a Bundle: model, vocabulary, voices, and how text must be spelt for them.

A bundle of ours                               a folder of coqui's
    bundle.json       what fits together           config.json   sizes and defaults
    model.safetensors weights, our names           model.pth     (or a trainer's best_model*.pth, checkpoint_*.pth)
    dvae.safetensors  only if it is to be trained  dvae.pth, mel_stats.pth
    config.json       as coqui's                   speakers_xtts.pth
    vocab.json        as coqui's                   vocab.json
    voices/*.voice                                 dimts.json    what ours adds, ignored by coqui-tts

`load` takes either; what was saved is loaded back byte for byte. A bundle states hashes of its vocabulary and front
end, so weights never speak with a spelling they were not trained with.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dimts.base.errors import CheckpointError, storage_error
from dimts.base.files import fingerprint, write_text
from dimts.xtts import weights
from dimts.xtts.model import XTTS
from dimts.xtts.spec import Spec
from dimts.xtts.vocabulary import Vocabulary
from dimts.xtts.voice import Voice

BUNDLE_FORMAT = 1
BUNDLE, MODEL, DVAE, CONFIG, VOCABULARY, VOICES = (
    *("bundle.json", "model.safetensors", "dvae.safetensors"),
    *("config.json", "vocab.json", "voices"),
)
COQUI_MODEL, COQUI_DVAE, COQUI_STATS, COQUI_SPEAKERS, COQUI_NOTE = (
    *("model.pth", "dvae.pth", "mel_stats.pth"),
    *("speakers_xtts.pth", "dimts.json"),
)
VOICE_SUFFIX = ".voice"
_COQUI_WEIGHTS = (COQUI_MODEL, MODEL, "best_model.pth", "best_model_*.pth", "checkpoint_*.pth")
_SAFE_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Bundle:
    """Everything a voice needs to speak, or to be trained on."""

    model: XTTS
    vocabulary: Vocabulary
    front_end: Mapping[str, Any] = field(default_factory=dict)
    """Version and settings of the text front end, opaque here; empty for a folder of coqui's."""
    voices: Mapping[str, Voice] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Plain values for JSON: name, licence, provenance, consent, metrics, ..."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """coqui's config.json as it was read; its sizes are replaced by the model's when written."""

    def __post_init__(self) -> None:
        rows = self.model.spec.text_ids
        if self.vocabulary.size != rows:
            raise CheckpointError(
                "xtts.vocabulary_size_differs", rows=rows, ids=self.vocabulary.size
            )

    def require_front_end(self, front_end: Mapping[str, Any]) -> None:
        """Raise CheckpointError unless `front_end` is the one this bundle was made with; names what differs."""
        if not self.front_end or _hashed(front_end) == _hashed(self.front_end):
            return
        keys = [*dict.fromkeys((*self.front_end, *front_end))]
        differing = next(key for key in keys if self.front_end.get(key) != front_end.get(key))
        raise CheckpointError(
            "xtts.front_end_differs",
            setting=differing,
            trained=self.front_end.get(differing),
            present=front_end.get(differing),
        )

    def require_vocabulary(self, fingerprint_: str) -> None:
        """Raise CheckpointError unless ids were made with this bundle's vocabulary."""
        if fingerprint_ != self.vocabulary.fingerprint:
            raise CheckpointError(
                "xtts.ids_of_other_vocabulary",
                found=fingerprint_[:12],
                expected=self.vocabulary.fingerprint[:12],
            )


def load(
    where: Path | str,
    *,
    weights_file: Path | str | None = None,
    vocabulary: Path | str | None = None,
    dvae: bool = False,
    dtype: torch.dtype | None = torch.float32,
) -> Bundle:
    """A bundle of ours, adapters beside their base, a folder of coqui's, or one weight file in such a folder.

    `weights_file` and `vocabulary` replace the folder's own, `dvae` loads the DVAE too (needed to make codes).
    `dtype` None keeps numbers as stored. Raises CheckpointError for whatever does not fit, naming key and file.
    """
    folder = Path(where)
    if folder.is_file():
        folder, weights_file = folder.parent, weights_file or folder
    if not folder.is_dir():
        raise CheckpointError("xtts.no_such_model", folder=folder)
    if (folder / BUNDLE).is_file():
        if "base" in _read_json(folder / BUNDLE):
            from dimts.xtts.lora_checkpoint import load_adapter  # it stands on this file

            return load_adapter(folder, dvae=dvae, dtype=dtype)
        return load_bundle(folder, dvae=dvae, dtype=dtype, weights_file=weights_file)
    return load_coqui(folder, weights_file=weights_file, vocabulary=vocabulary, dvae=dvae, dtype=dtype)


# Ours


def save_bundle(bundle: Bundle, folder: Path | str, *, dvae: bool = False) -> None:
    """Write a bundle folder, whole or not at all; an older one there is replaced. `dvae` adds the DVAE's weights."""
    state = bundle.model.state_dict()
    speaking = {key: value for key, value in state.items() if not key.startswith("dvae.")}
    names = _file_names(bundle.voices)
    with _folder_aside(folder) as target:
        weights.write_safetensors(target / MODEL, speaking, {"format": "dimts"})
        if dvae:
            coding = {key: value for key, value in state.items() if key.startswith("dvae.")}
            if not coding:
                raise CheckpointError("xtts.no_dvae_to_save")
            weights.write_safetensors(target / DVAE, coding, {"format": "dimts"})
        bundle.vocabulary.save(target / VOCABULARY)
        write_text(target / CONFIG, _json(bundle.model.spec.to_coqui(bundle.config)))
        for name, file in names.items():
            bundle.voices[name].save(target / VOICES / file)
        note = {
            "format": BUNDLE_FORMAT,
            "spec": bundle.model.spec.as_dict(),
            **_note(bundle),
            "voices": names,
            "sha256": {file.name: fingerprint(file) for file in sorted(target.iterdir()) if file.is_file()},
        }
        write_text(target / BUNDLE, _json(note))


def load_bundle(
    folder: Path | str,
    *,
    dvae: bool = False,
    dtype: torch.dtype | None = torch.float32,
    weights_file: Path | str | None = None,
) -> Bundle:
    """Read what `save_bundle` wrote; CheckpointError if a part is missing, damaged or was exchanged."""
    folder = Path(folder)
    note = _read_json(folder / BUNDLE)
    if note.get("format") != BUNDLE_FORMAT:
        raise CheckpointError("xtts.format_unknown", path=folder / BUNDLE, format=note.get("format"))
    for key in ("spec", "vocabulary", "front_end", "front_end_sha256", "meta", "voices", "sha256"):
        if key not in note:
            raise CheckpointError("xtts.bundle_key_missing", path=folder / BUNDLE, key=key)
    vocabulary = Vocabulary.load(folder / VOCABULARY, **_known(note["vocabulary"]))
    if vocabulary.fingerprint != note["vocabulary"]["fingerprint"]:
        raise CheckpointError("xtts.vocabulary_exchanged", path=folder / VOCABULARY)
    if _hashed(note["front_end"]) != note["front_end_sha256"]:
        raise CheckpointError("xtts.front_end_changed", path=folder / BUNDLE)
    spec = Spec.from_dict(note["spec"])
    if vocabulary.size != spec.text_ids:
        raise CheckpointError(
            "xtts.vocabulary_size_differs", rows=spec.text_ids, path=folder / VOCABULARY, ids=vocabulary.size
        )
    path = Path(weights_file) if weights_file else folder / MODEL
    state = {weights.ours(key): value for key, value in weights.read(path).items()}
    if dvae:
        state.update(weights.read(folder / DVAE))
    elif not weights_file:
        state = {key: value for key, value in state.items() if not key.startswith("dvae.")}
    model = weights.build_from(spec, state, str(path), dtype)
    voices = {name: Voice.load(_inside(folder / VOICES, file)) for name, file in note["voices"].items()}
    return Bundle(model, vocabulary, note["front_end"], voices, note["meta"], _read_json(folder / CONFIG))


def verify_bundle(folder: Path | str) -> list[str]:
    """Names of the files whose content is not what the bundle was saved with; empty if all is well."""
    folder = Path(folder)
    hashes = _read_json(folder / BUNDLE).get("sha256", {})
    return [
        name for name, wanted in hashes.items() if not (folder / name).is_file() or fingerprint(folder / name) != wanted
    ]


# coqui's


def load_coqui(
    folder: Path | str,
    *,
    weights_file: Path | str | None = None,
    vocabulary: Path | str | None = None,
    dvae: bool = False,
    dtype: torch.dtype | None = torch.float32,
) -> Bundle:
    """A folder with config.json, vocab.json and weights, as published by coqui or written by its trainer."""
    folder = Path(folder)
    note = _read_json(folder / COQUI_NOTE) if (folder / COQUI_NOTE).is_file() else {}
    config = _read_json(folder / CONFIG)
    vocab = Path(vocabulary) if vocabulary else folder / VOCABULARY
    words = Vocabulary.load(vocab, **_known(note.get("vocabulary", {})))
    path = Path(weights_file) if weights_file else _find_weights(folder)
    raw = weights.read(path)
    coding = {key: value for key, value in raw.items() if key.startswith("dvae.")}
    raw = {key: value for key, value in raw.items() if not key.startswith("dvae.")}
    if dvae:
        raw.update(coding or _read_dvae(folder))
    if "mel_stats" not in raw and (folder / COQUI_STATS).is_file():
        raw["mel_stats"] = read_mel_stats(folder / COQUI_STATS)
    shapes = {weights.coquis(key): tuple(value.shape) for key, value in raw.items()}
    spec = Spec.from_coqui(config, shapes, start_text=words.start, stop_text=words.stop)
    if words.size != spec.text_ids:
        raise CheckpointError(
            "xtts.vocabulary_size_differs",
            rows=spec.text_ids,
            
            path=vocab,
            ids=words.size,
        )
    model = weights.build_from(spec, {weights.ours(key): value for key, value in raw.items()}, str(path), dtype)
    voices = read_speakers(folder / COQUI_SPEAKERS) if (folder / COQUI_SPEAKERS).is_file() else {}
    return Bundle(model, words, note.get("front_end", {}), voices, note.get("meta", {}), config)


def save_coqui(bundle: Bundle, folder: Path | str) -> None:
    """Write a folder that coqui-tts loads: model.pth, config.json, vocab.json, mel_stats.pth, and dvae.pth and
    speakers_xtts.pth if there is a DVAE and are voices. Whole or not at all."""
    state = {key: weights.owned(value) for key, value in bundle.model.state_dict().items()}
    speaking = {weights.coquis(key): value for key, value in state.items() if not key.startswith("dvae.")}
    coding = {key.removeprefix("dvae."): value for key, value in state.items() if key.startswith("dvae.")}
    speakers = {
        name: {"gpt_cond_latent": weights.owned(voice.latents), "speaker_embedding": weights.owned(voice.timbre)}
        for name, voice in bundle.voices.items()
    }
    with _folder_aside(folder) as target:
        weights.write_pickle(target / COQUI_MODEL, {"model": speaking})
        weights.write_pickle(target / COQUI_STATS, state["mel_stats"])
        if coding:
            weights.write_pickle(target / COQUI_DVAE, coding)
        if speakers:
            weights.write_pickle(target / COQUI_SPEAKERS, speakers)
        bundle.vocabulary.save(target / VOCABULARY)
        write_text(target / CONFIG, _json(bundle.model.spec.to_coqui(bundle.config)))
        write_text(target / COQUI_NOTE, _json(_note(bundle)))


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
        voices[str(name)] = Voice(
            tensors[0].float(), tensors[1].float(), {"name": str(name), "source": Path(path).name}
        )
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


# Shared


def _note(bundle: Bundle) -> dict[str, Any]:
    words = bundle.vocabulary
    return {
        "vocabulary": {
            "spelling": words.spelling,
            "language": words.language,
            "symbols": list(words.symbols),
            "fingerprint": words.fingerprint,
        },
        "front_end": dict(bundle.front_end),
        "front_end_sha256": _hashed(bundle.front_end),
        "meta": dict(bundle.meta),
    }


def _known(note: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: note[key] for key in ("spelling", "language") if key in note}
    return {**known, "symbols": tuple(note["symbols"])} if "symbols" in note else known


def _hashed(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(values), ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError("xtts.file_absent", name=path.name, folder=path.parent) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError("xtts.json_damaged", path=path, reason=error) from error
    if not isinstance(content, dict):
        raise CheckpointError("xtts.json_no_table", path=path)
    return content


def _file_names(voices: Mapping[str, Voice]) -> dict[str, str]:
    """Voice name → a file name that is safe everywhere and its own."""
    names: dict[str, str] = {}
    for name in voices:
        stem = _SAFE_NAME.sub("-", name).strip("-.") or "voice"
        taken, count = set(names.values()), 2
        while f"{stem}{VOICE_SUFFIX}" in taken:
            stem, count = f"{stem}-{count}", count + 1
        names[name] = f"{stem}{VOICE_SUFFIX}"
    return names


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if path.parent != folder or name.startswith("."):
        raise CheckpointError("xtts.voice_outside_bundle", name=name)
    return path


@contextlib.contextmanager
def _folder_aside(folder: Path | str) -> Iterator[Path]:
    """A temporary folder beside `folder`; takes its place when the block ends, is removed when it fails."""
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise storage_error(error, folder) or error from error
    old = temporary.with_name(temporary.name + "-old")
    try:
        yield temporary
        temporary.chmod(0o755)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise storage_error(error, folder) or error from error
    finally:
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)
