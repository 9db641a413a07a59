"""Record attention over the text during decoding: mean position and maximum weight per head.

`monotonic_path.py` finds the heads that follow the text, and their position in it.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
        """Store the queries [R, 1, H, w] of the next layer."""
        self._queries.append(q[:, 0])

    def collect(self, keys: Tensor) -> list[Tensor]:
        """Compute from keys [layers, slots, T, H, w] the attention of each of the R rows, [layers · H, 2], on
        the CPU."""
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
            places = (
                torch.linspace(0.0, 1.0, end - first, device=q.device) if end - first > 1 else q.new_ones(1)
            )
            out.append(torch.stack((shares @ places.float(), shares.amax(dim=-1)), dim=-1).cpu())
        return out

    def move(self, source: int, target: int) -> None:
        """Note that a slot was copied onto another."""
        self.spans[target] = self.spans[source]
