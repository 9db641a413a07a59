"""Decode codes and latents from conditioning latents and text ids, for one sentence or many in one loop.

The cache of keys and values is allocated once. The hidden state that a code is chosen from *is* the latent
that the vocoder reads, so nothing is computed twice. Sentences are added and removed at any step; each has
its own random generator, so its codes do not depend on its neighbours beyond the rounding of a batched
product.

`sampling.py` chooses a code from the logits of a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dimts.base.errors import SynthesisError
from dimts.xtts.alignment import AttentionRecorder
from dimts.xtts.gpt import GPT, KVCache
from dimts.xtts.sampling import DecodingStep, GenerateSettings, RandomNumbers, choose, unseen_codes
from dimts.xtts.spec import LATENTS, Spec


@dataclass(frozen=True)
class GeneratedSentence:
    """All codes of one sentence."""

    codes: Tensor
    """[n] int64, STOP included if it was reached."""
    latents: Tensor
    """[n, D]"""
    stopped: bool
    """Whether the model ended by itself."""
    attention: tuple[Tensor, ...] = ()
    """Attention at all codes but the first, each [heads, 2]; empty if it was not recorded."""


@dataclass
class _Row:
    number: int
    settings: GenerateSettings
    numbers: RandomNumbers
    limit: int
    seen_codes: npt.NDArray[np.bool_]
    """Codes that the repetition penalty applies to, [V]."""
    state: Tensor
    """Hidden state that the next code is chosen from, [D]."""
    count: int = 0
    code: int = -1
    attention: Tensor | None = None


class Decoder:
    """Decoder of several sentences in one loop. Active ones always occupy the first slots of the cache.

    `slots` sentences at once; `capacity` tokens for the longest (prefix and codes), by default the model's
    limits. With `min_rows` of `min_invariant_batch` a sentence is the same to the last bit whatever its
    neighbours. With `record_attention`, each step also holds the attention over the text.
    """

    def __init__(
        self,
        gpt: GPT,
        slots: int = 1,
        capacity: int | None = None,
        min_rows: int = 1,
        *,
        record_attention: bool = False,
    ) -> None:
        self.gpt, self.spec = gpt, gpt.spec
        self.capacity = capacity or self.spec.prefix_tokens + self.spec.max_codes
        self.cache = KVCache(self.spec, slots, self.capacity, gpt.text_embedding.weight, min_rows)
        if record_attention:
            self.cache.recorder = AttentionRecorder(slots)
        self.slots = slots
        self._rows: list[_Row] = []
        self._next = 0

    def __len__(self) -> int:
        """Number of sentences still being decoded."""
        return len(self._rows)

    @torch.no_grad()
    def add(
        self,
        latents: Tensor,
        ids: Sequence[int],
        settings: GenerateSettings | None = None,
    ) -> int:
        """Start a sentence: latents [1, L, D], text ids. Returns its number.

        Raises SynthesisError when all slots are taken, or the text is too long for model or cache.
        """
        if len(self._rows) >= self.slots:
            raise SynthesisError("xtts.no_free_slot", slots=self.slots)
        settings = settings or GenerateSettings()
        limit = min(settings.max_codes or self.spec.max_codes, self.spec.max_codes)
        needed = LATENTS + len(ids) + 3 + limit
        if needed > self.capacity:
            raise SynthesisError("xtts.cache_too_small", needed=needed, capacity=self.capacity)
        seen_codes = unseen_codes(self.spec.audio_ids, self.spec.start_audio)
        state = self.gpt.prefill(
            latents.to(self.gpt.mel_head.weight.device), ids, self.cache, len(self._rows)
        )[0]
        self._rows.append(_Row(self._next, settings, settings.numbers(), limit, seen_codes, state))
        self._next += 1
        return self._rows[-1].number

    def remove(self, number: int) -> None:
        """Drop a sentence before its end; its slot is free at once. Unknown numbers are ignored."""
        for slot, row in enumerate(self._rows):
            if row.number == number:
                self._drop(slot)
                return

    def _drop(self, gap: int) -> None:
        """Close the gap, keeping rows that have a code to feed before those that were just added."""
        for slot in (self._continuing() - 1, len(self._rows) - 1):
            if slot > gap:
                self.cache.move(slot, gap)
                self._rows[gap], gap = self._rows[slot], slot
        self._rows.pop()
        self.cache.lengths[len(self._rows)] = 0

    def _continuing(self) -> int:
        """Return how many rows have chosen a code the model has not read yet; they come first."""
        return sum(row.count > 0 for row in self._rows)

    @torch.no_grad()
    def step(self) -> list[DecodingStep]:
        """Decode one code of every sentence; those that end are removed when this returns."""
        self._advance()
        if not self._rows:
            return []
        states = torch.stack([row.state for row in self._rows])  # [R, D]
        logits = self.gpt.logits(states, self.cache).float().cpu().numpy()  # [R, V]
        out = []
        for slot, row in enumerate(self._rows):
            row.code, probability = choose(logits[slot], row.seen_codes, row.settings, row.numbers)
            row.count += 1
            row.seen_codes[row.code] = True
            last = row.code == self.spec.stop_audio or row.count >= row.limit
            out.append(DecodingStep(row.number, row.code, row.state, last, probability, row.attention))
        for step in out:
            if step.last:
                self.remove(step.row)
        return out

    def _advance(self) -> None:
        """Feed the codes chosen last; sentences that were just added have their state already."""
        rows = self._rows[: self._continuing()]
        if not rows:
            return
        device = self.cache.keys.device
        codes = torch.tensor([row.code for row in rows], device=device)
        states = self.gpt.decode(codes, torch.tensor([row.count for row in rows], device=device), self.cache)
        for row, state in zip(rows, states.unbind(0), strict=True):
            row.state = state
        if self.cache.recorder is not None:
            for row, attention in zip(rows, self.cache.recorder.collect(self.cache.keys), strict=True):
                row.attention = attention


def generate(
    gpt: GPT,
    latents: Tensor,
    ids: Sequence[int],
    settings: GenerateSettings | None = None,
    *,
    record_attention: bool = False,
) -> Iterator[DecodingStep]:
    """Decode one sentence from latents [1, L, D] and text ids; yields each step."""
    settings = settings or GenerateSettings()
    limit = min(settings.max_codes or gpt.spec.max_codes, gpt.spec.max_codes)
    decoder = Decoder(gpt, 1, LATENTS + len(ids) + 3 + limit, record_attention=record_attention)
    decoder.add(latents, ids, settings)
    while len(decoder):
        yield from decoder.step()


def generate_all(
    gpt: GPT,
    latents: Sequence[Tensor],
    texts: Sequence[Sequence[int]],
    settings: GenerateSettings | None = None,
    *,
    record_attention: bool = False,
) -> list[GeneratedSentence]:
    """Decode sentences together, each [1, L, D] with its ids: one GeneratedSentence each, in the order given.

    With a seed in `settings`, each sentence is drawn as if alone with that seed.
    """
    settings = settings or GenerateSettings()
    if not texts:
        return []
    limit = min(settings.max_codes or gpt.spec.max_codes, gpt.spec.max_codes)
    decoder = Decoder(
        gpt, len(texts), LATENTS + max(map(len, texts)) + 3 + limit, record_attention=record_attention
    )
    for voice, ids in zip(latents, texts, strict=True):
        decoder.add(voice, ids, settings)
    steps: list[list[DecodingStep]] = [[] for _ in texts]
    while len(decoder):
        for step in decoder.step():
            steps[step.row].append(step)
    return [collect(row, gpt.spec) for row in steps]


def collect(steps: Sequence[DecodingStep], spec: Spec) -> GeneratedSentence:
    """Collect the steps of one sentence, at least one, into a GeneratedSentence."""
    return GeneratedSentence(
        torch.tensor([step.code for step in steps]),
        torch.stack([step.latent for step in steps]),
        steps[-1].code == spec.stop_audio,
        tuple(step.attention for step in steps if step.attention is not None),
    )
