"""Find the folders of the user in which something is kept between calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of what can be fetched or measured again: DIMTS_CACHE, else the user's cache folder
    of this system."""
    if own := os.environ.get("DIMTS_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        return _local_data() / "dimts" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dimts"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dimts"


def data_folder() -> Path:
    """Return the folder of what only the user can give again: DIMTS_DATA, else the user's data folder of
    this system."""
    if own := os.environ.get("DIMTS_DATA"):
        return Path(own)
    if sys.platform == "win32":
        return _local_data() / "dimts" / "Data"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "dimts"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "dimts"


def _local_data() -> Path:
    return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
