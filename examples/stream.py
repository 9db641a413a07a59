"""Speak while the rest is still being made: raw 16-bit samples on standard output, for a player.

python examples/stream.py | aplay -q -f S16_LE -r 24000
"""

import sys

import numpy as np

import dimts

for wave in dimts.Speaker.load("formant").stream("ሰላም ለዓለም። እንዴት ናችሁ? እኔ ደህና ነኝ።"):
    sys.stdout.buffer.write((np.clip(wave.samples, -1, 1) * 32767).astype("<i2").tobytes())
    sys.stdout.buffer.flush()
