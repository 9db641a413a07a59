"""Find the extra that installs a library: a ModuleNotFoundError becomes a MissingExtra.

Libraries are imported where they are used, in many places. Their absence is translated once, where errors
leave the package: at the look-up of a public name and at the border of the command line.
"""

from __future__ import annotations

from dataclasses import dataclass

from dimts.base.errors import MissingExtra


@dataclass(frozen=True)
class Extra:
    """An optional group of libraries of pyproject.toml, by the names under which they are imported."""

    libraries: tuple[str, ...] = ()
    """Import names of the libraries that the extra lists itself."""
    includes: tuple[str, ...] = ()
    """Other extras that it includes."""


EXTRAS = {
    "cli": Extra(("typer", "tqdm")),
    "audio": Extra(("numpy", "scipy", "soundfile", "soxr", "av", "pyloudnorm")),
    "formant": Extra(("espeakng_loader",), ("audio",)),
    "g2p": Extra(("epitran", "transphone", "espeakng_loader")),
    "speak": Extra(("torch", "tokenizers", "safetensors"), ("audio",)),
    "onnx": Extra(("numpy", "soundfile", "onnxruntime"), ("cli",)),
    "onnx-text": Extra(("tokenizers",), ("onnx",)),
    "export": Extra(("onnx", "onnxruntime", "onnx_ir"), ("cli", "speak")),
    "fast": Extra(("numba",)),
    "fetch": Extra(("huggingface_hub", "filelock")),
    "data": Extra(("silero_vad", "onnxruntime", "pysubs2", "rapidfuzz", "yt_dlp"), ("formant",)),
    "train": Extra(("accelerate", "psutil"), ("speak", "data")),
    "evaluate": Extra(("matplotlib", "speechmos"), ("speak", "data")),
    "ui": Extra(("gradio", "segno", "tomlkit"), ("cli", "g2p", "formant", "train", "evaluate")),
    "serve": Extra(("fastapi", "uvicorn", "websockets", "python_multipart", "prometheus_client"),
                   ("cli", "g2p", "formant", "speak")),
    "denoise": Extra(("noisereduce",), ("data",)),
    "separate": Extra(("demucs",), ("data",)),
    "whisper": Extra(("faster_whisper",), ("data",)),
    "omnilingual": Extra(("sherpa_onnx",), ("data",)),
    "parquet": Extra(("pyarrow",), ("data",)),
    "watermark": Extra(("perth",), ("speak",)),
    "wyoming": Extra(("wyoming",), ("serve",)),
    "ray": Extra(("ray",), ("train", "serve")),
    "tensorboard": Extra(("tensorboard",)),
    "trackio": Extra(("trackio",)),
    "wandb": Extra(("wandb",)),
    "cuda": Extra(("bitsandbytes",)),
    "flash": Extra(("flash_attn",)),
    "xformers": Extra(("xformers",)),
    "all": Extra(
        includes=(
            "cli", "g2p", "formant", "speak", "export", "fast", "fetch", "data", "denoise", "whisper",
            "parquet", "train", "evaluate", "ui", "serve",
        )
    ),
}  # fmt: skip
"""Libraries of each extra, smallest extras first, as in pyproject.toml (a test compares the two)."""

_CARRIED = {
    "starlette": "fastapi",
    "pydantic": "fastapi",
    "httpx": "gradio",
    "pandas": "gradio",
    "PIL": "matplotlib",
}
"""Libraries that our code imports and that another library of an extra installs."""


def includes_library(extra: str, library: str) -> bool:
    """Whether `pip install 'dimts[extra]'` installs `library`."""
    group = EXTRAS[extra]
    return library in group.libraries or any(includes_library(inner, library) for inner in group.includes)


def missing_extra(error: ModuleNotFoundError, preferred: str = "") -> MissingExtra | None:
    """Return the MissingExtra for a failed import; None for a module that is in no extra.

    `preferred` is the extra that the whole task needs: it is named where it includes the library, so that one
    installation is enough; else the smallest extra that lists the library.
    """
    library = (error.name or "").partition(".")[0]
    library = _CARRIED.get(library, library)
    if preferred and includes_library(preferred, library):
        return MissingExtra(library, preferred)
    for extra, group in EXTRAS.items():
        if library in group.libraries:
            return MissingExtra(library, extra)
    return None
