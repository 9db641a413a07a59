"""Vocode latents as they arrive with the graph of an ONNX voice, as `dimts.xtts.stream` does with PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dimts.onnx.voice_folder import OnnxVoice, vocoder_states
from dimts.xtts.pace import neighbours, stretched_count, stretches

Floats = npt.NDArray[np.float32]
MIN_FIRST_FRAMES = 16
"""Frames of the first chunk, unless it is also the last: the kernels' lookahead, and some more."""


class OnnxVocoder:
    """The vocoder's state for one utterance: push latents, then finish."""

    def __init__(self, voice: OnnxVoice, speed: float = 1.0) -> None:
        self._session, self._width = voice.vocoder, voice.spec.width
        self._factors = stretches(voice.spec, speed)
        self._latents: list[Floats] = []
        self._frames = 0
        """Frames passed to the graph so far."""
        self._names = [output.name for output in self._session.get_outputs()]
        shapes = vocoder_states(self._session)
        self._state: dict[str, Any] = {
            f"state_{i}": np.zeros(shape, np.float32) for i, shape in enumerate(shapes)
        }
        self._ended = False

    def push(self, latents: Sequence[Floats]) -> Floats:
        """Push latents, each [D]; returns the samples [T] that became final, often none at first."""
        if self._ended:
            raise ValueError("the stream has ended")
        self._latents.extend(latents)
        frames = self._new_frames(last=False)
        if len(frames) < (1 if self._frames else MIN_FIRST_FRAMES):
            return np.zeros(0, np.float32)
        return self._run(frames, last=False)

    def finish(self) -> Floats:
        """Return the samples [T] still held back."""
        if self._ended:
            raise ValueError("the stream has ended")
        self._ended = True
        frames = self._new_frames(last=True)
        if not self._frames and not len(frames):
            return np.zeros(0, np.float32)
        return self._run(frames, last=True)

    def _run(self, frames: Floats, *, last: bool) -> Floats:
        self._frames += len(frames)
        feed = {"frames": np.ascontiguousarray(frames.T[None]), "last": np.array([int(last)]), **self._state}
        found = dict(zip(self._names, self._session.run(None, feed), strict=True))
        wave: Floats = found.pop("wave")
        self._state = {name.replace("next_", "state_"): value for name, value in found.items()}
        return wave

    def _new_frames(self, *, last: bool) -> Floats:
        """Return the frames [n, D] that became final."""
        counts = [len(self._latents)]
        for factor in self._factors:
            counts.append(_certain(counts[-1], factor, last=last))
        if counts[-1] <= self._frames:
            return np.zeros((0, self._width), np.float32)
        return self._stretched(len(self._factors), self._frames, counts[-1], counts)

    def _stretched(self, level: int, first: int, end: int, counts: Sequence[int]) -> Floats:
        """Return frames first .. end - 1 after `level` interpolations: [n, D]."""
        if level == 0:
            return np.stack(self._latents[first:end])
        left, share = neighbours(first, end, self._factors[level - 1])
        right = np.minimum(left + 1, counts[level - 1] - 1)
        begin = int(left[0])
        before = self._stretched(level - 1, begin, int(right[-1]) + 1, counts)
        out: Floats = before[left - begin] * (1 - share)[:, None] + before[right - begin] * share[:, None]
        return out


def _certain(count: int, factor: float, *, last: bool) -> int:
    """Return how many frames follow from `count` whose right neighbour is there, or all at the end."""
    most = stretched_count(count, factor)
    if last or not most:
        return most
    left, _ = neighbours(0, most, factor)
    return int((left + 1 < count).sum())
