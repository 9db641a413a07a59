"""Compute cross-entropy from hidden states and targets, without all logits in memory at once.

With `chunk_tokens` the head runs over that many states at a time and is run again in the backward pass, so a
vocabulary of thousands costs the memory of one chunk. The value is the same, the gradient too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dimts.base.errors import ConfigError
from dimts.xtts.gpt import IGNORED

Compat = Literal["mended", "coqui"]


@dataclass(frozen=True, slots=True)
class LossSettings:
    """Weights of text and code losses."""

    text_weight: float = 0.01
    """Share of the text loss in the total."""
    mel_weight: float = 1.0
    """Share of the code loss in the total."""
    label_smoothing: float = 0.0
    """Probability spread evenly over all other targets."""
    guided_attention: float = 0.0
    """Share in the total of the loss that trains some heads to follow the text (see `guided_attention.py`);
    0: none."""
    guided_conditioning: float = 0.0
    """Share in the total of the loss that keeps speakers apart in the latents (see `guided_conditioning.py`);
    0: none."""
    chunk_tokens: int = 0
    """States per run of a head; 0: all at once."""
    compat: Compat = "mended"
    """"coqui" repeats the upstream slips: the conditioning mask on the last row only and on the wrong grid,
    padding of the conditioning clip encoded, the padding of a text as its last target. "mended": every row,
    the right grid, no padding encoded or predicted."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ConfigError("xtts.label_smoothing_out_of_range", label_smoothing=self.label_smoothing)
        if self.chunk_tokens < 0:
            raise ConfigError("xtts.chunk_tokens_negative", chunk_tokens=self.chunk_tokens)


def cross_entropy(states: Tensor, head: nn.Module, targets: Tensor, settings: LossSettings) -> Tensor:
    """Mean loss over the targets that are not IGNORED: states [N, D], targets [N] → scalar in float32."""
    kept = (targets != IGNORED).sum().clamp(min=1)
    chunk = settings.chunk_tokens
    if not chunk or chunk >= len(targets):
        return _summed(states, head, targets, settings.label_smoothing) / kept
    total = states.new_zeros((), dtype=torch.float32)
    for part, wanted in zip(torch.split(states, chunk), torch.split(targets, chunk), strict=True):
        total = total + checkpoint(_summed, part, head, wanted, settings.label_smoothing, use_reentrant=False)
    return total / kept


def _summed(states: Tensor, head: nn.Module, targets: Tensor, smoothing: float) -> Tensor:
    logits = head(states).float()  # [n, V]
    return F.cross_entropy(logits, targets, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum")
