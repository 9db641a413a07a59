"""A run in motion: engine, optimizer, place in the data, watchers; one step, one evaluation, one snapshot."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dimts.base.errors import ConfigError, TrainingError
from dimts.base.progress import ProgressCallback, ignore
from dimts.base.project import Project
from dimts.train.base_model import TrainableModel, empty_copy
from dimts.train.collate import Collator, TrainingClip
from dimts.train.dataset import TrainingSet
from dimts.train.distributed import Processes
from dimts.train.early_stopping import EarlyStop, NonFiniteGuard, StopDecision
from dimts.train.export import speak_dev, speak_sample
from dimts.train.fsdp import full_tensor, gather_state, held_bytes, reshard, shard
from dimts.train.interrupt import Interrupt
from dimts.train.latent_cache import LatentCache
from dimts.train.metrics import Metric
from dimts.train.optim import EMA, EmbeddingRowLR, adamw, choose_kernel, groups, share_at
from dimts.train.probe import Probe, graphs_made
from dimts.train.runs import RunFolder
from dimts.train.sampler import Sampler, Step
from dimts.train.settings import TrainSettings
from dimts.train.snapshot import (
    Checkpoints,
    Snapshot,
    load,
    optimizer_tensors,
    put_back,
    put_back_optimizer,
    trained,
)
from dimts.xtts.loss import LossSettings
from dimts.xtts.model import Examples, Losses, covered_codes

RATE_OF_RANDOM_WEIGHTS, RATE_OF_LORA, RATE_OF_A_BASE = 1e-3, 1e-4, 1e-5
"""Learning rates when none is set: for weights made on the spot, adapters, and a published base."""


class Trainer:
    """All that moves while a voice is fine-tuned."""

    def __init__(
        self,
        settings: TrainSettings,
        engine: TrainableModel,
        data: TrainingSet,
        processes: Processes,
        scorer: Metric | None = None,
    ) -> None:
        self.settings, self.engine, self.data, self.processes = settings, engine, data, processes
        self.model = engine.model
        self.sampler = Sampler(
            tuple(clip.row for clip in data.train),
            data.seconds_per_forward,
            settings.batches.clips,
            settings.batches.accumulate * processes.count,
            settings.batches.packing == "auto",
            settings.seed,
        )
        self.batcher, self.judge_batcher = (
            Collator(clips, data.stores, settings.reference, settings.seed, settings.frozen_conditioning)
            for clips in (data.train, data.dev)
        )
        self.loss_settings = LossSettings(
            label_smoothing=settings.label_smoothing,
            chunk_tokens=settings.loss_chunk,
            compat="coqui" if settings.reference.mask == "coqui" else "mended",
        )
        self.steps_per_epoch = self.sampler.steps_per_epoch()
        self.total = (
            sum(len(self.sampler.epoch(epoch)) for epoch in range(settings.epochs))
            if settings.epochs
            else settings.steps
        )
        kernel, why = choose_kernel(settings.optimizer, processes.device.type)
        if kernel == "8bit" and processes.sharded:
            raise ConfigError("train.train_optimizer_bit_does")
        if settings.compile and processes.sharded:
            raise ConfigError("train.train_compile_slices_not")
        self.kernel_why = f"{kernel}: {why}"
        self.learning_rate = settings.learning_rate or self._usual_rate()
        if processes.sharded:
            shard(self.model, processes.device)
        self.held_bytes = held_bytes(self.model)
        """Parameters in this process."""
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.trainable = sum(parameter.numel() for parameter in self.parameters)
        self.adapter_parameters = engine.adapter_parameters
        raw = adamw(groups(self.model, settings.weight_decay), self.learning_rate, kernel)
        if processes.sharded:
            self.wrapped, self.optimizer = self.model, processes.accelerator.prepare(raw)
        else:
            self.wrapped, self.optimizer = processes.accelerator.prepare(self.model, raw)
        self.pace = EmbeddingRowLR(
            [*self.model.gpt.text_embedding.parameters(), *self.model.gpt.text_head.parameters()],
            engine.old_rows,
            settings.old_rows_pace,
            settings.new_rows_pace,
        )
        self.average = EMA(self.model, settings.ema) if settings.ema else None
        self.watcher = EarlyStop(settings.stop)
        self.guard = NonFiniteGuard(settings.stop.bad_steps)
        self.scorer = scorer
        self.best_score = math.nan
        """Of the scorer, at the best checkpoint."""
        self.machines = processes.machines()
        self.graphs_before = graphs_made()
        """Made by torch.compile before this run, in the same Python."""
        self.probe = Probe()
        self.probe.attach(self.model)
        self.taken = 0
        """Steps taken, all sittings together."""
        self.sitting = 0
        """Steps taken since this process began."""
        self.clipped = 0
        """Steps whose gradient was shortened, in this sitting."""
        self.forward_passes = 0
        self.left_out = 0
        """Code targets without loss because the crop covers them, in this sitting."""
        self.saved = 0
        """Checkpoints written in this sitting."""
        self.sample_seconds = 0.0
        """Length of the sentences spoken in this sitting."""
        self.scored = 0
        """Sentences spoken for the scorer at the last evaluation."""
        self.adapter_bytes = 0
        self.coqui_files = 0
        self.average_distance = self.adapter_strength = 0.0
        """Of the last weights; see `finish`."""
        self.stopped = ""
        """Why a watcher ended the run."""
        self.epoch, self.place = 0, 0
        self.audio_seconds = 0.0
        """Speech trained on, in this sitting."""
        self.since_evaluation: list[float] = []
        """Training losses since the last evaluation."""

    def _usual_rate(self) -> float:
        if self.engine.random:
            return RATE_OF_RANDOM_WEIGHTS
        return RATE_OF_LORA if self.settings.parts == "lora" else RATE_OF_A_BASE

    def listen(self, project: Project, on_progress: ProgressCallback = ignore) -> None:
        """Keep the latents of every crop of this run that comes again, where the conditioning does not learn."""
        if not self.settings.frozen_conditioning:
            return
        self.batcher.latents = self.judge_batcher.latents = LatentCache.of(project, self.model)
        self.batcher.listen(self.model, sorted(self._fixed_crops()), on_progress)
        self.judge_batcher.listen(self.model, [(index, None) for index in range(len(self.data.dev))], on_progress)

    @property
    def latents_read(self) -> int:
        """Latents taken from the disk instead of being computed, in this sitting."""
        return self.batcher.latents.read if self.batcher.latents is not None else 0

    def _fixed_crops(self) -> set[tuple[int, int]]:
        """(clip, turn) of all crops that this run draws and may draw again."""
        found: set[tuple[int, int]] = set()
        fixed, left, epoch = self.settings.reference.fixed, self.total, 0
        most = fixed * sum(clip.weight > 0 for clip in self.data.train)
        while left > 0 and len(found) < most:
            steps = self.sampler.epoch(epoch)[:left]
            found.update((index, epoch % fixed) for step in steps for part in step for index in part)
            left, epoch = left - len(steps), epoch + 1
        return found

    # Steps

    def steps(self) -> Iterator[Step]:
        """The steps that are still to be taken, from the place in the data where the run stands."""
        while self.taken < self.total:
            steps = self.sampler.epoch(self.epoch)
            while self.place < len(steps) and self.taken < self.total:
                yield steps[self.place]
            if self.place >= len(steps):
                self.epoch, self.place = self.epoch + 1, 0

    def step(
        self, step: Step, *, watched: bool, folder: RunFolder, interrupt: Interrupt | None = None
    ) -> dict[str, Any]:
        """Take one step; returns what is to be logged. `watched`: look at kernels and memory as it runs.

        Raises TrainingError, with the batch saved in the run's folder, when too many steps were not finite; Abandoned
        when a signal came before anything was changed (one process only: several would have to agree first).
        """
        alone = interrupt if interrupt is not None and self.processes.count == 1 else None
        began = time.monotonic()
        rate = self.learning_rate * share_at(self.settings.schedule, self.taken, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(_seed_of(self.settings.seed, self.taken, self.processes.rank))
        self.wrapped.train()
        if watched:
            with self.probe.watch(self.model, self.engine.old_rows):
                text, mel, norm = self._forward_and_step(step, folder, alone)
            self._see_smoothing(self.processes.share(step)[0])
        else:
            text, mel, norm = self._forward_and_step(step, folder, alone)
        clips = [self.data.train[index] for part in step for index in part]
        seconds = time.monotonic() - began
        spoken = sum(clip.seconds for clip in clips)
        total = self.settings.text_weight * text + mel
        epoch = self.epoch
        self.taken, self.sitting, self.place = self.taken + 1, self.sitting + 1, self.place + 1
        self.audio_seconds += spoken
        self.since_evaluation.append(total)
        return {
            "epoch": epoch,
            "loss": total,
            "loss_text": text,
            "loss_mel": mel,
            "learning_rate": rate,
            "gradient_norm": norm,
            "clips": len(clips),
            "tokens": sum(clip.tokens for clip in clips),
            "seconds": seconds,
            "audio_seconds": spoken,
            "audio_seconds_per_second": spoken / seconds,
            "skipped": self.guard.skipped,
        }

    def _forward_and_step(
        self, step: Step, folder: RunFolder, interrupt: Interrupt | None
    ) -> tuple[float, float, float]:
        accelerator = self.processes.accelerator
        breakable = interrupt.abandonable if interrupt is not None else contextlib.nullcontext
        own = self.processes.share(step)
        counts = [self._targets(part) for part in step]
        texts, mels = sum(text for text, _ in counts), sum(mel for _, mel in counts)
        sums = [0.0, 0.0]
        examples: Examples | None = None
        for turn, part in enumerate(own):
            examples = self.batcher.examples(self.model, part, self.epoch)
            held = contextlib.nullcontext() if turn == len(own) - 1 else accelerator.no_sync(self.wrapped)
            with held, breakable():
                with accelerator.autocast():
                    losses: Losses = self.wrapped(examples, self.loss_settings)
                share = self.settings.text_weight * losses.text * (losses.text_tokens / max(texts, 1))
                share = share + losses.mel * (losses.mel_tokens / max(mels, 1))
                accelerator.backward(share * self.processes.count)  # DDP takes the mean over processes
            sums[0] += float(losses.text.detach()) * losses.text_tokens
            sums[1] += float(losses.mel.detach()) * losses.mel_tokens
            self.forward_passes += 1
        text_sum, mel_sum = self.processes.sum(*sums)
        text, mel = text_sum / max(texts, 1), mel_sum / max(mels, 1)
        limit = self.settings.clip_norm or math.inf
        norm = float(full_tensor(accelerator.clip_grad_norm_(self.parameters, limit)))
        self.clipped += norm > limit
        scaled = accelerator.scaler is not None  # with fp16 an infinite norm is the scaler's business
        if self.guard.accepts(text, mel, 0.0 if scaled else norm):
            self.pace.before()
            self.optimizer.step()
            self.pace.after()
            if self.average is not None:
                self.average.update(self.model)
        elif self.guard.exhausted:
            raise self._give_up(step, examples, folder)
        self.optimizer.zero_grad(set_to_none=True)
        return text, mel, norm

    @torch.no_grad()
    def _see_smoothing(self, part: Sequence[int]) -> None:
        """What label smoothing changes in the code loss of one part."""
        self.wrapped.eval()
        examples = self.batcher.examples(self.model, part, self.epoch)
        plain = self.model(examples, replace(self.loss_settings, label_smoothing=0.0)).mel
        self.probe.smoothing_gap = float(self.model(examples, self.loss_settings).mel - plain)
        reshard(self.model)

    def _targets(self, part: Sequence[int]) -> tuple[int, int]:
        """Text and code targets of a part that have a loss."""
        clips = [self.data.train[index] for index in part]
        mel = sum(clip.audio_targets for clip in clips)
        if self.settings.reference.mask != "none":
            covered = covered_codes(
                [self.batcher.crop_of(index, self.epoch) for index in part],
                [clip.codes for clip in clips],
                self.model.spec,
                coqui=self.settings.reference.mask == "coqui",
            )
            self.left_out += int(covered.sum())
            mel -= int(covered.sum())
        return sum(clip.text_targets for clip in clips), mel

    def _give_up(self, step: Step, examples: Examples | None, folder: RunFolder) -> TrainingError:
        names = [self.data.train[index].id for part in step for index in part]
        if self.processes.main and examples is not None:
            tensors = {"text_ids": examples.text_ids, "codes": examples.codes}
            tensors |= {name: value for name in ("mel", "latents") if (value := getattr(examples, name)) is not None}
            save_file(
                {name: value.contiguous() for name, value in tensors.items()}, folder.root / "bad_batch.safetensors"
            )
            folder.write("bad_batch.json", {"step": self.taken, "clips": names})
        return TrainingError(
            "train.loss_gradient_not_finite",
            skipped=self.guard.skipped,
            taken=self.taken,
            folder=folder.root / "bad_batch.json",
        )

    # Judging

    def due_for_evaluation(self) -> bool:
        """After every `evaluate_every` steps, or after each epoch."""
        every = self.settings.evaluate_every
        return self.taken % every == 0 if every else self.place >= len(self.sampler.epoch(self.epoch))

    @torch.no_grad()
    def judge(self) -> tuple[dict[str, float | None], StopDecision]:
        """Dev losses, by the averaged weights where there are such, and what they mean; None: not to be measured."""
        train_loss = sum(self.since_evaluation) / max(len(self.since_evaluation), 1)
        self.since_evaluation = []
        if not self.data.dev:
            dev = text = mel = train_loss
        else:
            if self.average is not None:
                with self.average.inside(self.model):
                    text, mel = self._dev_losses()
            else:
                text, mel = self._dev_losses()
            dev = self.settings.text_weight * text + mel
        values: dict[str, float | None] = {
            "dev_loss": dev,
            "dev_loss_text": text,
            "dev_loss_mel": mel,
            "train_loss": train_loss,
        }
        verdict = self.watcher.see(train_loss, dev)
        if self.scorer is not None:
            score = self._score(self.scorer)
            sign = 1 if self.scorer.lower_is_better else -1
            better = math.isfinite(score) and not sign * score >= sign * self.best_score
            self.best_score = score if better else self.best_score
            values[self.settings.best_by] = score if math.isfinite(score) else None
            verdict = replace(verdict, best=better)
        return values, verdict

    def _score(self, scorer: Metric) -> float:
        """What the scorer makes of dev sentences spoken now, by the averaged weights where there are such."""
        average = self.average.inside(self.model) if self.average is not None else contextlib.nullcontext()
        score = 0.0
        with average, gather_state(self.model):
            if self.processes.main:
                spoken = speak_dev(self.engine, self.data, self.settings.best_clips)
                self.scored = len(spoken)
                score = scorer(spoken)
        return self.processes.sum(score)[0]

    def _dev_losses(self) -> tuple[float, float]:
        """Token means over all dev clips, without dropout, smoothing or masks; each clip's company never matters."""
        self.wrapped.eval()
        sums = [0.0] * 4
        parts = parts_of(self.data.dev, self.data.seconds_per_forward)
        # slices are put together by all processes at once: who has no part left goes along with the first
        spare = -len(parts) % self.processes.count if self.processes.sharded else 0
        turns = [(part, True) for part in parts] + [(parts[0], False)] * spare
        for part, counts in self.processes.share(turns):
            examples = self.judge_batcher.examples(self.model, part, None)
            with self.processes.accelerator.autocast():
                losses = self.model(examples, LossSettings(chunk_tokens=self.settings.loss_chunk))
            if not counts:
                continue
            sums[0] += float(losses.text) * losses.text_tokens
            sums[1] += float(losses.mel) * losses.mel_tokens
            sums[2] += losses.text_tokens
            sums[3] += losses.mel_tokens
        reshard(self.model)
        text, mel, texts, mels = self.processes.sum(*sums)
        return text / max(texts, 1), mel / max(mels, 1)

    # Keeping

    def snapshot(self) -> Snapshot | None:
        """Everything needed to go on from here, on the first process; all must come where slices are to be joined."""
        if not (self.processes.main or self.processes.sharded):
            return None
        numbers = {
            "epoch": self.epoch,
            "place": self.place,
            "watcher": self.watcher.state(),
            "skipped": self.guard.skipped,
            "since_evaluation": self.since_evaluation,
            "average_steps": self.average.steps if self.average else 0,
            "best_score": self.best_score if math.isfinite(self.best_score) else None,
        }
        if self.processes.accelerator.scaler is not None:
            numbers["scaler"] = self.processes.accelerator.scaler.state_dict()
        shadow = self.average.shadow if self.average else {}
        together = self.processes.whole
        weights, moments = together(trained(self.model)), together(optimizer_tensors(self.optimizer))
        whole_shadow = together(shadow)
        return Snapshot(self.taken, weights, moments, whole_shadow, numbers) if self.processes.main else None

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to where a snapshot was taken."""
        numbers = snapshot.numbers
        put_back(self.model, snapshot.weights)
        put_back_optimizer(self.optimizer, snapshot.optimizer)
        if self.average is not None:
            self.average.restore(snapshot.average, numbers["average_steps"])
        self.taken, self.epoch, self.place = snapshot.step, numbers["epoch"], numbers["place"]
        self.watcher = EarlyStop.restore(self.settings.stop, numbers["watcher"])
        self.guard.skipped = numbers["skipped"]
        self.since_evaluation = list(numbers["since_evaluation"])
        self.best_score = math.nan if numbers["best_score"] is None else numbers["best_score"]
        if self.processes.accelerator.scaler is not None and "scaler" in numbers:
            self.processes.accelerator.scaler.load_state_dict(numbers["scaler"])

    def finish(self) -> None:
        """Measure what later steps (taking the best, merging adapters) would hide."""
        self.average_distance = self.average.distance(self.model) if self.average else 0.0
        with gather_state(self.model):
            self.adapter_strength = self.engine.adapter_strength()

    def join(self) -> None:
        """The first process has the whole engine again, where each had a slice: a voice cannot be made of slices."""
        if self.processes.sharded:
            state = self.processes.whole(self.model.state_dict())
            if self.processes.main:
                self.model = self.engine.model = empty_copy(self.model, self.settings)
                self.model.load_state_dict(state)

    def take_best(self, checkpoints: Checkpoints) -> None:
        """The best weights (averaged where an average is kept), for the voice."""
        path = checkpoints.best() or checkpoints.last()
        if path is not None:
            snapshot = load(path)
            put_back(self.model, snapshot.average or snapshot.weights)

    def speak(self, folder: Path) -> Path:
        """Say the sample text with the engine as it is, on the first process; returns the wave file."""
        path = folder / f"step-{self.taken:06d}.wav"
        with gather_state(self.model):
            if self.processes.main:
                self.sample_seconds += speak_sample(self.engine, self.data, self.settings.sample_text, path)
        self.processes.wait()
        return path


def parts_of(clips: Sequence[TrainingClip], seconds: float) -> list[list[int]]:
    """Clips by length, cut into parts of about so many seconds."""
    parts: list[list[int]] = []
    filled = math.inf
    for index in sorted(range(len(clips)), key=lambda index: (clips[index].tokens, index)):
        if filled + clips[index].seconds > seconds:
            parts.append([])
            filled = 0.0
        parts[-1].append(index)
        filled += clips[index].seconds
    return parts


def _seed_of(seed: int, step: int, rank: int) -> int:
    """A seed of its own for every step and process."""
    digest = hashlib.sha256(json.dumps([seed, step, rank]).encode()).digest()
    return int.from_bytes(digest[:6], "little")
