"""Find the position in the text at each code from the attention of the heads that follow the text.

Some heads of a trained model follow the text monotonically as it is spoken. Which ones they are differs from
model to model; those of a sentence are found here: sharp, moving in small steps, covering more than a part of
the text.

Source of the idea: the alignment of attention as a check on speech, e.g. Shen et al., "Natural TTS Synthesis"
(2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

POSITION, MAX_WEIGHT = 0, 1
"""Indices of the two numbers recorded per head: mean position in the text, 0 (first id) to 1 (last), and
largest weight on one id."""
MAX_STEP = 0.25
"""Largest step of an alignment head from one code to the next, as a share of the text."""
MIN_RANGE = 0.25
"""Least share of the text that an alignment head covers."""
MIN_MEAN_WEIGHT = 0.35
"""Least mean of an alignment head's largest weights, 0 to 1."""
ALIGNMENT_HEADS = 3
"""Number of alignment heads averaged."""


def monotonic_path(attention: Sequence[Any]) -> list[float] | None:
    """Compute the position in the text at each step, 0 to 1, from attention [heads, 2] of the steps of a
    sentence (arrays, or tensors on the CPU).

    The lower median over the best alignment heads; None where no head follows the text.
    """
    if len(attention) < 4:
        return None
    seen = np.stack([np.asarray(step) for step in attention])  # [n, heads, 2]
    centre, sharp = seen[..., POSITION], seen[..., MAX_WEIGHT].mean(axis=0)
    smooth = (np.abs(centre[1:] - centre[:-1]) < MAX_STEP).mean(axis=0)
    cover = centre.max(axis=0) - centre.min(axis=0)
    score = np.where((cover < MIN_RANGE) | (sharp < MIN_MEAN_WEIGHT), 0.0, sharp * smooth)
    best = np.argsort(-score, kind="stable")[:ALIGNMENT_HEADS]
    if score[best[0]] <= 0:
        return None
    taken = best[score[best] > 0.8 * score[best[0]]]
    middle = np.sort(centre[:, taken], axis=1)[:, (len(taken) - 1) // 2]
    return [float(value) for value in middle]
