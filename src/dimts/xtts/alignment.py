"""Record attention over the text during decoding: mean position and maximum weight per head.

Some heads of a trained model follow the text monotonically as it is spoken. Which ones they are differs from
model to model; `monotonic_path` finds those of a sentence: sharp, moving in small steps, covering more than a
part of the text.

Source of the idea: the alignment of attention as a check on speech, e.g. Shen et al., "Natural TTS Synthesis"
(2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

POSITION, MAX_WEIGHT = 0, 1
"""The two numbers recorded per head: mean position in the text, 0 (first id) to 1 (last), and largest weight
on one id."""
MAX_STEP = 0.25
"""Largest move of an alignment head from one code to the next, as a share of the text."""
MIN_RANGE = 0.25
"""Least share of the text that an alignment head covers."""
MIN_MEAN_WEIGHT = 0.35
"""Least mean of an alignment head's largest weights, 0 to 1."""
ALIGNMENT_HEADS = 3
"""Number of alignment heads averaged."""


class AttentionRecorder:
    """Record the queries of one decoding step, layer by layer, and compute their attention over the text."""

    def __init__(self, slots: int) -> None:
        self.spans: list[tuple[int, int]] = [(0, 0)] * slots
        """Tokens [first, end) of each slot that are text ids."""
        self._queries: list[Tensor] = []
        self._ready: Tensor | None = None

    def set(self, attention: Tensor) -> None:
        """Set the attention of a step, [R, layers · H, 2], where it was computed elsewhere."""
        self._ready = attention

    def record_queries(self, q: Tensor) -> None:
        """Keep the queries [R, 1, H, w] of the next layer."""
        self._queries.append(q[:, 0])

    def collect(self, keys: Tensor) -> list[Tensor]:
        """Keys [layers, slots, T, H, w] → for each of the R rows [layers · H, 2], on the CPU."""
        if self._ready is not None:
            ready, self._ready = list(self._ready), None
            return ready
        q = torch.stack(self._queries)  # [layers, R, H, w]
        self._queries = []
        out = []
        for row in range(q.shape[1]):
            first, end = self.spans[row]
            scores = torch.einsum("lhw,lshw->lhs", q[:, row], keys[:, row, first:end]) * q.shape[-1] ** -0.5
            shares = scores.float().softmax(dim=-1).flatten(0, 1)  # [layers · H, S]
            places = torch.linspace(0.0, 1.0, end - first, device=q.device) if end - first > 1 else q.new_ones(1)
            out.append(torch.stack((shares @ places.float(), shares.amax(dim=-1)), dim=-1).cpu())
        return out

    def move(self, source: int, target: int) -> None:
        """Note that a slot was copied onto another."""
        self.spans[target] = self.spans[source]


def monotonic_path(attention: Sequence[Tensor]) -> list[float] | None:
    """Attention [heads, 2] of the steps of a sentence → position in the text at each step, 0 to 1.

    The median over the best alignment heads; None where no head follows the text.
    """
    if len(attention) < 4:
        return None
    seen = torch.stack(list(attention))  # [n, heads, 2]
    centre, sharp = seen[..., POSITION], seen[..., MAX_WEIGHT].mean(dim=0)
    smooth = ((centre[1:] - centre[:-1]).abs() < MAX_STEP).float().mean(dim=0)
    cover = centre.amax(dim=0) - centre.amin(dim=0)
    score = sharp * smooth
    score[(cover < MIN_RANGE) | (sharp < MIN_MEAN_WEIGHT)] = 0.0
    best = score.topk(min(ALIGNMENT_HEADS, len(score)))
    taken = best.indices[best.values > 0.8 * best.values[0]] if float(best.values[0]) > 0 else None
    if taken is None:
        return None
    return [float(value) for value in centre[:, taken].median(dim=1).values]
