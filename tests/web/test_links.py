"""Links from the page: which may be fetched, and a real fetch by a job from a server on this machine."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from dimts.base.errors import SourceError
from dimts.base.project import Project
from dimts.web.jobs import Jobs
from dimts.web.links import MAX_LINKS, links_of
from dimts.web.uploads import recordings as stored

_END_SECONDS = 300.0


def test_links_are_lines_each_once() -> None:
    text = " https://example.org/a.mp3 \n\nhttp://example.org:8080/b?x=ሀ\nhttps://example.org/a.mp3\n"
    assert links_of(text, open_to_others=False) == (
        "https://example.org/a.mp3",
        "http://example.org:8080/b?x=ሀ",
    )


@pytest.mark.parametrize(
    "text",
    ["", " \n", "file:///etc/passwd", "/etc/passwd", "../../etc/passwd", "ftp://example.org/a", "https://",
     "javascript:alert(1)", "--exec=touch x", "-o/etc/passwd", "https://exa mple.org", "https://a\u202e.org/",
     "https://u:p@example.org/", "https://[::1", "https://example.org:99999/", "https://e.org/" + "a" * 3000,
     "\n".join(f"https://example.org/{n}" for n in range(MAX_LINKS + 1))],
)  # fmt: skip
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(SourceError):
        links_of(text, open_to_others=False)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "2130706433",
    ],
)
def test_a_page_that_others_use_fetches_nothing_from_its_own_network(host: str) -> None:
    link = f"http://{host}/a.mp3"
    assert links_of(link, open_to_others=False) == (link,)
    with pytest.raises(SourceError, match="own network"):
        links_of(link, open_to_others=True)
    assert links_of("https://93.184.216.34/a.mp3", open_to_others=True)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def site(tmp_path: Path, recordings: Callable[[Path, int], list[Path]]) -> Iterator[str]:
    """A real server with one recording, line1.wav."""
    folder = tmp_path / "site"
    recordings(folder, 1)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_a_link_is_fetched_by_a_job(project: Project, site: str, tmp_path: Path) -> None:
    pytest.importorskip("yt_dlp")
    jobs = Jobs(project)
    good = jobs.start("add", [f"{site}/line1.wav"])
    bad = jobs.start("add", [f"{site}/nothing.wav"])
    end = time.monotonic() + _END_SECONDS
    while not jobs.get(bad.id).over:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert jobs.get(good.id).state == "done", jobs.log(good)
    ((path, text),) = stored(project)
    assert path.read_bytes() == (tmp_path / "site" / "line1.wav").read_bytes()
    assert text == ""
    assert f"{site}/line1.wav" in next(project.recordings.glob("*.source.json")).read_text(encoding="utf-8")
    assert jobs.get(bad.id).state == "failed"
    assert "nothing could be fetched" in jobs.reason(bad).text("en")
