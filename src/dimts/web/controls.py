"""The settings on the page: each control is one key of dimts.toml; nothing is set twice.

A control has a key and a look; its choices and type are those of the settings class. Keys that name files
outside the project (a replay folder, Transphone's folder) have no control.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from dimts.base.errors import ConfigError
from dimts.web.project_settings import classes

Look = Literal["choice", "order", "whole", "number", "text", "lines", "switch"]


@dataclass(frozen=True, slots=True)
class Control:
    """One control of the page."""

    key: str
    """Dotted key of dimts.toml."""
    look: Look
    tab: str
    """Its tab: "voice", "text", "prepare", "train", "train_more", "speak"."""
    choices: tuple[str, ...] = ()
    """Choices where the settings class takes any text; else its own choices hold."""
    low: float | None = None
    high: float | None = None
    step: float = 1.0

    @property
    def options(self) -> tuple[str, ...]:
        """Return the choices, in order."""
        return self.choices or choices_of(self.key)

    def taken(self, value: Any) -> Any:
        """Convert a browser's value to the value for dimts.toml. ConfigError for an invalid one."""
        if self.look == "switch":
            good = isinstance(value, bool)
        elif self.look == "choice":
            good = isinstance(value, str) and (value in self.options or self.key in OPEN_CHOICES)
        elif self.look == "order":
            good = (
                isinstance(value, list) and set(value) <= set(self.options) and len(value) == len(set(value))
            )
        elif self.look in ("whole", "number"):
            return self._number(value)
        else:
            good = isinstance(value, str) and len(value) <= MAX_LETTERS
            value = " ".join(value.split()) if good and self.look == "text" else value
        if not good:
            raise ConfigError("web.value_not_offered", key=self.key, value=str(value)[:60])
        return value

    def _number(self, value: Any) -> Any:
        if isinstance(value, str):
            text = value.strip().replace(",", ".")
            try:
                value = float(text) if text else None
            except ValueError as error:
                raise ConfigError("web.not_a_number", key=self.key, value=value[:30]) from error
        if value is None:
            if optional(self.key):
                return None
            raise ConfigError("web.value_empty", key=self.key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError("web.not_a_number_type", key=self.key)
        if not (value == value and abs(value) < float("inf")):
            raise ConfigError("web.not_finite", key=self.key)
        if self.look == "whole" and value != int(value):
            raise ConfigError("web.not_whole", key=self.key, value=value)
        if self.low is not None and value < self.low:
            raise ConfigError("web.value_too_small", key=self.key, value=value, least=self.low)
        if self.high is not None and value > self.high:
            raise ConfigError("web.value_too_large", key=self.key, value=value, most=self.high)
        return int(value) if self.look == "whole" else float(value)


MAX_LETTERS = 2000
OPEN_CHOICES = frozenset({"train.base"})
"""Choices that depend on the project; the page offers and checks them itself."""


def control(key: str, look: Look, tab: str, **more: Any) -> Control:
    """Make a row of the table below."""
    return Control(key, look, tab, **more)


@cache
def controls() -> tuple[Control, ...]:
    """Return every control of the page, in order."""
    from dimts.text.g2p.chain import backend_names

    return (
        control("project.name", "text", "voice"),
        control("project.licence", "text", "voice"),
        control("project.consent", "text", "voice"),
        control("text.g2p.backends", "order", "text", choices=backend_names()),
        control("text.g2p.if_all_fail", "choice", "text"),
        control("text.g2p.english", "switch", "text"),
        control("data.speaker", "text", "prepare"),
        control("data.jobs", "whole", "prepare", low=1, high=64),
        control("data.segment.detector", "choice", "prepare"),
        control("data.segment.min_seconds", "number", "prepare", low=0.1, step=0.1),
        control("data.segment.max_seconds", "number", "prepare", low=1, step=0.5),
        control("data.transcribe.by", "choice", "prepare", choices=("", "whisper", "omnilingual")),
        control("data.clean.denoise", "number", "prepare", low=0, high=1, step=0.1),
        control("data.check.min_snr_db", "number", "prepare", low=0, step=1),
        control("train.base", "choice", "train"),
        control("train.size", "choice", "train"),
        control("train.trainable", "choice", "train"),
        control("train.steps", "whole", "train", low=0),
        control("train.attention", "choice", "train"),
        control("train.precision", "choice", "train"),
        control("train.checkpointing", "choice", "train", choices=("off", "on", "every 2", "every 4")),
        control("train.batches.seconds", "number", "train", low=0, step=1),
        control("train.learning_rate", "number", "train_more", low=0, step=0.00001),
        control("train.epochs", "whole", "train_more", low=0),
        control("train.lora.rank", "whole", "train_more", low=1),
        control("train.lora.alpha", "number", "train_more", low=0, step=1),
        control("train.attention_fallback", "switch", "train_more"),
        control("train.batches.accumulate", "whole", "train_more", low=1),
        control("train.batches.packing", "choice", "train_more"),
        control("train.batches.unusable", "choice", "train_more"),
        control("train.freeze_conditioning", "switch", "train_more"),
        control("train.ema", "number", "train_more", low=0, high=0.9999, step=0.0001),
        control("train.evaluate_every", "whole", "train_more", low=0),
        control("train.save_every", "whole", "train_more", low=1),
        control("train.keep", "whole", "train_more", low=1),
        control("train.sample_every", "whole", "train_more", low=0),
        control("train.sample_text", "text", "train_more"),
        control("train.stop.patience", "whole", "train_more", low=0),
        control("train.seed", "whole", "train_more", low=0),
        control("train.coqui_folder", "switch", "train_more"),
        control("speak.rate", "number", "speak", low=0.5, high=2.0, step=0.05),
        control("speak.seed", "whole", "speak", low=0),
        control("speak.temperature", "number", "speak", low=0.05, high=2.0, step=0.05),
        control("speak.weights", "choice", "speak"),
    )


def of_tab(tab: str) -> list[Control]:
    """Return the controls of one tab, in order."""
    return [one for one in controls() if one.tab == tab]


def by_key(key: str) -> Control:
    """Return the control of a key. ConfigError for a key without one."""
    for one in controls():
        if one.key == key:
            return one
    raise ConfigError("web.no_control", key=key)


def choices_of(key: str) -> tuple[str, ...]:
    """Return the choices a settings class allows for a key; () where it takes any."""
    hint = _hint(key)
    found: list[str] = []
    for part in [hint, *typing.get_args(hint)]:
        if typing.get_origin(part) is Literal:
            found += [str(one) for one in typing.get_args(part)]
    return tuple(found)


def optional(key: str) -> bool:
    """Whether a key may be unset."""
    return type(None) in typing.get_args(_hint(key))


def shown(key: str, value: Any) -> Any:
    """Return what a control shows for a value of dimts.toml: optional numbers are shown in a text field."""
    if by_key(key).look == "number" and optional(key):
        return "" if value is None else f"{value:g}"
    return value


def default(key: str) -> Any:
    """Return the value of a key that is absent from dimts.toml."""
    value: Any = classes()[key.split(".")[0]]()
    for part in key.split(".")[1:]:
        value = getattr(value, part)
    return list(value) if isinstance(value, tuple) else value


def _hint(key: str) -> Any:
    table, *path = key.split(".")
    kind: Any = classes()[table]
    for part in path:
        if not dataclasses.is_dataclass(kind):
            break
        kind = typing.get_type_hints(kind)[part]
    return kind if not isinstance(kind, types.NoneType) else None


def taken(keys: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Convert a browser's values of some controls to values for dimts.toml. ConfigError for an invalid
    one."""
    return {key: by_key(key).taken(value) for key, value in zip(keys, values, strict=True)}
