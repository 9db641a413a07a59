"""Separate the voice of a clip from music, by Demucs (Défossez et al.; Rouard, Massa, Défossez 2023; MIT).

    weights, once:  hf download adefossez/HTDemucs --local-dir demucs/
    then:           dimts data prepare … --set data.clean.separate=demucs/

It changes the voice, so it is off by default, and recorded in every row. The weights are safetensors; of the
classes their metadata may name, only Demucs' own are built; nothing is unpickled or fetched.
"""

from __future__ import annotations

import json
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dimts.audio.wave import Wave
from dimts.base.errors import DataError
from dimts.base.plugins import require

REPOSITORY = "adefossez/HTDemucs"
_CLASSES = {"demucs.htdemucs.HTDemucs": "HTDemucs", "demucs.hdemucs.HDemucs": "HDemucs"}
_VOICE = "vocals"
_OVERLAP = 0.25
_QUIET = 1e-5
"""Root mean square below which there is nothing to separate."""


def find_weights(place: str) -> Path:
    """Return the folder of Demucs weights. DataError names the missing files and the command that fetches
    them."""
    folder = Path(place).expanduser()
    if not folder.is_dir() or not sorted(folder.glob("*.safetensors")):
        raise DataError("data.no_demucs_weights", folder=folder, repository=REPOSITORY, place=place)
    return folder


def voice_of(wave: Wave, place: str) -> Wave:
    """Return the voice in a clip [T], separated by Demucs, at the clip's rate and length. DataError,
    MissingExtra."""
    torch = require("torch", "separate")
    apply_model = require("demucs.apply", "separate").apply_model
    models = _models(find_weights(place))
    root_mean_square = float(np.sqrt(np.mean(np.square(wave.samples)))) if len(wave.samples) else 0.0
    if root_mean_square < _QUIET:
        return wave
    total = np.zeros(len(wave.samples), np.float32)
    for model in models:  # a bag of models: their mean
        mix = wave.resample(int(model.samplerate)).samples
        mean, spread = float(mix.mean()), float(mix.std()) or 1.0
        given = torch.from_numpy((mix - mean) / spread).expand(1, int(model.audio_channels), -1)
        with torch.inference_mode():
            # no random shift: the same clip gives the same voice
            parts = apply_model(model, given, shifts=0, split=True, overlap=_OVERLAP, progress=False)
        voice = parts[0, model.sources.index(_VOICE)].mean(dim=0).numpy() * spread
        back = Wave(voice.astype(np.float32), int(model.samplerate)).resample(wave.rate).samples
        size = min(len(back), len(total))  # resampling there and back may cost a sample
        total[:size] += back[:size] / np.float32(len(models))
    return Wave(total, wave.rate)


@cache
def _models(folder: Path) -> list[Any]:
    """Load every model in the folder; a bag's result is their mean."""
    files = require("safetensors", "separate")
    models = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with files.safe_open(str(path), framework="pt") as file:
                facts = file.metadata() or {}
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            model = _built(facts)
            model.load_state_dict(state)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, files.SafetensorError) as error:
            raise DataError(
                "data.broken_demucs_weights", path=path, error=error, repository=REPOSITORY
            ) from error
        if _VOICE not in model.sources:
            raise DataError("data.separates_no_voice", path=path, sources=tuple(model.sources))
        models.append(model.eval())
    return models


def _built(facts: dict[str, str]) -> Any:
    """Build the network that the metadata of a file names, if it is one of Demucs'."""
    named = facts.get("klass", "")
    if named not in _CLASSES:
        raise ValueError(f"it names the class {named!r}")
    module = require(named.rpartition(".")[0], "separate")
    arguments, options = (_plain(json.loads(facts[key])) for key in ("args", "kwargs"))
    return getattr(module, _CLASSES[named])(*arguments, **options)


def _plain(value: Any) -> Any:
    """Convert Demucs' arguments from JSON, with its fractions."""
    if isinstance(value, dict):
        if value.get("_type") == "fraction":
            return Fraction(int(value["numerator"]), int(value["denominator"]))
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
