"""Find the voices of the small model in the package.

    voices()                 {"selam": Path(".../voices/small"), ...}; empty where it was left out
    base()                   the same folder as a base for training, or None

The names are read from the model's bundle.json, so that listing them needs no torch.
"""

from __future__ import annotations

import json
from pathlib import Path

NAME = "small"
"""The model's name as a base of training, beside "xtts-v2" and folders."""
FOLDER = Path(__file__).parents[1] / "voices" / "small"
"""Bundle of the model in the package."""


def base() -> Path | None:
    """Return the folder of the model in the package; None where it was left out."""
    return FOLDER if (FOLDER / "bundle.json").is_file() else None


def voices() -> dict[str, Path]:
    """Return the names of the voices in the package, in order, each with its model's folder."""
    folder = base()
    if folder is None:
        return {}
    note = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return dict.fromkeys(note["voices"], folder)
