"""Find clips of one speaker in which somebody else speaks.

Each row has a compact speaker embedding (`audio.likeness`, as 256 signed bytes). The speaker is the largest
cluster of clips that sound like one steady reader, or else the mean of all, without outliers. The allowed
distance depends on the spread of the speaker's own clips, as a reader's voice is steadier than an actor's.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimts.audio.likeness import WIDTH, Embedding
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.data.manifest import Utterance

_MIN_CLIPS = 8
"""Least clips of a speaker for a comparison."""
_SAMPLE = 1000
"""Clips, evenly drawn, from which the mean is computed; then all are compared with it."""
_ROUNDS = 8
_LOWEST, _HIGHEST = 0.60, 0.84
"""Limits of the similarity to the mean: clips below the first are always outliers, above the second never."""
_LEAST_SPREAD = 0.02
_CROWD = 0.75
_STEADY = 0.92
"""Usual similarity to the mean of a reader in one voice; actors have 0.8."""

Voices = npt.NDArray[np.float32]


def packed(voice: Embedding) -> str:
    """Encode [256] of length 1 as base64 of signed bytes; the inverse of `unpacked`, to 0.1 % of the
    cosine."""
    scale = float(np.abs(voice).max()) or 1.0
    return base64.b64encode(np.round(voice / scale * 127).astype(np.int8).tobytes()).decode("ascii")


def unpacked(voices: Sequence[str]) -> Voices:
    """Decode [N, 256] unit vectors."""
    raw = np.stack([np.frombuffer(base64.b64decode(one), np.int8) for one in voices]).astype(np.float32)
    unit: Voices = raw.reshape(len(voices), WIDTH)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-9)
    return unit


def find_outliers(rows: Sequence[Utterance], spreads: float) -> dict[str, Issue]:
    """Find kept clips whose voice is not their speaker's; returns {utterance id: issue}.

    `spreads`: how many robust standard deviations from the usual a speaker's own clips may be.
    """
    issues: dict[str, Issue] = {}
    by_speaker: dict[str, list[Utterance]] = {}
    for row in rows:
        if row.kept and row.voice:
            by_speaker.setdefault(row.speaker, []).append(row)
    for mine in by_speaker.values():
        if len(mine) < _MIN_CLIPS:
            continue
        voices = unpacked([row.voice for row in mine])
        centre, limit = middle(voices, spreads)
        for row, one in zip(mine, voices @ centre, strict=True):
            if one < limit:
                code = "data.unlike_speaker" if row.speaker else "data.unlike_other_clips"
                message = Message(code, speaker=row.speaker, similarity=float(one), limit=limit)
                issues[row.id] = Issue("other_speaker", message, float(one), limit)
    return issues


def middle(voices: Voices, spreads: float) -> tuple[Embedding, float]:
    """Compute from [N, 256] the speaker's embedding [256], and the least similarity to it of the speaker's
    own clips."""
    sample = voices[np.linspace(0, len(voices) - 1, min(len(voices), _SAMPLE)).astype(int)]
    near = sample @ sample.T
    crowd = near[int(np.argmax(np.median(near, axis=1)))] >= _CROWD
    centre, limit, usual, share = _settled(sample, crowd, spreads)
    if usual < _STEADY or share < 0.5:  # no steady reader: the mean of all clips
        centre, limit, _, _ = _settled(sample, np.ones(len(sample), dtype=bool), spreads)
    return centre, limit


def _settled(
    sample: Voices, own: npt.NDArray[np.bool_], spreads: float
) -> tuple[Embedding, float, float, float]:
    """Refine a first guess of the speaker's clips: the mean, the limit, the usual similarity, their share."""
    for _ in range(_ROUNDS):
        centre: Embedding = sample[own].mean(axis=0)
        centre /= max(float(np.linalg.norm(centre)), 1e-9)
        alike = sample @ centre
        usual = float(np.median(alike[own]))
        spread = 1.4826 * float(np.median(np.abs(alike[own] - usual)))
        limit = float(np.clip(usual - spreads * max(spread, _LEAST_SPREAD), _LOWEST, _HIGHEST))
        now = alike >= limit
        if not now.any() or np.array_equal(now, own):
            break
        own = now
    return centre, limit, usual, float(own.mean())
