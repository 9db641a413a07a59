"""A voice's model and recordings it never learnt → how far each surprises it, as a share of what ignorance would be.

XTTS speaks by guessing codes one after another; for a recording and its text, the mean −ln of the chance it gave to
the codes that came is what its training lowers. On recordings it was not taught with this falls while it learns how
the speaker speaks and rises again when it learns the clips by heart, so it tells a run that went on for too long,
even where nothing can be heard yet. It compares only between voices with the same codebook.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dimts.audio.wave import Wave
from dimts.base.errors import DimtsError
from dimts.base.messages import Message
from dimts.speak import FORMANT, frontend_of
from dimts.text.frontend import Frontend, FrontendSettings

if TYPE_CHECKING:
    from dimts.xtts.checkpoint import Bundle


@dataclass(frozen=True, slots=True)
class HeldOutNLL:
    """How one voice foresees recordings."""

    codebook: str
    """Fingerprint of what makes codes; "" where the voice makes none."""
    surprise: tuple[float, ...]
    """For each recording: mean −ln chance of its codes, over ln(number of codes), which is what a model that knows
    nothing has; nan where it could not be asked."""
    why_not: Message | None = None
    """The reason, where it could not."""


def held_out_nll(where: Path | str, recordings: Sequence[tuple[Wave, str]]) -> HeldOutNLL:
    """Ask the voice in folder `where` about recordings, each with its text in fidel.

    The formant voice, and bundles saved without the part that makes codes, cannot be asked; the answer says so.
    """
    blank = (math.nan,) * len(recordings)
    if str(where) == FORMANT:
        return HeldOutNLL("", blank, Message("evaluate.formant_has_no_codes"))
    from dimts.xtts.load import load

    try:
        bundle = load(where, dvae=True)
    except DimtsError as error:
        return HeldOutNLL("", blank, error.message)
    if bundle.model.dvae is None or not bundle.voices:
        return HeldOutNLL("", blank, Message("evaluate.no_dvae_or_voice"))
    frontend = Frontend(frontend_of(bundle.front_end) or FrontendSettings())
    surprise = tuple(_surprise(bundle, frontend, wave, text) for wave, text in recordings)
    return HeldOutNLL(_codebook(bundle), surprise)


def _surprise(bundle: Bundle, frontend: Frontend, wave: Wave, text: str) -> float:
    import torch

    from dimts.xtts.model import Examples

    model, spec = bundle.model, bundle.model.spec
    ids = bundle.vocabulary.encode(" ".join(phrase.spelling for phrase in frontend(text)))
    samples = torch.from_numpy(wave.resample(spec.input_rate).samples.copy())[None]
    codes = model.codes(samples)
    if not ids or len(ids) > spec.max_text or codes.shape[1] > spec.max_codes:
        return math.nan
    latents = next(iter(bundle.voices.values())).latents
    example = Examples(torch.tensor([ids]), [len(ids)], codes, [codes.shape[1]], latents=latents.float())
    with torch.inference_mode():
        nats = float(model(example).mel)
    return nats / math.log(spec.dvae_codes)


def _codebook(bundle: Bundle) -> str:
    digest = hashlib.sha256()
    assert bundle.model.dvae is not None  # noqa: S101 # asked before
    for name, value in sorted(bundle.model.dvae.state_dict().items()):
        if name.startswith("encoder.") or name == "codebook.embed":
            digest.update(value.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
