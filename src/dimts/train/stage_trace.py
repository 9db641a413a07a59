"""Trace and time the steps of any stage without its recordings.

    trace = StageTrace(kind, context, attention, "float32")
    trace.cost(parts, StepKind(0, 1))       memory and operations, on tensors without contents
    clock = StageClock(kind, context, "cpu", "float32")
    clock.seconds(parts, 0)                 one step on noise, timed

Both run the stage's own batches, losses and optimizers, in the order of `Trainer`. Where a value decides a
shape (a mask that picks rows), the trace takes the most it can be.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from dimts.train.base_model import STAGE_PREFIXES, configure
from dimts.train.blank_clips import BlankStore, BlankTensors
from dimts.train.memory_trace import Meter, StepCost
from dimts.train.optim import EMA, adamw
from dimts.train.settings import TrainSettings
from dimts.train.stages.stage import Stage, StageContext, StepKind, only_learning, weighted_loss
from dimts.xtts.mel import forget_constants
from dimts.xtts.model import XTTS

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
Parts = Sequence[Sequence[int]]
"""The clips of a step: the indices of each forward pass."""


class StageTrace:
    """A stage whose tensors have shapes but no contents."""

    def __init__(self, kind: type[Stage], context: StageContext, attention: str, precision: str) -> None:
        self.settings = replace(context.settings, compile=False)
        # on processors fp16 autocast lacks kernels; bf16 takes as many bytes
        self.mixed = torch.bfloat16 if precision in _AUTOCAST else None
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._meter = _ShapeMeter()
        with self._blank():
            model = XTTS(context.engine.model.spec, dvae=context.engine.model.dvae is not None)
            configure(model, self.settings, attention if attention in ("eager", "sdpa") else "sdpa")
            self.stage = kind(_without_recordings(context, model, self.settings))
            self.optimizers = _optimizers(self.stage)
            self.average = EMA(model, self.settings.ema) if self.settings.ema else None
            held = [*model.parameters(), *model.buffers()]
            held += [*self.stage.module.parameters(), *self.stage.module.buffers()]
            for tensor in held:
                self._meter.see(tensor)
            self.weights = self._meter.live
            for tensor in self.average.shadow.values() if self.average else ():
                self._meter.see(tensor)
        self._warm = False

    @property
    def trainable(self) -> int:
        """Number of parameters that an optimizer steps."""
        return sum(p.numel() for phase in self.stage.phases() for p in phase.parameters)

    @property
    def parameters(self) -> int:
        """Number of parameters in memory: the model's and those of the stage's own networks."""
        modules = nn.ModuleList([self.stage.model, self.stage.module])
        return sum(parameter.numel() for parameter in modules.parameters())

    def cost(self, parts: Parts, kind: StepKind) -> StepCost:
        """Return the cost of a step of this kind on the clips `parts`."""
        with self._blank(), self._meter:
            if not self._warm:  # all optimizers have their state before anything is measured
                for each in {found.step: found for found in self.stage.step_kinds(parts)}.values():
                    self._step([parts[0][:2]], each.step)
                self._warm = True
            self._meter.peak = 0
            counter = FlopCounterMode(display=False)
            with counter:
                self._step(parts, kind.step)
        states = {name: _state_bytes(optimizer) for name, optimizer in self.optimizers.items()}
        gradients = max(
            sum(p.numel() * p.element_size() for p in phase.parameters)
            for phase in self.stage.phases()
            if self.stage.active(phase, kind.step)
        )
        average = (
            sum(t.numel() * t.element_size() for t in self.average.shadow.values()) if self.average else 0
        )
        optimizer = sum(states.values()) + average
        rest = self._meter.peak - self.weights - gradients - optimizer
        return StepCost(
            self.weights,
            gradients,
            optimizer,
            max(rest, 0),
            self._meter.peak,
            int(counter.get_total_flops()),
            states if len(states) > 1 else {},
        )

    def _step(self, parts: Parts, step: int) -> None:
        take_step(self.stage, self.optimizers, parts, step, self.mixed, self.average)

    @contextlib.contextmanager
    def _blank(self) -> Iterator[None]:
        """Make tensors without contents inside the block, and keep none of them beyond it."""
        try:
            with torch.random.fork_rng(devices=[]), self._mode:
                yield
        finally:
            forget_constants()


class StageClock:
    """A stage with weights, that takes steps on noise and changes nothing: its learning rate is 0."""

    def __init__(self, kind: type[Stage], context: StageContext, device: str, precision: str) -> None:
        model, self.device = context.engine.model, torch.device(device)
        configure(model, context.settings, model.gpt.trunk.blocks()[0].attn.kind)
        for name, tensor in model.state_dict(keep_vars=True).items():
            if name.startswith(STAGE_PREFIXES[kind.name]):  # it may be mapped from a file
                tensor.data = tensor.data.clone()
        model.to(self.device)
        self.mixed = _AUTOCAST.get(precision)
        self.stage = kind(_without_recordings(context, model, context.settings))
        self.optimizers = _optimizers(self.stage)

    def seconds(self, parts: Parts, step: int) -> float:
        """Return the seconds of a step on the clips `parts`."""
        self._wait()
        began = time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            take_step(self.stage, self.optimizers, parts, step, self.mixed, None)
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def take_step(
    stage: Stage,
    optimizers: Mapping[str, torch.optim.Optimizer],
    parts: Parts,
    step: int,
    mixed: torch.dtype | None,
    average: EMA | None,
) -> None:
    """Take the 0-based step `step` as `Trainer` does, without its log, checks and processes."""
    device = stage.model.device.type
    stage.before_step(step)
    stage.module.train()
    batches: dict[int, Any] = {}
    for phase in stage.phases():
        if not stage.active(phase, step):
            continue
        counts = [stage.counts(phase, part, 0) for part in parts]
        totals = {name: sum(count[name] for count in counts) for name in phase.weights}
        with only_learning(phase, stage.phases()):
            for turn, part in enumerate(parts):
                if turn not in batches or len(parts) > 1:
                    batches[turn] = stage.batch(part, 0)
                with torch.autocast(device, mixed or torch.bfloat16, enabled=mixed is not None):
                    terms = stage.losses(phase, batches[turn])
                loss = weighted_loss(phase, terms, totals)
                loss.backward()  # type: ignore[no-untyped-call]
                del loss, terms
        nn.utils.clip_grad_norm_(phase.parameters, stage.settings.clip_norm or math.inf)
        with stage.around_optimizer(phase):
            optimizers[phase.name].step()
        optimizers[phase.name].zero_grad(set_to_none=True)
        stage.after_phase(phase)
    if average is not None:
        average.update(stage.model)
    stage.step_values()
    for optimizer in optimizers.values():
        optimizer.zero_grad(set_to_none=True)


def _optimizers(stage: Stage) -> dict[str, torch.optim.Optimizer]:
    return {phase.name: adamw(phase.groups, 0.0, "fused", phase.betas) for phase in stage.phases()}


def _without_recordings(context: StageContext, model: XTTS, settings: TrainSettings) -> StageContext:
    """Return the context with another model and clips that have lengths alone."""
    clips = context.data.train
    store = BlankStore({clip.key: clip.samples for clip in clips}, model.spec, clips.generated)
    return replace(
        context,
        settings=settings,
        engine=replace(context.engine, model=model, remarks=[]),
        data=replace(context.data, stores=(store,)),
        tensors=BlankTensors(store),
    )


def _state_bytes(optimizer: torch.optim.Optimizer) -> int:
    tensors = (value for state in optimizer.state.values() for value in state.values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if isinstance(tensor, Tensor))


_ATEN = torch.ops.aten
_PUTS = (_ATEN.index_put.default, _ATEN.index_put_.default, _ATEN._index_put_impl_.default)


class _ShapeMeter(Meter):  # type: ignore[no-untyped-call]
    """Counts the bytes of live storages, and answers what depends on contents by the most it can be."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _ATEN._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 1
        if func is _ATEN.nonzero.default:  # of dead codes: none, whose replacement takes next to nothing
            return args[0].new_empty((0, args[0].dim()), dtype=torch.int64)
        if func is _ATEN.bincount.default:
            least = kwargs.get("minlength", args[2] if len(args) > 2 else 0)
            return args[0].new_empty(least)
        if func is _ATEN.index.Tensor and _is_mask(args[1]):  # as if no frame were padding
            mask = args[1][0]
            out = args[0].new_empty((mask.numel(), *args[0].shape[mask.dim() :]))
            self.see(out)
            return out
        if func in _PUTS and _is_mask(args[1]):
            return args[0].clone() if func is _ATEN.index_put.default else args[0]
        return super().__torch_dispatch__(func, types, args, kwargs)


def _is_mask(indices: Any) -> bool:
    first = indices[0] if len(indices) == 1 else None
    return isinstance(first, Tensor) and first.dtype == torch.bool
