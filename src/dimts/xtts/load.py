"""Load a model from any supported folder or file."""

from __future__ import annotations

from pathlib import Path

import torch

from dimts.base.errors import CheckpointError
from dimts.xtts.bundle_files import BUNDLE, read_json
from dimts.xtts.checkpoint import Bundle, load_bundle
from dimts.xtts.coqui_checkpoint import load_coqui
from dimts.xtts.lora_checkpoint import load_adapter


def load(
    where: Path | str,
    *,
    weights_file: Path | str | None = None,
    vocabulary: Path | str | None = None,
    dvae: bool = False,
    dtype: torch.dtype | None = torch.float32,
) -> Bundle:
    """Load a bundle of ours, adapters with their base, a folder of coqui's, or one weight file in such a
    folder.

    `weights_file` and `vocabulary` replace the folder's own, `dvae` loads the DVAE too (needed to make
    codes). `dtype` None keeps numbers as stored. Raises CheckpointError for whatever does not fit, naming key
    and file.
    """
    folder = Path(where)
    if folder.is_file():
        folder, weights_file = folder.parent, weights_file or folder
    if not folder.is_dir():
        raise CheckpointError("xtts.no_such_model", folder=folder)
    if (folder / BUNDLE).is_file():
        if "base" in read_json(folder / BUNDLE):
            return load_adapter(folder, dvae=dvae, dtype=dtype)
        return load_bundle(folder, dvae=dvae, dtype=dtype, weights_file=weights_file)
    return load_coqui(folder, weights_file=weights_file, vocabulary=vocabulary, dvae=dvae, dtype=dtype)
