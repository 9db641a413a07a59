"""The judge of quality hears noise."""

from __future__ import annotations

import numpy as np
import pytest

from dimts.audio.formant import Formant
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError
from dimts.evaluate.quality import quality
from dimts.evaluate.synthetic_speech import add_noise

ONE, TWO = [tuple("səlam"), tuple("ləʔaləm")], [tuple("dəhna"), tuple("nəw"), tuple("zare")]


def test_quality_falls_with_noise() -> None:
    wave = Formant().speak([*ONE, *TWO])
    draw = np.random.default_rng(1)
    scores = [quality(add_noise(wave, snr, draw)) for snr in (40.0, 15.0, 0.0)]
    for name in ("background", "overall"):
        values = [getattr(one, name) for one in scores]
        assert values == sorted(values, reverse=True)
        assert all(1.0 <= value <= 5.0 for value in values)
    with pytest.raises(AudioError, match="no speech in the wave"):
        quality(Wave.silence(0.0, 16_000))
