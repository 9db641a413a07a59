"""dimts (ድምፅ): recordings and text in, an Amharic voice out.

    dimts.normalise("በ2017 ዓ.ም")               written → spoken
    dimts.phonemise("ሰላም ለዓለም")               words, phones, their backend and why
    dimts.Speaker.load("formant").say("ሰላም")   a Wave; or the folder of a voice
    dimts.prepare("abebe/")                     recordings → manifest
    dimts.fine_tune("abebe/")                   manifest → voice

Names are looked up when first used, so that `import dimts` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dimts.base.version import __version__

if TYPE_CHECKING:
    from dimts.audio.wave import Wave
    from dimts.base.errors import DimtsError
    from dimts.base.project import Project
    from dimts.data.prepare import prepare
    from dimts.speak import Speaker
    from dimts.text.frontend import Frontend, Phrase, Word, phonemise, phones
    from dimts.text.normalise import normalise
    from dimts.train.fine_tune import fine_tune
    from dimts.xtts.voice import Voice

_HOMES = {
    "DimtsError": "dimts.base.errors",
    "Frontend": "dimts.text.frontend",
    "Phrase": "dimts.text.frontend",
    "Project": "dimts.base.project",
    "Speaker": "dimts.speak",
    "Voice": "dimts.xtts.voice",
    "Wave": "dimts.audio.wave",
    "Word": "dimts.text.frontend",
    "fine_tune": "dimts.train.fine_tune",
    "normalise": "dimts.text.normalise",
    "phonemise": "dimts.text.frontend",
    "phones": "dimts.text.frontend",
    "prepare": "dimts.data.prepare",
}

_EXTRAS = {
    "Speaker": "formant",
    "Voice": "speak",
    "Wave": "audio",
    "fine_tune": "train",
    "prepare": "data",
}
"""Public name → the extra that all of its uses need; names that are not here need the standard library
alone."""

__all__ = [
    "DimtsError",
    "Frontend",
    "Phrase",
    "Project",
    "Speaker",
    "Voice",
    "Wave",
    "Word",
    "__version__",
    "fine_tune",
    "normalise",
    "phonemise",
    "phones",
    "prepare",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dimts' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from dimts.base.extras import missing_extra

        missing = missing_extra(error, _EXTRAS.get(name, ""))
        if missing is None:
            raise
        raise missing from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
