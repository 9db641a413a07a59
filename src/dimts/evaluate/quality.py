"""Predict speech quality, 1 to 5, with DNSMOS P.835 (Reddy, Gopal, Cutler 2022) and its published network.

The network comes in the wheel `speechmos` (Microsoft, MIT) and is run by onnxruntime; the package itself is
not imported, as it needs librosa. DNSMOS was trained on noisy English speech: use it to compare voices, not
as a mean opinion score of Amharic listeners.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, MissingExtra
from dimts.base.plugins import require

RATE = 16_000
_SECONDS = 9.01
"""Input duration of the network; shorter waves are repeated, as in the authors' code."""
_MODEL = Path("dnsmos_models") / "sig_bak_ovr.onnx"
_CURVES = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}
"""Published polynomials a x² + b x + c from the network's output to the rating scale."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Predicted ratings of P.835."""

    signal: float
    """Quality of the speech signal, 1 (bad) to 5 (excellent)."""
    background: float
    """Quality of the background, 1 (very intrusive noise) to 5 (no noise)."""
    overall: float
    """Overall quality, 1 (bad) to 5 (excellent)."""


def quality(wave: Wave) -> Quality:
    """Compute DNSMOS of a wave. AudioError for an empty one, MissingExtra without speechmos or
    onnxruntime."""
    samples = np.clip(wave.resample(RATE).samples, -1.0, 1.0)
    if not len(samples):
        raise AudioError("evaluate.silent_wave")
    size = int(_SECONDS * RATE)
    if len(samples) < size:
        samples = np.tile(samples, -(-size // len(samples)))[:size]
    starts = range(0, len(samples) - size + 1, RATE)
    session = _session()
    raw = np.array([session.run(None, {"input_1": samples[None, at : at + size]})[0][0] for at in starts])
    scores = {
        name: float(np.mean(np.polyval(curve, raw[:, column])))
        for column, (name, curve) in enumerate(_CURVES.items())
    }
    return Quality(**scores)


@cache
def _session() -> Any:
    found = util.find_spec("speechmos")
    places = list(found.submodule_search_locations or ()) if found else []
    if not places or not (Path(places[0]) / _MODEL).is_file():
        raise MissingExtra("speechmos", "evaluate")
    onnxruntime = require("onnxruntime", "evaluate")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads use no CPU
    return onnxruntime.InferenceSession(
        str(Path(places[0]) / _MODEL), options, providers=["CPUExecutionProvider"]
    )
