"""A voice, or the data set in a layout of `dimts data export`, as one zip file to pass on.

A voice's zip holds its folder with card and licence, and how it is served in one line. Nothing is compressed
twice: weights and sounds are stored as they are.
"""

from __future__ import annotations

import json
import shlex
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dimts.base.errors import CheckpointError
from dimts.base.files import atomic_path
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.web.workspace import voice_folder

CARD = "README.md"
SERVE = "SERVE.txt"
LICENCE = "LICENCE"
_TEXTS = (".json", ".md", ".txt", ".tsv", ".csv", ".list", ".jsonl", ".TextGrid", "")
_BLOCK_BYTES = 1 << 22


def serve_command(name: str) -> str:
    """The line that serves a voice from the folder into which its zip was unpacked."""
    return f"pip install 'dimts[serve]' && dimts serve {shlex.quote('./' + name)}"


def zip_voice(project: Project, name: str, folder: Path, on_progress: ProgressCallback = ignore) -> Path:
    """Write the zip of a voice into `folder`; returns the file.

    Raises ProjectError for a voice that is not there, CheckpointError for one without a readable note.
    """
    source = voice_folder(project, name)
    try:
        note = json.loads((source / "bundle.json").read_text(encoding="utf-8"))
        meta: dict[str, Any] = note.get("meta", {})
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError("web.voice_note_unreadable", name=name, reason=error) from error
    files = [path for path in sorted(source.rglob("*")) if path.is_file() and not path.is_symlink()]
    added = {SERVE: f"{serve_command(name)}\n"}
    if not (source / LICENCE).is_file():
        added[LICENCE] = _licence(meta)
    if not (source / CARD).is_file():
        added[CARD] = f"# {name}\n\n{_licence(meta)}"
    return _zipped(source, files, name, added, folder / f"{name}.zip", on_progress)


def zip_data(project: Project, layout: str, folder: Path, on_progress: ProgressCallback = ignore) -> Path:
    """Write the kept clips in a layout of `dimts data export` as a zip into `folder`; returns the file.

    Raises as `dimts.data.export.export` does.
    """
    from dimts.data.export import export

    name = f"{project.root.resolve().name}-{layout}"
    made = folder / name
    shutil.rmtree(made, ignore_errors=True)
    try:
        export(project, made, layout, on_progress)
        files = [path for path in sorted(made.rglob("*")) if path.is_file()]
        return _zipped(made, files, name, {}, folder / f"{name}.zip", on_progress)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _licence(meta: dict[str, Any]) -> str:
    """What is known of licence and consent, a line each."""
    unknown = "not stated"
    lines = [
        f"licence of the recordings: {meta.get('licence_of_recordings') or unknown}",
        f"consent of the speakers: {meta.get('consent') or unknown}",
        f"licence of the base: {meta.get('licence_of_base') or unknown}",
        *(str(one) for one in meta.get("attribution", ())),
    ]
    return "\n".join(lines) + "\n"


def _zipped(
    root: Path,
    files: Iterable[Path],
    name: str,
    added: dict[str, str],
    target: Path,
    on_progress: ProgressCallback,
) -> Path:
    """Files below `root`, and texts beside them, as `name`/... in a zip that is written whole or not at
    all."""
    sized = [(path, path.stat().st_size) for path in files]
    total, done = sum(size for _, size in sized), 0
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
        for path, size in sized:
            packed = zipfile.ZIP_DEFLATED if path.suffix in _TEXTS else zipfile.ZIP_STORED
            entry = zipfile.ZipInfo.from_file(path, f"{name}/{path.relative_to(root).as_posix()}")
            entry.compress_type = packed
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=size > 1 << 31) as sink:
                while block := source.read(_BLOCK_BYTES):
                    sink.write(block)
                    done += len(block)
                    on_progress(Progress("export", done, total, "bytes"))
        for text_name, content in added.items():
            archive.writestr(f"{name}/{text_name}", content, zipfile.ZIP_DEFLATED)
    return target
