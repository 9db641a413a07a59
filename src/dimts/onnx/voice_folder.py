"""Load the folder of an ONNX voice: check its files and prepare its graphs.

voice.json     sizes, phones and their ids, settings, what was measured, bytes and SHA-256 of every file
prefix.onnx    reads voice and text             vocab.json   only where texts are spelt, not phones
step.onnx      takes one decoding step          README.md    card
vocoder.onnx   frames → samples                 LICENCE…     as the voice carries them
weights.bin    the graphs' weights
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimts.base.errors import CheckpointError, TextError
from dimts.base.plugins import require
from dimts.xtts.bundle_files import BUNDLE, VOCABULARY, read_json
from dimts.xtts.phone_spelling import SPACE, phones_of
from dimts.xtts.sampling import GenerateSettings
from dimts.xtts.spec import Spec

NOTE, PREFIX, STEP, VOCODER, WEIGHTS = "voice.json", "prefix.onnx", "step.onnx", "vocoder.onnx", "weights.bin"
FORMAT, VERSION = "dimts-onnx", 1
_KEYS = ("name", "voice", "weights", "spec", "vocabulary", "front_end", "generate", "files", "meta")


class PhoneTable:
    """Encoder of phones without a tokenizer: every phone and mark is one token."""

    def __init__(self, tokens: Mapping[str, int], tag: int, space: int) -> None:
        self.tokens, self.tag, self.space = dict(tokens), tag, space

    def encode(self, text: str) -> list[int]:
        """Return the ids of words of joined phones, the language's tag first. Raises TextError for a sign
        without id."""
        ids = [self.tag]
        for number, word in enumerate(text.split(" ")):
            if number:
                ids.append(self.space)
            for phone in phones_of(word, self.tokens):
                if phone not in self.tokens:
                    raise TextError("xtts.no_token", characters=(repr(phone),), text=text)
                ids.append(self.tokens[phone])
        return ids

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"spelling": "phones", "tag": self.tag, SPACE: self.space, "tokens": self.tokens}

    @classmethod
    def from_dict(cls, note: Mapping[str, Any]) -> PhoneTable:
        """Invert `as_dict`."""
        return cls(note["tokens"], note["tag"], note[SPACE])


@dataclass(frozen=True)
class OnnxVoice:
    """A voice whose graphs are loaded."""

    name: str
    spec: Spec
    vocabulary: Any
    """Encoder with `encode`: a PhoneTable, or a Vocabulary where texts are spelt."""
    front_end: Mapping[str, Any]
    """Version and settings of the text front end the voice was trained with."""
    generate: GenerateSettings
    prefix: Any
    """Sessions of onnxruntime."""
    step: Any
    vocoder: Any
    note: Mapping[str, Any]
    """Contents of voice.json."""


def is_onnx_voice(folder: Path | str) -> bool:
    """Whether a folder holds an ONNX voice, complete or not."""
    folder = Path(folder)
    return not (folder / BUNDLE).is_file() and any((folder / name).is_file() for name in (NOTE, PREFIX, STEP))


def load_voice(folder: Path | str, threads: int = 0) -> OnnxVoice:
    """Load the voice of a folder; each graph runs with `threads` threads, 0: one for each core.

    Raises CheckpointError for another format, and for a file that is absent, cut short or no graph;
    MissingExtra without onnxruntime.
    """
    folder = Path(folder)
    note = read_json(folder / NOTE)
    if note.get("format") != FORMAT:
        raise CheckpointError("onnx.not_a_voice", path=folder / NOTE)
    if note.get("version") != VERSION:
        raise CheckpointError(
            "onnx.version_unknown", path=folder / NOTE, found=note.get("version"), known=VERSION
        )
    if missing := [key for key in _KEYS if key not in note]:
        raise CheckpointError("xtts.bundle_key_missing", path=folder / NOTE, key=missing[0])
    for name, known in note["files"].items():
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise CheckpointError("onnx.file_absent", name=name, folder=folder)
        if path.stat().st_size != known["bytes"]:
            raise CheckpointError(
                "onnx.file_cut_short", path=path, found=path.stat().st_size, wanted=known["bytes"]
            )
    runtime = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4

    def session(name: str) -> Any:
        try:
            return runtime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no class in common
            raise CheckpointError(
                "onnx.graph_unusable", path=folder / name, reason=str(error)[:200]
            ) from error

    try:
        return OnnxVoice(
            str(note["name"]),
            Spec.from_dict(note["spec"]),
            _vocabulary(note["vocabulary"], folder),
            note["front_end"],
            GenerateSettings(**note["generate"]),
            session(PREFIX),
            session(STEP),
            session(VOCODER),
            note,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError("xtts.json_damaged", path=folder / NOTE, reason=repr(error)) from error


def _vocabulary(note: Mapping[str, Any], folder: Path) -> Any:
    if note["spelling"] == "phones":
        return PhoneTable.from_dict(note)
    require("tokenizers", "onnx-text")
    from dimts.xtts.vocabulary import Vocabulary

    return Vocabulary.load(folder / VOCABULARY, spelling=note["spelling"], language=note["language"])


def vocoder_states(session: Any) -> list[tuple[int, ...]]:
    """Return the initial shapes of a vocoder's states."""
    return [tuple(shape) for shape in json.loads(session.get_modelmeta().custom_metadata_map["states"])]
