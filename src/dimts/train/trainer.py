"""Run the steps of a stage: forward and backward passes, optimizers, evaluation, snapshots.

Exact: everything random in a step follows from seed and step, a step's loss is the mean over all its targets
however it is split, and a snapshot holds all other state.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dimts.base.errors import ConfigError, TrainingError
from dimts.base.messages import Message
from dimts.train.base_model import empty_copy
from dimts.train.collate import TrainingClip
from dimts.train.distributed import Processes
from dimts.train.early_stopping import EarlyStop, NonFiniteGuard, StopDecision
from dimts.train.export import speak_sample
from dimts.train.fsdp import full_tensor, gather_state, held_bytes, reshard
from dimts.train.interrupt import Interrupt
from dimts.train.metrics import Metric
from dimts.train.optim import EMA, Kernel, adamw, choose_kernel, share_at
from dimts.train.probe import Probe, graphs_made
from dimts.train.runs import RunFolder
from dimts.train.sampler import Step
from dimts.train.snapshot import (
    Checkpoints,
    Snapshot,
    load,
    load_optimizer,
    load_weights,
    optimizer_state,
    trainable_parameters,
)
from dimts.train.stages.stage import Phase, Stage, Term, copy_into, only_learning, weighted_loss


class Trainer:
    """The state of one run: a stage, its optimizers, the position in the data, early stopping."""

    def __init__(self, stage: Stage, processes: Processes, scorer: Metric | None = None) -> None:
        self.stage, self.settings, self.processes, self.scorer = stage, stage.settings, processes, scorer
        self.model, self.data, self.stats = stage.model, stage.data, stage.stats
        self.sampler, self.total = stage.sampler, stage.total_steps
        self.steps_per_epoch = self.sampler.steps_per_epoch()
        self.kernel, self.kernel_why = check_kernel(stage, processes)
        self.learning_rate = self.settings.learning_rate or stage.usual_learning_rate()
        self.held_bytes = held_bytes(self.model)
        """Bytes of parameters in this process."""
        self.phases = stage.phases()
        self.trainable = sum(p.numel() for phase in self.phases for p in phase.parameters)
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        """Optimizers by the name of their phase."""
        self._prepare_optimizers()
        self.average = EMA(self.model, self.settings.ema) if self.settings.ema else None
        self.watcher = EarlyStop(self.settings.stop)
        self.guard = NonFiniteGuard(self.settings.stop.bad_steps)
        self.machines = processes.machines()
        self.graphs_before = graphs_made()
        """Graphs made by torch.compile before this run, in the same process."""
        self.probe = Probe()
        self.probe.attach(self.model)
        self.epoch, self.place = 0, 0
        """Epoch, and number of its steps that were taken."""

    def _prepare_optimizers(self) -> None:
        raw = [
            adamw(phase.groups, self.learning_rate * phase.learning_rate_scale, self.kernel, phase.betas)
            for phase in self.phases
        ]
        prepare = self.processes.accelerator.prepare
        if self.processes.sharded or self.stage.one_process_only:
            self.wrapped = self.model
            made = [prepare(optimizer) for optimizer in raw]
        else:
            self.wrapped, *made = prepare(self.model, *raw)
        self.stage.wrapped = self.wrapped
        self.optimizers = {phase.name: optimizer for phase, optimizer in zip(self.phases, made, strict=True)}

    # Steps

    def steps(self) -> Iterator[Step]:
        """Yield the remaining steps, from the run's position in the data."""
        while self.stats.steps < self.total:
            steps = self.sampler.epoch(self.epoch)
            while self.place < len(steps) and self.stats.steps < self.total:
                yield steps[self.place]
            if self.place >= len(steps):
                self.epoch, self.place = self.epoch + 1, 0

    def step(
        self, step: Step, *, watched: bool, folder: RunFolder, interrupt: Interrupt | None = None
    ) -> dict[str, Any]:
        """Take one step and return its log values. `watched`: probe kernels and memory.

        Raises TrainingError, with the batch saved in the run's folder, when too many steps were not finite;
        Abandoned when a signal came before anything was changed (one process only: several would have to
        agree first).
        """
        alone = interrupt if self.processes.count == 1 and not self.stage.changes_state_in_forward else None
        began = time.monotonic()
        rate = self.learning_rate * share_at(self.settings.schedule, self.stats.steps, self.total)
        for phase in self.phases:
            for group in self.optimizers[phase.name].param_groups:
                group["lr"] = rate * phase.learning_rate_scale
        torch.manual_seed(_seed_of(self.settings.seed, self.stats.steps, self.processes.rank))
        self.stage.before_step(self.stats.steps)
        self.stage.module.train()
        watching = (
            self.probe.watch(self.stage.module, self.stage.engine) if watched else contextlib.nullcontext()
        )
        with watching:
            values, norm = self._all_phases(step, folder, alone)
        if watched:
            self.stage.watch_after(self.probe, self.processes.share(step)[0], self.epoch)
        clips = [self.data.train[index] for part in step for index in part]
        return self._note_step(values, norm, rate, clips, time.monotonic() - began)

    def _note_step(
        self,
        values: Mapping[str, float],
        norm: float,
        rate: float,
        clips: Sequence[TrainingClip],
        seconds: float,
    ) -> dict[str, Any]:
        spoken = sum(clip.seconds for clip in clips)
        total = sum(weight * values[f"loss_{name}"] for name, weight in self.phases[-1].weights.items())
        epoch = self.epoch
        self.place += 1
        self.stats.steps, self.stats.session_steps = self.stats.steps + 1, self.stats.session_steps + 1
        self.stats.audio_seconds += spoken
        self.stats.losses_since_evaluation.append(total)
        return {
            "epoch": epoch,
            "loss": total,
            **values,
            "learning_rate": rate,
            "gradient_norm": norm,
            **self.stage.step_values(),
            "clips": len(clips),
            "tokens": sum(clip.tokens for clip in clips),
            "seconds": seconds,
            "audio_seconds": spoken,
            "audio_seconds_per_second": spoken / seconds,
            "skipped": self.guard.skipped,
        }

    def _all_phases(
        self, step: Step, folder: RunFolder, interrupt: Interrupt | None
    ) -> tuple[dict[str, float], float]:
        """Run each active phase of a step: all terms by "loss_" and name, and the last phase's gradient
        norm."""
        own = self.processes.share(step)
        batches: dict[int, Any] = {}
        values: dict[str, float] = {}
        norm = 0.0
        active = [phase for phase in self.phases if self.stage.active(phase, self.stats.steps)]
        for number, phase in enumerate(active):
            counts = [self.stage.counts(phase, part, self.epoch) for part in step]
            totals = {name: sum(count[name] for count in counts) for name in phase.weights}
            with only_learning(phase, self.phases):
                parts, batch = self._backward(phase, own, totals, batches, interrupt if not number else None)
            length = self._clip(phase)
            decides = number == len(active) - 1 and self._device_decides()
            if decides:  # the host reads the results when the whole step is queued
                self._step_if_finite(phase, parts, length)
            terms, norm = self._read(phase, parts, length, totals)
            values.update({f"loss_{name}": value for name, value in terms.items()})
            if not self._accepts(terms, norm, step, batch, folder):
                if (
                    self.processes.accelerator.scaler is not None
                ):  # its state of this step would refuse the next one
                    self.processes.accelerator.scaler.update()
                break
            if not decides:
                self._step_optimizer(phase)
            self.stage.after_phase(phase)
        else:
            if self.average is not None:
                self.average.update(self.model)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        for name in self.phases[-1].weights:
            values.setdefault(f"loss_{name}", math.nan)
        return values, norm

    def _backward(
        self,
        phase: Phase,
        own: Sequence[Sequence[int]],
        totals: Mapping[str, float],
        batches: dict[int, Any],
        interrupt: Interrupt | None,
    ) -> tuple[list[dict[str, Term]], Any]:
        """Add up the gradients of all parts; returns the terms of each part, on the device, and the last
        batch."""
        accelerator = self.processes.accelerator
        breakable = interrupt.abandonable if interrupt is not None else contextlib.nullcontext
        found: list[dict[str, Term]] = []
        batch: Any = None
        for turn, part in enumerate(own):
            if turn not in batches or len(own) > 1:  # several parts are not kept in memory at once
                batches[turn] = self.stage.batch(part, self.epoch)
            batch = batches[turn]
            held = contextlib.nullcontext() if turn == len(own) - 1 else accelerator.no_sync(self.wrapped)
            with held, breakable():
                with accelerator.autocast():
                    terms = self.stage.losses(phase, batch)
                loss = weighted_loss(phase, terms, totals)
                accelerator.backward(loss * self.processes.count)  # DDP takes the mean over processes
            found.append({name: Term(term.mean.detach(), term.count) for name, term in terms.items()})
            self.stats.forward_passes += 1
        return found, batch

    def _clip(self, phase: Phase) -> Tensor:
        """Clip the gradient's norm; returns the norm before that, on the device."""
        limit = self.settings.clip_norm or math.inf
        return full_tensor(self.processes.accelerator.clip_grad_norm_(phase.parameters, limit))

    def _device_decides(self) -> bool:
        """Whether the device itself can skip a step that is not finite, without a synchronisation."""
        fused = self.kernel == "fused"
        return fused and self.processes.count == 1 and self.processes.accelerator.scaler is None

    def _step_if_finite(self, phase: Phase, parts: Sequence[Mapping[str, Term]], norm: Tensor) -> None:
        """Take an optimizer step that the fused kernel skips where a loss or the norm is not finite."""
        seen = torch.stack([norm.float(), *(term.mean.float() for terms in parts for term in terms.values())])
        wrapped = self.optimizers[phase.name]
        inner: Any = getattr(wrapped, "optimizer", wrapped)
        inner.found_inf = torch.isfinite(seen).all().logical_not().to(torch.float32)
        try:
            self._step_optimizer(phase)
        finally:
            del inner.found_inf

    def _step_optimizer(self, phase: Phase) -> None:
        with self.stage.around_optimizer(phase):
            self.optimizers[phase.name].step()
        self.optimizers[phase.name].zero_grad(set_to_none=True)

    def _read(
        self, phase: Phase, parts: Sequence[Mapping[str, Term]], norm: Tensor, totals: Mapping[str, float]
    ) -> tuple[dict[str, float], float]:
        """Return each term's mean over the step and the norm of the gradient: the only synchronisation of
        host and device in a phase."""
        terms = [(name, term) for part in parts for name, term in part.items()]
        *means, length = torch.stack([*(term.mean.float() for _, term in terms), norm.float()]).tolist()
        sums = dict.fromkeys(phase.weights, 0.0)
        for (name, term), mean in zip(terms, means, strict=True):
            sums[name] += mean * term.count
        found = self.processes.sum(*sums.values())
        self.stats.clipped += length > (self.settings.clip_norm or math.inf)
        return {name: value / max(totals[name], 1) for name, value in zip(sums, found, strict=True)}, length

    def _accepts(
        self, terms: Mapping[str, float], norm: float, step: Step, batch: Any, folder: RunFolder
    ) -> bool:
        """Whether a phase's step may be taken. TrainingError when too many were not finite."""
        scaled = (
            self.processes.accelerator.scaler is not None
        )  # with fp16 the gradient scaler handles an infinite norm
        if self.guard.accepts(*terms.values(), 0.0 if scaled else norm):
            return True
        if self.guard.exhausted:
            raise self._give_up(step, batch, folder)
        return False

    def _give_up(self, step: Step, batch: Any, folder: RunFolder) -> TrainingError:
        names = [self.data.train[index].id for part in step for index in part]
        if self.processes.main and batch is not None:
            tensors = {name: value for name, value in _fields_of(batch).items() if isinstance(value, Tensor)}
            save_file(
                {name: value.contiguous() for name, value in tensors.items()},
                folder.root / "bad_batch.safetensors",
            )
            folder.write("bad_batch.json", {"step": self.stats.steps, "clips": names})
        return TrainingError(
            "train.loss_gradient_not_finite",
            skipped=self.guard.skipped,
            taken=self.stats.steps,
            folder=folder.root / "bad_batch.json",
        )

    # Evaluation

    def due_for_evaluation(self) -> bool:
        """Whether `evaluate_every` steps, or an epoch, have been completed."""
        every = self.settings.evaluate_every
        if not self.stage.ready_for_evaluation(self.stats.steps):
            return False
        return self.stats.steps % every == 0 if every else self.place >= len(self.sampler.epoch(self.epoch))

    @torch.no_grad()
    def evaluate(self) -> tuple[dict[str, float | None], StopDecision]:
        """Return dev losses, with the averaged weights if there are any, and the decision; None: not
        measurable."""
        history = self.stats.losses_since_evaluation
        train_loss = sum(history) / max(len(history), 1)
        self.stats.losses_since_evaluation = []
        weights, dev = self.stage.dev_weights(), train_loss  # without dev clips, training's own loss decides
        values: dict[str, float | None] = {"train_loss": train_loss}
        if self.data.dev:
            with self.average.inside(self.model) if self.average is not None else contextlib.nullcontext():
                terms = self._dev_losses()
            dev = sum(weight * terms[name] for name, weight in weights.items())
            values = {
                "dev_loss": dev,
                **{f"dev_loss_{name}": value for name, value in terms.items()},
                **values,
            }
        decision = self.watcher.see(train_loss, dev)
        if (
            decision.stop is not None
            and decision.stop.code == "train.no_better_dev_loss"
            and not self.data.dev
        ):
            decision = replace(
                decision, stop=Message("train.no_better_train_loss", **decision.stop.parameters)
            )
        if self.scorer is not None:
            score = self._score(self.scorer)
            sign = 1 if self.scorer.lower_is_better else -1
            better = math.isfinite(score) and not sign * score >= sign * self.stats.best_score
            self.stats.best_score = score if better else self.stats.best_score
            values[self.settings.best_by] = score if math.isfinite(score) else None
            decision = replace(decision, best=better)
        if alarm := self.stage.alarm(values):
            decision = replace(decision, stop=alarm)
        return values, decision

    @property
    def judged_by(self) -> str:
        """Name of the criterion that chooses the best checkpoint."""
        if self.scorer is not None:
            return self.settings.best_by
        return "dev_loss" if self.data.dev else "train_loss"

    def _score(self, scorer: Metric) -> float:
        """Score dev sentences synthesised now, with the averaged weights if there are any."""
        average = self.average.inside(self.model) if self.average is not None else contextlib.nullcontext()
        score = 0.0
        with average, gather_state(self.model):
            if self.processes.main:
                spoken = self.stage.speak_dev(self.settings.best_clips)
                self.stats.evaluated_sentences = len(spoken)
                score = scorer(spoken)
        return self.processes.sum(score)[0]

    def _dev_losses(self) -> dict[str, float]:
        """Return means of all terms over the dev clips, without anything random and independent of the
        batches."""
        self.stage.module.eval()
        names = tuple(self.stage.dev_weights())
        sums, counts = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
        parts = parts_of(self.data.dev, self.data.seconds_per_forward)
        # sharded parameters are gathered by all processes at once: one without a part takes part with an
        # empty one
        spare = -len(parts) % self.processes.count if self.processes.sharded else 0
        turns = [(part, True) for part in parts] + [(parts[0], False)] * spare
        for part, counted in self.processes.share(turns):
            batch = self.stage.batch(part, None)
            with self.processes.accelerator.autocast():
                terms = self.stage.dev_losses(batch)
            for name in names if counted else ():
                sums[name] += float(terms[name].mean) * terms[name].count
                counts[name] += terms[name].count
        reshard(self.model)
        found = self.processes.sum(*sums.values(), *counts.values())
        return {name: found[i] / max(found[i + len(names)], 1) for i, name in enumerate(names)}

    # Snapshots

    def snapshot(self) -> Snapshot | None:
        """Return the state to continue from here, on the first process; collective when parameters are
        sharded."""
        if not (self.processes.main or self.processes.sharded):
            return None
        numbers = {
            "epoch": self.epoch,
            "place": self.place,
            "watcher": self.watcher.state(),
            "skipped": self.guard.skipped,
            "since_evaluation": self.stats.losses_since_evaluation,
            "average_steps": self.average.steps if self.average else 0,
            "best_score": self.stats.best_score if math.isfinite(self.stats.best_score) else None,
        }
        if self.processes.accelerator.scaler is not None:
            numbers["scaler"] = self.processes.accelerator.scaler.state_dict()
        moments = {
            f"{name}/{key}": value
            for name, optimizer in self.optimizers.items()
            for key, value in optimizer_state(optimizer).items()
        }
        together = self.processes.whole
        weights, optimizer = together(trainable_parameters(self.model)), together(moments)
        average, extras = together(self.average.shadow if self.average else {}), together(self.stage.extras())
        if not self.processes.main:
            return None
        return Snapshot(self.stats.steps, weights, optimizer, average, extras, numbers)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state of a snapshot."""
        numbers = snapshot.numbers
        load_weights(self.model, snapshot.weights)
        copy_into(self.stage.extras(), snapshot.extras)
        for name, optimizer in self.optimizers.items():
            own = {
                key[len(name) + 1 :]: v for key, v in snapshot.optimizer.items() if key.startswith(f"{name}/")
            }
            load_optimizer(optimizer, own)
        if self.average is not None:
            self.average.restore(snapshot.average, numbers["average_steps"])
        self.stats.steps, self.epoch, self.place = snapshot.step, numbers["epoch"], numbers["place"]
        self.watcher = EarlyStop.restore(self.settings.stop, numbers["watcher"])
        self.guard.skipped = numbers["skipped"]
        self.stats.losses_since_evaluation = list(numbers["since_evaluation"])
        self.stats.best_score = math.nan if numbers["best_score"] is None else numbers["best_score"]
        if self.processes.accelerator.scaler is not None and "scaler" in numbers:
            self.processes.accelerator.scaler.load_state_dict(numbers["scaler"])

    def finish(self) -> None:
        """Measure what later steps (loading the best weights, merging adapters) would hide."""
        self.stats.average_distance = self.average.distance(self.model) if self.average else 0.0
        with gather_state(self.model):
            self.stats.adapter_strength = self.stage.engine.adapter_strength()

    def join(self) -> None:
        """Gather the whole model on the first process where parameters were sharded, for the export."""
        if self.processes.sharded:
            state = self.processes.whole(self.model.state_dict())
            if self.processes.main:
                self.model = self.stage.model = self.stage.engine.model = empty_copy(
                    self.model, self.settings
                )
                self.model.load_state_dict(state)

    def take_best(self, checkpoints: Checkpoints) -> None:
        """Load the best weights (averaged where an average is kept), for the voice."""
        path = checkpoints.best() or checkpoints.last()
        if path is not None:
            snapshot = load(path)
            load_weights(self.model, snapshot.average or snapshot.weights)
            copy_into(self.stage.extras(), snapshot.extras)

    def speak(self, folder: Path) -> Path:
        """Speak the sample text with the model as it is, on the first process; returns the wave file."""
        path = folder / f"step-{self.stats.steps:06d}.wav"
        with gather_state(self.model):
            if self.processes.main:
                text = self.settings.sample_text
                self.stats.sample_seconds += speak_sample(self.stage.engine, self.data, text, path)
        self.processes.wait()
        return path


def check_kernel(stage: Stage, processes: Processes) -> tuple[Kernel, Message]:
    """Return the AdamW kernel and the reason. ConfigError for what several processes cannot do."""
    settings = stage.settings
    kernel, why = choose_kernel(settings.optimizer, processes.device.type)
    if stage.one_process_only and processes.count > 1:
        raise ConfigError("train.stage_one_process", stage=stage.name, processes=processes.count)
    if kernel == "8bit" and processes.sharded:
        raise ConfigError("train.train_optimizer_bit_does")
    if settings.compile and processes.sharded:
        raise ConfigError("train.train_compile_slices_not")
    return kernel, why


def _fields_of(batch: Any) -> dict[str, Any]:
    """A batch's fields by name; batches are dataclasses."""
    return {name: getattr(batch, name) for name in getattr(batch, "__dataclass_fields__", {})}


def parts_of(clips: Sequence[TrainingClip], seconds: float) -> list[list[int]]:
    """Sort clips by length and cut them into parts of about so many seconds."""
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
    """Return a seed of its own for every step and process."""
    digest = hashlib.sha256(json.dumps([seed, step, rank]).encode()).digest()
    return int.from_bytes(digest[:6], "little")
