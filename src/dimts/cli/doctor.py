"""`dimts doctor`: list what is installed, missing and usable on this machine, as a table or as JSON."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from dimts.base.errors import DownloadError
from dimts.base.extras import EXTRAS
from dimts.base.messages import Message
from dimts.base.plugins import has

_ADDS = {
    "cli": Message("cli.extra_cli"),
    "g2p": Message("cli.extra_g2p"),
    "audio": Message("cli.extra_audio"),
    "formant": Message("cli.extra_formant"),
    "speak": Message("cli.extra_speak"),
    "onnx": Message("cli.extra_onnx"),
    "onnx-text": Message("cli.extra_onnx_text"),
    "export": Message("cli.extra_export"),
    "fast": Message("cli.extra_fast"),
    "fetch": Message("cli.extra_fetch"),
    "data": Message("cli.extra_data"),
    "train": Message("cli.extra_train"),
    "evaluate": Message("cli.extra_evaluate"),
    "ui": Message("cli.extra_ui"),
    "serve": Message("cli.extra_serve"),
    "watermark": Message("cli.extra_watermark"),
    "wyoming": Message("cli.extra_wyoming"),
    "ray": Message("cli.extra_ray"),
    "tensorboard": Message("cli.extra_tensorboard"),
    "trackio": Message("cli.extra_trackio"),
    "wandb": Message("cli.extra_wandb"),
    "denoise": Message("cli.extra_denoise"),
    "separate": Message("cli.extra_separate"),
    "whisper": Message("cli.extra_whisper"),
    "omnilingual": Message("cli.extra_omnilingual"),
    "parquet": Message("cli.extra_parquet"),
    "cuda": Message("cli.extra_cuda"),
    "flash": Message("cli.extra_flash"),
    "xformers": Message("cli.extra_xformers"),
}
"""Purpose of each extra, in the order of the table."""

_WORD = "ሰላም"
_BACKEND_SECONDS = 30.0

Report = dict[str, dict[str, Any]]


def register(app: typer.Typer) -> None:
    """Add the command `doctor`."""
    app.command("doctor")(doctor)


def doctor(
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead of tables."),
    folder: Path = typer.Option(Path(), "--folder", help="Folder whose disk is measured."),
) -> None:
    """Show versions, hardware, extras, G2P backends and attention kinds usable here, and why others are
    not."""
    report = examine(folder)
    if as_json:
        import json

        print(json.dumps(report, ensure_ascii=False, indent=2))
        return
    for section, rows in report.items():
        print(f"\n{section}")
        width = max((len(name) for name in rows), default=0)
        for name, value in rows.items():
            print(f"  {name:<{width}}  {_line(value)}")


def examine(folder: Path) -> Report:
    """Collect the report, section by section; nothing is downloaded, nothing is written."""
    return {
        "versions": _versions(),
        "machine": _machine(folder),
        "extras": _extras(),
        "g2p backends": _g2p(),
        **_capabilities(),
        "models": _models(),
    }


def _line(value: object) -> str:
    if isinstance(value, Mapping):
        state = "yes" if value.get("usable", value.get("installed")) else "no "
        rest = "; ".join(
            str(part) for key, part in value.items() if key not in ("usable", "installed") and part
        )
        return f"{state}  {rest}"
    return str(value)


def _versions() -> dict[str, Any]:
    from dimts.base.version import __version__

    found: dict[str, Any] = {"dimts": __version__, "python": platform.python_version()}
    for library in (
        "torch",
        "numpy",
        "soundfile",
        "av",
        "epitran",
        "transphone",
        "espeakng-loader",
        "accelerate",
    ):
        found[library] = _version(library) or Message("cli.not_installed").line()
    return found


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _machine(folder: Path) -> dict[str, Any]:
    machine: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
    total, free = _memory_bytes()
    if total:
        machine["memory"] = Message("cli.bytes_free", free=free / 1e9, total=total / 1e9).line()
    existing = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
    disk = shutil.disk_usage(existing)
    free_disk = Message("cli.bytes_free", free=disk.free / 1e9, total=disk.total / 1e9).line()
    machine["disk"] = f"{free_disk} ({existing})"
    machine["gpu"] = _gpu()
    return machine


def _memory_bytes() -> tuple[int, int]:
    try:
        import psutil
    except ImportError:
        return 0, 0
    memory = psutil.virtual_memory()
    return int(memory.total), int(memory.available)


def _gpu() -> str:
    try:
        import torch
    except ImportError:
        return Message("cli.gpu_unknown").line()
    if torch.cuda.is_available():
        cards = []
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            cards.append(
                f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, "
                f"sm_{properties.major}{properties.minor}"
            )
        return "; ".join(cards)
    if torch.backends.mps.is_available():
        return "Apple GPU (mps)"
    if torch.xpu.is_available():
        return f"{torch.xpu.get_device_name(0)} (xpu)"
    return Message("cli.no_gpu" if torch.version.cuda else "cli.no_gpu_cpu_build").line()


def _extras() -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for extra, adds in _ADDS.items():
        missing = sorted(_missing(extra))
        rows[extra] = {
            "installed": not missing,
            "adds": adds.line(),
            "missing": Message("cli.extra_missing", libraries=tuple(missing), extra=extra).line()
            if missing
            else "",
        }
    return rows


def _missing(extra: str) -> set[str]:
    group = EXTRAS[extra]
    absent = {library for library in group.libraries if not has(library)}
    return absent.union(*(_missing(inner) for inner in group.includes))


def _g2p() -> dict[str, Any]:
    """Build each backend and ask it for one word; returns its answer, or why it has none."""
    from dimts.text.g2p.chain import BACKENDS
    from dimts.text.g2p.guarded import GuardedBackend

    rows: dict[str, Any] = {}
    for name, kind in BACKENDS.items():
        answers, doubt = GuardedBackend(name, kind, _BACKEND_SECONDS).ask([_WORD])
        phones = "".join(answers.get(_WORD, ()))
        rows[name] = {
            "usable": doubt is None,
            "says": f"{_WORD} = {phones}" if phones else "",
            "why": doubt.message.line() if doubt else "",
        }
    return rows


def _capabilities() -> Report:
    """List each number type and attention kernel: whether it can be used, and why another is chosen."""
    try:
        from dimts.train.capabilities import MachineInfo, capability_table

        table = capability_table(MachineInfo.look())
    except ImportError as error:
        unknown = {"usable": False, "why": f"{error}: pip install 'dimts[train]'"}
        return {"precision": {"all types": unknown}, "attention": {"all kinds": unknown}}
    report: Report = {"precision": {}, "attention": {}}
    for row in table:
        report[row.group][row.name] = {
            "usable": row.runs,
            "state": Message("cli.chosen_by_auto").line() if row.chosen else "",
            "why": row.why.line(),
        }
    return report


def _models() -> dict[str, Any]:
    from dimts.base import builtin_voices
    from dimts.xtts.download import find_base

    try:
        weights: dict[str, Any] = {"usable": True, "where": str(find_base())}
    except DownloadError as error:
        weights = {"usable": False, "why": str(error)}
    return {
        "XTTS v2": weights,
        "formant voice": {
            "usable": _version("espeakng-loader") is not None,
            "why": "" if _version("espeakng-loader") else "pip install 'dimts[formant]'",
        },
        "built-in voices": {
            "usable": bool(builtin_voices.voices()) and has("torch"),
            "names": ", ".join(builtin_voices.voices()),
            "why": "" if has("torch") else "pip install 'dimts[speak]'",
        },
    }
