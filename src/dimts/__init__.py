"""dimts (ድምፅ): recordings and text in, an Amharic voice out.

Names are looked up when first used, so that `import dimts` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dimts.base.errors import DimtsError
    from dimts.text.frontend import Phrase, Word, phonemise, phones
    from dimts.text.normalise import normalise

__version__ = "0.1.0"

_HOMES = {
    "DimtsError": "dimts.base.errors",
    "Phrase": "dimts.text.frontend",
    "Word": "dimts.text.frontend",
    "phonemise": "dimts.text.frontend",
    "phones": "dimts.text.frontend",
    "normalise": "dimts.text.normalise",
}

__all__ = ["DimtsError", "Phrase", "Word", "__version__", "normalise", "phonemise", "phones"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dimts' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
