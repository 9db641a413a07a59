"""Wave → how clean it would be judged to be, 1 to 5: DNSMOS P.835 (Reddy, Gopal, Cutler 2022), by its own network.

The network comes in the wheel `speechmos` (Microsoft, MIT) and is run by onnxruntime; the package itself is not
imported, as that would need librosa. DNSMOS was taught on noisy English speech: compare voices with it, do not
quote it as a mean opinion score of Amharic recognisers.
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
"""What the network takes; shorter sounds are repeated, as its authors do."""
_MODEL = Path("dnsmos_models") / "sig_bak_ovr.onnx"
_CURVES = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}
"""From the network's scale to that of people: a x² + b x + c, published with it."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Three opinions, 1 (bad) to 5 (excellent)."""

    signal: float
    background: float
    overall: float


def quality(wave: Wave) -> Quality:
    """DNSMOS of a wave. AudioError for an empty one, MissingExtra without speechmos or onnxruntime."""
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
        name: float(np.mean(np.polyval(curve, raw[:, column]))) for column, (name, curve) in enumerate(_CURVES.items())
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
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads must not eat the machine
    return onnxruntime.InferenceSession(str(Path(places[0]) / _MODEL), options, providers=["CPUExecutionProvider"])
