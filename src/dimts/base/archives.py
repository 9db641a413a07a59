"""Unpack zip and tar archives: chosen members, none of them outside the folder."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from dimts.base.errors import DimtsError, storage_error

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,  # a compression that is not known
    RuntimeError,  # a zip with a password
    ValueError,
)


def unpack(path: Path, folder: Path, wanted: Callable[[str], bool], error: type[DimtsError]) -> None:
    """Unpack the files of an archive whose names are `wanted` below `folder`.

    Raises `error` ("base.archive_broken") for an archive that cannot be read, or with a member that would
    leave the folder; OSError where there is no room or no permission.
    """
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:  # its extract() keeps names inside the folder
                for member in archive.infolist():
                    if not member.is_dir() and wanted(member.filename):
                        archive.extract(member, folder)
            return
        with tarfile.open(path) as tar:
            for one in tar:
                if one.isfile() and wanted(one.name):
                    tar.extract(one, folder, filter="data")
    except _BROKEN as fault:
        raise error("base.archive_broken", path=path, reason=str(fault)) from fault
    except OSError as fault:
        if storage_error(fault) is not None:
            raise
        raise error("base.archive_broken", path=path, reason=fault.strerror or str(fault)) from fault
