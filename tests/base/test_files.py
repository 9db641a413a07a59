"""Files are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import DimtsError, storage_error
from dimts.base.files import atomic_path, fingerprint, write_bytes, write_text


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text(f"half{1 // 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_suffix_is_kept_and_missing_folders_are_made(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "deep" / "a.wav") as temporary:
        assert temporary.suffix == ".wav"
        temporary.write_bytes(b"x")
    assert (tmp_path / "deep" / "a.wav").read_bytes() == b"x"


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@given(st.binary(max_size=4096))
def test_the_fingerprint_is_sha256_of_the_content(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        write_bytes(path, data)
        assert fingerprint(path) == hashlib.sha256(data).hexdigest()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB; skips where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a tiny disk needs root")
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing(tiny_disk: Path) -> None:
    with pytest.raises(DimtsError, match="the disk is full") as caught:
        write_bytes(tiny_disk / "big.bin", b"x" * 1_000_000)
    assert caught.value.message.remedy("en")
    assert list(tiny_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"), [("file/x", "a part of the path is a file"), ("x" * 300, "too long")]
)
def test_a_place_that_cannot_be_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DimtsError, match=said):
        write_text(tmp_path / name / "out.txt", "x")


def test_only_storage_errors_are_for_people() -> None:
    assert storage_error(OSError(errno.EIO, "broken")) is None
    error = storage_error(OSError(errno.EROFS, "ro", "/x"))
    assert error is not None
    assert "/x" in str(error)


def test_what_is_flushed_could_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to flush a file that is only read."""
    fcntl = pytest.importorskip("fcntl")
    modes = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        modes.append(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    write_text(tmp_path / "a.txt", "ሰላም")
    assert modes == [os.O_RDWR]
    assert (tmp_path / "a.txt").read_text("utf-8") == "ሰላም"


@pytest.mark.parametrize(
    ("winerror", "length", "code"),
    [(206, 10, "path_too_long"), (3, 255, "path_too_long"), (3, 20, None), (5, 300, None)],
)
def test_a_path_that_is_too_long_for_windows_is_called_so(
    winerror: int, length: int, code: str | None
) -> None:
    error = FileNotFoundError(
        errno.ENOENT, "The system cannot find the path specified", "C:\\" + length * "a"
    )
    error.winerror = winerror  # type: ignore[attr-defined, unused-ignore]
    found = storage_error(error)
    assert (found.message.parameters["reason"].code if found else None) == (f"base.{code}" if code else None)
