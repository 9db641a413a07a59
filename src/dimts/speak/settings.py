"""[speak] of dimts.toml: settings of synthesis, and numbers common to all voices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dimts.audio.formant import FormantSettings
from dimts.base.errors import ConfigError
from dimts.text.frontend import ChainSettings, FrontendSettings

FORMANT = "formant"
"""Name of the voice that needs no model."""
RATE = 24_000
"""Samples per second of all synthesised audio."""
FORMANT_FRONTEND = FrontendSettings(g2p=ChainSettings(backends=("rules",)))
"""Front end of the formant voice: the backend that needs no other library and starts at once."""
SLOWEST, FASTEST = 0.5, 2.0
"""Limits of `rate`."""
PHONE_SECONDS = 0.085
"""Mean length of a phone of calm Amharic speech (the readers of ALFFA speak 11 to 13 a second)."""
SPARE_SECONDS = 0.8
"""Allowed length of a phrase beyond its phones: breath, and the model's silence before and after."""


Weights = Literal["auto", "float32", "int8", "bfloat16", "float16"]
Steps = Literal["auto", "compiled", "torch"]
Watermark = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class SpeakSettings:
    """[speak]: settings of synthesis."""

    rate: float = 1.0
    """Tempo of every voice, 0.5 to 2.0; the pitch stays."""
    seed: int = 0
    """Same text, voice and seed: same sound on the same machine."""
    temperature: float | None = None
    """Sampling temperature of a model's voice; below 1 less varied. Unset: the voice's own."""
    top_k: int | None = None
    """Sample only from the k most probable codes; 0 is all. Unset: the voice's own."""
    top_p: float | None = None
    """Sample only from the most probable codes that together reach this probability. Unset: the voice's
    own."""
    repetition_penalty: float | None = None
    """Makes codes that were already chosen less probable; 1.0 is none. Unset: the voice's own."""
    max_stretch: float = 2.5
    """A model's phrase that lasts longer than this many times the usual length of its phones is stopped."""
    guard: bool = True
    """Whether a model's phrases are checked for loops, tails and cuts while they are decoded."""
    retries: int = 2
    """How often a phrase with a fault is decoded again, with another seed, before it is cut where the fault
    begins."""
    weights: Weights = "auto"
    """Number type of a model's weights: float32; int8 (on a CPU: a quarter of the memory, two to three times
    as fast); bfloat16 or float16 (on a card). auto: float32 on a CPU, 16 bit on a card."""
    steps: Steps = "auto"
    """Implementation of decoding steps on a CPU: compiled (one function, made for this processor at its first
    use; needs the extra `fast`) or torch, layer by layer, half as fast. auto: compiled where possible."""
    together: int = 1
    """Phrases that a model decodes at once when nothing is streamed: one pass over its weights serves them
    all. Rounding may then lead to other codes than one by one."""
    watermark: Watermark = "auto"
    """Whether speech gets a mark by which it is known as synthetic (extra `watermark`). auto: that of a
    model's voice, where the extra is installed; on: that of every voice, refused without the extra."""
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
