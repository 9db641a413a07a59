"""Vocode latents as they arrive: chunks of wave as soon as they are final; each latent is vocoded once.

Every layer of the vocoder stores the few samples that later ones need, instead of
overlapping windows:

    whole   ───conv───conv───▶ wave       pushed   a ─▶│state│─▶ a'     (a' lags by the kernel's lookahead)
                                                   b ─▶│state│─▶ b'     finish ─▶ the rest

so chunks join without a discontinuity, a streamed wave equals the whole one up to float rounding everywhere,
the edges included, and the cost grows with the sentence, not with its square. The lag is about three latents
(0.13 s).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dimts.xtts.pace import StreamSettings, batches
from dimts.xtts.vocoder import (
    FINAL_SLOPE,
    SLOPE,
    NormedConv,
    NormedUpsample,
    Vocoder,
    VocoderResidualBlock,
    neighbours,
)


class _Stretch:
    """Linear interpolation in time by a factor, with the coordinates of F.interpolate for the whole
    signal."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.held: Tensor | None = None
        self.first = 0  # index of held[..., 0] in the whole
        self.seen = 0
        self.made = 0

    def push(self, x: Tensor, last: bool) -> Tensor:
        self.held = x if self.held is None else torch.cat((self.held, x), dim=-1)
        self.seen += x.shape[-1]
        left, share = neighbours(self.made, max(math.floor(self.seen * self.factor), self.made), self.factor)
        if not last:  # wait where the right neighbour is missing
            left = left[left + 1 < self.seen]
            share = share[: len(left)]
        self.made += len(left)
        right = (left + 1).clamp(max=self.seen - 1)
        left, right, share = (
            t.to(x.device) for t in (left - self.first, right - self.first, share.to(x.dtype))
        )
        out = self.held[..., left] * (1 - share) + self.held[..., right] * share
        following = int(neighbours(self.made, self.made + 1, self.factor)[0])
        keep = max(min(following - self.first, self.held.shape[-1] - 1), 0)
        self.held, self.first = self.held[..., keep:], self.first + keep
        return out


class _Conv:
    """A convolution that keeps the length; stores the samples that its kernel still needs."""

    def __init__(self, layer: nn.Conv1d | NormedConv) -> None:
        if isinstance(layer, NormedConv):
            self.weight, self.dilation, self.padding = layer.weight(), layer.dilation, layer.padding
        else:
            self.weight, self.dilation, self.padding = layer.weight, 1, int(layer.padding[0])
        self.bias = layer.bias
        self.held: Tensor | None = None

    def push(self, x: Tensor, last: bool) -> Tensor:
        left = self.padding if self.held is None else 0
        right = self.padding if last else 0
        x = F.pad(x if self.held is None else torch.cat((self.held, x), dim=-1), (left, right))
        reach = 2 * self.padding
        self.held = x[..., max(x.shape[-1] - reach, 0) :]
        if x.shape[-1] <= reach:
            return x.new_empty(x.shape[0], self.weight.shape[0], 0)
        return F.conv1d(x, self.weight, self.bias, dilation=self.dilation)


class _Upsample:
    """A transposed convolution: the overlap of two chunks is stored and added."""

    def __init__(self, layer: NormedUpsample) -> None:
        self.weight, self.bias, self.rate, self.padding = (
            layer.weight(),
            layer.bias,
            layer.rate,
            layer.padding,
        )
        self.tail: Tensor | None = None
        self.overlap = layer.kernel - layer.rate

    def push(self, x: Tensor, last: bool) -> Tensor:
        if x.shape[-1] == 0:
            full = x.new_zeros(x.shape[0], self.weight.shape[1], self.overlap)
        else:
            full = F.conv_transpose1d(x, self.weight, stride=self.rate)  # [B, c, n * rate + overlap]
        skip = 0
        if self.tail is None:
            skip = self.padding
        else:
            full[..., : self.overlap] += self.tail
        certain = x.shape[-1] * self.rate
        self.tail = full[..., certain:]
        if last:
            certain += self.overlap - self.padding
        if x.shape[-1] == 0 and self.overlap and skip and not last:
            self.tail = None  # no input yet
            certain = skip
        return full[..., skip:certain] + self.bias[:, None]


class _Queue:
    """A signal waiting for a slower branch."""

    def __init__(self) -> None:
        self.held: Tensor | None = None

    def put(self, x: Tensor) -> None:
        self.held = x if self.held is None else torch.cat((self.held, x), dim=-1)

    def take(self, count: int) -> Tensor:
        if self.held is None:
            raise ValueError("nothing was put into the queue")
        out, self.held = self.held[..., :count], self.held[..., count:]
        return out

    def __len__(self) -> int:
        return 0 if self.held is None else self.held.shape[-1]


class _Residual:
    """x + convolutions of x, the sum waiting for the slower side."""

    def __init__(self, block: VocoderResidualBlock) -> None:
        pairs = zip(block.convs1, block.convs2, strict=True)
        self.stages = [(_Conv(first), _Conv(second), _Queue()) for first, second in pairs]  # type: ignore[arg-type]

    def push(self, x: Tensor, last: bool) -> Tensor:
        for first, second, waiting in self.stages:
            waiting.put(x)
            branch = second.push(F.leaky_relu(first.push(F.leaky_relu(x, SLOPE), last), SLOPE), last)
            x = waiting.take(branch.shape[-1]) + branch
        return x


class _Level:
    """Upsampling, timbre, and the mean of three residual blocks that lag differently."""

    def __init__(self, vocoder: Vocoder, level: int, timbre: Tensor) -> None:
        self.up = _Upsample(vocoder.ups[level])  # type: ignore[arg-type]
        self.cond = vocoder.conds[level](timbre)  # [B, c, 1]
        self.blocks = [(_Residual(block), _Queue()) for block in vocoder.residuals(level)]

    def push(self, x: Tensor, last: bool) -> Tensor:
        x = self.up.push(F.leaky_relu(x, SLOPE), last) + self.cond
        for block, waiting in self.blocks:
            waiting.put(block.push(x, last))
        ready = min(len(waiting) for _, waiting in self.blocks)
        total: Tensor = sum(waiting.take(ready) for _, waiting in self.blocks)  # type: ignore[assignment]
        return total / len(self.blocks)


class VocoderStream:
    """The vocoder's state for one sentence: push latents, then finish."""

    @torch.no_grad()
    def __init__(self, vocoder: Vocoder, timbre: Tensor, speed: float = 1.0) -> None:
        self._stretches = [_Stretch(factor) for factor in vocoder.stretches(speed)]
        self._pre, self._cond = _Conv(vocoder.conv_pre), vocoder.cond_layer(timbre)
        self._levels = [_Level(vocoder, level, timbre) for level in range(len(vocoder.ups))]
        self._post = _Conv(vocoder.conv_post)
        self._last: Tensor | None = None
        self._ended = False

    def push(self, latents: Tensor) -> Tensor:
        """Push latents [n, D]; returns the samples [T] that became final, often none at first."""
        if self._ended:
            raise ValueError("the stream has ended")
        if not len(latents):
            return latents.new_empty(0)
        return self._run(latents, last=False)

    def finish(self) -> Tensor:
        """Return the samples [T] still held back."""
        if self._ended:
            raise ValueError("the stream has ended")
        self._ended = True
        if self._last is None:
            return torch.empty(0)
        return self._run(self._last[:0], last=True)

    @torch.no_grad()
    def _run(self, latents: Tensor, *, last: bool) -> Tensor:
        self._last = latents
        x = latents.t()[None].to(self._cond.dtype)  # [1, D, n]
        for stretch in self._stretches:
            x = stretch.push(x, last)
        x = self._pre.push(x, last) + self._cond
        for level in self._levels:
            x = level.push(x, last)
        return torch.tanh(self._post.push(F.leaky_relu(x, FINAL_SLOPE), last))[0, 0]


def stream(
    vocoder: Vocoder, latents: Iterable[Tensor], timbre: Tensor, settings: StreamSettings | None = None
) -> Iterator[Tensor]:
    """Vocode latents [D] or [n, D] with timbre [1, d, 1]; yields chunks of wave [T] at 24 kHz, none empty."""
    settings = settings or StreamSettings()
    running = VocoderStream(vocoder, timbre, settings.speed)
    single = (row for latent in latents for row in (latent if latent.dim() == 2 else latent[None]))
    for several in batches(single, settings):
        chunk = running.push(torch.stack(several))
        if len(chunk):
            yield chunk
    rest = running.finish()
    if len(rest):
        yield rest
