"""The page from memory: made once for each address, sent small, and never what one person alone may see."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from dimts.web.page_cache import PageCache

Answer = tuple[int, dict[str, str], bytes]
PAGE = "ሰላም ".encode() * 1000


class Inner:
    """Stands for gradio: a page that names the address it is asked at, in two parts."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.asked = status, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        assert not [name for name, _ in scope["headers"] if name == b"accept-encoding" and self.status == 200]
        await asyncio.sleep(0)  # others come meanwhile
        host = dict(scope["headers"]).get(b"host", b"")
        body = scope["path"].encode() + host + PAGE
        headers = [(b"content-type", b"text/html"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body[:10], "more_body": True})
        await send({"type": "http.response.body", "body": body[10:]})


async def ask(app: Any, path: str = "/am/", query: str = "", method: str = "GET", **headers: str) -> Answer:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "path": path, "root_path": "", "query_string": query.encode(), "method": method,
        "scheme": "http",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], fields, b"".join(one.get("body", b"") for one in sent[1:])


def cached(inner: Inner) -> PageCache:
    return PageCache(inner, frozenset({"/am/", "/am/config"}))


def test_of_twenty_at_the_same_moment_one_has_it_made() -> None:
    inner = Inner()
    app = cached(inner)

    async def all_of_them() -> list[Answer]:
        return await asyncio.gather(*(ask(app, host="a", accept_encoding="gzip, br") for _ in range(20)))

    answers = asyncio.run(all_of_them())
    assert inner.asked == 1
    assert {gzip.decompress(body) for _, _, body in answers} == {b"/am/a" + PAGE}
    for status, fields, body in answers:
        assert status == 200
        assert fields["content-encoding"] == "gzip"
        assert fields["content-length"] == str(len(body))
        assert fields["content-type"] == "text/html"


def test_who_reads_no_gzip_gets_it_plain() -> None:
    app = cached(Inner())
    status, fields, body = asyncio.run(ask(app, host="a"))
    assert (status, body) == (200, b"/am/a" + PAGE)
    assert "content-encoding" not in fields
    assert fields["content-length"] == str(len(body))


def test_each_address_has_its_own() -> None:
    inner = Inner()
    app = cached(inner)

    async def one_after_the_other() -> list[bytes]:
        asked = [("/am/", "a"), ("/am/", "b"), ("/am/config", "a"), ("/am/", "a"), ("/am/", "b")]
        return [(await ask(app, path, host=host))[2] for path, host in asked]

    names = [body.removesuffix(PAGE).decode() for body in asyncio.run(one_after_the_other())]
    assert names == ["/am/a", "/am/b", "/am/configa", "/am/a", "/am/b"]
    assert inner.asked == 3


def test_many_addresses_do_not_fill_the_memory() -> None:
    app = cached(Inner())

    async def many() -> None:
        for number in range(100):
            await ask(app, host=f"h{number}")

    asyncio.run(many())
    assert len(app._kept) == 16
    assert not app._making


@pytest.mark.parametrize(
    ("path", "query", "method"),
    [("/am/", "deep_link=1", "GET"), ("/am/", "", "HEAD"), ("/am/gradio_api/queue/data", "", "GET")],
)
def test_other_requests_go_through(path: str, query: str, method: str) -> None:
    inner = Inner()
    app = cached(inner)

    async def twice() -> None:
        for _ in range(2):
            await ask(app, path, query, method, host="a")

    asyncio.run(twice())
    assert inner.asked == 2


def test_a_failure_is_passed_on_and_not_kept() -> None:
    inner = Inner(status=500)
    app = cached(inner)

    async def twice() -> list[Answer]:
        return [await ask(app, host="a") for _ in range(2)]

    answers = asyncio.run(twice())
    assert [status for status, _, _ in answers] == [500, 500]
    assert answers[0][2] == b"/am/a" + PAGE
    assert inner.asked == 2
