"""Decide whether a run can be continued with other settings: only what changes the mathematics begins a new
one.

The length of the run, what is written and kept, evaluations and early stopping, kernels, the precision of the
forward pass, and how a step is split over forward passes and processes may change. The learning rate then
follows the schedule of the new length from the step where it changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dimts.base.config import to_dict
from dimts.train.dataset import TrainingSet
from dimts.train.runs import identity
from dimts.train.settings import STAGES, TrainSettings
from dimts.train.stages.stage import GPT_OPTIONS

FREE = (
    "base",  # its content has a fingerprint of its own
    "steps",
    "epochs",
    "keep",
    "save_every",
    "evaluate_every",
    "sample_every",
    "sample_text",
    "best_clips",
    "coqui_folder",
    "adapter_folder",
    "tracker",
    "stop",
    "attention",
    "attention_fallback",
    "checkpointing",
    "loss_chunk",
    "compile",
    "precision",
    "sharding",
    "ray",
)
"""Settings and tables that may differ between sessions of one run."""
_FREE_IN_STAGE = ("steps", "seconds", "learning_rate")
"""Keys of a stage's table that exist elsewhere too: `TrainSettings.for_stage` has copied them."""


def run_identity(settings: TrainSettings, engine: str, data: TrainingSet, processes: int) -> str:
    """Return the fingerprint of all that determines the numbers of a run; `engine` is that of its weights."""
    parts = settings.batches.accumulate * processes
    same = _as_floats(to_dict(settings))
    for name in (*FREE, *(stage for stage in STAGES if stage != settings.stage)):
        same.pop(name, None)
    if settings.stage != "gpt":
        for name in GPT_OPTIONS:
            if (settings.stage, name) != ("decoder", "reference."):  # its latents depend on the crop
                same.pop(name.rstrip("."), None)
    for name in _FREE_IN_STAGE:
        same.get(settings.stage, {}).pop(name, None)
    same["optimizer"] = "8bit" if settings.optimizer == "8bit" else ""
    for name in ("seconds", "clips", "accumulate", "unusable"):
        del same["batches"][name]
    same["batches"] |= {
        "seconds_per_step": round(data.seconds_per_forward * parts, 6),
        "clips_per_step": settings.batches.clips * parts,
        "generated_per_step": data.generated_per_part * parts,
    }
    same["synthetic"].pop("clips")
    return identity(settings=_as_floats(same), engine=engine, data=data.name)


def changed_settings(old: Mapping[str, Any], settings: TrainSettings) -> dict[str, list[Any]]:
    """Return {dotted name: [before, now]} of the settings that differ from those a run was last continued
    with."""
    before, now = _flat(_as_floats(dict(old))), _flat(_as_floats(to_dict(settings)))
    return {name: [before.get(name), now[name]] for name in now if before.get(name) != now[name]}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            out.update(_flat(value, f"{prefix}{key}."))
        else:
            out[prefix + key] = value
    return out


def _as_floats(value: Any) -> Any:
    """Return the table with whole numbers as floats: 8 and 8.0 are one setting."""
    if isinstance(value, Mapping):
        return {key: _as_floats(entry) for key, entry in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
