"""Hold and format the forecast of a run: a table for each stage, and the sum of several stages."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dimts.base.messages import Message
from dimts.train.capabilities import Choice
from dimts.train.memory_trace import MEBIBYTE, StepCost

_CARD_COLUMNS = ("card", "fits", "peak", "largest_batch", "per_epoch")


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
    """Forecast of the memory, time and disk use of one stage."""

    engine: Message
    """Origin of the weights."""
    attention: Choice
    precision: Choice
    latents: Message
    """Whether the conditioning latents of crops are cached, or computed at every step."""
    clips: int
    """Clips of an epoch."""
    speech_seconds: float
    """Seconds of speech of an epoch."""
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
    """Mean over the steps of the run."""
    trainable: int
    parameters: int
    cards: tuple[CardForecast, ...]
    stage: str = "gpt"
    steps: int = 0
    """Steps of the whole run."""
    notes: tuple[Message, ...] = ()
    """What the figures do not contain, and clips that are left out."""

    @property
    def total_seconds(self) -> float:
        """Return the duration of all steps."""
        return self.step_seconds * self.steps

    def as_dict(self) -> dict[str, object]:
        """Return all fields and the total, for JSON; messages remain as they are."""
        return {**asdict(self), "total_seconds": self.total_seconds}

    def table(self, language: str | None = None) -> str:
        """Format the forecast in `language`, by default that of the process: this machine, then cards."""
        rows = [
            f"{Message(f'train.forecast_{name}').text(language):<12}{value.text(language)}"
            for name, value in self._rows()
        ]
        return "\n".join([*rows, "", *self._cards(language)])

    def _rows(self) -> list[tuple[str, Message]]:
        """Return the rows for this machine, each with its name."""
        rows = [
            ("stage", Message("train.forecast_stage_is", stage=self.stage)),
            (
                "engine",
                Message(
                    "train.forecast_engine_is",
                    engine=self.engine,
                    learn=self.trainable,
                    total=self.parameters,
                ),
            ),
            ("precision", self.precision.message),
        ]
        if self.stage in ("gpt", "decoder"):  # the others have no attention
            rows.insert(2, ("attention", self.attention.message))
        if self.stage == "gpt":
            rows.append(("voice", self.latents))
        data = Message(
            "train.forecast_data_is",
            clips=self.clips,
            hours=self.speech_seconds / 3600,
            steps=self.steps_per_epoch,
            seconds=self.seconds_per_forward,
        )
        here = Message(
            "train.forecast_here_is",
            peak=self.process_bytes / 1e9,
            available=self.available_bytes / 1e9,
            seconds=self.step_seconds,
            epoch=duration(self.step_seconds * self.steps_per_epoch),
        )
        disk = Message(
            "train.forecast_disk_is", needed=self.disk_bytes / 1e9, free=self.free_disk_bytes / 1e9
        )
        return [
            *rows,
            ("data", data),
            ("memory", Message("train.forecast_memory_is", parts=tuple(self._memory()))),
            ("here", here),
            (
                "run",
                Message("train.forecast_run_is", steps=self.steps, duration=duration(self.total_seconds)),
            ),
            ("disk", disk),
            *(("note", note) for note in self.notes),
        ]

    def _memory(self) -> list[Message]:
        """Return the parts of the step's memory, each optimizer by its name where there are several."""
        found = []
        for name, size in self.cost.megabytes.items():
            found.append(Message("train.memory_part", part=Message(f"train.memory_{name}"), mebibytes=size))
            if name == "optimizer":
                found += [
                    Message("train.memory_of_optimizer", name=own, mebibytes=size_of / MEBIBYTE)
                    for own, size_of in self.cost.optimizers.items()
                ]
        return found

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
            epoch = duration(card.epoch_seconds).text(language) if card.fits else "–"
            name = Message("train.card_name", gigabytes=card.gigabytes, name=card.name).text(language)
            rows.append([name, *(one.text(language) for one in values), epoch])
        return [f"{a:<18} {b:<6} {c:>10} {d:>15} {e:>10}" for a, b, c, d, e in rows]


@dataclass(frozen=True, slots=True)
class StageWithoutForecast:
    """A stage that would not run, or whose run would end at once."""

    stage: str
    reason: Message
    fails: bool
    """Whether the run would end with this error; else the stage is left out on purpose."""


@dataclass(frozen=True, slots=True)
class PipelineForecast:
    """Forecast of several stages, one after another."""

    stages: tuple[Forecast | StageWithoutForecast, ...]
    """In the order of training."""

    @property
    def known(self) -> tuple[Forecast, ...]:
        """Return the forecasts of the stages that have one."""
        return tuple(stage for stage in self.stages if isinstance(stage, Forecast))

    @property
    def failing(self) -> tuple[StageWithoutForecast, ...]:
        """Return the stages at which the run would end with an error."""
        return tuple(s for s in self.stages if isinstance(s, StageWithoutForecast) and s.fails)

    @property
    def total_seconds(self) -> float:
        """Return the duration of the steps of all stages that have a forecast."""
        return sum(stage.total_seconds for stage in self.known)

    def as_dict(self) -> dict[str, object]:
        """Return, for JSON, the stages in order, the sum of their time, the peak of memory."""
        highest = max(self.known, key=lambda stage: stage.process_bytes)
        return {
            "stages": [s.as_dict() if isinstance(s, Forecast) else asdict(s) for s in self.stages],
            "total_seconds": self.total_seconds,
            "steps": sum(stage.steps for stage in self.known),
            "process_bytes": highest.process_bytes,
            "highest_stage": highest.stage,
            "available_bytes": highest.available_bytes,
            "disk_bytes": sum(stage.disk_bytes for stage in self.known),
            "without": [stage.stage for stage in self.failing],
        }

    def table(self, language: str | None = None) -> str:
        """Format one table a stage, and their sum."""
        parts = [
            stage.table(language) if isinstance(stage, Forecast) else _without(stage, language)
            for stage in self.stages
        ]
        highest = max(self.known, key=lambda stage: stage.process_bytes)
        rows = [
            (
                "sum",
                Message(
                    "train.forecast_sum_is",
                    stages=tuple(stage.stage for stage in self.known),
                    steps=sum(stage.steps for stage in self.known),
                    duration=duration(self.total_seconds),
                ),
            ),
            (
                "memory",
                Message(
                    "train.forecast_peak_is",
                    peak=highest.process_bytes / 1e9,
                    available=highest.available_bytes / 1e9,
                    stage=highest.stage,
                ),
            ),
            (
                "disk",
                Message(
                    "train.forecast_disk_is",
                    needed=sum(stage.disk_bytes for stage in self.known) / 1e9,
                    free=highest.free_disk_bytes / 1e9,
                ),
            ),
            ("note", Message("train.forecast_repeats")),
        ]
        if self.failing:
            names = tuple(stage.stage for stage in self.failing)
            rows.append(("note", Message("train.forecast_sum_without", stages=names)))
        sums = "\n".join(
            f"{Message(f'train.forecast_{name}').text(language):<12}{value.text(language)}"
            for name, value in rows
        )
        return "\n\n".join([*parts, sums])


def _without(stage: StageWithoutForecast, language: str | None) -> str:
    code = "train.forecast_stage_fails" if stage.fails else "train.forecast_stage_left_out"
    title = Message("train.forecast_stage").text(language)
    return f"{title:<12}{Message(code, stage=stage.stage, reason=stage.reason).text(language)}"


def duration(seconds: float) -> Message:
    """Return a duration in the unit that suits it."""
    if seconds < 120:
        return Message("train.seconds", seconds=seconds)
    if seconds < 7200:
        return Message("train.minutes", minutes=seconds / 60)
    return Message("train.hours", hours=seconds / 3600)
