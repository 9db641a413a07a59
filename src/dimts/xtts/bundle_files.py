"""Define names and formats of the files of a model's folder, and replace a folder as a whole.

Common to `checkpoint` (our bundles), `coqui_checkpoint` (coqui's folders) and `lora_checkpoint` (adapters
with a base).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dimts.base.errors import CheckpointError, storage_error

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
_LFS = b"version https://git-lfs.github.com/spec/"
"""First bytes of the pointer file that Git LFS puts in place of a large one."""
_SAFE_NAME = re.compile(r"[^\w.-]+")


def refuse_placeholder(path: Path) -> None:
    """Raise CheckpointError for a file that is empty, or a pointer of Git LFS instead of the file."""
    with path.open("rb") as file:
        begin = file.read(len(_LFS))
    if not begin:
        raise CheckpointError("xtts.empty_file", path=path)
    if begin == _LFS:
        raise CheckpointError("xtts.lfs_pointer", path=path)


def vocabulary_arguments(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of `Vocabulary.load` from a bundle's notes on its vocabulary."""
    known = {key: note[key] for key in ("spelling", "language") if key in note}
    return {**known, "symbols": tuple(note["symbols"])} if "symbols" in note else known


def digest(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain values, whatever their order."""
    return hashlib.sha256(json.dumps(dict(values), ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def to_json(values: Mapping[str, Any]) -> str:
    """Format plain values as the text of a JSON file."""
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file; CheckpointError if it is absent, damaged or no object."""
    try:
        refuse_placeholder(path)
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise CheckpointError("xtts.file_absent", name=path.name, folder=path.parent) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError("xtts.json_damaged", path=path, reason=error) from error
    if not isinstance(content, dict):
        raise CheckpointError("xtts.json_no_table", path=path)
    return content


def voice_file_names(voices: Iterable[str]) -> dict[str, str]:
    """Return a safe and unique file name for each voice."""
    names: dict[str, str] = {}
    for name in voices:
        stem = _SAFE_NAME.sub("-", name).strip("-.") or "voice"
        taken, count = set(names.values()), 2
        while f"{stem}{VOICE_SUFFIX}" in taken:
            stem, count = f"{stem}-{count}", count + 1
        names[name] = f"{stem}{VOICE_SUFFIX}"
    return names


def voice_path(folder: Path, name: str) -> Path:
    """Return the file of a voice in `folder`; CheckpointError for a name that leads out of it."""
    path = folder / name
    if path.parent != folder or name.startswith("."):
        raise CheckpointError("xtts.voice_outside_bundle", name=name)
    return path


@contextlib.contextmanager
def replace_folder(folder: Path | str) -> Iterator[Path]:
    """Yield a temporary folder that replaces `folder` when the block ends, and is removed when it fails."""
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
