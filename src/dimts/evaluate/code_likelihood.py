"""Relative negative log-likelihood of held-out recordings under the model of a voice.
XTTS predicts audio codes autoregressively; training minimises the mean negative log-likelihood of the codes
of a recording given its text. On recordings outside the training data it falls while the model learns the
speaker and rises again when it overfits, so it detects a run that was too long even where speech is not yet
intelligible. Values compare only between voices with the same codebook.
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
    """Negative log-likelihoods of recordings under the model of one voice."""

    codebook: str
    """Fingerprint of the DVAE encoder and codebook; "" where the voice has none."""
    nll: tuple[float, ...]
    """For each recording: mean negative log-likelihood of its codes over ln(number of codes), so that a
    uniform model has 1; nan where it could not be computed.
    """
    reason: Message | None = None
    """Why there is no likelihood at all; None where there is."""


def held_out_nll(where: Path | str, recordings: Sequence[tuple[Wave, str]]) -> HeldOutNLL:
    """Compute the likelihood of recordings, each with its text in fidel, under the voice in folder `where`.

    The formant voice, and bundles saved without a DVAE, have no likelihood: `reason` says so.
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
    nll = tuple(_relative_nll(bundle, frontend, wave, text) for wave, text in recordings)
    return HeldOutNLL(_codebook(bundle), nll)


def _relative_nll(bundle: Bundle, frontend: Frontend, wave: Wave, text: str) -> float:
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
    assert bundle.model.dvae is not None  # noqa: S101 # checked by the caller
    for name, value in sorted(bundle.model.dvae.state_dict().items()):
        if name.startswith("encoder.") or name == "codebook.embed":
            digest.update(value.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
