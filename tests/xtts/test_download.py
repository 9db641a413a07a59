"""Fetching, against a look-alike of the hub on loopback that can cut the line, lie, and be down."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dimts.base.errors import DownloadError, MissingExtra
from dimts.base.progress import Progress
from dimts.xtts import download, hub
from dimts.xtts.download import Acceptance, accepted, check, fetch, find_base, folder_of, read_lock
from dimts.xtts.hub import Licence, Published
from tests.file_server import send_from

COMMIT = "0123456789abcdef0123456789abcdef01234567"
YES = Acceptance("test")


def content(seed: int, size: int) -> bytes:
    return b"".join(hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range(size // 32 + 1))[:size]


FILES = {
    "config.json": b'{"model": "xtts"}\n',
    "vocab.json": content(1, 20_000),
    "model.pth": content(2, 6_000_000),
    "LICENSE.txt": b"Only for tests.\n",
}
LFS = {"model.pth"}
"""Files the hub keeps as LFS objects: their etag is a SHA-256, that of the others git's blob SHA-1."""
TERMS = Licence("Test Licence 1", "http://127.0.0.1/licence", "Nothing may be done.")


def published(*, revision: str = COMMIT, pinned: bool = True) -> Published:
    names = [name for name in FILES if name != "LICENSE.txt"]
    files = {
        name: (len(FILES[name]), hashlib.sha256(FILES[name]).hexdigest()) if pinned else (0, "")
        for name in names
    }
    return Published("test-voice", "someone/voice", revision, files, TERMS)


class Hub:
    """What the server is told to do, and what it has seen."""

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.cut_after: dict[str, list[int]] = {}
        """File → after how many bytes to cut each of the next answers."""
        self.ignore_range = False
        self.refuse = 0
        self.gets: list[tuple[str, str]] = []
        """(file, Range header) of every GET of content."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            parts = self.path.strip("/").split("/")
            if state.refuse:
                state.refuse -= 1
                return self.empty(503)
            if parts[0] == "cdn":
                return self.send(parts[1], body=body)
            if parts[:2] != ["someone", "voice"] and parts[:2] != ["coqui", "XTTS-v2"]:
                return self.empty(404, {"X-Error-Code": "RepoNotFound"})
            revision, name = parts[3], parts[4]
            if revision not in (COMMIT, "main"):
                return self.empty(404, {"X-Error-Code": "RevisionNotFound"})
            if name not in state.files:
                return self.empty(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            if name in LFS:  # the hub sends large files from another host
                data = state.files[name]
                head = {
                    "X-Repo-Commit": COMMIT,
                    "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
                    "X-Linked-Size": str(len(data)),
                    "Location": f"http://localhost:{self.server.server_port}/cdn/{name}",
                }
                return self.empty(302, head)
            return self.send(name, body=body)

        def empty(self, status: int, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send(self, name: str, *, body: bool) -> None:
            data = state.files[name]
            asked = self.headers.get("Range", "")
            first = 0 if state.ignore_range or not asked else int(asked.removeprefix("bytes=").rstrip("-"))
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{blob}"'}
            cuts = state.cut_after.get(name) if body else None
            if body:
                state.gets.append((name, asked))
            send_from(self, data, first, headers, body=body, most=cuts.pop(0) if cuts else None)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{httpd.server_port}")
    monkeypatch.setattr(hub, "WAIT_SECONDS", 0.0)
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_files_come_whole_checked_and_recorded(server: Hub) -> None:
    seen: list[Progress] = []
    folder = fetch(published(), acceptance=YES, on_progress=seen.append)
    assert folder == folder_of(published())
    for name, data in FILES.items():
        assert (folder / name).read_bytes() == data
    lock = read_lock(folder)
    assert lock is not None
    assert lock["commit"] == COMMIT
    assert lock["pinned"] is True
    assert lock["files"]["model.pth"] == {
        "bytes": 6_000_000,
        "sha256": hashlib.sha256(FILES["model.pth"]).hexdigest(),
    }
    assert check(folder) == {}
    assert find_base(published()) == folder
    assert list(folder.glob("*.part")) == []
    assert seen[-1].done == pytest.approx(seen[-1].total)
    assert [one.done for one in seen] == sorted(one.done for one in seen)


def test_the_licence_comes_first(server: Hub) -> None:
    with pytest.raises(DownloadError, match="Test Licence 1") as caught:
        fetch(published())
    assert "--accept-licence" in caught.value.message.remedy()
    assert server.gets == []
    assert not folder_of(published()).exists()
    assert not accepted(published())


def test_acceptance_is_remembered_for_this_licence_only(server: Hub) -> None:
    folder = fetch(published(), acceptance=YES)
    record = json.loads((folder / "licence-accepted.json").read_text())
    assert record["licence"] == "Test Licence 1"
    assert record["how"] == "test"
    assert record["accepted"].startswith("20")
    assert accepted(published())
    assert fetch(published()) == folder
    one = published()
    other = Published(one.name, one.repository, one.revision, one.files, Licence("Another", "", ""))
    assert not accepted(other)


def test_what_is_there_is_not_fetched_again(server: Hub) -> None:
    fetch(published(), acceptance=YES)
    server.gets.clear()
    fetch(published())
    assert server.gets == []


def test_only_what_is_damaged_is_fetched_again(server: Hub) -> None:
    folder = fetch(published(), acceptance=YES)
    (folder / "vocab.json").write_bytes(b"?" * len(FILES["vocab.json"]))
    assert {name: one.code for name, one in check(folder).items()} == {"vocab.json": "xtts.file_changed"}
    server.gets.clear()
    fetch(published())
    assert [name for name, _ in server.gets] == ["vocab.json"]
    assert check(folder) == {}


def test_a_cut_connection_goes_on_where_it_stopped(server: Hub) -> None:
    server.cut_after["model.pth"] = [2_000_000, 1_500_000]
    folder = fetch(published(), acceptance=YES)
    assert (folder / "model.pth").read_bytes() == FILES["model.pth"]
    ranges = [asked for name, asked in server.gets if name == "model.pth"]
    assert len(ranges) == 3
    assert ranges[0] == ""
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in ranges[1:]]
    assert 0 < starts[0] <= 2_000_000
    assert starts[0] < starts[1] <= 3_500_000


def test_a_server_that_cannot_resume_sends_it_all_again(server: Hub) -> None:
    server.cut_after["model.pth"] = [2_000_000]
    server.ignore_range = True
    folder = fetch(published(), acceptance=YES)
    assert (folder / "model.pth").read_bytes() == FILES["model.pth"]


def test_a_line_that_stays_dead_is_an_error_and_the_next_call_goes_on(server: Hub) -> None:
    server.cut_after["model.pth"] = [3_000_000, *[0] * 10]
    with pytest.raises(DownloadError, match=r"broke off at [0-9.]+ of 6\.0 MB") as caught:
        fetch(published(), acceptance=YES)
    assert "goes on from there" in caught.value.message.remedy()
    folder = folder_of(published())
    part = next(folder.glob("model.pth.*.part"))
    come = part.stat().st_size
    assert 0 < come <= 3_000_000
    with pytest.raises(DownloadError, match=r"not here"):
        find_base(published())
    server.cut_after.clear()
    server.gets.clear()
    fetch(published())
    assert server.gets == [("model.pth", f"bytes={come}-")]
    assert (folder / "model.pth").read_bytes() == FILES["model.pth"]


@pytest.mark.skipif(os.name != "posix", reason="uses SIGKILL")
def test_a_killed_process_leaves_a_part_and_the_next_goes_on(server: Hub, tmp_path: Path) -> None:
    """The process kills itself at the second megabyte; another finishes."""
    program = textwrap.dedent(
        f"""
        import os, signal
        from dimts.xtts import download
        from dimts.xtts.hub import Licence, Published
        files = {dict(published().files)!r}
        what = Published("test-voice", "someone/voice", {COMMIT!r}, files, Licence("Test Licence 1", "", ""))
        def on_progress(progress):
            if progress.done > 2.0:
                os.kill(os.getpid(), signal.SIGKILL)
        download.fetch(what, acceptance=download.Acceptance("test"), on_progress=on_progress)
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = folder_of(published())
    assert not (folder / "model.pth").exists()
    assert next(folder.glob("model.pth.*.part")).stat().st_size > 1_000_000
    server.gets.clear()
    fetch(published())
    assert [name for name, _ in server.gets] == ["model.pth"]
    assert server.gets[0][1].startswith("bytes=")
    assert check(folder) == {}


def test_a_forged_file_is_refused_before_and_after_it_comes(server: Hub) -> None:
    server.files["model.pth"] = content(9, 6_000_000)
    with pytest.raises(DownloadError, match="not what was published") as caught:
        fetch(published(), acceptance=YES)
    assert "mirror" in caught.value.message.remedy()
    server.files["model.pth"] = FILES["model.pth"]
    server.files["vocab.json"] = content(
        9, 20_000
    )  # same size; its etag is no SHA-256, so only the bytes tell
    with pytest.raises(DownloadError, match=r"vocab\.json .* not what was published"):
        fetch(published())
    folder = folder_of(published())
    assert not (folder / "vocab.json").exists()
    assert list(folder.glob("vocab.json*")) == []


def test_a_branch_is_checked_against_the_hubs_own_checksums(server: Hub) -> None:
    what = published(revision="main", pinned=False)
    folder = fetch(what, acceptance=YES)
    lock = read_lock(folder)
    assert lock is not None
    assert lock["commit"] == COMMIT
    assert lock["revision"] == "main"
    assert lock["pinned"] is False
    assert lock["files"]["vocab.json"]["sha256"] == hashlib.sha256(FILES["vocab.json"]).hexdigest()
    server.files["vocab.json"] = content(7, 30_000)
    fetch(what)
    assert (folder / "vocab.json").read_bytes() == content(7, 30_000)


def test_a_moved_branch_takes_no_stale_part(server: Hub) -> None:
    what = published(revision="main", pinned=False)
    server.cut_after["model.pth"] = [3_000_000, *[0] * 10]
    with pytest.raises(DownloadError):
        fetch(what, acceptance=YES)
    server.cut_after.clear()
    server.files["model.pth"] = content(5, 6_000_000)
    folder = fetch(what)
    assert (folder / "model.pth").read_bytes() == content(5, 6_000_000)


def test_an_unknown_revision_and_an_unknown_repository(server: Hub) -> None:
    with pytest.raises(DownloadError, match="no revision 'v9'"):
        fetch(published(revision="v9", pinned=False), acceptance=YES)
    one = published()
    with pytest.raises(DownloadError, match="refuses nobody/nothing"):
        fetch(Published("x", "nobody/nothing", one.revision, one.files, TERMS), acceptance=YES)


def test_a_busy_server_is_asked_again(server: Hub) -> None:
    server.refuse = 2
    assert check(fetch(published(), acceptance=YES)) == {}


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, server: Hub) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="cannot be reached") as caught:
        fetch(published(), acceptance=YES)
    assert "--from FOLDER" in caught.value.message.remedy()


def test_offline_mode_uses_what_is_there_and_says_what_is_not(server: Hub) -> None:
    folder = fetch(published(), acceptance=YES)
    program = textwrap.dedent(
        f"""
        from dimts.base.errors import DownloadError
        from dimts.xtts import download
        from dimts.xtts.hub import Licence, Published
        files = {dict(published().files)!r}
        def what(revision):
            licence = Licence("Test Licence 1", "", "")
            return Published("test-voice", "someone/voice", revision, files, licence)
        print(download.fetch(what({COMMIT!r})))
        try:
            download.fetch(what("main"), acceptance=download.Acceptance("test"))
        except DownloadError as error:
            print(error.message)
        """
    )
    server.gets.clear()
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    first, second = done.stdout.splitlines()
    assert first == str(folder)
    assert "HF_HUB_OFFLINE forbids the network" in second
    assert server.gets == []


def test_a_local_folder_instead_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    stick = tmp_path / "stick"
    stick.mkdir()
    for name, data in FILES.items():
        (stick / name).write_bytes(data)
    folder = fetch(published(), acceptance=YES, source=stick)
    assert check(folder) == {}
    lock = read_lock(folder)
    assert lock is not None
    assert lock["pinned"] is True
    assert (folder / "LICENSE.txt").read_bytes() == FILES["LICENSE.txt"]


def test_a_local_folder_without_the_licence_gets_its_name_and_address(tmp_path: Path) -> None:
    for name, data in FILES.items():
        if name != "LICENSE.txt":
            (tmp_path / name).write_bytes(data)
    folder = fetch(published(), acceptance=YES, source=tmp_path)
    assert "http://127.0.0.1/licence" in (folder / "LICENSE.txt").read_text()


def test_a_local_folder_with_other_files(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no such folder"):
        fetch(published(), acceptance=YES, source=tmp_path / "nowhere")
    with pytest.raises(DownloadError, match=r"holds no config\.json"):
        fetch(published(), acceptance=YES, source=tmp_path)
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "model.pth").write_bytes(b"my own")
    with pytest.raises(DownloadError, match="not the published file") as caught:
        fetch(published(), acceptance=YES, source=tmp_path)
    assert "--unpinned" in caught.value.message.remedy()
    folder = fetch(published(), acceptance=YES, source=tmp_path, unpinned=True)
    assert (folder / "model.pth").read_bytes() == b"my own"
    lock = read_lock(folder)
    assert lock is not None
    assert lock["pinned"] is False


def test_files_of_ones_own_give_way_to_the_published_ones(server: Hub, tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "model.pth").write_bytes(b"my own")
    folder = fetch(published(), acceptance=YES, source=tmp_path, unpinned=True)
    assert fetch(published(), source=tmp_path, unpinned=True) == folder
    assert (folder / "model.pth").read_bytes() == b"my own"
    fetch(published())
    assert (folder / "model.pth").read_bytes() == FILES["model.pth"]
    lock = read_lock(folder)
    assert lock is not None
    assert lock["pinned"] is True


def test_no_room_is_told_before_anything_comes(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1_000_000))
    with pytest.raises(DownloadError, match="not enough room") as caught:
        fetch(published(), acceptance=YES)
    assert "--to FOLDER" in caught.value.message.remedy()
    assert server.gets == []


def test_two_at_a_time_in_one_folder_are_refused(server: Hub) -> None:
    from filelock import FileLock

    folder = folder_of(published())
    folder.mkdir(parents=True)
    with FileLock(folder / ".fetching"), pytest.raises(DownloadError, match="another dimts fetch"):
        fetch(published(), acceptance=YES)


def test_files_of_the_hubs_own_cache_are_used(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    cached = tmp_path / "cached.pth"
    cached.write_bytes(FILES["model.pth"])
    monkeypatch.setattr(
        huggingface_hub,
        "try_to_load_from_cache",
        lambda repo, name, revision: str(cached) if name == "model.pth" else None,
    )
    folder = fetch(published(), acceptance=YES)
    assert (folder / "model.pth").read_bytes() == FILES["model.pth"]
    assert "model.pth" not in [name for name, _ in server.gets]
    assert cached.exists()


def test_the_licence_goes_into_a_bundle(server: Hub, tmp_path: Path) -> None:
    base = fetch(published(), acceptance=YES)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    download.carry_licence(base, bundle)
    assert (bundle / "LICENCE").read_bytes() == FILES["LICENSE.txt"]


def test_nothing_fetched_is_said_so() -> None:
    with pytest.raises(DownloadError, match="not here") as caught:
        find_base()
    assert caught.value.message.remedy() == "run: dimts fetch"
    with pytest.raises(DownloadError, match="holds no fetched files"):
        check(folder_of())


def test_without_the_hubs_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra) as caught:
        fetch(published(), acceptance=YES)
    assert caught.value.message.remedy() == "pip install 'dimts[fetch]'"


def test_the_pinned_files_of_xtts_v2() -> None:
    what = download.XTTS_V2
    assert what.pinned
    assert set(what.files) == {
        "model.pth", "config.json", "vocab.json", "dvae.pth", "mel_stats.pth", "speakers_xtts.pth",
    }  # fmt: skip
    assert what.revision in what.licence.url
    assert not what.at("main").pinned
