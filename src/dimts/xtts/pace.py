"""Group and stretch a sentence's latents in time: chunk sizes, and coordinates of interpolated frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dimts.base.errors import ConfigError
from dimts.xtts.spec import Spec

LEAST_SPEED = 0.05
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Chunk sizes and tempo of a sentence."""

    first_latents: int = 8
    """Latents gathered before the first audio; fewer: sooner, but the lag of three must be filled first."""
    chunk_latents: int = 20
    """Latents gathered for each further chunk (21.5 per second)."""
    speed: float = 1.0
    """Tempo: faster above 1, slower below; latents are stretched in time, pitch stays."""

    def __post_init__(self) -> None:
        if self.first_latents < 1 or self.chunk_latents < 1:
            raise ConfigError("xtts.chunk_too_small")
        if not self.speed >= LEAST_SPEED:
            raise ConfigError("xtts.speed_too_slow", speed=self.speed, least=LEAST_SPEED)


def batches(latents: Iterable[T], settings: StreamSettings) -> Iterator[list[T]]:
    """Group latents into lists of as many as are vocoded at once; the last list holds the rest."""
    gathered: list[T] = []
    wanted = settings.first_latents
    for latent in latents:
        gathered.append(latent)
        if len(gathered) >= wanted:
            yield gathered
            gathered, wanted = [], settings.chunk_latents
    if gathered:
        yield gathered


def stretches(spec: Spec, speed: float = 1.0) -> tuple[float, ...]:
    """Return the factors that latents are interpolated by in time, in order: a slower speed, mel frames per
    latent, and from the input rate to the output rate."""
    slower = () if speed == 1.0 else (1.0 / max(speed, LEAST_SPEED),)
    return (*slower, spec.code_stride / spec.output_hop, spec.output_rate / spec.input_rate)


def neighbours(first: int, end: int, factor: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the source of frames first .. end - 1 of a stretched signal: left neighbour [n] and share of the
    right.

    In float32 and in the order of torch's own kernel, so that a whole signal and its pieces agree.
    """
    half = np.float32(0.5)
    at = np.maximum(
        np.float32(1.0 / factor) * (np.arange(first, end, dtype=np.float32) + half) - half, np.float32(0)
    )
    left = np.floor(at)
    return left.astype(np.int64), at - left


def stretched_count(count: int, factor: float) -> int:
    """Return the number of frames that `count` become when complete."""
    return math.floor(count * factor)
