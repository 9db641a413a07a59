"""Save and load a Bundle as a folder: model, vocabulary, voices, and the spelling of text for them.

    bundle.json        what fits together
    model.safetensors  weights under our names
    dvae.safetensors   only if the DVAE is to be trained
    config.json        as coqui's
    vocab.json         as coqui's
    voices/*.voice

What was saved is loaded back byte for byte. A bundle records hashes of its vocabulary and front end, so that
weights are never used with a spelling they were not trained with. `load.load` takes every kind of folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dimts.base.errors import CheckpointError
from dimts.base.files import fingerprint, write_text
from dimts.xtts import weights
from dimts.xtts.bundle_files import (
    BUNDLE,
    BUNDLE_FORMAT,
    CONFIG,
    DVAE,
    MODEL,
    VOCABULARY,
    VOICES,
    digest,
    read_json,
    replace_folder,
    to_json,
    vocabulary_arguments,
    voice_file_names,
    voice_path,
)
from dimts.xtts.compact import shrink
from dimts.xtts.model import XTTS
from dimts.xtts.spec import Spec
from dimts.xtts.vocabulary import Vocabulary
from dimts.xtts.voice import Voice


@dataclass(frozen=True)
class Bundle:
    """Everything a voice needs for synthesis or training."""

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
            raise CheckpointError("xtts.vocabulary_does_not_fit", rows=rows, ids=self.vocabulary.size)

    def require_front_end(self, front_end: Mapping[str, Any]) -> None:
        """Raise CheckpointError unless `front_end` is the one this bundle was made with; names what
        differs."""
        if not self.front_end or digest(front_end) == digest(self.front_end):
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

    def note(self) -> dict[str, Any]:
        """Return vocabulary, front end and meta as plain values, as bundle.json and dimts.json hold them."""
        words = self.vocabulary
        return {
            "vocabulary": {
                "spelling": words.spelling,
                "language": words.language,
                "symbols": list(words.symbols),
                "fingerprint": words.fingerprint,
            },
            "front_end": dict(self.front_end),
            "front_end_sha256": digest(self.front_end),
            "meta": dict(self.meta),
        }


def save_bundle(bundle: Bundle, folder: Path | str, *, dvae: bool = False, compact: bool = False) -> None:
    """Write a bundle folder atomically; an older one there is replaced. `dvae` adds the DVAE's weights,
    `compact` stores all other weights rounded (see `compact.py`)."""
    state = bundle.model.state_dict()
    speaking = {key: value for key, value in state.items() if not key.startswith("dvae.")}
    if compact:
        speaking = shrink(speaking)
    with replace_folder(folder) as target:
        weights.write_safetensors(target / MODEL, speaking, {"format": "dimts"})
        if dvae:
            coding = {key: value for key, value in state.items() if key.startswith("dvae.")}
            if not coding:
                raise CheckpointError("xtts.no_dvae_to_save")
            weights.write_safetensors(target / DVAE, coding, {"format": "dimts"})
        write_bundle_files(bundle, target)


def write_bundle_files(bundle: Bundle, target: Path, **more: Any) -> None:
    """Write vocabulary, config.json, voices and bundle.json into a folder that contains the weights already.

    bundle.json gets the SHA-256 of every file beside it, and the entries of `more`.
    """
    names = voice_file_names(bundle.voices)
    bundle.vocabulary.save(target / VOCABULARY)
    write_text(target / CONFIG, to_json(bundle.model.spec.to_coqui(bundle.config)))
    for name, file in names.items():
        bundle.voices[name].save(target / VOICES / file)
    note = {
        "format": BUNDLE_FORMAT,
        "spec": bundle.model.spec.as_dict(),
        **bundle.note(),
        "voices": names,
        **more,
        "sha256": {file.name: fingerprint(file) for file in sorted(target.iterdir()) if file.is_file()},
    }
    write_text(target / BUNDLE, to_json(note))


def load_bundle(
    folder: Path | str,
    *,
    dvae: bool = False,
    dtype: torch.dtype | None = torch.float32,
    weights_file: Path | str | None = None,
) -> Bundle:
    """Read what `save_bundle` wrote; CheckpointError if a part is missing, damaged or was exchanged."""
    folder = Path(folder)
    note = read_json(folder / BUNDLE)
    if note.get("format") != BUNDLE_FORMAT:
        raise CheckpointError("xtts.format_unknown", path=folder / BUNDLE, format=note.get("format"))
    for key in ("spec", "vocabulary", "front_end", "front_end_sha256", "meta", "voices", "sha256"):
        if key not in note:
            raise CheckpointError("xtts.bundle_key_missing", path=folder / BUNDLE, key=key)
    vocabulary = Vocabulary.load(folder / VOCABULARY, **vocabulary_arguments(note["vocabulary"]))
    if vocabulary.fingerprint != note["vocabulary"]["fingerprint"]:
        raise CheckpointError("xtts.vocabulary_exchanged", path=folder / VOCABULARY)
    if digest(note["front_end"]) != note["front_end_sha256"]:
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
    voices = {name: Voice.load(voice_path(folder / VOICES, file)) for name, file in note["voices"].items()}
    return Bundle(model, vocabulary, note["front_end"], voices, note["meta"], read_json(folder / CONFIG))


def verify_bundle(folder: Path | str) -> list[str]:
    """Return the names of the files that differ from what the bundle was saved with; empty if there are
    none."""
    folder = Path(folder)
    hashes = read_json(folder / BUNDLE).get("sha256", {})
    return [
        name
        for name, wanted in hashes.items()
        if not (folder / name).is_file() or fingerprint(folder / name) != wanted
    ]
