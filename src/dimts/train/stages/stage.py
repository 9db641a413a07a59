"""Define the protocol of a training stage: parameters, batches, losses, optimizers, evaluation.

A step is one or more phases, each a forward and a backward pass over all parts of the step followed by a step
of the phase's own optimizer. A loss is a sum of weighted terms, each a mean over a number of targets; the
loop adds the parts of a step so that its loss is the mean over all its targets, however the step is split.
Everything random in a stage follows from the seed and the number of the step or the epoch, so that a resumed
run repeats it.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from dimts.base.errors import DataError
from dimts.base.messages import Message
from dimts.train import optim
from dimts.train.stats import RunStats

if TYPE_CHECKING:
    from dimts.base.progress import ProgressCallback
    from dimts.base.project import Project
    from dimts.train.base_model import TrainableModel
    from dimts.train.collate import TrainingClip
    from dimts.train.dataset import TrainingSet
    from dimts.train.metrics import EvaluatedSentence
    from dimts.train.probe import Probe
    from dimts.train.sampler import StepSource
    from dimts.train.settings import TrainSettings
    from dimts.train.tensor_store import TensorStore


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a loss over one part of a step."""

    mean: Tensor
    """Scalar with a gradient: the mean over the targets of the part."""
    count: float
    """Number of those targets."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A pass over a step with an optimizer of its own."""

    name: str
    """Name of the optimizer, such as "generator"."""
    groups: list[dict[str, Any]]
    """Parameter groups as torch's optimizers take them."""
    weights: Mapping[str, float]
    """Weight of each term in the loss of this phase."""
    betas: tuple[float, float] = optim.BETAS
    learning_rate_scale: float = 1.0
    """Learning rate as a multiple of the run's."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters of all groups."""
        return [parameter for group in self.groups for parameter in group["params"]]


@dataclass(slots=True)
class StageContext:
    """Arguments of a stage's constructor."""

    project: Project
    settings: TrainSettings
    engine: TrainableModel
    data: TrainingSet
    sampler: StepSource
    total_steps: int
    """Steps of the whole run."""
    stats: RunStats = field(default_factory=RunStats)
    tensors: TensorStore | None = None
    """What `prepare` has computed, by name; None: the project's own cache."""


@dataclass(frozen=True, slots=True)
class StepKind:
    """Steps of a run that cost the same."""

    step: int
    """0-based number of one of them."""
    count: int
    """How many there are in the run; 0: its memory counts, its time does not."""


class Stage(ABC):
    """One part of XTTS in training."""

    name: ClassVar[str]
    changes_state_in_forward: ClassVar[bool] = False
    """Whether a forward pass in training mode moves buffers, so that a step cannot be abandoned half-way."""
    one_process_only: ClassVar[bool] = True
    """Whether several processes cannot share its steps."""
    speaks: ClassVar[bool] = True
    """Whether the stage's result can be spoken: samples and metrics of synthesised sentences."""
    shown: ClassVar[tuple[str, ...]] = ()
    """Names of log values shown with the progress."""

    def __init__(self, context: StageContext) -> None:
        self.settings, self.engine, self.data = context.settings, context.engine, context.data
        self.project, self.stats = context.project, context.stats
        self.sampler, self.total_steps = context.sampler, context.total_steps
        self.model = context.engine.model
        self.wrapped: nn.Module = self.model
        """`model` wrapped for several processes; set by the trainer."""

    # What learns

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """Everything that runs in training mode during a step."""

    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """All phases of a step in order; the last one's loss is the loss of the run."""

    @abstractmethod
    def usual_learning_rate(self) -> float:
        """Return the default learning rate."""

    def needed_seconds(self) -> float:
        """Return the seconds of speech below which the stage cannot be trained."""
        return 0.0

    def check_speech(self) -> None:
        """Raise DataError for too little speech for the stage."""
        seconds, needed = sum(clip.seconds for clip in self.data.train), self.needed_seconds()
        if seconds < needed and not self.data.generated_per_part:
            raise DataError("train.too_little_speech", stage=self.name, seconds=seconds, needed=needed)

    def active(self, phase: Phase, step: int) -> bool:
        """Whether a phase is part of the 0-based step `step`."""
        return True

    def step_kinds(self, parts: Sequence[Sequence[int]]) -> list[StepKind]:
        """Return the kinds of steps of the run by their cost, were all of them to take the clips `parts`."""
        return [StepKind(0, self.total_steps)]

    def extras(self) -> dict[str, Tensor]:
        """Return state tensors that are not parameters of the voice: buffers, discriminators."""
        return {}

    # Data

    def counts(self, phase: Phase, part: Sequence[int], epoch: int) -> dict[str, float]:
        """Return the number of targets of each term in one part; all processes count all parts."""
        return dict.fromkeys(phase.weights, float(len(part)))

    @abstractmethod
    def batch(self, part: Sequence[int], epoch: int | None) -> Any:
        """Load the clips `part` of the training set; of the dev set, always the same way, where `epoch` is
        None."""

    # Learning

    @abstractmethod
    def losses(self, phase: Phase, batch: Any) -> dict[str, Term]:
        """Compute the terms of a phase's loss."""

    def before_step(self, step: int) -> None:  # noqa: B027 (most stages need none)
        """Prepare the 0-based step `step`, before its batches are loaded."""

    def after_phase(self, phase: Phase) -> None:  # noqa: B027 (most stages need none)
        """Update state after an accepted optimizer step."""

    def around_optimizer(self, phase: Phase) -> contextlib.AbstractContextManager[None]:
        """Return a context around an optimizer step."""
        return contextlib.nullcontext()

    def step_values(self) -> dict[str, float]:
        """Return what else is logged after a step."""
        return {}

    def watch_after(self, probe: Probe, part: Sequence[int], epoch: int) -> None:  # noqa: B027 (most stages need none)
        """Measure what the probed step cannot show."""

    # Evaluation

    def dev_weights(self) -> Mapping[str, float]:
        """Return the weight of each term in the dev loss."""
        return self.phases()[-1].weights

    @abstractmethod
    def dev_losses(self, batch: Any) -> dict[str, Term]:
        """Compute the terms of the dev loss, without anything random."""

    def ready_for_evaluation(self, steps: int) -> bool:
        """Whether dev losses after so many steps can be compared with later ones."""
        return True

    def alarm(self, values: Mapping[str, float | None]) -> Message | None:
        """Return why training should stop after an evaluation, with the remedy; None to continue."""
        return None

    def speak_dev(self, most: int) -> list[EvaluatedSentence]:
        """Speak the first `most` dev sentences (0: all) with the model as it is."""
        from dimts.train.export import speak_dev

        return speak_dev(self.engine, self.data, most)

    # Report

    def prepare(self, on_progress: ProgressCallback) -> None:  # noqa: B027 (most stages need none)
        """Compute and cache what the steps will read."""

    def option_effects(self, probe: Probe, steps: Sequence[Mapping[str, Any]]) -> dict[str, Message]:
        """Return the measured effect of each option of the stage by dotted name; `steps` are the log's lines
        of steps."""
        return {}

    def own_effects(self, steps: Sequence[Mapping[str, Any]]) -> dict[str, Message]:
        """Return the effects of steps, seconds and learning rate in the stage's own table."""
        stats = self.stats
        return {
            f"{self.name}.steps": Message("train.effect_steps", steps=stats.steps),
            f"{self.name}.seconds": Message(
                "train.effect_seconds_per_pass", seconds=stats.audio_seconds / max(stats.forward_passes, 1)
            ),
            f"{self.name}.learning_rate": Message(
                "train.effect_highest", rate=max(step["learning_rate"] for step in steps)
            ),
        }

    def ignored_options(self) -> dict[str, Message]:
        """Return the options without effect in this stage, by dotted name or by table ("lora."), with the
        reason."""
        return {}


def weighted_loss(phase: Phase, terms: Mapping[str, Term], totals: Mapping[str, float]) -> Tensor:
    """Return the loss of one forward pass, a scalar: its terms by their weights, each by its share of the
    step's `totals`, so that the passes of a step sum to the mean over the step."""
    loss: Any = 0.0
    for name, term in terms.items():
        loss = loss + phase.weights[name] * term.mean * (term.count / max(totals[name], 1))
    return loss  # type: ignore[no-any-return]


@contextlib.contextmanager
def only_learning(phase: Phase, phases: Sequence[Phase]) -> Iterator[None]:
    """Compute no gradients for the parameters of earlier phases inside the block, as their steps are over."""
    earlier = phases[: list(phases).index(phase)]
    others = [parameter for other in earlier for parameter in other.parameters]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


GPT_OPTIONS = (
    "last_layers",
    "freeze_conditioning",
    "lora.",
    "new_rows_lr_scale",
    "old_rows_lr_scale",
    "text_weight",
    "guided_attention",
    "guided_conditioning",
    "label_smoothing",
    "dropout",
    "attention_dropout",
    "loss_chunk",
    "attention",
    "attention_fallback",
    "checkpointing",
    "compile",
    "sharding",
    "reference.",
    "batches.packing",
    "adapter_folder",
)
"""Options that only the GPT's stage uses."""


def option_set(option: str) -> Message:
    """Return the reason that another option is set."""
    return Message("train.reason_set", option=option)


def option_is(option: str, value: object) -> Message:
    """Return the reason that another option has this value."""
    return Message("train.reason_is", option=option, value=value)


def other_stages(name: str) -> dict[str, Message]:
    """Return the options that belong to stages other than `name`, which is not the GPT's, with the reason."""
    reason = option_is("train.stage", name)
    tables = [f"{stage}." for stage in ("speaker", "dvae", "decoder") if stage != name]
    return dict.fromkeys((*GPT_OPTIONS, *tables), reason)


def loss_share(step: Mapping[str, Any], term: str, weight: float) -> Message:
    """Return which share of a step's loss a term is."""
    share = weight * step[f"loss_{term}"] / step["loss"]
    return Message("train.effect_loss_share", share=share, step=step["step"])


def clips_of(data: TrainingSet, part: Sequence[int], epoch: int | None) -> list[TrainingClip]:
    """Return the clips of a part, of the dev set where `epoch` is None."""
    clips = data.dev if epoch is None else data.train
    return [clips[index] for index in part]


def trained_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return (name, parameter) of everything that is trained."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def move_to(module: nn.Module, device: torch.device) -> None:
    """Move a module to a device; one that is there already may have tensors that cannot be moved."""
    if any(parameter.device != device for parameter in module.parameters()):
        module.to(device)


def moved_buffers(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Return the buffers of a module by name, below `prefix`."""
    return {f"{prefix}{name}": buffer for name, buffer in module.named_buffers() if buffer.numel()}


@torch.no_grad()
def copy_into(targets: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy stored tensors into those of the same name."""
    for name, target in targets.items():
        target.copy_(values[name])
