"""`dimts export`: a voice in another format."""

from __future__ import annotations

from pathlib import Path

import typer

from dimts.base.messages import Message
from dimts.cli.help import CommandLine
from dimts.cli.output import progress_bar, show

SENTENCES = (
    "ሰላም ለዓለም፤ እንደምን አደራችሁ?",
    "በ2017 ዓ.ም 1,250 ተማሪዎች በአዲስ አበባ ተመረቁ።",
    "ዛሬ ጠዋት ዝናብ ስለዘነበ መንገዱ ጭቃ ሆኗል።",
    "እናቴ ቡና አፍልታ ጎረቤቶቻችንን ጠራች።",
)
"""Sentences on which the graphs are compared with PyTorch."""


def register(app: typer.Typer) -> None:
    """Add the commands below `dimts export`."""
    group = CommandLine(help="Write a voice in another format.", no_args_is_help=True)
    group.command("onnx")(export_onnx)
    group.callback()(_group)
    app.add_typer(group, name="export")


def _group() -> None:
    """Write a voice in another format."""


def export_onnx(
    source: Path = typer.Argument(metavar="VOICE", help="Folder of a voice bundle.", show_default=False),
    out: Path = typer.Option(..., "-o", "--out", metavar="FOLDER", help="Where the ONNX voice is written."),
    weights: str = typer.Option(
        "float32",
        "--type",
        metavar="TYPE",
        help="float32; float16 (half the size, computed in float32); int8 (a quarter, faster).",
    ),
    voice: str | None = typer.Option(
        None, "--voice", metavar="NAME", help="Which of the bundle's voices, where it has several."
    ),
) -> None:
    """Write a voice as ONNX graphs that speak without PyTorch.

    The folder has three graphs (prefix, decoding step, vocoder), phones and their ids, settings, licence and
    a card, which says how near the graphs are to PyTorch. `dimts say --voice FOLDER` speaks with it.
    """
    from dimts.base.errors import CheckpointError, ConfigError
    from dimts.base.plugins import nearest, require
    from dimts.onnx.voice_folder import is_onnx_voice
    from dimts.speak import frontend_of
    from dimts.text.frontend import Frontend, FrontendSettings

    for library in ("torch", "onnx", "onnxruntime"):
        require(library, "export")
    from dimts.onnx.export import WEIGHT_TYPES, export_voice
    from dimts.xtts.load import load

    kind = next((known for known in WEIGHT_TYPES if known == weights), None)
    if kind is None:
        raise ConfigError("cli.unknown_weight_type", weights=weights, nearest=nearest(weights, WEIGHT_TYPES))
    if is_onnx_voice(source):
        raise CheckpointError("onnx.already_onnx", folder=source)
    bundle = load(source)
    frontend = Frontend(frontend_of(bundle.front_end) or FrontendSettings())
    ids = [bundle.vocabulary.encode(phrase.spelling) for text in SENTENCES for phrase in frontend(text)]
    with progress_bar() as on_progress:
        made = export_voice(
            bundle,
            out,
            ids,
            weights=kind,
            voice=voice,
            source=source if source.is_dir() else source.parent,
            on_progress=on_progress,
        )
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    show(Message("cli.onnx_written", folder=out, mb=size, logits=made.logits_error, codes=made.equal_codes))
