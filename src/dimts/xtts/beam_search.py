"""Find the most probable code sequence of a sentence by beam search, with upstream's length penalty.

Several hypotheses are kept and extended in parallel. A finished one scores log p / length ** penalty; the
search ends when no running one can beat the worst of those kept. Slower than sampling, by the number of
beams, and mostly calmer than natural speech: for reading tests and for voices whose sampling is still
unstable.

The rules are those of the beam search upstream calls (transformers, `early_stopping` off): the repetition
penalty applies to log probabilities, the best 2 × beams continuations are considered, only the first half of
them may finish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dimts.base.errors import ConfigError
from dimts.xtts.generate import GeneratedSentence
from dimts.xtts.gpt import GPT, KVCache
from dimts.xtts.sampling import PLACEHOLDER
from dimts.xtts.spec import LATENTS


@dataclass(frozen=True, slots=True)
class BeamSettings:
    """Width and penalties of the beam search."""

    beams: int = 4
    """Number of hypotheses kept in parallel."""
    length_penalty: float = 1.0
    """Exponent of the length a score is divided by: above 1 prefers longer sentences, below 1 shorter
    ones."""
    repetition_penalty: float = 5.0
    """Log probabilities of codes already chosen are multiplied by this; 1.0: none."""
    max_codes: int = 0
    """Stop after this many codes; 0: as many as the model can."""

    def __post_init__(self) -> None:
        if self.beams < 2:
            raise ConfigError("xtts.too_few_beams", beams=self.beams)
        if not self.repetition_penalty > 0 or self.max_codes < 0:
            raise ConfigError("xtts.beam_settings_wrong")


@dataclass(frozen=True)
class _Beam:
    score: float
    codes: tuple[int, ...] = ()
    latents: tuple[Tensor, ...] = ()


@torch.no_grad()
def beam_search(
    gpt: GPT, latents: Tensor, ids: Sequence[int], settings: BeamSettings | None = None
) -> GeneratedSentence:
    """Search the best sentence for latents [1, L, D] and text ids. SynthesisError for a text the model cannot
    take."""
    settings = settings or BeamSettings()
    spec, width = gpt.spec, settings.beams
    limit = min(settings.max_codes or spec.max_codes, spec.max_codes)
    cache = KVCache(spec, width, LATENTS + len(ids) + 3 + limit, gpt.text_embedding.weight)
    states = gpt.prefill(latents.to(gpt.mel_head.weight.device), ids, cache, 0)  # [1, D]
    running, finished = [_Beam(0.0)], list[_Beam]()
    for length in range(1, limit + 1):
        chances = gpt.mel_head(states).float().cpu().log_softmax(dim=-1)  # [beams, V]
        for row, beam in enumerate(running):
            seen = list({PLACEHOLDER, spec.start_audio, *beam.codes})
            chances[row, seen] *= settings.repetition_penalty  # log probabilities are never positive
        total = chances + torch.tensor([beam.score for beam in running])[:, None]
        best = total.flatten().topk(min(2 * width, total.numel()))
        extended, order = list[_Beam](), list[int]()
        for rank, (score, place) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            row, code = divmod(place, spec.audio_ids)
            longer = _Beam(score, (*running[row].codes, code), (*running[row].latents, states[row]))
            if code == spec.stop_audio or length == limit:
                if rank < width:
                    finished.append(
                        _Beam(score / length**settings.length_penalty, longer.codes, longer.latents)
                    )
            elif len(extended) < width:
                extended.append(longer)
                order.append(row)
        finished = sorted(finished, key=lambda beam: -beam.score)[:width]
        if not extended:
            break
        if (
            len(finished) == width
            and extended[0].score / length**settings.length_penalty <= finished[-1].score
        ):
            break
        running = extended
        _keep(cache, order)
        codes = torch.tensor([beam.codes[-1] for beam in running], device=cache.keys.device)
        states = gpt.decode(codes, torch.full_like(codes, length), cache)
    chosen = finished[0]
    return GeneratedSentence(
        torch.tensor(chosen.codes), torch.stack(chosen.latents), chosen.codes[-1] == spec.stop_audio
    )


def _keep(cache: KVCache, order: Sequence[int]) -> None:
    """Reorder the cache: slot i becomes what slot order[i] was."""
    length = cache.lengths[0]
    for held in (cache.keys, cache.values):
        held[:, : len(order), :length] = held[:, list(order), :length]
    cache.lengths = [length] * len(cache.lengths)
