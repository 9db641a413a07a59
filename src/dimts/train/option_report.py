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

from dimts.train.latent_cache import latents_plan
from dimts.train.metrics import LOSS
from dimts.train.probe import OptionRow, graphs_made
from dimts.train.settings import TrainSettings
from dimts.train.snapshot import Checkpoints
from dimts.train.track import Tracker
from dimts.train.trainer import Trainer

MEBIBYTE = 1 << 20
_OFF = {0, "", "off", "none"}
_ZERO_IS_AUTO = {"batches.seconds", "evaluate_every", "seed", "batches.clips", "base"}
_NOTHING = "nothing"


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
            f"ignored: {ignored[name]}" if name in ignored else _applied(name, value, settings, training),
            effects.get(name, _NOTHING),
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


def _ignored(name: str, settings: TrainSettings, training: Trainer) -> str:
    """Return why an option has no effect in this run; empty when it has one."""
    stage = training.stage.ignored_options()
    common = {
        "size": "train.base is set" if settings.base else "",
        "steps": "train.epochs is set" if settings.epochs else "",
        "batches.replay_share": "" if settings.batches.replay else "train.batches.replay is not set",
        "attention_fallback": "" if settings.attention != "auto" else "train.attention is auto",
        "best_clips": "" if settings.best_by != LOSS else "train.best_by is the loss",
        "sample_text": "" if settings.sample_every else "train.sample_every is 0",
        "ray.": "not started with --ray" if training.processes.place is None else "",
        "synthetic.": ""
        if settings.synthetic.share or name == "synthetic.share"
        else "train.synthetic.share is 0",
        "synthetic.clips": "" if settings.synthetic.share == 1 else "train.synthetic.share is below 1",
    }
    table = name.rpartition(".")[0] + "." if "." in name else ""
    for found in (stage, common):
        if reason := found.get(name) or (found.get(table, "") if table else ""):
            return reason
    return ""


def _applied(name: str, value: Any, settings: TrainSettings, training: Trainer) -> str:
    """Return the applied value of an option."""
    if name == "freeze_conditioning" and settings.frozen_conditioning:
        return f"yes: {latents_plan(settings)}"
    if name == "sharding" and training.processes.sharded:
        return training.processes.sharded_why
    if isinstance(value, str | int | float | bool) and value in _OFF:
        return "off" if name not in _ZERO_IS_AUTO else "auto"
    return "yes"


def _engine(training: Trainer, plan: Mapping[str, Any]) -> dict[str, str]:
    model, probe = training.model, training.probe
    total = sum(parameter.numel() for parameter in model.parameters())
    kinds = ", ".join(
        f"{size / MEBIBYTE:.2f} MiB {kind}" for kind, size in sorted(probe.saved_bytes.items()) if size
    )
    moved = {name.partition(".")[0] for name, change in probe.moved.items() if change}
    products = probe.kernels["addmm"] + probe.kernels["mm"] + probe.kernels["bmm"]
    return {
        "stage": f"moved in the watched step: {', '.join(sorted(moved)) or 'nothing'}",
        "base": training.stage.engine.origin,
        "size": f"{len(model.gpt.trunk.h)} layers of width {model.spec.width}",
        "trainable": f"{training.trainable:,} of {total:,} parameters learn",
        "attention_fallback": str(plan["attention"]),
        "sharding": (
            f"{training.held_bytes:,} bytes of parameters in each of {training.processes.count} processes"
        ),
        "compile": (
            f"{graphs_made() - training.graphs_before} graphs made for {plan['compiled_modules']} modules"
        ),
        "precision": f"{plan['precision']}; kept for the backward pass: {kinds}",
        "checkpointing": f"kept for the backward pass: {kinds}; {products} matrix products",
    }


def _learning(training: Trainer, steps: list[dict[str, Any]]) -> dict[str, str]:
    rates = [step["learning_rate"] for step in steps]
    norms = [step["gradient_norm"] for step in steps]
    groups = [group for optimizer in training.optimizers.values() for group in optimizer.param_groups]
    decayed = sum(p.numel() for group in groups if group["weight_decay"] for p in group["params"])
    strongest = max(group["weight_decay"] for group in groups)
    curve = (
        f"{rates[0]:.3e}, highest {max(rates):.3e}, halfway "
        f"{rates[len(rates) // 2]:.3e}, last {rates[-1]:.3e}"
    )
    order = zlib.crc32(repr([training.sampler.epoch(0), round(steps[0]["loss"], 4)]).encode())
    stats = training.stats
    highest = rates.index(max(rates))
    return {
        "steps": f"{stats.steps} steps taken",
        "epochs": (
            f"{training.epoch + training.place / max(len(training.sampler.epoch(training.epoch)), 1):.2f} "
            f"passes"
        ),
        "seed": f"order and first loss {order:08x}",
        "learning_rate": f"highest {max(rates):.3e}",
        "schedule.shape": curve,
        "schedule.warmup_steps": f"highest at step {highest + 1}, first {rates[0]:.3e}",
        "schedule.final_share": f"last {rates[-1]:.3e}",
        "weight_decay": f"{decayed:,} parameters lose {strongest * max(rates):.2e} of themselves a step",
        "clip_norm": (
            f"shortened in {stats.clipped} of {stats.session_steps} steps, largest norm {max(norms):.2f}"
        ),
        "optimizer": training.probe.optimizer_kernel,
        "ema": f"average differs from the weights by {stats.average_distance:.2e} of their norm",
    }


def _data(settings: TrainSettings, training: Trainer) -> dict[str, str]:
    probe, sampler, data, stats = training.probe, training.sampler, training.data, training.stats
    epoch = sampler.epoch(0)
    own = len(data.train) - data.replayed
    drawn = [index for step in epoch for part in step for index in part if index < len(data.train)]
    speakers = Counter(data.train[index].speaker or "nobody" for index in drawn)
    seconds = sum(data.train[i].seconds for i in drawn)
    replayed = sum(data.train[i].seconds for i in drawn if i >= own)
    longest = max(len(part) for step in epoch for part in step)
    generated = data.generated_per_part
    voices = {clip.speaker for clip in data.dev if clip.key.startswith("synthetic")}
    words = f"dev clips of {min((len(clip.ids) for clip in data.dev), default=0)} to " + (
        f"{max((len(clip.ids) for clip in data.dev), default=0)} ids"
    )
    found = {
        "batches.seconds": f"{stats.audio_seconds / max(stats.forward_passes, 1):.2f} s per forward pass",
        "batches.clips": f"at most {longest} clips per forward pass",
        "batches.packing": f"{probe.padding_share:.1%} of {probe.fed_tokens:,} positions were padding",
        "batches.accumulate": f"{stats.forward_passes / stats.session_steps:.2f} forward passes per step",
        "batches.unusable": f"{data.left_out} clips left out",
        "batches.weights": "drawn per epoch: "
        + ", ".join(f"{name} {n}" for name, n in sorted(speakers.items())),
        "batches.replay": f"{data.replayed} clips of another project",
        "batches.replay_share": f"{replayed / max(seconds, 1e-9):.1%} of an epoch's seconds",
        "synthetic.share": f"{generated} of at most {longest} clips per forward pass",
    }
    if generated:
        found |= {
            "synthetic.texts": f"corpus {data.corpus}",
            "synthetic.clips": f"{generated} clips per forward pass",
            "synthetic.dev_clips": f"{sum(clip.key.startswith('synthetic') for clip in data.dev)} dev clips",
            "synthetic.speakers": f"{len(voices)} speakers in the dev clips",
            "synthetic.min_words": words,
            "synthetic.max_words": words,
        }
    return found


def _watching(
    settings: TrainSettings,
    training: Trainer,
    lines: list[dict[str, Any]],
    tracker: Tracker,
    checkpoints: Checkpoints,
) -> dict[str, str]:
    kinds = Counter(line["kind"] for line in lines)
    kept = ", ".join(path.name for path in checkpoints.all())
    watcher, stats = training.watcher, training.stats
    best = checkpoints.best()
    chosen = f"{best.name} of {len(watcher.curve)} evaluations" if best else "none was judged"
    place = training.processes.place
    curve = f"{len(watcher.curve)} evaluations, best {watcher.best:.4f}, {watcher.waited} since"
    reason = stats.stop_reason or "did not stop the run"
    return {
        "evaluate_every": f"{kinds['evaluation']} evaluations",
        "save_every": f"{stats.checkpoints} checkpoints written",
        "keep": f"kept {kept}",
        "best_by": f"{chosen}, by {settings.best_by}",
        "best_clips": f"{stats.evaluated_sentences} sentences spoken at an evaluation",
        "ray.workers": f"{training.processes.count} processes on {training.machines} machines",
        "ray.address": f"on {place.cluster}" if place else "no cluster",
        "ray.cores": f"{torch.get_num_threads()} threads in a process",
        "ray.retries": f"{place.restarts if place else 0} of {settings.ray.retries} restarts",
        "sample_every": f"{kinds['sample']} sentences spoken",
        "sample_text": f"{stats.sample_seconds:.2f} s of sentences spoken",
        "coqui_folder": f"{stats.coqui_files} files for coqui-tts",
        "adapter_folder": f"{stats.adapter_bytes:,} bytes beside the base",
        "tracker": f"{tracker.written} values written",
        "stop.patience": f"{curve}: {reason}",
        "stop.minimum_gain": curve,
        "stop.divergence_rises": f"dev rose while train fell {watcher.rises} times at last: {reason}",
        "stop.divergence_rise": f"{reason}",
        "stop.bad_steps": f"{training.guard.skipped} steps skipped, {training.guard.allowed} allowed",
    }


def _speed(training: Trainer, steps: list[dict[str, Any]]) -> list[OptionRow]:
    """Report times, which differ from run to run; the first step, which is probed, is left out."""
    later = steps[1:] or steps
    seconds = statistics.median(step["seconds"] for step in later)
    total = sum(step["seconds"] for step in later)
    tokens = sum(step["tokens"] for step in later) / total
    audio = sum(step["audio_seconds"] for step in later) / total
    runs = f"{training.probe.dvae_runs} DVAE runs in {training.stats.session_steps} steps"
    return [
        OptionRow(
            "(speed)", "", "", f"{seconds:.3f} s per step, {tokens:.0f} tokens/s, {audio:.1f} audio s/s"
        ),
        OptionRow("(cache)", "", "", runs),
    ]
