"""Report each option of a run: what was asked, what was applied, what was measured.

Every effect is read from what happened: the log, the probed step, the parameters, the disk. None of it holds
times, so that two equal runs have equal tables; speed has rows of its own. A stage reports its own options.
"""

from __future__ import annotations

import dataclasses
import statistics
import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from dimts.base.messages import Message
from dimts.train.latent_cache import latents_plan
from dimts.train.metrics import LOSS
from dimts.train.option_table import OptionRow
from dimts.train.probe import graphs_made
from dimts.train.settings import TrainSettings
from dimts.train.snapshot import Checkpoints
from dimts.train.stages.stage import option_is, option_set
from dimts.train.track import Tracker
from dimts.train.trainer import Trainer

MEBIBYTE = 1 << 20
_OFF = {0, "", "off", "none"}
_ZERO_IS_AUTO = {"batches.seconds", "evaluate_every", "seed", "batches.clips", "base"}


def option_report(
    training: Trainer,
    lines: list[dict[str, Any]],
    plan: Mapping[str, Any],
    tracker: Tracker,
    checkpoints: Checkpoints,
) -> list[OptionRow]:
    """Return one row per option, then speed and memory; none where no step was taken."""
    settings = training.settings
    steps = [line for line in lines if line["kind"] == "step"]
    if not steps or not training.stats.session_steps:
        return []
    effects = {
        **_engine(training, plan),
        **_learning(training, steps),
        **_data(settings, training),
        **_watching(settings, training, lines, tracker, checkpoints),
        **training.stage.option_effects(training.probe, steps),
    }
    asked = _flat(settings)
    ignored = {name: reason for name in asked if (reason := _ignored(name, settings, training))}
    unknown = set(effects) - set(asked) | set(asked) - set(effects) - set(ignored)
    if unknown:
        raise KeyError(f"options without a measured effect, or the other way round: {sorted(unknown)}")
    return [
        OptionRow(
            name,
            value,
            Message("train.option_ignored", reason=ignored[name])
            if name in ignored
            else _applied(name, value, settings, training),
            effects.get(name, Message("train.effect_nothing")),
        )
        for name, value in asked.items()
    ] + _speed(training, steps)


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return every option by its dotted name."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            out.update(_flat(value, f"{prefix}{field.name}."))
        else:
            out[prefix + field.name] = dict(value) if isinstance(value, Mapping) else value
    return out


def _ignored(name: str, settings: TrainSettings, training: Trainer) -> Message | None:
    """Return why an option has no effect in this run; None when it has one."""
    synthetic = settings.synthetic.share
    common = {
        "size": option_set("train.base") if settings.base else None,
        "steps": option_set("train.epochs") if settings.epochs else None,
        "batches.replay_share": None
        if settings.batches.replay
        else Message("train.reason_unset", option="train.batches.replay"),
        "attention_fallback": option_is("train.attention", "auto") if settings.attention == "auto" else None,
        "best_clips": option_is("train.best_by", LOSS) if settings.best_by == LOSS else None,
        "sample_text": None if settings.sample_every else option_is("train.sample_every", 0),
        "ray.": Message("train.reason_not_on_ray") if training.processes.place is None else None,
        "synthetic.": None
        if synthetic or name == "synthetic.share"
        else option_is("train.synthetic.share", 0),
        "synthetic.clips": None if synthetic == 1 else Message("train.reason_own_clips_too"),
    }
    table = name.rpartition(".")[0] + "." if "." in name else ""
    for found in (training.stage.ignored_options(), common):
        if reason := found.get(name) or (found.get(table) if table else None):
            return reason
    return None


def _applied(name: str, value: Any, settings: TrainSettings, training: Trainer) -> Message:
    """Return the applied value of an option."""
    if name == "freeze_conditioning" and settings.frozen_conditioning:
        return Message("train.option_applied_so", how=latents_plan(settings))
    if name == "sharding" and training.processes.sharded:
        return training.processes.sharded_why
    if isinstance(value, str | int | float | bool) and value in _OFF:
        return Message("train.option_off" if name not in _ZERO_IS_AUTO else "train.option_auto")
    return Message("train.option_applied")


def _engine(training: Trainer, plan: Mapping[str, Any]) -> dict[str, Message]:
    model, probe = training.model, training.probe
    total = sum(parameter.numel() for parameter in model.parameters())
    kinds = tuple(
        f"{size / MEBIBYTE:.2f} MiB {kind}" for kind, size in sorted(probe.saved_bytes.items()) if size
    )
    moved = tuple(sorted({name.partition(".")[0] for name, change in probe.moved.items() if change}))
    products = probe.kernels["addmm"] + probe.kernels["mm"] + probe.kernels["bmm"]
    return {
        "stage": Message("train.effect_moved", parts=moved)
        if moved
        else Message("train.effect_moved_nothing"),
        "base": training.stage.engine.origin,
        "size": Message("train.effect_size", layers=len(model.gpt.trunk.h), width=model.spec.width),
        "trainable": Message("train.effect_trainable", learn=training.trainable, total=total),
        "attention_fallback": plan["attention"],
        "sharding": Message(
            "train.effect_sharding", bytes=training.held_bytes, processes=training.processes.count
        ),
        "compile": Message(
            "train.effect_compiled",
            graphs=graphs_made() - training.graphs_before,
            modules=plan["compiled_modules"],
        ),
        "precision": Message("train.effect_precision", precision=plan["precision"], kept=kinds),
        "checkpointing": Message("train.effect_checkpointing", kept=kinds, products=products),
    }


def _learning(training: Trainer, steps: list[dict[str, Any]]) -> dict[str, Message]:
    rates = [step["learning_rate"] for step in steps]
    norms = [step["gradient_norm"] for step in steps]
    groups = [group for optimizer in training.optimizers.values() for group in optimizer.param_groups]
    decayed = sum(p.numel() for group in groups if group["weight_decay"] for p in group["params"])
    strongest = max(group["weight_decay"] for group in groups)
    order = zlib.crc32(repr([training.sampler.epoch(0), round(steps[0]["loss"], 4)]).encode())
    stats = training.stats
    highest = max(rates)
    passes = training.epoch + training.place / max(len(training.sampler.epoch(training.epoch)), 1)
    return {
        "steps": Message("train.effect_steps", steps=stats.steps),
        "epochs": Message("train.effect_passes", passes=passes),
        "seed": Message("train.effect_seed", order=f"{order:08x}"),
        "learning_rate": Message("train.effect_highest", rate=highest),
        "schedule.shape": Message(
            "train.effect_schedule",
            first=rates[0],
            highest=highest,
            halfway=rates[len(rates) // 2],
            last=rates[-1],
        ),
        "schedule.warmup_steps": Message(
            "train.effect_warmup", step=rates.index(highest) + 1, first=rates[0]
        ),
        "schedule.final_share": Message("train.effect_last_rate", rate=rates[-1]),
        "weight_decay": Message("train.effect_decay", parameters=decayed, share=strongest * highest),
        "clip_norm": Message(
            "train.effect_clipped", clipped=stats.clipped, steps=stats.session_steps, largest=max(norms)
        ),
        "optimizer": _named(training.probe.optimizer_kernel, "train.effect_no_kernel"),
        "ema": Message("train.effect_average", distance=stats.average_distance),
    }


def _data(settings: TrainSettings, training: Trainer) -> dict[str, Message]:
    probe, sampler, data, stats = training.probe, training.sampler, training.data, training.stats
    epoch = sampler.epoch(0)
    own = len(data.train) - data.replayed
    drawn = [index for step in epoch for part in step for index in part if index < len(data.train)]
    speakers = Counter(data.train[index].speaker for index in drawn)
    seconds = sum(data.train[i].seconds for i in drawn)
    replayed = sum(data.train[i].seconds for i in drawn if i >= own)
    longest = max(len(part) for step in epoch for part in step)
    found = {
        "batches.seconds": Message(
            "train.effect_seconds_per_pass", seconds=stats.audio_seconds / max(stats.forward_passes, 1)
        ),
        "batches.clips": Message("train.effect_most_clips", clips=longest),
        "batches.packing": Message(
            "train.effect_padding", share=probe.padding_share, positions=probe.fed_tokens
        ),
        "batches.accumulate": Message(
            "train.effect_passes_per_step", passes=stats.forward_passes / stats.session_steps
        ),
        "batches.unusable": Message("train.effect_left_out", clips=data.left_out),
        "batches.weights": Message(
            "train.effect_drawn",
            counts=tuple(
                f"{name} {n}" if name else Message("train.unnamed_drawn", count=n)
                for name, n in sorted(speakers.items())
            ),
        ),
        "batches.replay": Message("train.effect_replayed", clips=data.replayed),
        "batches.replay_share": Message("train.effect_replay_share", share=replayed / max(seconds, 1e-9)),
        "synthetic.share": Message(
            "train.effect_synthetic_share", generated=data.generated_per_part, most=longest
        ),
    }
    return found | (_synthetic(training) if data.generated_per_part else {})


def _synthetic(training: Trainer) -> dict[str, Message]:
    data = training.data
    voices = {clip.speaker for clip in data.dev if clip.key.startswith("synthetic")}
    lengths = [len(clip.ids) for clip in data.dev] or [0]
    words = Message("train.effect_dev_lengths", shortest=min(lengths), longest=max(lengths))
    return {
        "synthetic.texts": Message("train.effect_corpus", corpus=data.corpus),
        "synthetic.clips": Message("train.effect_clips_per_pass", clips=data.generated_per_part),
        "synthetic.dev_clips": Message(
            "train.effect_dev_clips", clips=sum(clip.key.startswith("synthetic") for clip in data.dev)
        ),
        "synthetic.speakers": Message("train.effect_dev_speakers", speakers=len(voices)),
        "synthetic.min_words": words,
        "synthetic.max_words": words,
    }


def _watching(
    settings: TrainSettings,
    training: Trainer,
    lines: list[dict[str, Any]],
    tracker: Tracker,
    checkpoints: Checkpoints,
) -> dict[str, Message]:
    kinds = Counter(line["kind"] for line in lines)
    kept = tuple(path.name for path in checkpoints.all())
    watcher, stats = training.watcher, training.stats
    best, place = checkpoints.best(), training.processes.place
    judged = len(watcher.curve)
    curve = Message("train.effect_curve", evaluations=judged, best=watcher.best, waited=watcher.waited)
    reason = stats.stop_reason or Message("train.effect_not_stopped")
    return {
        "evaluate_every": Message("train.effect_evaluations", evaluations=kinds["evaluation"]),
        "save_every": Message("train.effect_checkpoints", checkpoints=stats.checkpoints),
        "keep": Message("train.effect_kept", names=kept),
        "best_by": Message("train.effect_best", name=best.name, evaluations=judged, metric=settings.best_by)
        if best
        else Message("train.effect_none_judged", metric=settings.best_by),
        "best_clips": Message("train.effect_judged_sentences", sentences=stats.evaluated_sentences),
        "ray.workers": Message(
            "train.effect_processes", processes=training.processes.count, machines=training.machines
        ),
        "ray.address": Message("train.effect_on_cluster", cluster=place.cluster)
        if place
        else Message("train.effect_no_cluster"),
        "ray.cores": Message("train.effect_threads", threads=torch.get_num_threads()),
        "ray.retries": Message(
            "train.effect_restarts", restarts=place.restarts if place else 0, most=settings.ray.retries
        ),
        "sample_every": Message("train.effect_samples", sentences=kinds["sample"]),
        "sample_text": Message("train.effect_sample_seconds", seconds=stats.sample_seconds),
        "coqui_folder": Message("train.effect_coqui_files", files=stats.coqui_files),
        "adapter_folder": Message("train.effect_adapter_bytes", bytes=stats.adapter_bytes),
        "tracker": Message("train.effect_tracked", values=tracker.written),
        "stop.patience": Message("train.effect_stopped", measured=curve, reason=reason),
        "stop.minimum_gain": curve,
        "stop.divergence_rises": Message(
            "train.effect_stopped",
            measured=Message("train.effect_rises", rises=watcher.rises),
            reason=reason,
        ),
        "stop.divergence_rise": reason,
        "stop.bad_steps": Message(
            "train.effect_bad_steps", skipped=training.guard.skipped, allowed=training.guard.allowed
        ),
    }


def _named(kernel: str, otherwise: str) -> Message:
    """Return the name of a kernel, or the message `otherwise` for none."""
    return Message("train.effect_kernel", name=kernel) if kernel else Message(otherwise)


def _speed(training: Trainer, steps: list[dict[str, Any]]) -> list[OptionRow]:
    """Report times, which differ from run to run; the first step, which is probed, is left out."""
    later = steps[1:] or steps
    seconds = statistics.median(step["seconds"] for step in later)
    total = sum(step["seconds"] for step in later)
    tokens = sum(step["tokens"] for step in later) / total
    audio = sum(step["audio_seconds"] for step in later) / total
    runs = Message(
        "train.effect_dvae_runs", runs=training.probe.dvae_runs, steps=training.stats.session_steps
    )
    speed = Message("train.effect_speed", seconds=seconds, tokens=tokens, audio=audio)
    return [OptionRow("(speed)", "", None, speed), OptionRow("(cache)", "", None, runs)]
