"""Voice and text ids → codes and latents, one by one, for one sentence or many in one decoding loop.

The cache of keys and values is allocated once. The state that chooses a code *is* the latent the vocoder
speaks it from, so nothing is computed twice. Sentences are added and removed at any step; each has its own
random generator, so its codes do not depend on its neighbours beyond the rounding of a batched product.

Choosing a code is upstream's rule in upstream's order: repetition penalty on raw logits, then (when sampling)
temperature, top-k, top-p, softmax, one draw. Upstream counts a placeholder id 1 and START as already seen, so
both are penalised from the first step on; that is kept, as the codes would differ otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dimts.base.errors import ConfigError, SynthesisError
from dimts.xtts.alignment import AttentionRecorder
from dimts.xtts.gpt import GPT, KVCache
from dimts.xtts.spec import LATENTS, Spec

PLACEHOLDER = 1
"""The id upstream fills the prefix with, and therefore penalises."""


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """How codes are chosen."""

    sample: bool = True
    """Draw codes at random; False: always the likeliest (greedy)."""
    temperature: float = 0.75
    """Below 1 calmer, above 1 wilder."""
    top_k: int = 50
    """Only the k likeliest codes; 0: all."""
    top_p: float = 0.85
    """Only the likeliest codes that together reach this probability; 1.0: all."""
    repetition_penalty: float = 5.0
    """Logits of codes already chosen are divided (or, if negative, multiplied) by this; 1.0: none."""
    max_codes: int = 0
    """Stop after this many codes (21.5 per second); 0: as many as the model can."""
    seed: int | None = None
    """Same seed, same codes on the same machine; None: different each time."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError("xtts.temperature_not_positive", temperature=self.temperature)
        if not 0 < self.top_p <= 1:
            raise ConfigError("xtts.top_p_out_of_range", top_p=self.top_p)
        if not self.repetition_penalty > 0:
            raise ConfigError("xtts.penalty_not_positive", repetition_penalty=self.repetition_penalty)
        if self.top_k < 0 or self.max_codes < 0:
            raise ConfigError("xtts.limit_negative")

    @classmethod
    def from_coqui(cls, config: dict[str, Any]) -> GenerateSettings:
        """The generation values of a coqui config.json."""
        names = ("temperature", "top_k", "top_p", "repetition_penalty")
        return cls(**{name: config[name] for name in names if config.get(name) is not None})


@dataclass(frozen=True)
class DecodingStep:
    """One code of one sentence, and the state that chose it."""

    row: int
    """Number of the sentence, as `Decoder.add` gave it."""
    code: int
    latent: Tensor
    """[D], the input of the vocoder."""
    last: bool
    """Nothing follows: the code is STOP, or the limit is reached."""
    probability: float
    """Probability of this code before temperature and cuts, after the penalty, 0 to 1."""
    attention: Tensor | None = None
    """Attention over the text while the code was chosen, [heads, 2] as in `alignment.py`; None if it is not
    recorded, and for the first code."""


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
    generator: torch.Generator
    limit: int
    seen_codes: Tensor
    """[V] bool on the CPU: codes that the penalty counts."""
    state: Tensor
    """[D], what the next code is chosen from."""
    count: int = 0
    code: int = -1
    attention: Tensor | None = None


class Decoder:
    """Decodes several sentences in one loop. Active ones always hold the first slots of the cache.

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
        generator: torch.Generator | None = None,
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
        if generator is None:
            generator = torch.Generator()
            if settings.seed is None:
                generator.seed()
            else:
                generator.manual_seed(settings.seed)
        seen_codes = torch.zeros(self.spec.audio_ids, dtype=torch.bool)
        seen_codes[PLACEHOLDER] = seen_codes[self.spec.start_audio] = True
        state = self.gpt.prefill(latents.to(self.gpt.mel_head.weight.device), ids, self.cache, len(self._rows))[0]
        self._rows.append(_Row(self._next, settings, generator, limit, seen_codes, state))
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
        """How many rows have chosen a code the model has not read yet; they stand first."""
        return sum(row.count > 0 for row in self._rows)

    @torch.no_grad()
    def step(self) -> list[DecodingStep]:
        """One code of every sentence; those that end are removed when this returns."""
        self._advance()
        if not self._rows:
            return []
        states = torch.stack([row.state for row in self._rows])  # [R, D]
        logits = self.gpt.logits(states, self.cache).float().cpu()  # [R, V]
        out = []
        for slot, row in enumerate(self._rows):
            row.code, probability = choose(logits[slot], row.seen_codes, row.settings, row.generator)
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


def choose(
    logits: Tensor, seen_codes: Tensor, settings: GenerateSettings, generator: torch.Generator | None = None
) -> tuple[int, float]:
    """One code from logits [V] and the codes already chosen [V] bool, and its probability before sampling's
    cuts.

    Raises SynthesisError if the logits are not finite.
    """
    if settings.repetition_penalty != 1.0:
        penalised = torch.where(logits < 0, logits * settings.repetition_penalty, logits / settings.repetition_penalty)
        logits = torch.where(seen_codes, penalised, logits)
    plain = logits.softmax(dim=-1)
    if not torch.isfinite(plain).all():
        raise SynthesisError("xtts.logits_not_finite")
    if not settings.sample:
        code = int(logits.argmax())
    else:
        chances = warp(logits, settings).softmax(dim=-1)
        code = int(torch.multinomial(chances, 1, generator=generator))
    return code, float(plain[code])


def warp(logits: Tensor, settings: GenerateSettings) -> Tensor:
    """Temperature, top-k and top-p, in this order: logits [V] → [V] with -inf where nothing is drawn."""
    if settings.temperature != 1.0:
        logits = logits / settings.temperature
    if settings.top_k:
        least = torch.topk(logits, min(settings.top_k, logits.shape[-1])).values[-1]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if settings.top_p < 1.0:
        ascending, order = torch.sort(logits)
        unlikely = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - settings.top_p
        unlikely[-1] = False
        logits = logits.masked_fill(torch.zeros_like(unlikely).scatter(0, order, unlikely), -torch.inf)
    return logits


def generate(
    gpt: GPT,
    latents: Tensor,
    ids: Sequence[int],
    settings: GenerateSettings | None = None,
    generator: torch.Generator | None = None,
    *,
    record_attention: bool = False,
) -> Iterator[DecodingStep]:
    """Decode one sentence: latents [1, L, D] and text ids → steps as they come."""
    settings = settings or GenerateSettings()
    limit = min(settings.max_codes or gpt.spec.max_codes, gpt.spec.max_codes)
    decoder = Decoder(gpt, 1, LATENTS + len(ids) + 3 + limit, record_attention=record_attention)
    decoder.add(latents, ids, settings, generator)
    while len(decoder):
        yield from decoder.step()


def generate_all(
    gpt: GPT,
    latents: Sequence[Tensor],
    texts: Sequence[Sequence[int]],
    settings: GenerateSettings | None = None,
    generators: Sequence[torch.Generator] | None = None,
    *,
    record_attention: bool = False,
) -> list[GeneratedSentence]:
    """Decode sentences together, each [1, L, D] with its ids: one GeneratedSentence each, in the order given.

    With a seed in `settings` and no generators, each sentence is drawn as if alone with that seed.
    """
    settings = settings or GenerateSettings()
    if not texts:
        return []
    limit = min(settings.max_codes or gpt.spec.max_codes, gpt.spec.max_codes)
    decoder = Decoder(gpt, len(texts), LATENTS + max(map(len, texts)) + 3 + limit, record_attention=record_attention)
    for i, (voice, ids) in enumerate(zip(latents, texts, strict=True)):
        decoder.add(voice, ids, settings, generators[i] if generators else None)
    steps: list[list[DecodingStep]] = [[] for _ in texts]
    while len(decoder):
        for step in decoder.step():
            steps[step.row].append(step)
    return [collect(row, gpt.spec) for row in steps]


def collect(steps: Sequence[DecodingStep], spec: Spec) -> GeneratedSentence:
    """The steps of one sentence, at least one, as a GeneratedSentence."""
    return GeneratedSentence(
        torch.tensor([step.code for step in steps]),
        torch.stack([step.latent for step in steps]),
        steps[-1].code == spec.stop_audio,
        tuple(step.attention for step in steps if step.attention is not None),
    )
