"""Voice and text ids → codes and latents, one by one, for one sentence or many in one decoding loop.

The cache of keys and values is allocated once. The state that chooses a code *is* the latent the vocoder speaks it
from, so nothing is computed twice. Sentences join and leave a running loop at any step; each has its own random
generator, so what it says does not depend on its neighbours beyond the rounding of a batched product.

Choosing a code is upstream's rule in upstream's order: repetition penalty on raw logits, then (when sampling)
temperature, top-k, top-p, softmax, one draw. Upstream counts a placeholder id 1 and START as already said, so both
are penalised from the first step on; that is kept, as the codes would differ otherwise.
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
    """Logits of codes already said are divided (or, if negative, multiplied) by this; 1.0: none."""
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
    """Which sentence, as `Decoder.join` numbered it."""
    code: int
    latent: Tensor
    """[D], what the vocoder speaks."""
    last: bool
    """Nothing follows: the code is STOP, or the limit is reached."""
    probability: float
    """Of this code before temperature and cuts, after the penalty: how sure the model was."""
    gaze: Tensor | None = None
    """Where each head looked while the code was chosen, [heads, 2] as `gaze.py` has it; None if not watched, and
    for the first code, whose place is the beginning."""


@dataclass(frozen=True)
class GeneratedSentence:
    """All codes of one sentence."""

    codes: Tensor
    """[n] int64, STOP included if it was reached."""
    latents: Tensor
    """[n, D]"""
    stopped: bool
    """Whether the model ended by itself."""
    gazes: tuple[Tensor, ...] = ()
    """Of all codes but the first, each [heads, 2]; empty if not watched."""


@dataclass
class _Row:
    number: int
    settings: GenerateSettings
    generator: torch.Generator
    limit: int
    said: Tensor
    """[V] bool on the CPU: codes the penalty counts."""
    state: Tensor
    """[D], what the next code is chosen from."""
    count: int = 0
    code: int = -1
    gaze: Tensor | None = None


class Decoder:
    """Sentences being spoken together. Active ones always hold the first slots of the cache.

    `slots` sentences at once; `capacity` tokens for the longest (prefix and codes), by default the model's limits.
    With `least_rows` of `steady.least_rows` a sentence is the same to the last bit whoever speaks beside it. With
    `watch`, each step also tells where its heads looked.
    """

    def __init__(
        self, gpt: GPT, slots: int = 1, capacity: int | None = None, least_rows: int = 1, *, watch: bool = False
    ) -> None:
        self.gpt, self.spec = gpt, gpt.spec
        self.capacity = capacity or self.spec.prefix_tokens + self.spec.max_codes
        self.cache = KVCache(self.spec, slots, self.capacity, gpt.text_embedding.weight, least_rows)
        if watch:
            self.cache.watch = AttentionRecorder(slots)
        self.slots = slots
        self._rows: list[_Row] = []
        self._next = 0

    def __len__(self) -> int:
        """Sentences still being spoken."""
        return len(self._rows)

    @torch.no_grad()
    def join(
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
        said = torch.zeros(self.spec.audio_ids, dtype=torch.bool)
        said[PLACEHOLDER] = said[self.spec.start_audio] = True
        state = self.gpt.begin(latents.to(self.gpt.mel_head.weight.device), ids, self.cache, len(self._rows))[0]
        self._rows.append(_Row(self._next, settings, generator, limit, said, state))
        self._next += 1
        return self._rows[-1].number

    def leave(self, number: int) -> None:
        """Drop a sentence before its end; its slot is free at once. Unknown numbers are ignored."""
        for slot, row in enumerate(self._rows):
            if row.number == number:
                self._drop(slot)
                return

    def _drop(self, hole: int) -> None:
        """Close the hole, keeping rows that have a code to feed before those that just joined."""
        for slot in (self._moving() - 1, len(self._rows) - 1):
            if slot > hole:
                self.cache.move(slot, hole)
                self._rows[hole], hole = self._rows[slot], slot
        self._rows.pop()
        self.cache.lengths[len(self._rows)] = 0

    def _moving(self) -> int:
        """How many rows have chosen a code the model has not read yet; they stand first."""
        return sum(row.count > 0 for row in self._rows)

    @torch.no_grad()
    def step(self) -> list[DecodingStep]:
        """One code of every sentence; those that end have left when this returns."""
        self._advance()
        if not self._rows:
            return []
        states = torch.stack([row.state for row in self._rows])  # [R, D]
        logits = self.gpt.logits(states, self.cache).float().cpu()  # [R, V]
        out = []
        for slot, row in enumerate(self._rows):
            row.code, probability = choose(logits[slot], row.said, row.settings, row.generator)
            row.count += 1
            row.said[row.code] = True
            last = row.code == self.spec.stop_audio or row.count >= row.limit
            out.append(DecodingStep(row.number, row.code, row.state, last, probability, row.gaze))
        for step in out:
            if step.last:
                self.leave(step.row)
        return out

    def _advance(self) -> None:
        """Feed the codes chosen last; sentences that just joined have their state already."""
        rows = self._rows[: self._moving()]
        if not rows:
            return
        device = self.cache.keys.device
        codes = torch.tensor([row.code for row in rows], device=device)
        states = self.gpt.step(codes, torch.tensor([row.count for row in rows], device=device), self.cache)
        for row, state in zip(rows, states.unbind(0), strict=True):
            row.state = state
        if self.cache.watch is not None:
            for row, gaze in zip(rows, self.cache.watch.gaze(self.cache.keys), strict=True):
                row.gaze = gaze


def choose(
    logits: Tensor, said: Tensor, settings: GenerateSettings, generator: torch.Generator | None = None
) -> tuple[int, float]:
    """One code from logits [V] and the codes already said [V] bool, and its probability before sampling's cuts.

    Raises SynthesisError if the logits are not finite.
    """
    if settings.repetition_penalty != 1.0:
        penalised = torch.where(logits < 0, logits * settings.repetition_penalty, logits / settings.repetition_penalty)
        logits = torch.where(said, penalised, logits)
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
    watch: bool = False,
) -> Iterator[DecodingStep]:
    """Speak one sentence: latents [1, L, D] and text ids → Steps as they come; with `watch`, also their gazes."""
    settings = settings or GenerateSettings()
    limit = min(settings.max_codes or gpt.spec.max_codes, gpt.spec.max_codes)
    decoder = Decoder(gpt, 1, LATENTS + len(ids) + 3 + limit, watch=watch)
    decoder.join(latents, ids, settings, generator)
    while len(decoder):
        yield from decoder.step()


def generate_all(
    gpt: GPT,
    latents: Sequence[Tensor],
    texts: Sequence[Sequence[int]],
    settings: GenerateSettings | None = None,
    generators: Sequence[torch.Generator] | None = None,
    *,
    watch: bool = False,
) -> list[GeneratedSentence]:
    """Speak sentences together, each [1, L, D] with its ids: one Sentence each, in the order given.

    With a seed in `settings` and no generators, each sentence is drawn as if alone with that seed.
    """
    settings = settings or GenerateSettings()
    if not texts:
        return []
    limit = min(settings.max_codes or gpt.spec.max_codes, gpt.spec.max_codes)
    decoder = Decoder(gpt, len(texts), LATENTS + max(map(len, texts)) + 3 + limit, watch=watch)
    for i, (voice, ids) in enumerate(zip(latents, texts, strict=True)):
        decoder.join(voice, ids, settings, generators[i] if generators else None)
    steps: list[list[DecodingStep]] = [[] for _ in texts]
    while len(decoder):
        for step in decoder.step():
            steps[step.row].append(step)
    return [collect(row, gpt.spec) for row in steps]


def collect(steps: Sequence[DecodingStep], spec: Spec) -> GeneratedSentence:
    """The steps of one sentence, at least one, as a Sentence."""
    return GeneratedSentence(
        torch.tensor([step.code for step in steps]),
        torch.stack([step.latent for step in steps]),
        steps[-1].code == spec.stop_audio,
        tuple(step.gaze for step in steps if step.gaze is not None),
    )
