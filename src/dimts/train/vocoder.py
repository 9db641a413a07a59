"""What the trunk thinks of clips, and how they sound → a vocoder that fits this voice: the last stage of XTTS.

The published vocoder speaks most voices as it is; one made on the spot is silent until it has been fitted.
Only spectra are compared, at three resolutions (Yamamoto et al. 2020, "Parallel WaveGAN", equations 4 to 6):
no discriminator, so this mends timbre and level, not the last fine grain of sound.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dimts.base.progress import Progress, Tell, silent
from dimts.train.batches import Batcher
from dimts.xtts.mel import resample
from dimts.xtts.model import XTTS
from dimts.xtts.vocoder import Vocoder

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
"""(window, hop) in samples of each spectrum."""
_SILENCE = 1e-5
"""Floor of a magnitude, so that the logarithm of silence is a number."""
_PIECE_CODES = 12
"""Codes in a training piece: 0.56 s."""
_PIECES = 4
"""Pieces in a step."""
_JUDGED_CLIPS = 4
_BETAS = (0.8, 0.99)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What fitting came to."""

    steps: int
    before: float
    """Spectral loss of whole clips before the first step."""
    after: float
    """The same after the last."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A clip as the trunk hears it and as it sounds."""

    latents: Tensor
    """[n, D], the state that predicted each code."""
    wave: Tensor
    """[T] at the output rate."""


def fit(
    model: XTTS, batcher: Batcher, timbre: Tensor, *, steps: int, learning_rate: float, seed: int, tell: Tell = silent
) -> Fitted:
    """Fit `model.vocoder`, and nothing else, to the clips of `batcher`, spoken in `timbre` [1, d, 1]; in place.

    The same model, clips and seed give the same weights on a CPU.
    """
    started = time.monotonic()
    pairs = [pair for index in range(len(batcher.clips)) if len((pair := hear(model, batcher, index)).latents) > 1]
    vocoder = model.vocoder.requires_grad_(True)
    before = judge(vocoder, pairs[:_JUDGED_CLIPS], timbre)
    optimizer = torch.optim.AdamW(vocoder.parameters(), lr=learning_rate, betas=_BETAS)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1), eta_min=learning_rate / 20)
    draw = random.Random(seed)
    for step in range(1, steps + 1):
        pieces = [
            _piece(draw.choice(pairs), vocoder, model.spec.output_rate / model.spec.input_rate, draw)
            for _ in range(_PIECES)
        ]
        loss = spectral_loss(
            vocoder(torch.stack([latents for latents, _ in pieces]), timbre.expand(len(pieces), -1, -1)),
            torch.stack([wave for _, wave in pieces]),
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(vocoder.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        tell(Progress("vocoder", step, steps, "steps", values={"spectral_loss": float(loss.detach())}))
    vocoder.requires_grad_(False)
    after = judge(vocoder, pairs[:_JUDGED_CLIPS], timbre)
    return Fitted(steps, before, after, time.monotonic() - started)


@torch.no_grad()
def hear(model: XTTS, batcher: Batcher, index: int) -> Pair:
    """Clip `index` through the trunk, with its own codes."""
    was_training = model.training
    model.eval()
    clip = batcher.clips[index]
    latents = model.hidden(batcher.examples(model, [index], None)).audio[: clip.codes]
    store = next(store for store in batcher.stores if clip.key in store)
    wave = resample(store.audio(clip.key)[None], model.spec.input_rate, model.spec.output_rate)[0]
    model.train(was_training)
    return Pair(latents.float(), wave.to(latents.device))


def spectral_loss(said: Tensor, wanted: Tensor) -> Tensor:
    """[B, T], [B, T] → mean over resolutions of spectral convergence and log-magnitude distance."""
    total = said.new_zeros(())
    for size, hop in RESOLUTIONS:
        window = torch.hann_window(size, device=said.device)
        a, b = _magnitude(said, size, hop, window), _magnitude(wanted, size, hop, window)
        convergence = torch.linalg.vector_norm(b - a) / torch.linalg.vector_norm(b).clamp(min=_SILENCE)
        total = total + convergence + F.l1_loss(a.log(), b.log())
    return total / len(RESOLUTIONS)


@torch.no_grad()
def judge(vocoder: Vocoder, pairs: Sequence[Pair], timbre: Tensor) -> float:
    """Mean spectral loss of whole clips."""
    losses = []
    for pair in pairs:
        said = vocoder(pair.latents[None], timbre)
        length = min(said.shape[-1], len(pair.wave))
        losses.append(float(spectral_loss(said[:, :length], pair.wave[None, :length])))
    return sum(losses) / len(losses)


def _piece(pair: Pair, vocoder: Vocoder, ratio: float, draw: random.Random) -> tuple[Tensor, Tensor]:
    """A random stretch of a clip: latents [P, D] and the samples they stand for, silence beyond the clip's end."""
    first = draw.randrange(max(1, len(pair.latents) - _PIECE_CODES + 1))
    latents = pair.latents[first : first + _PIECE_CODES]
    if len(latents) < _PIECE_CODES:
        latents = torch.cat([latents, latents[-1:].expand(_PIECE_CODES - len(latents), -1)])
    start = round(first * vocoder.frames_per_latent * vocoder.hop * ratio)
    length = vocoder.frames(_PIECE_CODES) * vocoder.hop
    wave = pair.wave[start : start + length]
    return latents, F.pad(wave, (0, length - len(wave)))


def _magnitude(wave: Tensor, size: int, hop: int, window: Tensor) -> Tensor:
    spectrum = torch.stft(wave, size, hop, window=window, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    return power.clamp(min=_SILENCE**2).sqrt()
