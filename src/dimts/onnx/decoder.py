"""Decode codes and latents with the graphs of an ONNX voice, as `dimts.xtts.generate` does with PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dimts.base.errors import SynthesisError
from dimts.onnx.voice_folder import OnnxVoice
from dimts.xtts.sampling import DecodingStep, GenerateSettings, RandomNumbers, choose, unseen_codes
from dimts.xtts.spec import LATENTS

Floats = npt.NDArray[np.float32]
_BLOCK = 128
"""Tokens by which a cache grows."""


class Sentence:
    """One sentence in the graphs: its cache, and the state that predicts its next code."""

    def __init__(self, voice: OnnxVoice, ids: Sequence[int]) -> None:
        spec = voice.spec
        if not 0 < len(ids) <= spec.max_text:
            raise SynthesisError("xtts.text_length_wrong", ids=len(ids), limit=spec.max_text)
        self._voice = voice
        self._places = (
            np.linspace(0.0, 1.0, len(ids), dtype=np.float32) if len(ids) > 1 else np.ones(1, np.float32)
        )
        self._names = [output.name for output in voice.step.get_outputs()]
        self.count = 0
        """Codes that the graphs have read."""
        self.length = LATENTS + len(ids) + 3
        names = [output.name for output in voice.prefix.get_outputs()]
        found = dict(zip(names, voice.prefix.run(None, {"ids": np.array(ids, np.int64)}), strict=True))
        self.latent: Floats = found["latent"]
        """Hidden state [D], which the next code is chosen from, and the input of the vocoder."""
        self.logits: Floats = found["logits"]
        """Logits [V] of the next code."""
        self.attention: Floats | None = None
        """Attention [layers · H, 2] as in `alignment.py`; None before the first code was read."""
        self._keys = np.zeros((spec.layers, spec.heads, spec.head_width, self.length + _BLOCK), np.float32)
        self._values = np.zeros((spec.layers, spec.heads, self.length + _BLOCK, spec.head_width), np.float32)
        for layer in range(spec.layers):
            self._keys[layer, :, :, : self.length] = found[f"key_{layer}"]
            self._values[layer, :, : self.length] = found[f"value_{layer}"]

    def read(self, code: int) -> None:
        """Feed the next code."""
        self.count += 1
        if self.length == self._keys.shape[3]:
            self._grow()
        feed: dict[str, Any] = {
            "code": np.array([code]),
            "position": np.array([self.count]),
            "length": np.array([self.length]),
            "places": self._places,
        }
        for layer in range(len(self._keys)):
            feed[f"key_{layer}"], feed[f"value_{layer}"] = self._keys[layer], self._values[layer]
        found = dict(zip(self._names, self._voice.step.run(None, feed), strict=True))
        self.latent, self.logits, self.attention = found["latent"], found["logits"], found["attention"]
        self._keys[:, :, :, self.length] = found["keys"]
        self._values[:, :, self.length] = found["values"]
        self.length += 1

    def _grow(self) -> None:
        self._keys = np.pad(self._keys, ((0, 0), (0, 0), (0, 0), (0, _BLOCK)))
        self._values = np.pad(self._values, ((0, 0), (0, 0), (0, _BLOCK), (0, 0)))


@dataclass
class _Drawn:
    """A sentence, and the sampling of its codes."""

    number: int
    sentence: Sentence
    settings: GenerateSettings
    numbers: RandomNumbers
    limit: int
    seen_codes: npt.NDArray[np.bool_]
    code: int = -1
    count: int = 0


class OnnxDecoder:
    """Decoder of several sentences in one loop, a code of each in turn."""

    def __init__(self, voice: OnnxVoice, *, record_attention: bool = False) -> None:
        self._voice, self._record_attention = voice, record_attention
        self._rows: list[_Drawn] = []
        self._next = 0

    def __len__(self) -> int:
        """Number of sentences still being decoded."""
        return len(self._rows)

    def add(self, ids: Sequence[int], settings: GenerateSettings | None = None) -> int:
        """Start a sentence; returns its number. Raises SynthesisError for a text that is too long."""
        spec, settings = self._voice.spec, settings or GenerateSettings()
        limit = min(settings.max_codes or spec.max_codes, spec.max_codes)
        seen = unseen_codes(spec.audio_ids, spec.start_audio)
        sentence = Sentence(self._voice, ids)
        self._rows.append(_Drawn(self._next, sentence, settings, settings.numbers(), limit, seen))
        self._next += 1
        return self._rows[-1].number

    def remove(self, number: int) -> None:
        """Drop a sentence before its end. Unknown numbers are ignored."""
        self._rows = [row for row in self._rows if row.number != number]

    def step(self) -> list[DecodingStep]:
        """Decode one code of every sentence; those that end are removed when this returns."""
        steps = [self._one(row) for row in self._rows]
        for step in steps:
            if step.last:
                self.remove(step.row)
        return steps

    def _one(self, row: _Drawn) -> DecodingStep:
        sentence = row.sentence
        if row.count:
            sentence.read(row.code)
        row.code, probability = choose(sentence.logits, row.seen_codes, row.settings, row.numbers)
        row.seen_codes[row.code] = True
        row.count += 1
        last = row.code == self._voice.spec.stop_audio or row.count >= row.limit
        attention = sentence.attention if self._record_attention else None
        return DecodingStep(row.number, row.code, sentence.latent, last, probability, attention)
