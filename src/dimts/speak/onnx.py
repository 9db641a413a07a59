"""Speak with an ONNX voice: onnxruntime and numpy, no PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dimts.base.errors import ConfigError, SynthesisError
from dimts.base.progress import ProgressCallback
from dimts.onnx.decoder import OnnxDecoder
from dimts.onnx.vocoder import OnnxVocoder
from dimts.onnx.voice_folder import load_voice
from dimts.speak.pipeline import run_in_background
from dimts.speak.settings import SpeakSettings
from dimts.speak.utterances import UtteranceEngine
from dimts.xtts.sampling import GenerateSettings

if TYPE_CHECKING:
    from dimts.xtts.voice import Voice


class OnnxEngine(UtteranceEngine):
    """Engine of the graphs of a folder, which hold one voice. May be shared by threads."""

    def __init__(
        self, folder: Path, settings: SpeakSettings, device: str | None, on_progress: ProgressCallback
    ) -> None:
        if device not in (None, "cpu"):
            raise ConfigError("speak.onnx_cpu_only", device=device)
        _check(settings, None)
        cores = _cores()
        self._overlapped = cores > 1
        self.onnx_voice = load_voice(folder, max(cores // 2, 1))
        super().__init__(settings, self.onnx_voice.generate, on_progress)
        self.name = self.onnx_voice.name
        self.spec, self.vocabulary = self.onnx_voice.spec, self.onnx_voice.vocabulary
        self.meta: Mapping[str, Any] = self.onnx_voice.note["meta"]
        self.voices: Mapping[str, Voice] = {}

    def with_settings(self, settings: SpeakSettings) -> OnnxEngine:
        """Return the same graphs with other settings; nothing is loaded again. ConfigError for other weights
        or steps."""
        _check(settings, self.settings)
        return self._with(settings)

    def resolve_voice(self, voice: Any) -> None:
        """Return the graphs' own voice. SynthesisError if another is requested."""
        if voice is not None:
            raise SynthesisError("speak.onnx_has_one_voice", name=self.name)

    def clone(self, paths: Sequence[Path]) -> Voice:
        """Raise SynthesisError: the voice is fixed."""
        raise SynthesisError("speak.onnx_has_one_voice", name=self.name)

    def decoder(self, sentences: int, tokens: int) -> OnnxDecoder:
        """Make a decoder; it grows with its sentences."""
        return OnnxDecoder(self.onnx_voice, record_attention=self.settings.guard)

    def add(self, decoder: OnnxDecoder, voice: Any, ids: Sequence[int], settings: GenerateSettings) -> int:
        """Start a sentence; returns its number."""
        return decoder.add(ids, settings)

    def vocoder(self, voice: Any, speed: float) -> OnnxVocoder:
        """Make a vocoder for one utterance."""
        return OnnxVocoder(self.onnx_voice, speed)

    def run_decoding(self, decoding: Iterator[Any]) -> Iterator[Any]:
        """Run decoding in a thread of its own, where there is a core for it."""
        return run_in_background(decoding) if self._overlapped else decoding

    def run_vocoding(self, sound: Iterator[Any]) -> Iterator[Any]:
        """Run the vocoder in the caller's thread."""
        return sound


def _check(settings: SpeakSettings, loaded: SpeakSettings | None) -> None:
    """Refuse settings of weights and steps, which an ONNX voice was exported with."""
    for name in ("weights", "steps"):
        wanted = getattr(settings, name)
        if wanted != (getattr(loaded, name) if loaded else "auto"):
            raise ConfigError("speak.onnx_setting_fixed", name=name, value=wanted)


def _cores() -> int:
    """Return the cores this process may use, or the number of threads set by OMP_NUM_THREADS."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
