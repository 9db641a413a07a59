"""Forecast a run: kernels, memory, time, and the largest batch on this and other machines.

Memory is measured by `memory_trace.py`, which runs the training step on tensors without data. Time is the
number of operations over the measured rate of this machine, or a card's published rate, times the share of it
that a training step reaches.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dimts.base.errors import ConfigError, DataError
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.train.base_model import TrainableModel, load_base
from dimts.train.capabilities import Choice, MachineInfo, plan_attention
from dimts.train.dataset import SECONDS_PER_FORWARD, SECONDS_PER_FORWARD_RANDOM
from dimts.train.distributed import Processes
from dimts.train.latent_cache import latents_plan
from dimts.train.memory_trace import MEBIBYTE, BatchShape, StepCost, cost_of
from dimts.train.metrics import Metrics
from dimts.train.preflight import preflight
from dimts.train.sampler import Row, Sampler
from dimts.train.settings import TrainSettings
from dimts.xtts.spec import LATENTS, STOP_TARGETS

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
_CARD_COLUMNS = ("card", "fits", "peak", "largest_batch", "per_epoch")
_PRODUCT = 768
_PRODUCT_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class CardForecast:
    """Forecast for one card."""

    name: str
    gigabytes: int
    """Its memory, in GB of 10⁹ bytes."""
    fits: bool
    peak_bytes: int
    """Peak memory with the batch of the settings."""
    most_seconds: float
    """Seconds of speech in the largest forward pass that fits; 0: not even the longest clip."""
    epoch_seconds: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of a run's memory, time and disk use."""

    engine: Message
    """Origin of the weights."""
    attention: Choice
    precision: Choice
    latents: Message
    """Whether the conditioning latents of crops are cached, or computed at every step."""
    clips: int
    speech_seconds: float
    seconds_per_forward: float
    steps_per_epoch: int
    cost: StepCost
    """Cost of the most expensive step."""
    process_bytes: int
    """Predicted peak memory of the whole process on a processor, or of the card."""
    available_bytes: int
    disk_bytes: int
    """Size of the checkpoints and the voice that a run keeps, without the codes."""
    free_disk_bytes: int
    """Free disk space at the project's folder."""
    step_seconds: float
    trainable: int
    parameters: int
    cards: tuple[CardForecast, ...]

    def table(self, language: str | None = None) -> str:
        """Format the forecast in `language`, by default that of the process: this machine, then cards."""
        rows = [
            f"{Message(f'train.forecast_{name}').text(language):<12}{value.text(language)}"
            for name, value in self._rows().items()
        ]
        return "\n".join([*rows, "", *self._cards(language)])

    def _rows(self) -> dict[str, Message]:
        """Return the rows for this machine by name of the row."""
        parts = [
            Message("train.memory_part", part=Message(f"train.memory_{name}"), mebibytes=size)
            for name, size in self.cost.megabytes.items()
        ]
        return {
            "engine": Message(
                "train.forecast_engine_is", engine=self.engine, learn=self.trainable, total=self.parameters
            ),
            "attention": self.attention.message,
            "precision": self.precision.message,
            "voice": self.latents,
            "data": Message(
                "train.forecast_data_is",
                clips=self.clips,
                hours=self.speech_seconds / 3600,
                steps=self.steps_per_epoch,
                seconds=self.seconds_per_forward,
            ),
            "memory": Message("train.forecast_memory_is", parts=tuple(parts)),
            "here": Message(
                "train.forecast_here_is",
                peak=self.process_bytes / 1e9,
                available=self.available_bytes / 1e9,
                seconds=self.step_seconds,
                epoch=_duration(self.step_seconds * self.steps_per_epoch),
            ),
            "disk": Message(
                "train.forecast_disk_is", needed=self.disk_bytes / 1e9, free=self.free_disk_bytes / 1e9
            ),
        }

    def _cards(self, language: str | None) -> list[str]:
        """Return the lines of the table of cards."""
        rows = [[Message(f"train.column_{name}").text(language) for name in _CARD_COLUMNS]]
        for card in self.cards:
            most = Message("train.seconds", seconds=card.most_seconds)
            values = (
                Message("train.card_fits" if card.fits else "train.card_does_not_fit"),
                Message("train.gigabytes", gigabytes=card.peak_bytes / 1e9),
                most if card.most_seconds else Message("train.no_batch_fits"),
            )
            epoch = _duration(card.epoch_seconds).text(language) if card.fits else "–"
            name = Message("train.card_name", gigabytes=card.gigabytes, name=card.name).text(language)
            rows.append([name, *(one.text(language) for one in values), epoch])
        return [f"{a:<18} {b:<6} {c:>10} {d:>15} {e:>10}" for a, b, c, d, e in rows]


def forecast(
    project: Project | Path | str,
    settings: TrainSettings | None = None,
    on_progress: ProgressCallback = ignore,
    *,
    scorers: Metrics | None = None,
) -> Forecast:
    """Forecast `fine_tune` with these settings; nothing is trained or written.

    Raises what `fine_tune` would: ConfigError for kernels that cannot run here, CheckpointError, DataError.
    """
    project = project if isinstance(project, Project) else Project.open(project)
    settings = settings or project.settings("train", TrainSettings)
    machine = MachineInfo.look()
    precision, _ = preflight(project, settings, machine, scorers)
    Processes(precision.name, machine, settings.sharding)
    if settings.stage != "gpt":
        raise ConfigError("train.no_forecast_of_stage", stage=settings.stage)
    engine = load_base(project, settings, rows := Manifest.read(project.manifest), on_progress, write=False)
    head = engine.model.spec.head_width
    attention = plan_attention(
        settings.attention,
        machine,
        precision.name,  # type: ignore[arg-type]
        head,
        fallback=settings.attention_fallback,
    )
    shapes = [_shape(row, settings, engine) for row in rows if row.kept and row.split == "train"]
    if not shapes:
        raise DataError("train.no_training_clips", manifest=project.manifest)
    seconds = settings.batches.seconds or (
        SECONDS_PER_FORWARD_RANDOM if engine.random else SECONDS_PER_FORWARD
    )
    sampler = _sampler(shapes, settings, seconds)
    steps = sampler.epoch(0)
    costliest = max(steps, key=lambda step: max(sum(sampler.rows[i].tokens for i in part) for part in step))
    on_progress(Progress("trace", 0, 2 + 2 * len(CARDS), "steps"))
    spec = engine.model.spec
    cost = cost_of(
        spec, settings, [[shapes[i] for i in part] for part in costliest], attention.name, precision.name
    )
    total = sum(shape.seconds for shape in shapes)
    spoken = sum(shapes[i].seconds for part in costliest for i in part)
    flops_per_second = cost.flops / spoken
    trainable = cost.gradients // 4
    here = PROCESS_BYTES if machine.device == "cpu" else CONTEXT_BYTES
    rate = _cpu_rate() * CPU_USED_SHARE if machine.device == "cpu" else _card_rate(machine) * USED_SHARE
    cards = _cards(engine, settings, shapes, seconds, total, flops_per_second)
    return Forecast(
        engine.origin,
        attention,
        precision,
        latents_plan(settings),
        len(shapes),
        total,
        seconds,
        len(steps),
        cost,
        here + cost.peak,
        machine.memory_bytes,
        disk_bytes(settings, trainable, engine),
        shutil.disk_usage(project.root).free,
        flops_per_second * total / len(steps) / rate,
        trainable,
        sum(parameter.numel() for _, parameter in engine.model.trained()),
        cards,
    )


def disk_bytes(settings: TrainSettings, trainable: int, engine: TrainableModel) -> int:
    """Return the bytes of the voice and the kept checkpoints, including the best and one being written."""
    moments = 2 if settings.optimizer == "8bit" else 8
    checkpoint = trainable * (4 + moments + (4 if settings.ema else 0))
    voice = sum(tensor.numel() * tensor.element_size() for tensor in engine.model.state_dict().values())
    voices = 1 + settings.coqui_folder
    return int(checkpoint * (settings.keep + 2) + voice * voices)


def _shape(row: Utterance, settings: TrainSettings, engine: TrainableModel) -> BatchShape:
    spec = engine.model.spec
    longest = settings.reference.max_seconds
    crop_seconds = longest if row.seconds >= longest else row.seconds / 2
    ids = len(engine.vocabulary.encode(engine.spell(row)))
    return BatchShape(ids, spec.codes_of(round(row.seconds * spec.input_rate)), row.seconds, crop_seconds)


def _sampler(shapes: Sequence[BatchShape], settings: TrainSettings, seconds: float) -> Sampler:
    rows = tuple(
        Row(shape.seconds, LATENTS + shape.text_ids + 1 + shape.codes + STOP_TARGETS) for shape in shapes
    )
    batches = settings.batches
    return Sampler(rows, seconds, batches.clips, batches.accumulate, batches.packing == "auto", settings.seed)


def _cards(
    engine: TrainableModel,
    settings: TrainSettings,
    shapes: Sequence[BatchShape],
    seconds: float,
    total: float,
    flops_per_second: float,
) -> tuple[CardForecast, ...]:
    """Forecast peak and largest batch on common cards: memory is linear in the seconds of a forward pass."""
    spec = engine.model.spec
    longest = max(shapes, key=lambda shape: shape.seconds)
    typical = sorted(shapes, key=lambda shape: shape.seconds)[len(shapes) // 2]
    plain = replace(settings, batches=replace(settings.batches, accumulate=1))
    found = {}
    for precision in ("bf16", "float32"):
        clips = min(max(2, round(seconds / typical.seconds)), _TRACED_CLIPS)
        # not from one clip on: with few, the optimizer's share hides what each adds
        few, many = ([longest, *[typical] * count] for count in (clips // 2, clips))
        costs = [cost_of(spec, plain, [part], "sdpa", precision) for part in (few, many)]
        lengths = [sum(shape.seconds for shape in part) for part in (few, many)]
        slope = (costs[1].peak - costs[0].peak) / (lengths[1] - lengths[0])
        found[precision] = (costs[0].peak - slope * lengths[0], slope)
    out = []
    for name, size, rate in CARDS:
        fixed, slope = found["bf16" if size >= 8 else "float32"]
        room = size * 10**9 * CARD_SHARE - CONTEXT_BYTES
        most = max(0.0, (room - fixed) / slope) if slope > 0 else float("inf")
        peak = int(fixed + slope * max(seconds, longest.seconds)) + CONTEXT_BYTES
        fits = most >= max(seconds, longest.seconds)
        epoch = flops_per_second * total / (rate * 1e12 * USED_SHARE)
        out.append(CardForecast(name, size, fits, peak, most if most >= longest.seconds else 0.0, epoch))
    return tuple(out)


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


def _duration(seconds: float) -> Message:
    if seconds < 120:
        return Message("train.seconds", seconds=seconds)
    if seconds < 7200:
        return Message("train.minutes", minutes=seconds / 60)
    return Message("train.hours", hours=seconds / 3600)
