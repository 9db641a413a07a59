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

from dimts.train.collate import Collator
from dimts.train.fsdp import reshard
from dimts.train.latent_cache import LatentCache
from dimts.train.optim import EmbeddingRowLR, groups
from dimts.train.stages.stage import Phase, Stage, StageContext, Term, loss_share
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
        return {"text": sum(clip.text_targets for clip in clips), "mel": mel, "attention": aligned}

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

    def option_effects(self, probe: Probe, steps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return the measured effects of the options of GPT and conditioning."""
        text = loss_share(steps[0], "text", self.settings.text_weight)
        guided = self.settings.guided_attention
        attention = loss_share(steps[0], "attention", guided) if guided else "no head was taught"
        own = {"text_weight": text, "guided_attention": attention}
        return own | self._model_effects(probe) | self._reference_effects(probe)

    def _model_effects(self, probe: Probe) -> dict[str, str]:
        blocks = {name.split(".")[3] for name in probe.moved if name.startswith("gpt.trunk.h.")}
        moved = [value for name, value in probe.moved.items() if name.startswith("conditioning.")]
        adapters = f"{self.adapter_parameters:,}"
        return {
            "last_layers": f"{len(blocks)} trunk layers moved",
            "freeze_conditioning": f"conditioning moved by {max(moved, default=0.0):.2e} "
            f"in the watched step; "
            f"{probe.conditioning_runs} crops encoded in steps",
            "lora.rank": f"{adapters} parameters in adapters",
            "lora.dropout": draws(probe.dropped, attention=False),
            "lora.targets": f"{adapters} parameters in adapters",
            "lora.alpha": f"adapters add {self.stats.adapter_strength:.4e} of the weights' norm",
            "new_rows_lr_scale": f"added rows moved by {probe.moved_rows[1]:.3e} in the watched step",
            "old_rows_lr_scale": f"base rows moved by {probe.moved_rows[0]:.3e} in the watched step",
            "label_smoothing": f"changes the watched loss by {probe.smoothing_gap:+.4f}",
            "dropout": draws(probe.dropped, attention=False),
            "attention_dropout": draws(probe.dropped, attention=True),
            "loss_chunk": f"{probe.largest_logits} rows of code logits at once",
            "attention": probe.attention_kernel,
        }

    def _reference_effects(self, probe: Probe) -> dict[str, str]:
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
            "reference.min_seconds": f"crops from {shortest:.2f} s",
            "reference.max_seconds": f"crops up to {longest:.2f} s",
            "reference.pad": f"{crop_seconds:.3f} s per crop, padding included"
            if probe.conditioning_runs
            else f"no crop encoded in steps; first of the cached crops: {self.collator.name_of(0, 0)}",
            "reference.fixed": f"{len(crops)} different crops in 6 epochs; "
            f"{probe.conditioning_runs} encoded in steps, "
            f"{self.latents_read} latents read from the cache",
            "reference.mask": f"{self.stats.events['masked_codes']} code targets without loss",
        }

    def ignored_options(self) -> dict[str, str]:
        """Return the options that another option rules out."""
        settings = self.settings
        found = {
            "last_layers": ""
            if settings.trainable == "last_layers"
            else f'train.trainable is "{settings.trainable}"',
            "new_rows_lr_scale": ""
            if self.engine.old_rows < self.engine.vocabulary.size
            else "no rows were added",
            "lora.": "" if settings.trainable == "lora" else f'train.trainable is "{settings.trainable}"',
            "speaker.": "train.stage is gpt",
            "dvae.": "train.stage is gpt",
            "decoder.": "train.stage is gpt",
        }
        return {name: reason for name, reason in found.items() if reason}


def _terms(losses: Losses) -> dict[str, Term]:
    found = {"text": Term(losses.text, losses.text_tokens), "mel": Term(losses.mel, losses.mel_tokens)}
    if losses.attention is not None:
        found["attention"] = Term(losses.attention, losses.attention_tokens)
    return found


def draws(dropped: Counter[tuple[float, bool]], *, attention: bool) -> str:
    """Report how often dropout was drawn in the probed step, by its rate."""
    calls = {rate: count for (rate, four), count in dropped.items() if four is attention}
    return ", ".join(f"{count} draws at {rate:.3f}" for rate, count in sorted(calls.items())) or "no draws"
