"""[speak] of dimts.toml: how a text is spoken, and the numbers all voices share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dimts.audio.formant import FormantSettings
from dimts.base.errors import ConfigError
from dimts.text.frontend import ChainSettings, FrontendSettings

FORMANT = "formant"
"""The name of the voice that needs no model."""
RATE = 24_000
"""Samples a second of everything that is spoken."""
FORMANT_FRONTEND = FrontendSettings(g2p=ChainSettings(backends=("rules",)))
"""The formant voice's own front end: the backend that needs no other library and starts at once."""
SLOWEST, FASTEST = 0.5, 2.0
"""Limits of `rate`."""
PHONE_SECONDS = 0.085
"""Mean length of a phone of calm Amharic speech (the readers of ALFFA speak 11 to 13 a second)."""
SPARE_SECONDS = 0.8
"""Allowed length of a phrase beyond its phones: breath, and the model's own silence before and after."""


Weights = Literal["auto", "float32", "int8", "bfloat16", "float16"]
Steps = Literal["auto", "compiled", "torch"]


@dataclass(frozen=True, slots=True)
class SpeakSettings:
    """[speak]: how a text is spoken."""

    rate: float = 1.0
    """Tempo of every voice, 0.5 to 2.0; the pitch stays."""
    seed: int = 0
    """Same text, voice and seed: same sound on the same machine."""
    temperature: float | None = None
    """How freely a model's voice varies; below 1 calmer. Unset: what the voice was made with."""
    top_k: int | None = None
    """Only the k likeliest codes are drawn; 0 is all. Unset: what the voice was made with."""
    top_p: float | None = None
    """Only the likeliest codes that together reach this probability. Unset: what the voice was made with."""
    repetition_penalty: float | None = None
    """Makes codes that were already chosen less likely; 1.0 is none. Unset: what the voice was made with."""
    max_stretch: float = 2.5
    """A phrase of a model's voice that lasts longer than this many times what its phones should take is
    stopped."""
    guard: bool = True
    """Whether a model's phrases are checked for loops, tails and cuts while they are spoken."""
    retries: int = 2
    """How often a phrase with a fault is spoken again, with another seed, before it is cut where the fault
    begins."""
    weights: Weights = "auto"
    """What a model's weights are kept as: float32; int8 (on a CPU: a quarter of the memory, two to three
    times as fast); bfloat16 or float16 (on a card). auto: float32 on a CPU, 16 bit on a card."""
    steps: Steps = "auto"
    """How a CPU takes a model's decoding steps: compiled (one function, made for this processor at its first
    use; needs the extra `fast`) or by torch, layer by layer, half as fast. auto: compiled where that can
    be."""
    together: int = 1
    """Phrases a model decodes at once when nothing is streamed: one pass over its weights serves them all.
    Rounding may then draw other codes than one by one."""
    formant: FormantSettings = field(default_factory=FormantSettings)

    def __post_init__(self) -> None:
        if not SLOWEST <= self.rate <= FASTEST:
            raise ConfigError("speak.rate_out_of_range", rate=self.rate, slowest=SLOWEST, fastest=FASTEST)
        if self.seed < 0:
            raise ConfigError("speak.seed_negative", seed=self.seed)
        for name, least in (("retries", 0), ("max_stretch", 1.0), ("together", 1)):
            if not getattr(self, name) >= least:
                raise ConfigError(
                    "speak.setting_too_small", name=name, value=getattr(self, name), least=least
                )
