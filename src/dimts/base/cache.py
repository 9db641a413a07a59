"""Find the folder in which what was fetched or measured is kept between calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache folder: DIMTS_CACHE, else the user's cache folder of this system."""
    if own := os.environ.get("DIMTS_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "dimts" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dimts"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dimts"
