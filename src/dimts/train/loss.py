"""Logits or states, and targets → cross-entropy, summed over what counts.

Sums, not means: the mean is taken over all tokens of a step, however many forward passes and processes
share it, so that splitting a step changes nothing. With `chunk`, logits are made a piece at a time and
made again in the backward pass: never all [N, V] of them in memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

IGNORED = -1
"""Target of a position without loss."""


def cross_entropy_sum(
    states: Tensor, head: nn.Module, targets: Tensor, *, smoothing: float = 0.0, chunk: int = 0
) -> Tensor:
    """Sum over positions of the cross-entropy of head(states) [N, V] against targets [N] int64; -1 is left out.

    `smoothing` gives that share of the target's probability to all other entries alike (Szegedy et al., 2016).
    """
    if chunk <= 0 or len(targets) <= chunk:
        return _piece(states, head, targets, smoothing)
    pieces = [
        checkpoint(
            _piece, states[first : first + chunk], head, targets[first : first + chunk], smoothing, use_reentrant=False
        )
        for first in range(0, len(targets), chunk)
    ]
    return torch.stack([torch.as_tensor(piece) for piece in pieces]).sum()


def _piece(states: Tensor, head: nn.Module, targets: Tensor, smoothing: float) -> Tensor:
    return F.cross_entropy(
        head(states).float(), targets, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
