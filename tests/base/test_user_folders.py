"""Folders of the user: by the environment, else by the custom of the system."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dimts.base.user_folders import cache_folder, data_folder


@pytest.mark.parametrize(
    ("platform", "cache", "data"),
    [
        ("linux", "cache/dimts", "data/dimts"),
        ("darwin", "Library/Caches/dimts", "Library/Application Support/dimts"),
        ("win32", "Local/dimts/Cache", "Local/dimts/Data"),
    ],
)
def test_the_folders_of_each_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, cache: str, data: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name, folder in (("LOCALAPPDATA", "Local"), ("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "data")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    for name in ("DIMTS_CACHE", "DIMTS_DATA"):
        monkeypatch.delenv(name)
    assert (cache_folder(), data_folder()) == (tmp_path / cache, tmp_path / data)
    for name in ("LOCALAPPDATA", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name)
    if platform == "linux":
        assert (cache_folder(), data_folder()) == (
            tmp_path / ".cache/dimts",
            tmp_path / ".local/share/dimts",
        )
    monkeypatch.setenv("DIMTS_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("DIMTS_DATA", str(tmp_path / "own"))
    assert (cache_folder(), data_folder()) == (tmp_path / "mine", tmp_path / "own")
