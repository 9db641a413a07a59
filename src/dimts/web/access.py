"""Control access to the page (hosts, passwords, sizes): the ASGI middleware around gradio's applications.

    /            the page in the browser's language        /en/ /am/     the page in that language
    /audio/TOKEN audio while it is being made              /ready        whether the page is there
    /sample/…    a sentence of a voice (`samples.py`)      /ready/am     whether it is there in that language
    /pulse       a text that changes with a project (`pulse.py`)
    /opening/am /speak/am   of the page that is shown until gradio is there (`opening.py`)

Every answer carries headers that keep the browser from loading anything from elsewhere. Behind a proxy that
shows the page below a path, the path is in the settings, or in X-Forwarded-Prefix of a proxy that the
settings name; the other X-Forwarded headers are believed from such a proxy alone, and the host never.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from dimts.base.errors import DimtsError
from dimts.base.http import App, AsgiMessage, Receive, Scope, Send, drain_request
from dimts.web import opening, pulse, samples
from dimts.web.settings import LOCAL, MEGABYTE, WebSettings, is_prefix
from dimts.web.strings import LANGUAGES, Strings, chosen
from dimts.web.synthesis import Speakers, Streams
from dimts.web.workspace import Workspace

_FORM_BYTES = 2 * MEGABYTE
"""Bytes of a form besides its files."""
_WAIT_SECONDS = 0.05
_STREAM_SECONDS = 600.0
_READY_SECONDS = 20.0
"""Longest wait of the loading page for one answer; it then asks again."""
_BLOCK_BYTES = 1 << 16
_SPEAKING = 4
_HTML = {"content-type": "text/html; charset=utf-8"}
_COOKIE = "dimts-language"
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline' "
        b"'unsafe-eval' blob:; worker-src 'self' blob:; "
        b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
        b"font-src 'self' data:; connect-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'self'; "
        b"form-action 'self'; object-src 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


@dataclass
class PageAccessMiddleware:
    """ASGI middleware: answers what it can itself, passes the rest to gradio."""

    workspace: Workspace
    settings: WebSettings
    passwords: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset(LOCAL)
    """Host names that requests may use; empty: any."""
    inner: dict[str, App] = field(default_factory=dict)
    """Applications of gradio by language, once they are built."""
    asked: str = ""
    """Language of the last request; it is built first."""
    streams: Streams = field(default_factory=Streams)
    speakers: Speakers = field(default_factory=Speakers)
    failed: str = ""
    """Why gradio could not be loaded."""
    speaking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_SPEAKING))
    """Texts of the opening page that wait or are spoken at a time; more would keep all threads busy."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return  # gradio speaks HTTP and server-sent events only
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        strings = Strings(chosen(headers.get("accept-language", "")))
        send = _with_headers(send)
        refused = self._refused(headers, strings)
        if refused:
            await _answer(drain_request(receive, send), *refused)
            return
        scope, path = self._placed(scope, headers)
        if path.split("/")[1] == "ready":
            await self._ready(
                path.removeprefix("/ready").strip("/"), scope.get("query_string") == b"wait", send
            )
        elif path == "/pulse":
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            text = await asyncio.to_thread(pulse.pulse, self.workspace, query.get("project", [""])[0])
            await _answer(send, 200, text, {"cache-control": "no-store"})
        elif path.startswith("/audio/"):
            await self._stream_audio(path.removeprefix("/audio/"), send)
        elif path.startswith("/speak/") and (language := path.removeprefix("/speak/")) in LANGUAGES:
            await self._speak(_limited(receive, _FORM_BYTES), Strings(language), send)
        elif path.startswith("/opening/") and (language := path.removeprefix("/opening/")) in LANGUAGES:
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            name = query.get("project", [""])[0]
            part = await asyncio.to_thread(opening.home, Strings(language), self.workspace, name)
            await _answer(send, 200, part, _HTML)
        elif path.startswith("/sample/"):
            await self._sample(path.removeprefix("/sample/"), strings, send)
        elif path == "/" or (path.strip("/") in LANGUAGES and not path.endswith("/")):
            language = _cookie(headers) or strings.language if path == "/" else path.strip("/")
            await _answer(send, 307, "", {"location": f"{scope['root_path']}/{language}/"})
        elif path == "/favicon.ico":  # the page names its own
            await _answer(send, 204, "")
        elif (language := path.split("/")[1]) not in LANGUAGES:
            await _answer(send, 404, "not found")
        elif language not in self.inner:
            self.asked = language
            page = await asyncio.to_thread(
                opening.opening_page, Strings(language), self.workspace, self.failed
            )
            await _answer(send, 200, page, _HTML)
        else:
            if scope.get("query_string") == b"chosen":
                send = _remembering(send, language)
            await self.inner[language](scope, _limited(receive, self.settings.max_bytes + _FORM_BYTES), send)

    def _placed(self, scope: Scope, headers: Mapping[str, str]) -> tuple[Scope, str]:
        """Return the scope without a proxy's prefix, and the path below the prefix."""
        client = (scope.get("client") or ("",))[0]
        trusted = client in self.settings.proxies
        prefix, scheme = self.settings.root_path, scope.get("scheme", "http")
        if trusted:
            given = headers.get("x-forwarded-prefix", "").rstrip("/")
            prefix = given if given and is_prefix(given) else prefix
            scheme = "https" if headers.get("x-forwarded-proto", scheme) == "https" else "http"
        dropped = {b"x-forwarded-host", b"x-forwarded-prefix", *(() if trusted else (b"x-forwarded-proto",))}
        kept = [(name, value) for name, value in scope["headers"] if name.lower() not in dropped]
        path = scope["path"]
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):  # a proxy that leaves it there
            path = path.removeprefix(prefix) or "/"
        whole = {"path": prefix + path, "root_path": prefix, "scheme": scheme, "headers": kept}
        return {**scope, **whole, "raw_path": (prefix + path).encode()}, path

    def _refused(
        self, headers: Mapping[str, str], strings: Strings
    ) -> tuple[int, str, dict[str, str]] | None:
        """Return why a request is refused: its status, a line, and headers."""
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if self.names and host not in self.names:
            return 421, strings("access.host"), {}
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != headers.get("host", ""):
            return 403, strings("access.origin"), {}
        if self.passwords and not self._known(headers.get("authorization", "")):
            return (
                401,
                strings("access.password"),
                {"www-authenticate": 'Basic realm="dimts", charset="UTF-8"'},
            )
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.settings.max_bytes + _FORM_BYTES:
            limit = strings("access.too_large", megabytes=self.settings.max_upload_megabytes)
            return 413, limit, {"connection": "close"}
        return None

    def _known(self, given: str) -> bool:
        kind, _, code = given.partition(" ")
        try:
            user, _, password = base64.b64decode(code, validate=True).decode("utf-8").partition(":")
        except ValueError:
            return False
        expected = self.passwords.get(user)
        # constant time, whether the user exists or not
        same = hmac.compare_digest(password.encode(), (expected or "\0").encode())
        return kind.lower() == "basic" and expected is not None and same

    async def _ready(self, language: str, wait: bool, send: Send) -> None:
        """Whether the page is there; with `wait` as soon as it is, and never as an error."""
        end = asyncio.get_running_loop().time() + (_READY_SECONDS if wait else 0.0)
        while not (there := language in self.inner if language else bool(self.inner)):
            if self.failed or asyncio.get_running_loop().time() >= end:
                break
            await asyncio.sleep(_WAIT_SECONDS)
        await _answer(send, 200 if there or wait else 503, self.failed or ("yes" if there else "no"))

    async def _stream_audio(self, token: str, send: Send) -> None:
        stream = self.streams.get(token)
        if stream is None:
            await _answer(send, 404, "not found")
            return
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"audio/mpeg"), (b"cache-control", b"no-store")],
            }
        )
        waited = 0.0
        with contextlib.closing(stream.path.open("rb")) as file:
            while waited < _STREAM_SECONDS:
                over = stream.over.is_set()  # asked before reading: what is written last is still read
                block = file.read(_BLOCK_BYTES)
                if block:
                    await send({"type": "http.response.body", "body": block, "more_body": True})
                    waited = 0.0
                elif over:
                    break
                else:
                    await asyncio.sleep(_WAIT_SECONDS)
                    waited += _WAIT_SECONDS
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _speak(self, receive: Receive, strings: Strings, send: Send) -> None:
        """Speak a text: answers with the token of the audio, or with why not."""
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                await _answer(send, 413, strings("access.too_large", megabytes=_FORM_BYTES // MEGABYTE))
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            given = json.loads(body)
            asked = [str(given[name]) for name in ("project", "voice", "text")]
            "".join(asked).encode()  # half a surrogate pair, which JSON lets through, cannot be written
        except (ValueError, TypeError, KeyError, RecursionError):
            await _answer(send, 400, "bad request")
            return
        try:
            token = await asyncio.to_thread(
                opening.speak, self.workspace, self.streams, self.speakers, *asked
            )
        except DimtsError as error:
            lines = (error.message.text(strings.language), error.message.remedy(strings.language))
            await _answer(send, 422, " — ".join(filter(None, lines)))
            return
        await _answer(send, 200, token)

    async def _sample(self, path: str, strings: Strings, send: Send) -> None:
        """A voice's sample; made in a thread, as it may take a while the first time."""
        try:
            file = await asyncio.to_thread(samples.sample_file, self.workspace, self.speakers, path)
            body = await asyncio.to_thread(file.read_bytes)
        except DimtsError as error:
            await _answer(send, 404, error.message.text(strings.language))
            return
        headers = [(b"content-type", b"audio/mpeg"), (b"cache-control", b"no-cache"),
                   (b"content-length", str(len(body)).encode())]  # fmt: skip
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def sending(message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await send(message)

    return sending


def _remembering(send: Send, language: str) -> Send:
    """Remember a language that a person chose against their browser's."""

    async def sending(message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            cookie = f"{_COOKIE}={language}; Path=/; Max-Age=31536000; SameSite=Lax".encode()
            message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie)]
        await send(message)

    return sending


def _limited(receive: Receive, max_bytes: int) -> Receive:
    """Stop reading a body that is longer than allowed, whatever its header announced."""
    taken = 0

    async def receiving() -> AsgiMessage:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > max_bytes:
                return {"type": "http.disconnect"}
        return message

    return receiving


def _cookie(headers: Mapping[str, str]) -> str:
    """Return the language that was chosen by hand; "" if none was."""
    pairs: Iterable[tuple[str, str, str]] = (
        item.strip().partition("=") for item in headers.get("cookie", "").split(";")
    )
    return next((value for name, _, value in pairs if name == _COOKIE and value in LANGUAGES), "")


async def _answer(send: Send, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
    body = text.encode()
    fields = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store", **(headers or {})}
    fields["content-length"] = str(len(body))
    coded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": coded})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
