"""What a run's probe, log and files say of each option → the lines of its truth table.

Every effect is read from what happened: the log, the watched step, the parameters, the disk. None of it holds
times, so that two equal runs have equal tables; speed stands in lines of its own.
"""

from __future__ import annotations

import dataclasses
import statistics
import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from dimts.train.latent_cache import latents_plan
from dimts.train.metrics import LOSS
from dimts.train.probe import OptionRow, graphs_made
from dimts.train.settings import TrainSettings
from dimts.train.snapshot import Checkpoints
from dimts.train.track import Tracker
from dimts.train.trainer import Trainer
from dimts.xtts.spec import MEL_HOP

MEBIBYTE = 1 << 20
_OFF = {0, "", "off", "none"}


def option_report(
    settings: TrainSettings,
    training: Trainer,
    lines: list[dict[str, Any]],
    plan: Mapping[str, Any],
    tracker: Tracker,
    checkpoints: Checkpoints,
) -> list[OptionRow]:
    """The whole table: one line per option, then speed and memory."""
    steps = [line for line in lines if line["kind"] == "step"]
    if not steps or not training.sitting:
        return []
    effects = {
        **_engine(settings, training, plan),
        **_learning(settings, training, steps),
        **_memory(training, plan),
        **_data(settings, training),
        **_watching(settings, training, lines, tracker, checkpoints),
    }
    asked = _flat(settings)
    unknown = set(asked) ^ set(effects)
    if unknown:
        raise KeyError(f"options without a measured effect, or the other way round: {sorted(unknown)}")
    facts = [
        OptionRow(name, value, _applied(name, value, settings, training), effects[name])
        for name, value in asked.items()
    ]
    return facts + _speed(training, steps)


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Every option by its dotted name."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            out.update(_flat(value, f"{prefix}{field.name}."))
        else:
            out[prefix + field.name] = dict(value) if isinstance(value, Mapping) else value
    return out


def _applied(name: str, value: Any, settings: TrainSettings, training: Trainer) -> str:
    """What an option came to; options that another one rules out say so."""
    ignored = {
        "size": "train.base is set" if settings.base else "",
        "steps": "train.epochs is set" if settings.epochs else "",
        "last_layers": "" if settings.parts == "last_layers" else f'train.parts is "{settings.parts}"',
        "batches.replay_share": "" if settings.batches.replay else "train.batches.replay is not set",
        "attention_fallback": "" if settings.attention != "auto" else "train.attention is auto",
        "new_rows_pace": "" if training.engine.old_rows < training.engine.vocabulary.size else "no rows were added",
        "best_clips": "" if settings.best_by != LOSS else "train.best_by is the loss",
        "sample_text": "" if settings.sample_every else "train.sample_every is 0",
    }.get(name, "")
    if name.startswith("lora.") and settings.parts != "lora":
        ignored = f'train.parts is "{settings.parts}"'
    if name.startswith("ray.") and training.processes.place is None:
        ignored = "not started with --ray"
    if ignored:
        return f"ignored: {ignored}"
    if name == "freeze_conditioning" and settings.frozen_conditioning:
        return f"yes: {latents_plan(settings)}"
    if name == "sharding" and training.processes.sharded:
        return training.processes.sharded_why
    if isinstance(value, str | int | float | bool) and value in _OFF:
        return "off" if name not in _ZERO_IS_AUTO else "auto"
    return "yes"


_ZERO_IS_AUTO = {"batches.seconds", "evaluate_every", "seed", "batches.clips", "base"}


def _engine(settings: TrainSettings, training: Trainer, plan: Mapping[str, Any]) -> dict[str, str]:
    model, probe = training.model, training.probe
    total = sum(parameter.numel() for _, parameter in model.trained())
    moving = f"{training.trainable:,} of {total:,} parameters learn"
    blocks = {name.split(".")[3] for name in probe.moved if name.startswith("gpt.trunk.h.")}
    heard = [value for name, value in probe.moved.items() if name.startswith("conditioning.")]
    return {
        "base": training.engine.origin,
        "size": f"{len(model.gpt.trunk.h)} layers of width {model.spec.width}",
        "parts": moving,
        "last_layers": f"{len(blocks)} trunk layers moved",
        "freeze_conditioning": f"conditioning moved by {max(heard, default=0.0):.2e} in the watched step; "
        f"{probe.conditioning_runs} crops heard in steps",
        "lora.rank": f"{moving}, {training.adapter_parameters:,} of them in adapters",
        "lora.dropout": _spoken(probe.dropped, attention=False),
        "lora.targets": f"{training.adapter_parameters:,} parameters in adapters",
        "lora.alpha": f"adapters add {training.adapter_strength:.4e} of the weights' norm",
        "new_rows_pace": f"added rows moved by {probe.moved_rows[1]:.3e} in the watched step",
        "old_rows_pace": f"base rows moved by {probe.moved_rows[0]:.3e} in the watched step",
        "attention": probe.attention_kernel,
        "attention_fallback": str(plan["attention"]),
        "sharding": f"{training.held_bytes:,} bytes of parameters in each of {training.processes.count} processes",
        "compile": f"{graphs_made() - training.graphs_before} graphs made for {plan['compiled_modules']} modules",
    }


def _learning(settings: TrainSettings, training: Trainer, steps: list[dict[str, Any]]) -> dict[str, str]:
    rates = [step["learning_rate"] for step in steps]
    norms = [step["gradient_norm"] for step in steps]
    groups = training.optimizer.param_groups
    decayed = sum(p.numel() for group in groups if group["weight_decay"] for p in group["params"])
    strongest = max(group["weight_decay"] for group in groups)
    curve = f"{rates[0]:.3e}, highest {max(rates):.3e}, halfway {rates[len(rates) // 2]:.3e}, last {rates[-1]:.3e}"
    order = zlib.crc32(repr([training.sampler.epoch(0), round(steps[0]["loss"], 4)]).encode())
    text = settings.text_weight * steps[0]["loss_text"] / steps[0]["loss"]
    dropped = training.probe.dropped
    highest = rates.index(max(rates))
    return {
        "steps": f"{training.taken} steps taken",
        "epochs": f"{training.epoch + training.place / max(len(training.sampler.epoch(training.epoch)), 1):.2f} passes",
        "seed": f"order and first loss {order:08x}",
        "learning_rate": f"highest {max(rates):.3e}",
        "schedule.shape": curve,
        "schedule.warmup_steps": f"highest at step {highest + 1}, first {rates[0]:.3e}",
        "schedule.final_share": f"last {rates[-1]:.3e}",
        "weight_decay": f"{decayed:,} parameters lose {strongest * max(rates):.2e} of themselves a step",
        "clip_norm": f"shortened in {training.clipped} of {training.sitting} steps, largest norm {max(norms):.2f}",
        "optimizer": training.probe.optimizer_kernel,
        "text_weight": f"{text:.2%} of the first loss",
        "label_smoothing": f"changes the watched loss by {training.probe.smoothing_gap:+.4f}",
        "dropout": _spoken(dropped, attention=False),
        "attention_dropout": _spoken(dropped, attention=True),
        "ema": f"average differs from the weights by {training.average_distance:.2e} of their norm",
    }


def _spoken(dropped: Counter[tuple[float, bool]], *, attention: bool) -> str:
    calls = {rate: count for (rate, four), count in dropped.items() if four is attention}
    return ", ".join(f"{count} draws at {rate:.3f}" for rate, count in sorted(calls.items())) or "no draws"


def _memory(training: Trainer, plan: Mapping[str, Any]) -> dict[str, str]:
    probe = training.probe
    kinds = ", ".join(f"{size / MEBIBYTE:.2f} MiB {kind}" for kind, size in sorted(probe.saved_bytes.items()) if size)
    products = probe.kernels["addmm"] + probe.kernels["mm"] + probe.kernels["bmm"]
    return {
        "precision": f"kept for the backward pass: {kinds}",
        "checkpointing": f"kept for the backward pass: {kinds}; {products} matrix products",
        "loss_chunk": f"{probe.largest_logits} rows of code logits at once",
    }


def _data(settings: TrainSettings, training: Trainer) -> dict[str, str]:
    probe, sampler = training.probe, training.sampler
    epoch = sampler.epoch(0)
    parts = [part for step in epoch for part in step]
    drawn = Counter(training.data.train[index].speaker or "nobody" for part in parts for index in part)
    own = len(training.data.train) - training.data.replayed
    replayed = sum(training.data.train[i].seconds for part in parts for i in part if i >= own)
    seconds = sum(training.data.train[i].seconds for part in parts for i in part)
    heard = probe.conditioning_frames / max(probe.conditioning_runs, 1) * MEL_HOP / training.model.spec.input_rate
    crops = {(clip.key, training.batcher.crop_of(i, e)) for i, clip in enumerate(training.data.train) for e in range(6)}
    longest = max(end - start for _, (start, end) in crops) / training.model.spec.input_rate
    shortest = min(end - start for _, (start, end) in crops) / training.model.spec.input_rate
    return {
        "batches.seconds": f"{training.audio_seconds / max(training.forward_passes, 1):.2f} s per forward pass",
        "batches.clips": f"at most {max(map(len, parts))} clips per forward pass",
        "batches.packing": f"{probe.padding_share:.1%} of {probe.fed_tokens:,} positions were padding",
        "batches.accumulate": f"{training.forward_passes / training.sitting:.2f} forward passes per step",
        "batches.unusable": f"{training.data.left_out} clips left out",
        "batches.weights": "drawn per epoch: " + ", ".join(f"{name} {count}" for name, count in sorted(drawn.items())),
        "batches.replay": f"{training.data.replayed} clips of another project",
        "batches.replay_share": f"{replayed / seconds:.1%} of an epoch's seconds",
        "reference.min_seconds": f"crops from {shortest:.2f} s",
        "reference.max_seconds": f"crops up to {longest:.2f} s",
        "reference.pad": f"{heard:.3f} s heard per crop, padding included"
        if probe.conditioning_runs
        else f"nothing heard in steps; first of the kept crops: {training.batcher.name_of(0, 0)}",
        "reference.fixed": f"{len(crops)} different crops in 6 epochs; {probe.conditioning_runs} heard in steps, "
        f"{training.latents_read} latents read from the cache",
        "reference.mask": f"{training.left_out} code targets without loss",
    }


def _watching(
    settings: TrainSettings,
    training: Trainer,
    lines: list[dict[str, Any]],
    tracker: Tracker,
    checkpoints: Checkpoints,
) -> dict[str, str]:
    kinds = Counter(line["kind"] for line in lines)
    kept = ", ".join(path.name for path in checkpoints.all())
    watcher = training.watcher
    best = checkpoints.best()
    chosen = f"{best.name} of {len(watcher.curve)} evaluations" if best else "none was judged"
    place = training.processes.place
    curve = f"{len(watcher.curve)} evaluations, best {watcher.best:.4f}, {watcher.waited} since"
    reason = training.stopped or "did not stop the run"
    return {
        "evaluate_every": f"{kinds['evaluation']} evaluations",
        "save_every": f"{training.saved} checkpoints written",
        "keep": f"kept {kept}",
        "best_by": f"{chosen}, by {settings.best_by}",
        "best_clips": f"{training.scored} sentences spoken at an evaluation",
        "ray.workers": f"{training.processes.count} processes on {training.machines} machines",
        "ray.address": f"on {place.cluster}" if place else "no cluster",
        "ray.cores": f"{torch.get_num_threads()} threads in a process",
        "ray.retries": f"{place.restarts if place else 0} of {settings.ray.retries} restarts",
        "sample_every": f"{kinds['sample']} sentences spoken",
        "sample_text": f"{training.sample_seconds:.2f} s of sentences spoken",
        "coqui_folder": f"{training.coqui_files} files for coqui-tts",
        "adapter_folder": f"{training.adapter_bytes:,} bytes beside the base",
        "tracker": f"{tracker.written} values written",
        "stop.patience": f"{curve}: {reason}",
        "stop.minimum_gain": curve,
        "stop.divergence_rises": f"dev rose while train fell {watcher.rises} times at last: {reason}",
        "stop.divergence_rise": f"{reason}",
        "stop.bad_steps": f"{training.guard.skipped} steps skipped, {training.guard.allowed} allowed",
    }


def _speed(training: Trainer, steps: list[dict[str, Any]]) -> list[OptionRow]:
    """Times, which differ from run to run; the first step, which is watched, is left out."""
    later = steps[1:] or steps
    seconds = statistics.median(step["seconds"] for step in later)
    total = sum(step["seconds"] for step in later)
    tokens = sum(step["tokens"] for step in later) / total
    audio = sum(step["audio_seconds"] for step in later) / total
    return [
        OptionRow("(speed)", "", "", f"{seconds:.3f} s per step, {tokens:.0f} tokens/s, {audio:.1f} audio s/s"),
        OptionRow("(cache)", "", "", f"{training.probe.dvae_runs} DVAE runs in {training.sitting} steps"),
    ]
