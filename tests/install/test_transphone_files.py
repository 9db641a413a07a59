"""Transphone's archives from a server at their layout, broken off midway, damaged, incomplete, or hostile."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dimts.base.errors import DownloadError
from dimts.cli.main import main
from dimts.install import transphone_files
from dimts.text.g2p import transphone
from dimts.xtts import hub
from dimts.xtts.download import LOCK_FILE, Acceptance
from tests.file_server import send_from

YES = Acceptance("flag")
MODEL = {
    f"{transphone.MODEL}/model.pt": b"weights" * 9000,
    f"{transphone.MODEL}/grapheme.vocab": b"<pad>\n",
    f"{transphone.MODEL}/phoneme.vocab": b"<pad>\n",
}
INVENTORY = {
    f"latest/{language}/{name}": b"a 1\n"
    for language in ("amh", "eng")
    for name in ("phone.txt", "phoneme.txt", "allophone.txt")
}


def tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class Server(ThreadingHTTPServer):
    """Two archives; `breaks` connections end after 100 bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"{transphone.MODEL}.tar.gz": tar(MODEL), "latest.tar.gz": tar(INVENTORY)}
        self.breaks = 0
        self.firsts: list[int] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        data = self.server.files.get(self.path.rpartition("/")[2])
        if data is None:
            self.send_error(404)
            return
        first = int(self.headers.get("Range", "bytes=0-")[6:].rstrip("-"))
        most = None
        if body:
            self.server.firsts.append(first)
            if self.server.breaks:
                self.server.breaks -= 1
                most = 100
        send_from(self, data, first, {}, body=body, most=most)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("transphone")
    made = Server()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{made.server_port}/v1.0"
    sources = {"model": f"{base}/{transphone.MODEL}.tar.gz", "inventory": f"{base}/latest.tar.gz"}
    monkeypatch.setattr(transphone_files, "SOURCES", sources)
    monkeypatch.setattr(hub, "WAIT_SECONDS", 0.0)
    yield made
    made.shutdown()
    made.server_close()


def test_nothing_is_fetched_before_the_licence_is_accepted(server: Server) -> None:
    with pytest.raises(DownloadError) as caught:
        transphone_files.fetch_transphone()
    assert caught.value.code == "xtts.licence_not_accepted"
    assert server.firsts == []


def test_a_broken_connection_is_continued_and_the_backend_finds_the_files(server: Server) -> None:
    assert transphone.missing(transphone.fetched_folder())
    server.breaks = 2
    folder = transphone_files.fetch_transphone(YES)
    assert folder == transphone.fetched_folder()
    assert transphone.missing(folder) == []
    assert (folder / transphone.MODEL / "model.pt").read_bytes() == MODEL[f"{transphone.MODEL}/model.pt"]
    assert not (folder / "latest" / "eng").exists()
    assert 100 in server.firsts, "it went on where it broke off"
    lock = json.loads(
        (folder.parent / "transphone-archives" / "latest" / "v1.0" / LOCK_FILE).read_text("utf-8")
    )
    assert len(lock["files"]["latest.tar.gz"]["sha256"]) == 64
    before = len(server.firsts)
    transphone_files.fetch_transphone()
    assert len(server.firsts) == before, "what is there is not fetched again"


def test_an_archive_that_is_damaged_or_incomplete_leaves_what_was_there(server: Server) -> None:
    folder = transphone_files.fetch_transphone(YES)
    for content, code in (
        (server.files["latest.tar.gz"][:-60], "base.archive_broken"),
        (b"<html>moved</html>", "base.archive_broken"),
        (tar({"latest/amh/phone.txt": b"a 1\n"}), "install.transphone_incomplete"),
    ):
        server.files["latest.tar.gz"] = content
        with pytest.raises(DownloadError) as caught:
            transphone_files.fetch_transphone()
        assert caught.value.code == code
        assert transphone.missing(folder) == []
        assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["latest/amh/../../../../stolen", "latest/amh/a/../../../../stolen"])
def test_a_member_that_leaves_the_folder_is_refused(server: Server, name: str, tmp_path: Path) -> None:
    server.files["latest.tar.gz"] = tar(INVENTORY | {name: b"x"})
    with pytest.raises(DownloadError) as caught:
        transphone_files.fetch_transphone(YES)
    assert caught.value.code == "base.archive_broken"
    assert not list(transphone.fetched_folder().parent.parent.rglob("stolen"))


def test_the_command_takes_archives_from_a_folder_too(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in server.files.items():
        (tmp_path / name).write_bytes(content)
    command = ["fetch", "transphone", "--from", str(tmp_path)]
    assert main(command) == 2
    assert "MIT" in capsys.readouterr().err
    assert main([*command, "--accept-licence"]) == 0
    assert capsys.readouterr().out.strip() == str(transphone.fetched_folder())
    assert server.firsts == []
    assert main([*command, "--check"]) == 2
    assert "--check" in capsys.readouterr().err
