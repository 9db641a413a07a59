"""GPT over conditioning latents, text ids and codes: hidden states in training, codes one by one in
synthesis.

One sentence is one causal sequence:

    [L latents] [START t1 .. tS STOP] [START c1 .. cC STOP ..]     positions from 0 in text and in audio

In training the text's STOP is a target but no input, and four STOPs follow the last code as targets, so a row
is exactly L + (S + 1) + (C + 4) dense tokens. Rows run padded or packed through the same trunk with the same
result. In speaking the STOP of the text *is* an input: the weights were trained and used so, and both are
kept.

Weights of the trunk are stored [in, out], and all keys are coqui's (its `gpt.gpt` is `trunk` here).
Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (GPT-2, pre-norm blocks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dimts.base.errors import SynthesisError, TrainingError
from dimts.xtts.alignment import AttentionRecorder
from dimts.xtts.attention import SequenceLayout, attend, attend_cached, attend_self
from dimts.xtts.kernel_limits import Kind
from dimts.xtts.recompute import LinearParams, dropout, dropout_add, gelu_linear, layernorm_linear
from dimts.xtts.spec import LATENTS, STOP_TARGETS, Spec
from dimts.xtts.transfer import to_device

IGNORED = -1
"""A target without loss."""
INIT_SPREAD = 0.02


class KVCache:
    """Keys and values of sentences being spoken, allocated once: [layers, slots, capacity, H, w] each.

    What one head reads is contiguous in memory, so these are views of [layers, slots, H, capacity, w].
    `min_rows` is the number of rows the products of a step are padded to (see `batch_invariance.py`).
    """

    def __init__(self, spec: Spec, slots: int, capacity: int, like: Tensor, min_rows: int = 1) -> None:
        shape = (spec.layers, slots, spec.heads, capacity, spec.head_width)
        # Zeros, not just any memory: what a mask hides is still multiplied by 0, and 0 · NaN is NaN.
        self._by_head = tuple(torch.zeros(shape, dtype=like.dtype, device=like.device) for _ in range(2))
        self.keys, self.values = (part.transpose(2, 3) for part in self._by_head)
        self.slots = slots
        self.lengths = [0] * slots
        """Tokens of each slot."""
        self.min_rows = min_rows
        self.recorder: AttentionRecorder | None = None
        """Records attention over the text; None: it is not recorded."""

    def by_head(self) -> tuple[Tensor, Tensor]:
        """Keys and values in the order of memory: [layers, slots, H, capacity, w]."""
        keys, values = self._by_head
        return keys, values

    def write_prefix(self, layer: int, slot: int, k: Tensor, v: Tensor) -> None:
        """Put a whole prefix [1, P, H, w] into a slot."""
        self.keys[layer, slot, : k.shape[1]] = k[0]
        self.values[layer, slot, : v.shape[1]] = v[0]

    def append(self, layer: int, k: Tensor, v: Tensor, write: Tensor | None) -> tuple[Tensor, Tensor]:
        """Append one token [R, 1, H, w] to each of the first R slots; all their keys and values [R, T, H, w].

        `write` holds the slots' lengths as a tensor where they differ, None where they are all the same.
        """
        rows = k.shape[0]
        longest = max(self.lengths[:rows]) + 1
        if write is None:
            self.keys[layer, :rows, longest - 1] = k[:, 0]
            self.values[layer, :rows, longest - 1] = v[:, 0]
        else:
            every = torch.arange(rows, device=k.device)
            self.keys[layer].index_put_((every, write), k[:, 0])
            self.values[layer].index_put_((every, write), v[:, 0])
        return self.keys[layer, :rows, :longest], self.values[layer, :rows, :longest]

    def move(self, source: int, target: int) -> None:
        """Copy one slot onto another."""
        length = self.lengths[source]
        self.keys[:, target, :length] = self.keys[:, source, :length]
        self.values[:, target, :length] = self.values[:, source, :length]
        self.lengths[target] = length
        if self.recorder is not None:
            self.recorder.move(source, target)


class AdapterParams(Protocol):
    """An adapter whose parameters can be joined with those of its layer."""

    def linear_params(self, weight: Tensor, bias: Tensor) -> LinearParams:
        """The parameters of a layer with this weight and bias, and of the adapter."""


class CompiledSteps(Protocol):
    """Decoding steps compiled into one function, as `cpu_decoder.CompiledDecoder` has them."""

    def trunk(self, x: Tensor, cache: KVCache) -> Tensor:
        """One token [R, D] of each of the first R slots through all layers: [R, D], before the last norm."""

    def logits(self, states: Tensor, slots: int) -> Tensor:
        """States [R, D] of a decoder of `slots` sentences → logits of the codes [R, V]."""


class Conv1D(nn.Module):
    """x W + b with W stored [in, out], as GPT-2 stores it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.adapter: nn.Module | None = None
        """Low-rank addition of `lora.py`; adds nothing once it is merged into the weight."""
        nn.init.normal_(self.weight, std=INIT_SPREAD)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        y = F.linear(x, self.weight.t(), self.bias)
        if self.adapter is None or self.adapter.merged:
            return y
        added: Tensor = self.adapter(x)
        return y + added


def _linear_params(layer: nn.Module) -> LinearParams | None:
    """Return the parameters that `recompute.py` needs of a layer, under autocast in its number type.

    None where only the layer's `forward` will do: where the adapter drops some of its input, for 8-bit
    weights, and while torch.compile looks on.
    """
    if not isinstance(layer, Conv1D) or torch.compiler.is_compiling():
        return None
    if layer.adapter is None or layer.adapter.merged:
        found = LinearParams(layer.weight, layer.bias)
    elif layer.adapter.dropout and layer.training:
        return None
    else:
        found = cast(AdapterParams, layer.adapter).linear_params(layer.weight, layer.bias)
    device = layer.weight.device.type
    if not torch.is_autocast_enabled(device):
        return found
    kind = torch.get_autocast_dtype(device)
    tensors = [None if one is None else one.to(kind) for one in found[:4]]
    return LinearParams(tensors[0], tensors[1], tensors[2], tensors[3], found.scale)  # type: ignore[arg-type]


class SelfAttention(nn.Module):
    """Causal attention of a row over itself."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.heads = spec.heads
        self.kind: Kind = "sdpa"
        self.dropout = spec.dropout
        self.tap: list[Tensor] | None = None
        """Gets the queries, keys and values of each forward pass, [B, T, 3, H, w]; None: they are not
        kept."""
        self.c_attn = Conv1D(spec.width, 3 * spec.width)
        self.c_proj = Conv1D(spec.width, spec.width)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """[B, T, D] → q, k, v, each [B, T, H, w]."""
        qkv: Tensor = self.c_attn(x)
        return qkv.view(*x.shape[:2], 3, self.heads, -1).unbind(2)

    def forward(self, x: Tensor, norm: nn.LayerNorm, layout: SequenceLayout) -> Tensor:
        """[B, T, D], not yet normed → [B, T, D]."""
        product = _linear_params(self.c_attn)
        qkv: Tensor = self.c_attn(norm(x)) if product is None else layernorm_linear(x, norm, product)
        qkv = qkv.view(*x.shape[:2], 3, self.heads, -1)
        if self.tap is not None:
            self.tap.append(qkv)
        seen = attend_self(self.kind, qkv, 2, layout, self.dropout if self.training else 0.0)
        out: Tensor = self.c_proj(seen.flatten(2))
        return out

    def prefill(self, x: Tensor, cache: KVCache, layer: int, slot: int) -> Tensor:
        """A whole prefix [1, P, D] → [1, P, D]; its keys and values go into `slot`."""
        q, k, v = self.split(x)
        cache.write_prefix(layer, slot, k, v)
        seen = attend(self.kind, q, k, v, SequenceLayout((x.shape[1],), packed=False))
        out: Tensor = self.c_proj(seen.flatten(2))
        return out

    def decode(self, x: Tensor, cache: KVCache, layer: int, write: Tensor | None, rows: int) -> Tensor:
        """One token of each of the first R slots, [R, 1, D] → [R, 1, D]; rows beyond R only fill the
        products."""
        q, k, v = (part[:rows] for part in self.split(x))
        keys, values = cache.append(layer, k, v, write)
        if cache.recorder is not None:
            cache.recorder.record_queries(q)
        seen = attend_cached(q, keys, values, [length + 1 for length in cache.lengths[:rows]])
        out: Tensor = self.c_proj(pad_rows(seen.flatten(2), x.shape[0]))
        return out


class MLP(nn.Module):
    """D → 4D → D with the tanh gelu, fused."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.c_fc = Conv1D(spec.width, 4 * spec.width)
        self.c_proj = Conv1D(4 * spec.width, spec.width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] → [..., D]."""
        out: Tensor = self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))
        return out

    def forward_normed(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """The same of norm(x), keeping less for the backward pass where that can be; not where it is
        compiled."""
        inner, outer = _linear_params(self.c_fc), _linear_params(self.c_proj)
        if inner is None or outer is None or self._compiled_call_impl is not None:
            plain: Tensor = self(norm(x))
            return plain
        return gelu_linear(layernorm_linear(x, norm, inner), outer)


class TransformerBlock(nn.Module):
    """One pre-norm block: x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.dropout = spec.dropout
        self.ln_1 = nn.LayerNorm(spec.width)
        self.attn = SelfAttention(spec)
        self.ln_2 = nn.LayerNorm(spec.width)
        self.mlp = MLP(spec)

    def forward(self, x: Tensor, layout: SequenceLayout) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        rate = self.dropout if self.training else 0.0
        x = dropout_add(x, self.attn(x, self.ln_1, layout), rate)
        return dropout_add(x, self.mlp.forward_normed(x, self.ln_2), rate)

    def prefill(self, x: Tensor, cache: KVCache, layer: int, slot: int) -> Tensor:
        """As SelfAttention.prefill."""
        x = x + self.attn.prefill(self.ln_1(x), cache, layer, slot)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out

    def decode(self, x: Tensor, cache: KVCache, layer: int, write: Tensor | None, rows: int) -> Tensor:
        """As SelfAttention.decode."""
        x = x + self.attn.decode(self.ln_1(x), cache, layer, write, rows)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Transformer(nn.Module):
    """All blocks and the last norm."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.checkpoint_every = 0
        """Recompute every k-th block in the backward pass instead of keeping it; 0: none, 1: all."""
        blocks = [TransformerBlock(spec) for _ in range(spec.layers)]
        self.h = nn.ModuleList(blocks)
        self.ln_f = nn.LayerNorm(spec.width)
        for block in blocks:  # GPT-2 scales the two outputs of a block by its depth
            for module in (block.attn.c_proj, block.mlp.c_proj):
                nn.init.normal_(module.weight, std=INIT_SPREAD / (2 * spec.layers) ** 0.5)

    def blocks(self) -> list[TransformerBlock]:
        """The blocks, first to last."""
        return cast("list[TransformerBlock]", list(self.h))

    def forward(self, x: Tensor, layout: SequenceLayout) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        for index, block in enumerate(self.blocks()):
            if self.checkpoint_every and torch.is_grad_enabled() and index % self.checkpoint_every == 0:
                x = checkpoint(block, x, layout, use_reentrant=False)
            else:
                x = block(x, layout)
        out: Tensor = self.ln_f(x)
        return out


class LearnedPositions(nn.Module):
    """A learned table of positions."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(count, width)
        nn.init.normal_(self.emb.weight, std=INIT_SPREAD)

    def forward(self, at: Tensor) -> Tensor:
        """[N] → [N, D]."""
        out: Tensor = self.emb(at)
        return out


@dataclass(frozen=True)
class HiddenStates:
    """States of the tokens that have a target, and the targets, all rows one after another."""

    text: Tensor
    """[Σ(S + 1), D], after the final norm."""
    text_targets: Tensor
    """[Σ(S + 1)]: the ids, then STOP."""
    audio: Tensor
    """[Σ(C + 4), D]."""
    audio_targets: Tensor
    """[Σ(C + 4)]: the codes, then four STOPs."""
    layout: SequenceLayout
    """How the trunk saw them."""


class GPT(nn.Module):
    """Embeddings, trunk, final norm, two heads."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        self.dropout = spec.dropout
        self.text_embedding = nn.Embedding(spec.text_ids, spec.width)
        self.mel_embedding = nn.Embedding(spec.audio_ids, spec.width)
        self.trunk = Transformer(spec)
        self.mel_pos_embedding = LearnedPositions(spec.audio_positions, spec.width)
        self.text_pos_embedding = LearnedPositions(spec.text_positions, spec.width)
        self.final_norm = nn.LayerNorm(spec.width)
        self.text_head = nn.Linear(spec.width, spec.text_ids)
        self.mel_head = nn.Linear(spec.width, spec.audio_ids)
        self.compiled: CompiledSteps | None = None
        """Compiled decoding steps of `cpu_decoder.py`, once they were asked for."""
        for module in (self.text_embedding, self.mel_embedding, self.text_head, self.mel_head):
            nn.init.normal_(module.weight, std=INIT_SPREAD)

    # Settings of the whole trunk

    def use_attention(self, kind: Kind) -> None:
        """Choose the attention kernel of every block."""
        for block in self.trunk.blocks():
            block.attn.kind = kind

    def use_dropout(self, rate: float, attention_rate: float | None = None) -> None:
        """Set dropout; that of attention probabilities apart, as fused CPU kernels run only without it."""
        self.dropout = rate
        for block in self.trunk.blocks():
            block.dropout = rate
            block.attn.dropout = rate if attention_rate is None else attention_rate

    def use_checkpointing(self, every: int) -> None:
        """Recompute every k-th block in the backward pass; 0: none, 1: all."""
        self.trunk.checkpoint_every = every

    # Training

    def forward(
        self,
        latents: Tensor,
        text_ids: Tensor,
        text_lengths: Sequence[int],
        codes: Tensor,
        code_lengths: Sequence[int],
        *,
        packed: bool = True,
        padding_ends_text: bool = False,
    ) -> HiddenStates:
        """States and targets of whole sentences.

        latents [B, L, D]; text_ids [B, S] and codes [B, C] int64, padded on the right with anything, of which
        the first `text_lengths[b]` and `code_lengths[b]` count. With `padding_ends_text` (upstream's
        convention) the target after a shorter text is the id it is padded with, which is STOP only if it is
        padded with STOP. Raises TrainingError for a row beyond the position tables.
        """
        spec, device = self.spec, latents.device
        self._check(text_ids, text_lengths, codes, code_lengths)
        text_sizes = [length + 1 for length in text_lengths]
        audio_sizes = [length + STOP_TARGETS for length in code_lengths]

        ids = [row[:length] for row, length in zip(text_ids, text_lengths, strict=True)]
        start, stop = (ids[0].new_full((1,), i) for i in (spec.start_text, spec.stop_text))
        text_in = torch.cat([part for row in ids for part in (start, row)])  # [Σ(S + 1)]
        ends = [
            text_ids[b, n : n + 1] if padding_ends_text and n < text_ids.shape[1] else stop
            for b, n in enumerate(text_lengths)
        ]
        text_targets = torch.cat([part for pair in zip(ids, ends, strict=True) for part in pair])
        sounds = [row[:length] for row, length in zip(codes, code_lengths, strict=True)]
        start = sounds[0].new_full((1,), spec.start_audio)
        stop = sounds[0].new_full((STOP_TARGETS,), spec.stop_audio)
        audio_in = torch.cat([part for row in sounds for part in (start, row, stop[1:])])  # [Σ(C + 4)]
        audio_targets = torch.cat([part for row in sounds for part in (row, stop)])

        text = self.text_embedding(text_in) + self.text_pos_embedding(_counts(text_sizes, device))
        audio = self.mel_embedding(audio_in) + self.mel_pos_embedding(_counts(audio_sizes, device))
        texts, audios = torch.split(text, text_sizes), torch.split(audio, audio_sizes)
        triples = zip(latents.to(text.dtype), texts, audios, strict=True)
        x = torch.cat([part for triple in triples for part in triple])  # [N, D]

        sizes = [n for pair in zip(text_sizes, audio_sizes, strict=True) for n in (LATENTS, *pair)]
        layout = SequenceLayout(tuple(sum(sizes[i : i + 3]) for i in range(0, len(sizes), 3)), packed=packed)
        x = dropout(layout.unpack(x, layout.max_length), self.dropout if self.training else 0.0)
        x = layout.pack(self.final_norm(self.trunk(x, layout)))  # [N, D]
        parts = torch.split(x, sizes)
        return HiddenStates(
            torch.cat(parts[1::3]), text_targets, torch.cat(parts[2::3]), audio_targets, layout
        )

    def _check(
        self, text_ids: Tensor, text_lengths: Sequence[int], codes: Tensor, code_lengths: Sequence[int]
    ) -> None:
        if not len(text_ids) == len(text_lengths) == len(codes) == len(code_lengths) > 0:
            raise TrainingError("xtts.batch_rows_differ")
        if max(text_lengths) > self.spec.max_text:
            raise TrainingError(
                "xtts.training_text_too_long", ids=max(text_lengths), limit=self.spec.max_text
            )
        if max(code_lengths) + STOP_TARGETS > self.spec.audio_positions:
            raise TrainingError("xtts.clip_too_long", codes=max(code_lengths), limit=self.spec.max_codes)

    # Speaking

    def prefill(self, latents: Tensor, ids: Sequence[int], cache: KVCache, slot: int) -> Tensor:
        """Fill `slot` with a voice [1, L, D] and a text: the state [1, D] that predicts the first code.

        Raises SynthesisError for a text beyond the position table.
        """
        x = self._prefix(latents, ids)
        for layer, block in enumerate(self.trunk.blocks()):
            x = block.prefill(x, cache, layer, slot)
        cache.lengths[slot] = x.shape[1]
        if cache.recorder is not None:
            cache.recorder.spans[slot] = (LATENTS + 1, LATENTS + 1 + len(ids))
        out: Tensor = self.final_norm(self.trunk.ln_f(x[:, -1]))
        return out

    def _prefix(self, latents: Tensor, ids: Sequence[int]) -> Tensor:
        """Embeddings of a voice [1, L, D], a text with START and STOP, and START of the codes: [1, P, D]."""
        spec, device = self.spec, self.mel_head.weight.device
        if not 0 < len(ids) <= spec.max_text:
            raise SynthesisError("xtts.text_length_wrong", ids=len(ids), limit=spec.max_text)
        text_in = torch.tensor([spec.start_text, *ids, spec.stop_text], device=device)
        text = self.text_embedding(text_in) + self.text_pos_embedding(
            torch.arange(len(text_in), device=device)
        )
        first = (
            self.mel_embedding(text_in.new_tensor([spec.start_audio])) + self.mel_pos_embedding.emb.weight[:1]
        )
        return torch.cat((latents[0].to(text.dtype), text, first))[None]

    def teacher_forced(self, latents: Tensor, ids: Sequence[int], codes: Tensor) -> Tensor:
        """The states that generating `codes` [C] goes through, each the one that predicts its code: [C, D].

        This is what the vocoder gets when the model speaks. The states of `forward` differ: there, as in the
        published training, the STOP of the text is no input. Raises SynthesisError for a text, and
        TrainingError for codes, beyond the position tables.
        """
        count = len(codes)
        if count > self.spec.audio_positions:
            raise TrainingError("xtts.clip_too_long", codes=count, limit=self.spec.max_codes)
        prefix = self._prefix(latents, ids)
        places = torch.arange(1, count, device=codes.device)
        following = self.mel_embedding(codes[:-1]) + self.mel_pos_embedding(places)
        x = torch.cat((prefix, following[None]), dim=1)
        states: Tensor = self.final_norm(self.trunk(x, SequenceLayout((x.shape[1],), packed=False)))
        return states[0, -count:]

    def decode(self, codes: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        """One more code of each of the first R slots: codes [R], their audio positions [R] → states [R,
        D]."""
        rows = codes.shape[0]
        lengths = cache.lengths[:rows]
        x = self.mel_embedding(codes) + self.mel_pos_embedding(positions)
        if self.compiled is not None:
            x = self.compiled.trunk(x, cache)
        else:
            write = None if min(lengths) == max(lengths) else torch.tensor(lengths, device=codes.device)
            x = pad_rows(x, cache.min_rows)[:, None]
            for layer, block in enumerate(self.trunk.blocks()):
                x = block.decode(x, cache, layer, write, rows)  # [max(R, least), 1, D]
            x = x[:rows, 0]
        for slot in range(rows):
            cache.lengths[slot] += 1
        out: Tensor = self.final_norm(self.trunk.ln_f(x))
        return out

    def logits(self, states: Tensor, cache: KVCache) -> Tensor:
        """States [R, D] of sentences in `cache` → logits of their next codes [R, V]."""
        if self.compiled is not None:
            return self.compiled.logits(states, cache.slots)
        out: Tensor = self.mel_head(pad_rows(states, cache.min_rows))
        return out[: len(states)]


def pad_rows(x: Tensor, rows: int) -> Tensor:
    """[R, ...] → [max(R, rows), ...], with zeros below."""
    missing = rows - x.shape[0]
    return torch.cat((x, x.new_zeros(missing, *x.shape[1:]))) if missing > 0 else x


def _counts(sizes: Sequence[int], device: torch.device) -> Tensor:
    """0 .. size - 1 for each size, one after another: [Σ sizes]."""
    return to_device(torch.cat([torch.arange(size) for size in sizes]), device)
