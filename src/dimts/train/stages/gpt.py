"""Train the GPT (text and conditioning latents → audio codes) and its conditioning, by cross-entropy.

Cached codes are the targets. Loss: 0.01 × text + 1.0 × codes, as in the published training.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from dimts.base.messages import Message
from dimts.train.collate import Collator
from dimts.train.fsdp import reshard
from dimts.train.latent_cache import LatentCache
from dimts.train.optim import EmbeddingRowLR, groups
from dimts.train.stages.stage import Phase, Stage, StageContext, Term, loss_share, option_is
from dimts.xtts.guided_conditioning import count_pairs
from dimts.xtts.loss import LossSettings
from dimts.xtts.model import Examples, Losses, covered_spans
from dimts.xtts.spec import MEL_HOP

if TYPE_CHECKING:
    from dimts.base.progress import ProgressCallback
    from dimts.train.probe import Probe

RATE_OF_RANDOM_WEIGHTS, RATE_OF_LORA, RATE_OF_A_BASE = 1e-3, 1e-4, 1e-5
"""Default learning rates: for random weights, adapters, and a published base."""
_REPORTED_EPOCHS = 6


class GptStage(Stage):
    """The language model of audio codes, and the conditioning encoder in front of it."""

    name: ClassVar[str] = "gpt"
    one_process_only: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ("loss_mel",)

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        settings, data = self.settings, self.data
        self.collator, self.dev_collator = (
            Collator(clips, data.stores, settings.reference, settings.seed, settings.frozen_conditioning)
            for clips in (data.train, data.dev)
        )
        self.loss_settings = LossSettings(
            label_smoothing=settings.label_smoothing,
            chunk_tokens=settings.loss_chunk,
            guided_attention=settings.guided_attention,
            guided_conditioning=settings.guided_conditioning,
            compat="coqui" if settings.reference.mask == "coqui" else "mended",
        )
        self.row_rates = EmbeddingRowLR(
            [*self.model.gpt.text_embedding.parameters(), *self.model.gpt.text_head.parameters()],
            self.engine.old_rows,
            settings.old_rows_lr_scale,
            settings.new_rows_lr_scale,
        )
        self.adapter_parameters = self.engine.adapter_parameters  # merged into their weights at the end
        self._phases: tuple[Phase, ...] = ()

    @property
    def module(self) -> nn.Module:
        """The whole model: parts that are not trained are not in its forward pass."""
        return self.model

    def phases(self) -> tuple[Phase, ...]:
        """Return the only phase."""
        if not self._phases:
            weights = {"text": self.settings.text_weight, "mel": 1.0}
            if self.settings.guided_attention:
                weights["attention"] = self.settings.guided_attention
            if self.settings.guided_conditioning:
                weights["speaker"] = self.settings.guided_conditioning
            self._phases = (Phase("gpt", groups(self.model, self.settings.weight_decay), weights),)
        return self._phases

    def usual_learning_rate(self) -> float:
        """Return 1e-3 for random weights, 1e-4 for adapters, 1e-5 for a base."""
        if self.engine.random:
            return RATE_OF_RANDOM_WEIGHTS
        return RATE_OF_LORA if self.settings.trainable == "lora" else RATE_OF_A_BASE

    # Data

    def prepare(self, on_progress: ProgressCallback) -> None:
        """Cache the latents of every repeated crop of this run, where the conditioning is frozen."""
        if not self.settings.frozen_conditioning:
            return
        self.collator.latents = self.dev_collator.latents = LatentCache.of(self.project, self.model)
        self.collator.cache_latents(self.model, sorted(self._fixed_crops()), on_progress)
        self.dev_collator.cache_latents(
            self.model, [(index, None) for index in range(len(self.data.dev))], on_progress
        )

    def _fixed_crops(self) -> set[tuple[int, int]]:
        """Return (clip, turn) of all crops that this run draws and may draw again."""
        fixed = self.settings.reference.fixed
        most = fixed * sum(clip.weight > 0 for clip in self.data.train) if fixed else 0
        found: set[tuple[int, int]] = set()
        left, epoch = self.total_steps, 0
        while left > 0 and len(found) < most:
            steps = self.sampler.epoch(epoch)[:left]
            found.update((index, epoch % fixed) for step in steps for part in step for index in part)
            left, epoch = left - len(steps), epoch + 1
        return found

    def counts(self, phase: Phase, part: Sequence[int], epoch: int) -> dict[str, float]:
        """Return the text and code targets of a part that have a loss."""
        clips = [self.data.train[index] for index in part]
        mel = sum(clip.audio_targets for clip in clips)
        if self.settings.reference.mask != "none":
            spans = covered_spans(
                [self.collator.crop_of(index, epoch) for index in part],
                [clip.codes for clip in clips],
                self.model.spec,
                coqui=self.settings.reference.mask == "coqui",
            )
            covered = sum(end - first for first, end in spans)
            self.stats.events["masked_codes"] += covered
            mel -= covered
        aligned = sum(len(clip.alignment) for clip in clips)
        found = {"text": sum(clip.text_targets for clip in clips), "mel": mel, "attention": aligned}
        return found | {"speaker": count_pairs([clip.speaker for clip in clips])}

    def dev_weights(self) -> Mapping[str, float]:
        """Return the weights of the text and code losses, without guided attention."""
        return {"text": self.settings.text_weight, "mel": 1.0}

    def batch(self, part: Sequence[int], epoch: int | None) -> Examples:
        """Collate ids, codes and conditioning crops on the model's device."""
        return (self.dev_collator if epoch is None else self.collator).examples(self.model, part, epoch)

    # Learning

    def losses(self, phase: Phase, batch: Any) -> dict[str, Term]:
        """Compute the cross-entropy of text ids and of codes."""
        return _terms(self.wrapped(batch, self.loss_settings))

    def dev_losses(self, batch: Any) -> dict[str, Term]:
        """Compute the same terms without dropout, smoothing or masks."""
        return _terms(self.model(batch, LossSettings(chunk_tokens=self.settings.loss_chunk)))

    @contextlib.contextmanager
    def around_optimizer(self, phase: Phase) -> Iterator[None]:
        """Scale the step of vocabulary rows."""
        self.row_rates.before()
        yield
        self.row_rates.after()

    @torch.no_grad()
    def watch_after(self, probe: Probe, part: Sequence[int], epoch: int) -> None:
        """Measure the change of one part's code loss by label smoothing."""
        self.wrapped.eval()
        examples = self.batch(part, epoch)
        plain = self.model(examples, replace(self.loss_settings, label_smoothing=0.0)).mel
        probe.smoothing_gap = float(self.model(examples, self.loss_settings).mel - plain)
        reshard(self.model)

    # Report

    @property
    def latents_read(self) -> int:
        """Latents read from the disk instead of being computed, in this session."""
        return self.collator.latents.read if self.collator.latents is not None else 0

    def option_effects(self, probe: Probe, steps: Sequence[Mapping[str, Any]]) -> dict[str, Message]:
        """Return the measured effects of the options of GPT and conditioning."""
        text = loss_share(steps[0], "text", self.settings.text_weight)
        guided = self.settings.guided_attention
        attention = loss_share(steps[0], "attention", guided) if guided else Message("train.effect_no_head")
        apart = self.settings.guided_conditioning
        speaker = loss_share(steps[0], "speaker", apart) if apart else Message("train.effect_no_such_loss")
        own = {"text_weight": text, "guided_attention": attention, "guided_conditioning": speaker}
        return own | self._model_effects(probe) | self._reference_effects(probe)

    def _model_effects(self, probe: Probe) -> dict[str, Message]:
        blocks = {name.split(".")[3] for name in probe.moved if name.startswith("gpt.trunk.h.")}
        moved = [value for name, value in probe.moved.items() if name.startswith("conditioning.")]
        adapters = Message("train.effect_adapters", parameters=self.adapter_parameters)
        return {
            "last_layers": Message("train.effect_layers_moved", layers=len(blocks)),
            "freeze_conditioning": Message(
                "train.effect_conditioning",
                change=max(moved, default=0.0),
                crops=probe.conditioning_runs,
            ),
            "lora.rank": adapters,
            "lora.dropout": draws(probe.dropped, attention=False),
            "lora.targets": adapters,
            "lora.alpha": Message("train.effect_adapter_strength", share=self.stats.adapter_strength),
            "new_rows_lr_scale": Message("train.effect_added_rows", change=probe.moved_rows[1]),
            "old_rows_lr_scale": Message("train.effect_base_rows", change=probe.moved_rows[0]),
            "label_smoothing": Message("train.effect_smoothing", change=probe.smoothing_gap),
            "dropout": draws(probe.dropped, attention=False),
            "attention_dropout": draws(probe.dropped, attention=True),
            "loss_chunk": Message("train.effect_logits", rows=probe.largest_logits),
            "attention": Message("train.effect_kernel", name=probe.attention_kernel)
            if probe.attention_kernel
            else Message("train.effect_written_out"),
        }

    def _reference_effects(self, probe: Probe) -> dict[str, Message]:
        rate = self.model.spec.input_rate
        crop_seconds = probe.conditioning_frames / max(probe.conditioning_runs, 1) * MEL_HOP / rate
        some = range(len(self.data.train)) or [i for part in self.sampler.epoch(0)[0] for i in part]
        crops = {
            (self.data.train[i].key, self.collator.crop_of(i, e))
            for i in some
            for e in range(_REPORTED_EPOCHS)
        }
        longest = max(end - start for _, (start, end) in crops) / rate
        shortest = min(end - start for _, (start, end) in crops) / rate
        return {
            "reference.min_seconds": Message("train.effect_shortest_crop", seconds=shortest),
            "reference.max_seconds": Message("train.effect_longest_crop", seconds=longest),
            "reference.pad": Message("train.effect_padded_crop", seconds=crop_seconds)
            if probe.conditioning_runs
            else Message("train.effect_cached_crop", name=self.collator.name_of(0, 0)),
            "reference.fixed": Message(
                "train.effect_crops",
                crops=len(crops),
                epochs=_REPORTED_EPOCHS,
                encoded=probe.conditioning_runs,
                read=self.latents_read,
            ),
            "reference.mask": Message("train.effect_masked", codes=self.stats.events["masked_codes"]),
        }

    def ignored_options(self) -> dict[str, Message]:
        """Return the options that another option rules out."""
        settings = self.settings
        trainable = option_is("train.trainable", settings.trainable)
        found = {
            "last_layers": None if settings.trainable == "last_layers" else trainable,
            "new_rows_lr_scale": None
            if self.engine.old_rows < self.engine.vocabulary.size
            else Message("train.reason_no_rows_added"),
            "lora.": None if settings.trainable == "lora" else trainable,
            **dict.fromkeys(("speaker.", "dvae.", "decoder."), option_is("train.stage", "gpt")),
        }
        return {name: reason for name, reason in found.items() if reason}


def _terms(losses: Losses) -> dict[str, Term]:
    found = {"text": Term(losses.text, losses.text_tokens), "mel": Term(losses.mel, losses.mel_tokens)}
    if losses.attention is not None:
        found["attention"] = Term(losses.attention, losses.attention_tokens)
    if losses.speaker is not None:
        found["speaker"] = Term(losses.speaker, losses.speaker_pairs)
    return found


def draws(dropped: Counter[tuple[float, bool]], *, attention: bool) -> Message:
    """Report how often dropout was drawn in the probed step, by its rate."""
    calls = {rate: count for (rate, four), count in dropped.items() if four is attention}
    found = [Message("train.draws", count=count, rate=rate) for rate, count in sorted(calls.items())]
    return Message("train.effect_draws", draws=found) if found else Message("train.effect_no_draws")
