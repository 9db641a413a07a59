"""How voices are called on the page."""

from __future__ import annotations

from dimts.base import builtin_voices
from dimts.web import synthesis
from dimts.web.strings import Strings


def voice_label(strings: Strings, name: str) -> str:
    """A voice's name as people read it: built-in ones are called so, checkpoints by their step."""
    if name == synthesis.FORMANT:
        return strings("speak.formant")
    if name in builtin_voices.voices():
        return strings("speak.builtin", name=name)
    voice, _, checkpoint = name.partition(synthesis.AT)
    return strings("speak.checkpoint", name=voice, step=checkpoint) if checkpoint else name
