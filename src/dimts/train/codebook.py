"""Initialise the codebook of a DVAE with random weights from a project's clips.

The outputs of an untrained encoder differ between frames but are close together, so that nearly all are
nearest to the same few vectors of a random codebook, and training would see two or three codes only. The
codebook is therefore initialised from the encoder's outputs on real clips by k-means (Lloyd, 1982), once per
project.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from scipy.cluster.vq import kmeans2
from torch import Tensor

from dimts.audio.wave import Wave
from dimts.base.errors import DimtsError
from dimts.base.files import atomic_path
from dimts.base.project import Project
from dimts.data.manifest import Utterance
from dimts.xtts import mel
from dimts.xtts.dvae import DVAE
from dimts.xtts.model import XTTS

_CLIPS = 40
_ROUNDS = 8


def initialise_from_clips(
    model: XTTS, project: Project, rows: Sequence[Utterance], name: str, seed: int
) -> None:
    """Initialise `model`'s DVAE codebook from the clips of `rows`; the first one made in a project is kept.

    Rows whose clip cannot be read are skipped here; they are reported where the codes are made.
    """
    dvae = model.dvae
    if dvae is None:
        return
    path = project.codes / f"codebook-{name}.safetensors"
    if not path.exists():
        found = _outputs(model, dvae, project, rows)
        if len(found) < dvae.codebook.embed.shape[1]:
            return  # too little audio for k-means; the random codebook remains
        _write(path, k_means(found, dvae.codebook.embed.shape[1], seed))
    with torch.no_grad():
        dvae.codebook.embed.copy_(load_file(path)["embed"])


def k_means(points: Tensor, count: int, seed: int) -> Tensor:
    """Cluster points [N, d] into `count` centres [d, count]; a centre without points stays where it is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centres, _ = kmeans2(points.numpy(), count, iter=_ROUNDS, minit="points", rng=seed)
    return torch.from_numpy(centres).T.contiguous()


@torch.no_grad()
def _outputs(model: XTTS, dvae: DVAE, project: Project, rows: Sequence[Utterance]) -> Tensor:
    """Return encoder outputs [N, d] of some clips, spread over the whole set."""
    found = []
    for row in rows[:: max(1, len(rows) // _CLIPS)]:
        try:
            samples = Wave.load(project.inside(row.path), model.spec.input_rate).samples
        except DimtsError:
            continue
        seen = mel.log_mel(torch.from_numpy(samples.copy())[None], mel.DVAE, model.mel_stats)  # [1, 80, F]
        found.append(dvae.encoder(seen)[0].T)
    return torch.cat(found) if found else torch.zeros(0, 1)


def _write(path: Path, embed: Tensor) -> None:
    with atomic_path(path) as temporary:
        save_file({"embed": embed}, temporary)
