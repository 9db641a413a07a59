"""Forecast a run: kernels, memory, time, and the largest batch on this and other machines.

Memory is measured by `memory_trace.py` (the GPT's stage) and `stage_trace.py`, which run the training step on
tensors without data. The time of a GPT's step here, and of all stages on cards, is the number of operations
over the measured rate of this machine, or a card's published rate, times the share of it that a training step
reaches; a step of the other stages is timed here on noise, as convolutions reach very different shares.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from dimts.base.errors import CheckpointError, DimtsError
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.train.base_model import TrainableModel, load_base
from dimts.train.capabilities import MachineInfo, plan_attention
from dimts.train.collate import TrainingClip
from dimts.train.dataset import TrainingSet, load_training_set
from dimts.train.distributed import Processes
from dimts.train.forecast import CardForecast, Forecast, PipelineForecast, StageWithoutForecast
from dimts.train.latent_cache import latents_plan
from dimts.train.memory_trace import MEBIBYTE, BatchShape, StepCost, cost_of
from dimts.train.metrics import Metrics
from dimts.train.pipeline import base_of_earlier_stages, plan_stages
from dimts.train.preflight import preflight
from dimts.train.sampler import Step, StepSource, total_steps
from dimts.train.settings import STAGES, TrainSettings
from dimts.train.stage_trace import StageClock, StageTrace
from dimts.train.stages import stage_class
from dimts.train.stages.stage import Stage, StageContext, StepKind
from dimts.train.trainer import check_kernel

PROCESS_BYTES = 375 * MEBIBYTE
"""Memory of Python, torch and their buffers besides our tensors, measured on the CPU build of torch 2.13."""
CONTEXT_BYTES = 700 * MEBIBYTE
"""Memory of a CUDA context and cuBLAS on a card."""
CARD_SHARE = 0.92
"""Usable share of a card's memory: the rest is fragmentation."""
USED_SHARE = 0.35
"""Share of a device's rate that a training step reaches, from published runs of GPT-2 sized models."""
CPU_USED_SHARE = 0.6
"""The same share for a processor, whose peak is measured with one large matrix product."""
CARDS: tuple[tuple[str, int, float], ...] = (
    ("GTX 1650", 4, 3.0),
    ("RTX 3070", 8, 40.0),
    ("RTX 3060", 12, 25.0),
    ("T4", 16, 16.0),
    ("RTX 4090", 24, 165.0),
    ("H100", 80, 500.0),
)
"""Name, memory in GB, dense fp16/bf16 rate in TFLOP/s of the makers' data sheets (float32 where there is no
faster)."""
_TRACED_CLIPS = 24
"""Clips from which the memory of a larger forward pass is extrapolated: tracing takes time for every clip."""
_GENERATED_CLIPS = 96
"""Generated clips that are made for the forecast of a run that would make thousands."""
_FEWEST_CLIPS = 2
"""Clips of a short step; norms over a batch need two."""
_LONGEST_TIMED_SECONDS = 4.0
"""Duration of a step beyond which its time is reckoned from that of a short one."""
Clip = TypeVar("Clip")
_PRODUCT = 768
_PRODUCT_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class _Run:
    """What all stages of a forecast share."""

    project: Project
    machine: MachineInfo
    engine: TrainableModel
    rows: list[Utterance]
    scorers: Metrics | None
    on_progress: ProgressCallback


def forecast(
    project: Project | Path | str,
    settings: TrainSettings | None = None,
    on_progress: ProgressCallback = ignore,
    *,
    scorers: Metrics | None = None,
) -> Forecast:
    """Forecast `fine_tune` with these settings, of any stage; nothing is trained or written.

    Raises what `fine_tune` would: ConfigError for kernels that cannot run here, CheckpointError, DataError.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("train", TrainSettings)
    machine = MachineInfo.look()
    preflight(project, settings, machine, scorers)
    return _stage(_open(project, settings, machine, scorers, on_progress), settings)


def forecast_stages(
    project: Project | Path | str,
    settings: TrainSettings | None = None,
    stages: Sequence[str] = STAGES,
    on_progress: ProgressCallback = ignore,
    *,
    scorers: Metrics | None = None,
) -> PipelineForecast:
    """Forecast `train_stages`; a stage that would fail has its reason instead of figures.

    Raises what `forecast` does where no stage at all could run.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("train", TrainSettings)
    settings, chosen = base_of_earlier_stages(project, settings, stages)
    if chosen is not None:
        on_progress(Progress("train", 0, None, "steps", chosen))
    planned, kept = plan_stages(settings, stages)
    machine = MachineInfo.look()
    preflight(project, planned[0], machine, scorers)
    run = _open(project, planned[0], machine, scorers, on_progress)
    found: dict[str, Forecast | StageWithoutForecast] = {
        stage: StageWithoutForecast(stage, reason, fails=False) for stage, reason in kept.items()
    }
    first: DimtsError | None = None
    for own in planned:
        try:
            _check_codes(run.engine, own.stage, [each.stage for each in planned])
            found[own.stage] = _stage(run, own)
        except DimtsError as error:
            first = first or error
            found[own.stage] = StageWithoutForecast(own.stage, error.message, fails=True)
    if first is not None and not any(isinstance(each, Forecast) for each in found.values()):
        raise first
    return PipelineForecast(tuple(found[stage] for stage in stages))


def _open(
    project: Project,
    settings: TrainSettings,
    machine: MachineInfo,
    scorers: Metrics | None,
    on_progress: ProgressCallback,
) -> _Run:
    synthetic = settings.synthetic.share == 1 and not project.manifest.exists()
    rows = [] if synthetic else Manifest.read(project.manifest)
    return _Run(
        project,
        machine,
        load_base(project, settings, rows, on_progress, write=False),
        rows,
        scorers,
        on_progress,
    )


def _check_codes(engine: TrainableModel, stage: str, stages: Sequence[str]) -> None:
    """Raise CheckpointError where the decoder's stage would find a GPT that is older than the DVAE."""
    if stage != "decoder" or "gpt" in stages or not engine.codes_of_gpt:
        return
    if "dvae" in stages or engine.codes_of_gpt != engine.coder_name:
        raise CheckpointError("train.dvae_newer_than_gpt", folder=engine.folder)


def _stage(run: _Run, settings: TrainSettings) -> Forecast:
    """Forecast one stage."""
    settings = settings.for_stage(settings.stage)
    engine, machine = run.engine, run.machine
    precision, _ = preflight(run.project, settings, machine, run.scorers)
    processes = Processes(precision.name, machine, settings.sharding)
    attention = plan_attention(
        settings.attention,
        machine,
        precision.name,  # type: ignore[arg-type]
        engine.model.spec.head_width,
        fallback=settings.attention_fallback,
    )
    data = load_training_set(run.project, settings, engine, run.rows, run.on_progress, recordings=False)
    sampler = data.sampler(settings, 1)
    total = total_steps(sampler, settings.steps, settings.epochs)
    steps, per_epoch = _some_steps(data, sampler)
    made = _making_seconds(data, steps)
    run.on_progress(Progress("trace", 0, 2 + 2 * len(CARDS), "steps"))
    if settings.stage == "gpt":
        load = _gpt_load(run, settings, data, steps, attention.name, precision.name)
    else:
        context = StageContext(run.project, settings, engine, data, sampler, total)
        load = _stage_load(run, context, processes, steps, attention.name, precision.name)
    here = PROCESS_BYTES if machine.device == "cpu" else CONTEXT_BYTES
    clips = [data.train[index] for step in steps for part in step for index in part]
    seconds = sum(clip.seconds for clip in clips) * per_epoch / len(steps)
    flops = load.flops * per_epoch
    return Forecast(
        engine.origin,
        attention,
        precision,
        latents_plan(settings),
        round(len(clips) * per_epoch / len(steps)),
        seconds,
        data.seconds_per_forward,
        per_epoch,
        load.cost,
        here + load.cost.peak + _kept_bytes(data, clips),
        machine.memory_bytes,
        disk_bytes(settings, load.trainable, engine),
        shutil.disk_usage(run.project.root).free,
        load.step_seconds + made,
        load.trainable,
        load.parameters,
        _cards(load, data.seconds_per_forward, flops),
        settings.stage,
        total,
        (*data.remarks, *load.notes, *_notes(data, made)),
    )


@dataclass(frozen=True, slots=True)
class StageLoad:
    """What a stage's steps take."""

    cost: StepCost
    """Of the most expensive step."""
    flops: float
    """Operations of an average step."""
    step_seconds: float
    """Seconds of an average step, without the making of its clips."""
    trainable: int
    parameters: int
    peaks: Mapping[str, tuple[float, float]]
    """By precision: peak of memory in bytes without clips, and for each second of clips."""
    longest_seconds: float
    """Length of the longest clip."""
    notes: tuple[Message, ...] = ()


def _some_steps(data: TrainingSet, sampler: StepSource) -> tuple[list[Step], int]:
    """Return the steps of an epoch, of generated clips only the first ones, and the number of all."""
    steps = sampler.epoch(0)
    if not data.generated_per_part:
        return steps, len(steps)
    most = max(1, _GENERATED_CLIPS // (data.generated_per_part * len(steps[0])))
    return steps[:most], len(steps)


def _making_seconds(data: TrainingSet, steps: Sequence[Step]) -> float:
    """Measure how long the generated clips of a step take to make."""
    if not data.generated_per_part:
        return 0.0
    began = time.perf_counter()
    made = [
        data.train[index] for step in steps for part in step for index in part if index >= len(data.train)
    ]
    return (time.perf_counter() - began) / max(len(made), 1) * data.generated_per_part * len(steps[0])


def _kept_bytes(data: TrainingSet, clips: Sequence[TrainingClip]) -> int:
    """Return the bytes of the generated clips that are kept in memory."""
    generated = data.train.generated
    if generated is None or not clips:
        return 0
    return generated.cached_bytes(sum(clip.seconds for clip in clips) / len(clips))


def _notes(data: TrainingSet, made: float) -> list[Message]:
    found = [Message("train.forecast_steps_alone")]
    if data.generated_per_part:
        found.insert(0, Message("train.forecast_generated", clips=data.generated_per_part, seconds=made))
    return found


def _gpt_load(
    run: _Run,
    settings: TrainSettings,
    data: TrainingSet,
    steps: Sequence[Step],
    attention: str,
    precision: str,
) -> StageLoad:
    """Trace the GPT's step; its time is the number of operations over this machine's rate."""
    engine, spec = run.engine, run.engine.model.spec
    shapes = {i: _shape(data.train[i], settings) for step in steps for part in step for i in part}
    costliest = max(steps, key=lambda step: max(sum(data.train[i].tokens for i in part) for part in step))
    cost = cost_of(spec, settings, [[shapes[i] for i in part] for part in costliest], attention, precision)
    lengths = [sum(shapes[i].seconds for part in step for i in part) for step in steps]
    spoken = sum(shapes[i].seconds for part in costliest for i in part)
    flops = cost.flops / spoken * sum(lengths) / len(lengths)
    ordered = sorted(shapes.values(), key=lambda shape: shape.seconds)
    plain = replace(settings, batches=replace(settings.batches, accumulate=1))
    peaks = _peaks(
        ordered[-1],
        ordered[len(ordered) // 2],
        lambda shape: shape.seconds,
        lambda part, kind: cost_of(spec, plain, [part], "sdpa", kind).peak,
        data.seconds_per_forward,
    )
    return StageLoad(
        cost,
        flops,
        flops / _rate(run.machine),
        cost.gradients // 4,
        sum(parameter.numel() for _, parameter in engine.model.trained()),
        peaks,
        ordered[-1].seconds,
    )


def _stage_load(
    run: _Run,
    context: StageContext,
    processes: Processes,
    steps: Sequence[Step],
    attention: str,
    precision: str,
) -> StageLoad:
    """Trace the steps of a stage, and time one of each kind."""
    kind, train = stage_class(context.settings.stage), context.data.train
    trace = StageTrace(kind, context, attention, precision)
    trace.stage.check_speech()
    check_kernel(trace.stage, processes)
    by_area = sorted(steps, key=lambda step: sum(_area(train, part) for part in step))
    largest = [
        max(steps, key=lambda step: max(_area(train, part) for part in step)),
        max(steps, key=lambda step: max(map(len, step))),
    ]
    usual = by_area[len(by_area) // 2]
    kinds = trace.stage.step_kinds(largest[0])
    costs = [(trace.cost(step, each), each) for each in kinds for step in dict.fromkeys(largest)]
    cost, costliest = max(costs, key=lambda found: found[0].peak)
    counted = [each for each in trace.stage.step_kinds(usual) if each.count]
    flops = {each.step: trace.cost(usual, each).flops for each in counted}
    total = sum(each.count for each in counted)
    needed = PROCESS_BYTES + trace.cost([usual[0][:_FEWEST_CLIPS]], costliest).peak
    notes = []
    if needed <= run.machine.memory_bytes:
        clock = StageClock(kind, context, run.machine.device, precision)
        seconds = {
            each.step: _timed(clock, trace, usual, each, flops[each.step], run.machine, cost)
            for each in counted
        }
    else:
        rate = _rate(run.machine)
        seconds = {step: operations / rate for step, operations in flops.items()}
        notes.append(
            Message("train.forecast_not_timed", needed=needed / 1e9, free=run.machine.memory_bytes / 1e9)
        )
    seen = sorted({i for step in steps for part in step for i in part}, key=lambda i: train[i].seconds)
    return StageLoad(
        cost,
        sum(flops[each.step] * each.count for each in counted) / total,
        sum(seconds[each.step] * each.count for each in counted) / total,
        trace.trainable,
        trace.parameters,
        _stage_peaks(kind, context, trace, precision, costliest, seen),
        train[seen[-1]].seconds,
        tuple(notes),
    )


def _stage_peaks(
    kind: type[Stage],
    context: StageContext,
    trace: StageTrace,
    precision: str,
    costliest: StepKind,
    seen: Sequence[int],
) -> dict[str, tuple[float, float]]:
    """Return the lines of memory of a stage; `seen` are some of its clips by their length."""
    traces = {
        each: trace if each == precision else StageTrace(kind, context, "sdpa", each)
        for each in ("bf16", "float32")
    }
    return _peaks(
        seen[-1],
        seen[len(seen) // 2],
        lambda index: float(context.data.train[index].seconds),
        lambda part, each: traces[each].cost([part], costliest).peak,
        context.data.seconds_per_forward,
    )


def _timed(
    clock: StageClock,
    trace: StageTrace,
    usual: Step,
    kind: StepKind,
    flops: int,
    machine: MachineInfo,
    cost: StepCost,
) -> float:
    """Return the seconds of a step of this kind: of a short one, by its operations, where a whole one takes
    long or much memory."""
    short = [usual[0][:_FEWEST_CLIPS]]
    first = clock.seconds(short, kind.step)
    share = flops / max(trace.cost(short, kind).flops, 1)
    fits = PROCESS_BYTES + cost.peak <= machine.memory_bytes
    if share == 1 or (fits and first * share <= _LONGEST_TIMED_SECONDS):
        clock.seconds(usual, kind.step)  # kernels are chosen for each shape when it comes first
        return clock.seconds(usual, kind.step)
    return share * (first if first > _LONGEST_TIMED_SECONDS else clock.seconds(short, kind.step))


def _area(clips: Sequence[TrainingClip], part: Sequence[int]) -> float:
    """Return the seconds of a part whose clips are padded to the longest."""
    return len(part) * max((float(clips[index].seconds) for index in part), default=0.0)


def disk_bytes(settings: TrainSettings, trainable: int, engine: TrainableModel) -> int:
    """Return the bytes of the voice and the kept checkpoints, including the best and one being written."""
    moments = 2 if settings.optimizer == "8bit" else 8
    checkpoint = trainable * (4 + moments + (4 if settings.ema else 0))
    voice = sum(tensor.numel() * tensor.element_size() for tensor in engine.model.state_dict().values())
    voices = 1 + settings.coqui_folder
    return int(checkpoint * (settings.keep + 2) + voice * voices)


def _shape(clip: TrainingClip, settings: TrainSettings) -> BatchShape:
    longest = settings.reference.max_seconds
    crop_seconds = longest if clip.seconds >= longest else clip.seconds / 2
    return BatchShape(len(clip.ids), clip.codes, clip.seconds, crop_seconds)


def _peaks(
    longest: Clip,
    typical: Clip,
    length: Callable[[Clip], float],
    peak: Callable[[list[Clip], str], int],
    seconds: float,
) -> dict[str, tuple[float, float]]:
    """Measure the peak of memory as a line over the seconds of a forward pass, by precision."""
    clips = min(max(2, round(seconds / length(typical))), _TRACED_CLIPS)
    found = {}
    for precision in ("bf16", "float32"):
        # not from one clip on: with few, the optimizer's share hides what each adds
        few, many = ([longest, *[typical] * count] for count in (max(1, clips // 2), clips))
        low, high = peak(few, precision), peak(many, precision)
        lengths = [sum(map(length, part)) for part in (few, many)]
        slope = (high - low) / (lengths[1] - lengths[0])
        found[precision] = (low - slope * lengths[0], slope)
    return found


def _cards(load: StageLoad, seconds: float, flops: float) -> tuple[CardForecast, ...]:
    """Forecast peak, largest batch and the time of `flops` on common cards."""
    out = []
    longest = load.longest_seconds
    for name, size, rate in CARDS:
        fixed, slope = load.peaks["bf16" if size >= 8 else "float32"]
        room = size * 10**9 * CARD_SHARE - CONTEXT_BYTES
        most = max(0.0, (room - fixed) / slope) if slope > 0 else float("inf")
        peak = int(fixed + slope * max(seconds, longest)) + CONTEXT_BYTES
        fits = most >= max(seconds, longest)
        epoch = flops / (rate * 1e12 * USED_SHARE)
        out.append(CardForecast(name, size, fits, peak, most if most >= longest else 0.0, epoch))
    return tuple(out)


def _rate(machine: MachineInfo) -> float:
    """Return the operations per second that a step reaches on this machine."""
    return _cpu_rate() * CPU_USED_SHARE if machine.device == "cpu" else _card_rate(machine) * USED_SHARE


def _cpu_rate() -> float:
    """Measure this processor's rate in float32 products, in operations per second."""
    left = torch.randn(_PRODUCT, _PRODUCT)
    left @ left
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < _PRODUCT_SECONDS:
        left @ left
        count += 1
    return 2 * _PRODUCT**3 * count / (time.perf_counter() - began)


def _card_rate(machine: MachineInfo) -> float:
    """Return the rate of the listed card nearest in memory."""
    size = machine.memory_bytes / 10**9
    return min(CARDS, key=lambda card: abs(card[1] - size))[2] * 1e12
