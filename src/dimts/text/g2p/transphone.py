"""Pronounce words by Transphone (Li et al. 2022), a multilingual network without consonant length.

Its two sets of files are not in its package; by default it downloads them in the middle of a sentence. Here
it runs only when they are on disk, in a given folder, where `dimts fetch transphone` puts them, or in its own
cache, and otherwise an error names the missing files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import util
from pathlib import Path

from dimts.base.errors import ConfigError, MissingExtra, TextError
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.base.user_folders import cache_folder
from dimts.text.ethiopic import bare
from dimts.text.phones import from_ipa

MODEL = "042801_base"
LANGUAGE = "amh"
SOURCES = {
    "model": f"https://github.com/xinjli/transphone/releases/download/v1.0/{MODEL}.tar.gz",
    "inventory": "https://github.com/xinjli/phonepiece/releases/download/v1.0/latest.tar.gz",
}
_MODEL_FILES = ("model.pt", "grapheme.vocab", "phoneme.vocab")
_INVENTORY_FILES = ("phone.txt", "phoneme.txt", "allophone.txt")


def fetched_folder() -> Path:
    """Return the folder of our cache in which `dimts fetch transphone` puts the files."""
    return cache_folder() / "transphone"


def model_folder(folder: Path | None = None) -> Path:
    """Return the network's folder: FOLDER/042801_base, else in the cache inside the installed package."""
    return folder / MODEL if folder else _package("transphone") / "data" / "model" / MODEL


def inventory_folder(folder: Path | None = None) -> Path:
    """Return the folder of the list of Amharic phones: FOLDER/latest/amh, else phonepiece's own cache."""
    return (folder or _package("phonepiece") / "data" / "model") / "latest" / LANGUAGE


def missing(folder: Path | None = None) -> list[Path]:
    """Return the files that Transphone needs and that are absent; [] if it can run."""
    model, inventory = model_folder(folder), inventory_folder(folder)
    absent = [model / name for name in _MODEL_FILES if not (model / name).is_file()]
    if absent[:1] == [model / "model.pt"] and any(model.glob("model_*.pt")):
        del absent[0]
    return absent + [inventory / name for name in _INVENTORY_FILES if not (inventory / name).is_file()]


def _by_folder(files: Sequence[Path]) -> list[Message]:
    folders = dict.fromkeys(path.parent for path in files)
    return [
        Message("text.files_in_folder", names=[path.name for path in files if path.parent == one], folder=one)
        for one in folders
    ]


def _package(name: str) -> Path:
    found = util.find_spec(name)
    if found is None or found.origin is None:
        raise MissingExtra(name, "g2p")
    return Path(found.origin).parent


class Transphone:
    """Transphone's latest model, for Amharic."""

    name = "transphone"
    marks_length = False

    def __init__(self, folder: Path | None = None) -> None:
        """Raises MissingExtra without the library, ConfigError naming every missing file."""
        _package("transphone")
        if folder is None and not missing(fetched_folder()):
            folder = fetched_folder()
        if absent := missing(folder):
            raise ConfigError("text.transphone_files_missing", by_folder=_by_folder(absent))
        with _offline():
            self._model = self._load(folder)

    @staticmethod
    def _load(folder: Path | None) -> object:
        g2p = require("transphone.g2p", "g2p")
        inventory = require("phonepiece.inventory", "g2p")
        utils = require("transphone.model.utils", "g2p")
        where = model_folder(folder)
        whole = where / "model.pt"
        checkpoint = whole if whole.is_file() else _best(where)
        model = g2p.G2P(checkpoint, None, utils.read_model_config(MODEL))
        model.lang2inv[LANGUAGE] = inventory.read_inventory(str(inventory_folder(folder)))
        return model

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return its answers in our inventory; unknown signs are kept for the judge."""
        with _offline():
            return [self._one(bare(word)) for word in words]

    def _one(self, word: str) -> tuple[str, ...]:
        answer = self._model.inference_batch(word, LANGUAGE)  # type: ignore[attr-defined]
        out: list[str] = []
        for phone in answer:
            try:
                out += from_ipa(phone)
            except TextError:
                out.append(phone)
        return tuple(out)


def _best(folder: Path) -> Path:
    """Return the checkpoint with the least error among those named model_<error>.pt, as Transphone
    chooses."""
    return min(folder.glob("model_*.pt"), key=lambda path: float(path.stem.split("_")[1]))


class _offline:
    """Context in which Transphone and phonepiece cannot download: a call raises instead."""

    _places = (("transphone.g2p", "download_model"), ("phonepiece.utils", "download_model"))

    def __enter__(self) -> None:
        self._kept = [
            (module, name, getattr(module, name)) for module, name in self._modules() if hasattr(module, name)
        ]
        for module, name, _ in self._kept:
            setattr(module, name, _refuse)

    def __exit__(self, *_: object) -> None:
        for module, name, function in self._kept:
            setattr(module, name, function)

    def _modules(self) -> Iterator[tuple[object, str]]:
        for where, name in self._places:
            require(where, "g2p")
            yield sys.modules[where], name


def _refuse(*_: object, **__: object) -> None:
    raise ConfigError("text.transphone_download_refused")
