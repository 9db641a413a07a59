"""Weights of recognisers: what is published, where they lie, how they are fetched. Never unasked."""

from __future__ import annotations

from pathlib import Path

from dimts.base.errors import ConfigError, DataError, DownloadError
from dimts.base.messages import Message
from dimts.base.progress import ProgressCallback, ignore
from dimts.data.omnilingual import FETCHED
from dimts.xtts.hub import Licence, Published

_MIT = Licence(
    name="MIT",
    url="https://github.com/openai/whisper/blob/main/LICENSE",
    summary=Message("data.mit_terms"),
)
_APACHE = Licence(
    name="Apache-2.0",
    url="https://github.com/facebookresearch/omnilingual-asr/blob/main/LICENSE",
    summary=Message("data.apache_terms"),
)
WEIGHTS = {
    "large-v3": Published(
        name="whisper-large-v3",
        repository="Systran/faster-whisper-large-v3",
        revision="edaa852ec7e145841d8ffdb056a99866b5f0a478",
        files={
            "config.json": (2_394, "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9"),
            "preprocessor_config.json": (
                340,
                "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711",
            ),
            "tokenizer.json": (2_480_617, "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca"),
            "vocabulary.json": (
                1_068_114,
                "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1",
            ),
            "model.bin": (3_087_284_237, "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1"),
        },
        licence=_MIT,
    ),
    FETCHED: Published(
        name="omnilingual-asr-300m-ctc-int8",
        repository="csukuangfj/sherpa-onnx-omnilingual-asr-1600-languages-300M-ctc-int8-2025-11-12",
        revision="6abf1ece20cd2308bdb7d13cd78ec1c44fa4c094",
        files={
            "model.int8.onnx": (
                365_352_120,
                "e7c4e54ee4c4c47829cc6667d5d00ed8ea7bef1dcfeef0fce766f77752a2726c",
            ),
            "tokens.txt": (86_423, "a7a044c52cb29cbe8b0dc1953e92cefd4ca16b0ed968177b6beab21f9a7d0b31"),
        },
        licence=_APACHE,
    ),
}
"""Weights that 'dimts data fetch' fetches. Commit and checksums as several independent projects have
published them."""
MODEL_FILE = "model.bin"


def described(name: str) -> Message:
    """Describe what would be fetched, for the user's agreement."""
    one = WEIGHTS[name]
    size = sum(size for size, _ in one.files.values())
    licence = one.licence.name
    return Message("data.weights_offered", repository=one.repository, gigabytes=size / 1e9, licence=licence)


def find_weights(model: str) -> Path:
    """Return the folder of a model: a path, else a fetched one. DataError with the remedy; nothing is
    fetched."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model not in WEIGHTS:
        raise DataError("data.unknown_weights", name=model, known=tuple(WEIGHTS))
    from dimts.xtts.download import find_base

    try:
        return find_base(WEIGHTS[model])
    except DownloadError as error:
        raise DataError("data.weights_missing", model=model, described=described(model)) from error


def fetch_weights(name: str, source: Path | None = None, on_progress: ProgressCallback = ignore) -> Path:
    """Fetch weights into the cache, checked; from the hub or from the folder `source`. DownloadError."""
    from dimts.xtts.download import Acceptance, fetch

    if name not in WEIGHTS:
        raise ConfigError("data.unknown_weights", name=name, known=tuple(WEIGHTS))
    return fetch(
        WEIGHTS[name], acceptance=Acceptance("asked for by name"), source=source, on_progress=on_progress
    )
