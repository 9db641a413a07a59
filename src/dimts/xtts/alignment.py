"""Queries of a decoding step → where in the text each attention head looks, and how sharply.

Some heads of a trained model walk along the text as it is spoken. Which ones they are differs from model to model;
`path` finds those of a sentence: sharp, moving in small steps, covering more than a moment of the text.

Source of the idea: the alignment of attention as a check on speech, e.g. Shen et al., "Natural TTS Synthesis" (2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CENTRE, PEAK = 0, 1
"""The two numbers of a gaze: the place in the text, 0 (first id) to 1 (last), and the largest share on one id."""
STRIDE = 0.25
"""A walking head moves by less than this share of the text from one code to the next."""
LEAST_COVER = 0.25
"""A head that sees less than this share of the text does not walk along it."""
LEAST_SHARP = 0.35
"""Mean largest share of a head that can be believed."""
HEADS = 3
"""So many of the best heads are taken together."""


class AttentionRecorder:
    """Collects the queries of one step, layer by layer, and compares them with the keys of the text."""

    def __init__(self, slots: int) -> None:
        self.spans: list[tuple[int, int]] = [(0, 0)] * slots
        """Tokens [first, end) of each slot that are text ids."""
        self._queries: list[Tensor] = []
        self._gazes: Tensor | None = None

    def put(self, gazes: Tensor) -> None:
        """The gazes of a step, [R, layers · H, 2], from whoever had queries and keys at hand."""
        self._gazes = gazes

    def see(self, q: Tensor) -> None:
        """Queries [R, 1, H, w] of the next layer."""
        self._queries.append(q[:, 0])

    def gaze(self, keys: Tensor) -> list[Tensor]:
        """Keys [layers, slots, T, H, w] → for each of the R rows [layers · H, 2], on the CPU."""
        if self._gazes is not None:
            ready, self._gazes = list(self._gazes), None
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
        """A slot was copied onto another."""
        self.spans[target] = self.spans[source]


def monotonic_path(gazes: Sequence[Tensor]) -> list[float] | None:
    """Gazes [heads, 2] of the steps of a sentence → the place in the text at each step; None if no head walks."""
    if len(gazes) < 4:
        return None
    seen = torch.stack(list(gazes))  # [n, heads, 2]
    centre, sharp = seen[..., CENTRE], seen[..., PEAK].mean(dim=0)
    smooth = ((centre[1:] - centre[:-1]).abs() < STRIDE).float().mean(dim=0)
    cover = centre.amax(dim=0) - centre.amin(dim=0)
    score = sharp * smooth
    score[(cover < LEAST_COVER) | (sharp < LEAST_SHARP)] = 0.0
    best = score.topk(min(HEADS, len(score)))
    taken = best.indices[best.values > 0.8 * best.values[0]] if float(best.values[0]) > 0 else None
    if taken is None:
        return None
    return [float(value) for value in centre[:, taken].median(dim=1).values]
