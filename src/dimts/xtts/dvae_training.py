"""Train the DVAE: masked reconstruction, commitment, and a codebook of moving averages.

    out = reconstruct(dvae, mel, lengths)            mel [B, 80, F] → losses, encoder outputs, codes
    update_codebook(dvae.codebook, out.vectors, out.codes)
    restart_dead_codes(dvae.codebook, out.vectors, generator)

The codebook has no gradient: each entry is the exponential moving average of the encoder outputs that are
nearest to it. Frames of padding count neither in a loss nor in the codebook.

Source: van den Oord et al., "Neural Discrete Representation Learning" (2017), appendix A.1; restarts as in
Dhariwal et al., "Jukebox" (2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dimts.xtts.dvae import DVAE, Codebook
from dimts.xtts.spec import FRAMES_PER_CODE

DECAY = 0.99
"""Share of the old average that a step keeps."""
SMOOTHING = 1e-5
"""Count added to every code before the averages are divided (Laplace)."""
DEAD_SHARE = 0.03
"""A code that gets less than this share of an even distribution of vectors is dead."""


CODE_DEVIATION = 0.15
"""Standard deviation of the encoder's outputs at the start, per channel."""


@dataclass(frozen=True)
class DVAEOutput:
    """Losses and outputs of one batch."""

    reconstruction: Tensor
    """Mean squared error of the log-mel over real frames, scalar."""
    commitment: Tensor
    """Mean squared distance of encoder outputs to their codebook entries, scalar; 0 without quantisation."""
    vectors: Tensor
    """Encoder outputs of real codes [N, code width], without gradient."""
    codes: Tensor
    """Their codes [N] int64."""


def reconstruct(
    dvae: DVAE, mel: Tensor, lengths: Sequence[int] | None = None, *, quantised: bool = True
) -> DVAEOutput:
    """Encode, quantise and decode mel [B, 80, F]; F must be a multiple of 4.

    `lengths` are the real frames of each row; None: all. Without `quantised` the encoder's outputs go to the
    decoder as they are: a plain autoencoder, with which training begins.
    """
    codebook = dvae.codebook
    hidden = dvae.encoder(mel).transpose(1, 2)  # [B, C, code width]
    codes = codebook.nearest(hidden.detach())
    if quantised:
        entries = codebook.look_up(codes)
        commitment_rows = (entries - hidden).square()
        hidden_out = hidden + (entries - hidden).detach()  # straight-through
    else:
        commitment_rows = torch.zeros_like(hidden)
        hidden_out = hidden
    out = dvae.decoder(hidden_out.transpose(1, 2))
    error = (out - mel).square()
    if lengths is None:
        return DVAEOutput(
            error.mean(), commitment_rows.mean(), hidden.detach().flatten(0, 1), codes.flatten()
        )
    frames = frame_mask(lengths, mel.shape[-1], mel.device)  # [B, F]
    real = frame_mask([math.ceil(length / FRAMES_PER_CODE) for length in lengths], codes.shape[1], mel.device)
    reconstruction = (error * frames[:, None]).sum() / (frames.sum() * mel.shape[1])
    commitment = commitment_rows[real].mean()
    return DVAEOutput(reconstruction, commitment, hidden.detach()[real], codes[real])


def frame_mask(lengths: Sequence[int], size: int, device: torch.device) -> Tensor:
    """Return a mask, true for real frames: [B, size]."""
    return torch.arange(size, device=device)[None] < torch.tensor(list(lengths), device=device)[:, None]


@torch.no_grad()
def update_codebook(codebook: Codebook, vectors: Tensor, codes: Tensor, decay: float = DECAY) -> None:
    """Move every code towards the mean of the vectors [N, code width] nearest to it, given by `codes` [N]."""
    count = codebook.embed.shape[1]
    sizes = torch.bincount(codes, minlength=count).to(vectors.dtype)
    sums = torch.zeros_like(codebook.embed_avg.t()).index_add_(0, codes, vectors).t()  # [code width, codes]
    codebook.cluster_size.mul_(decay).add_(sizes, alpha=1 - decay)
    codebook.embed_avg.mul_(decay).add_(sums, alpha=1 - decay)
    total = codebook.cluster_size.sum()
    smoothed = (codebook.cluster_size + SMOOTHING) / (total + count * SMOOTHING) * total
    codebook.embed.copy_(codebook.embed_avg / smoothed)


@torch.no_grad()
def initialise_codebook(codebook: Codebook, centres: Tensor, points: Tensor) -> None:
    """Start from k-means: centres [code width, codes], with the number of `points` [N, code width] near each.

    Sizes and averages are filled too; from zero they would pull every code to the first batch.
    """
    codebook.embed.copy_(centres)
    sizes = torch.bincount(codebook.nearest(points), minlength=centres.shape[1]).to(centres.dtype)
    sizes = sizes.clamp(min=1.0) / max(1, len(points)) * centres.shape[1]  # one vector to a code on average
    codebook.cluster_size.copy_(sizes)
    codebook.embed_avg.copy_(centres * sizes)


@torch.no_grad()
def restart_dead_codes(
    codebook: Codebook, vectors: Tensor, generator: torch.Generator, dead_share: float = DEAD_SHARE
) -> int:
    """Move codes that are hardly used to vectors [N, code width] of the batch; returns how many."""
    mean = codebook.cluster_size.mean()
    dead = (codebook.cluster_size < dead_share * mean).nonzero()[:, 0]
    if not len(dead) or not len(vectors):
        return 0
    chosen = torch.randint(len(vectors), (len(dead),), generator=generator).to(vectors.device)
    fresh = vectors[chosen].t()  # [code width, dead]
    size = mean.clamp(min=SMOOTHING)
    codebook.cluster_size[dead] = size
    codebook.embed_avg[:, dead] = fresh * size
    codebook.embed[:, dead] = fresh
    return len(dead)


@dataclass(frozen=True, slots=True)
class CodeUsage:
    """Usage of a codebook."""

    used: int
    """Codes that occurred."""
    perplexity: float
    """exp of the entropy of the codes: the number of codes an even use would have."""


def code_usage(codes: Tensor, count: int) -> CodeUsage:
    """Count the different codes among codes [N] out of `count`, and compute their perplexity."""
    sizes = torch.bincount(codes, minlength=count).double()
    shares = sizes[sizes > 0] / sizes.sum().clamp(min=1)
    return CodeUsage(int((sizes > 0).sum()), float((-(shares * shares.log()).sum()).exp()))


@torch.no_grad()
def initialise_layers(dvae: DVAE, mel: Tensor) -> None:
    """Give every layer's outputs on `mel` [B, 80, F] mean 0 and deviation 1 per channel, first layer to last.

    The encoder's last layer gets CODE_DEVIATION instead.

    Log-mels are far from 0 and the DVAE has no normalisation, so from the usual random weights the first
    hundred steps only move means. The last layer starts at the mean of the mel instead.

    Source: Salimans and Kingma, "Weight Normalization" (2016), section 3: data-dependent initialisation.
    """
    for half, given in ((dvae.encoder, mel), (dvae.decoder, None)):
        given = dvae.encoder(mel) if given is None else given
        layers = [module for module in half.modules() if isinstance(module, nn.Conv1d)]
        for layer in layers:
            seen: list[Tensor] = []
            hook = layer.register_forward_hook(lambda _module, _inputs, out, seen=seen: seen.append(out))
            half(given)
            hook.remove()
            mean, deviation = (
                seen[0].mean(dim=(0, 2)),
                seen[0].std(dim=(0, 2)).clamp(min=1e-3),
            )  # of [B, c, n]
            _rescale(layer, mean, 1.0 / deviation)
        if (
            half is dvae.encoder
        ):  # the commitment is added to the reconstruction as it is and must not outweigh it
            _rescale(layers[-1], torch.zeros(()), torch.tensor(CODE_DEVIATION))
    last = layers[-1]
    _rescale(last, torch.zeros(()), torch.tensor(0.1))
    if last.bias is not None:
        last.bias.copy_(mel.mean(dim=(0, 2)))


def _rescale(layer: nn.Conv1d, mean: Tensor, factor: Tensor) -> None:
    """Make a layer give (output − mean) · factor; both [c] or scalars."""
    layer.weight.mul_(factor if factor.dim() == 0 else factor[:, None, None])
    if layer.bias is not None:
        layer.bias.sub_(mean.to(layer.bias)).mul_(factor.to(layer.bias))
