"""Train two heads of the GPT to follow the text as it is spoken, where the times of the phones are known.

    with AttentionGuide(gpt) as guide:
        gpt(...)
    loss, codes = guide.loss(layout, examples)

A model with random weights learns only slowly which part of the text a code belongs to: until then the text
is no help and the loss stays on a plateau. Synthesised speech has a known alignment, which can supervise a
head. One head, a quarter up the trunk, is trained to attend to the phone of the last code, another, half up,
to the phone of the code to be predicted. The model itself is unchanged: the heads are ordinary ones, and
synthesis does not depend on the guide.

Source of the idea: Tachibana et al., "Efficiently Trainable Text-to-Speech System Based on Deep Convolutional
Networks with Guided Attention" (2018), there towards the diagonal, here towards known times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dimts.xtts.attention import SequenceLayout
from dimts.xtts.gpt import GPT
from dimts.xtts.spec import LATENTS, STOP_TARGETS

if TYPE_CHECKING:
    from dimts.xtts.model import Examples

HEAD = 0
"""Index of the guided head in a guided block."""


def guided_blocks(layers: int) -> tuple[int, int]:
    """Return the blocks of the two guided heads: for the phone of the last code, and of the next one."""
    return layers // 4, layers // 2


class AttentionGuide:
    """Record the queries and keys of the guided heads during one forward pass."""

    def __init__(self, gpt: GPT) -> None:
        blocks = gpt.trunk.blocks()
        self._attentions = [blocks[index].attn for index in guided_blocks(len(blocks))]
        self._taps: list[list[Tensor]] = [[] for _ in self._attentions]

    def __enter__(self) -> AttentionGuide:
        for attention, tap in zip(self._attentions, self._taps, strict=True):
            attention.tap = tap
        return self

    def __exit__(self, *_: object) -> None:
        for attention in self._attentions:
            attention.tap = None

    def loss(self, layout: SequenceLayout, examples: Examples) -> tuple[Tensor, int]:
        """Mean over heads and aligned codes of −log(attention on the phones that sound), and the number of
        those codes.

        0 with a gradient of 0 where no row is aligned. Nothing is read from the device.
        """
        alignment, aligned = examples.alignment, examples.aligned
        total = torch.stack([tap[0].float().sum() * 0.0 for tap in self._taps]).sum()
        count = 0
        for row, (first, _) in enumerate(layout.bounds):
            if alignment is None or aligned is None or not aligned[row]:
                continue
            size = examples.code_lengths[row]
            spans = alignment[row, :size]
            before = torch.cat((spans.new_zeros(1, 2), spans[:-1]))  # at the start: the language tag
            text = LATENTS + 1
            audio = text + examples.text_lengths[row]
            end = audio + size + STOP_TARGETS
            for tap, wanted in zip(self._taps, (before, spans), strict=True):
                whole = tap[0][0, first : first + end] if layout.packed else tap[0][row, :end]
                total = total - _log_share(whole, audio, size, wanted + text).sum() / len(self._taps)
            count += size
        return total / max(count, 1), count


def _log_share(qkv: Tensor, audio: int, size: int, spans: Tensor) -> Tensor:
    """Compute the log of the attention of the first `size` audio tokens on the tokens `spans` [size, 2]
    (inclusive), for qkv [T, 3, H, w] of one row: [size]."""
    q, k = qkv[audio : audio + size, 0, HEAD].float(), qkv[: audio + size, 1, HEAD].float()
    scores = q @ k.t() * q.shape[-1] ** -0.5  # [size, audio + size]
    place = torch.arange(audio + size, device=q.device)
    scores = scores.masked_fill(place[None] > audio + place[:size, None], -torch.inf)
    inside = (place[None] >= spans[:, :1]) & (place[None] <= spans[:, 1:])
    share: Tensor = scores.masked_fill(~inside, -torch.inf).logsumexp(dim=1) - scores.logsumexp(dim=1)
    return share
