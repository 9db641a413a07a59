"""The page's server: a small door before gradio. It says "one moment" at once and opens when gradio is loaded.

    /            the page in the browser's language        /en/ /am/     the page in that language
    /hear/TOKEN  a sound that is being spoken              /ready        whether the page is there
                                                           /ready/am     whether it is there in that language

The door checks what gradio leaves open: who asks (a password, where one is set), by which name (so that a
foreign site cannot talk to a page on this machine), and how much is sent. Every answer carries headers that
keep the browser from loading anything from elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dimts.base.errors import ConfigError, ProjectError
from dimts.base.http import App, AsgiMessage, Receive, Scope, Send, drain_request
from dimts.base.plugins import require
from dimts.web.loading import import_gradio
from dimts.web.speaking import Speakers, Streams
from dimts.web.strings import LANGUAGES, Strings, chosen
from dimts.web.workspace import Workspace

LOCAL = ("127.0.0.1", "localhost", "::1")
MEGABYTE = 1_000_000
_FORM_BYTES = 2 * MEGABYTE
"""What a form adds to the files in it."""
_WAIT_SECONDS = 0.05
_SECOND_LANGUAGE_SECONDS = 6.0
"""Building a page keeps the processor from a browser that is just loading the other one."""
_STREAM_SECONDS = 600.0
_BLOCK_BYTES = 1 << 16
_COOKIE = "dimts-language"
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
        b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
        b"font-src 'self' data:; connect-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'self'; "
        b"form-action 'self'; object-src 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How the page is served; the options of `dimts web`."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 7860
    """0: any that is free."""
    auth: Path | None = None
    """File of `user:password` lines; who is not in it sees nothing."""
    max_upload_megabytes: int = 200
    """Largest file that may be uploaded."""
    share: bool = False
    """Also open a public address through gradio's tunnel."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError("web.not_a_port", port=self.port)
        if self.max_upload_megabytes < 1:
            raise ConfigError("web.upload_limit_too_small")
        if self.auth is None and self.open_to_others:
            option = "--share" if self.share else f"--host {self.host}"
            raise ConfigError("web.password_file_needed", option=option)

    @property
    def open_to_others(self) -> bool:
        """Whether people of other machines can come in."""
        return self.share or self.host not in LOCAL

    @property
    def max_bytes(self) -> int:
        """Largest upload in bytes."""
        return self.max_upload_megabytes * MEGABYTE


def read_passwords(path: Path) -> dict[str, str]:
    """User → password, of a file with a `user:password` a line. ConfigError for one that is wrong or open to others."""
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("web.password_file_unreadable", path=path, reason=error) from error
    if os.name == "posix" and mode & 0o077:
        raise ConfigError("web.password_file_readable_by_others", path=path)
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, sign, password = line.strip().partition(":")
        if not sign or not user or len(password) < 8:
            raise ConfigError("web.password_line_wrong", path=path, number=number)
        found[user] = password
    if not found:
        raise ConfigError("web.password_file_empty", path=path)
    return found


@dataclass
class PageAccessMiddleware:
    """The ASGI application: answers what it can itself, hands the rest to gradio."""

    home: Workspace
    settings: WebSettings
    passwords: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset(LOCAL)
    """Host names by which the page may be asked for; empty: any."""
    inner: dict[str, App] = field(default_factory=dict)
    """Language → gradio's application, as soon as it is there."""
    asked: str = ""
    """The language that was asked for last; it is built first."""
    streams: Streams = field(default_factory=Streams)
    speakers: Speakers = field(default_factory=Speakers)
    failed: str = ""
    """Why gradio could not be loaded."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return  # gradio speaks HTTP and server-sent events only
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        say = Strings(chosen(headers.get("accept-language", "")))
        send = _with_headers(send)
        refused = self._refused(headers, say)
        if refused:
            await _answer(drain_request(receive, send), *refused)
            return
        path = scope["path"]
        if path.split("/")[1] == "ready":
            there = bool(self.inner) if path == "/ready" else path.removeprefix("/ready/") in self.inner
            await _answer(send, 200 if there else 503, self.failed or ("yes" if there else "no"))
        elif path.startswith("/hear/"):
            await self._hear(path.removeprefix("/hear/"), send)
        elif path == "/" or (path.strip("/") in LANGUAGES and not path.endswith("/")):
            language = _cookie(headers) or say.language if path == "/" else path.strip("/")
            await _answer(send, 307, "", {"location": f"{scope.get('root_path', '')}/{language}/"})
        elif path == "/favicon.ico":  # the page names its own
            await _answer(send, 204, "")
        elif (language := path.split("/")[1]) not in LANGUAGES:
            await _answer(send, 404, "not found")
        elif language not in self.inner:
            self.asked = language
            text = _moment(Strings(language), self.failed)
            await _answer(send, 200, text, {"content-type": "text/html; charset=utf-8"})
        else:
            if scope.get("query_string") == b"chosen":
                send = _remembering(send, language)
            await self.inner[language](scope, _limited(receive, self.settings.max_bytes + _FORM_BYTES), send)

    def _refused(self, headers: Mapping[str, str], say: Strings) -> tuple[int, str, dict[str, str]] | None:
        """Why a request is not answered: its status, a line, and headers."""
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if self.names and host not in self.names:
            return 421, say("door.host"), {}
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != headers.get("host", ""):
            return 403, say("door.origin"), {}
        if self.passwords and not self._known(headers.get("authorization", "")):
            return 401, say("door.password"), {"www-authenticate": 'Basic realm="dimts", charset="UTF-8"'}
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.settings.max_bytes + _FORM_BYTES:
            return 413, say("door.too_large", megabytes=self.settings.max_upload_megabytes), {"connection": "close"}
        return None

    def _known(self, given: str) -> bool:
        kind, _, code = given.partition(" ")
        try:
            user, _, password = base64.b64decode(code, validate=True).decode("utf-8").partition(":")
        except ValueError:
            return False
        expected = self.passwords.get(user)
        # as long for a user who is not there as for one who is
        same = hmac.compare_digest(password.encode(), (expected or "\0").encode())
        return kind.lower() == "basic" and expected is not None and same

    async def _hear(self, token: str, send: Send) -> None:
        stream = self.streams.get(token)
        if stream is None:
            await _answer(send, 404, "not found")
            return
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-type", b"audio/mpeg"), (b"cache-control", b"no-store")]})  # fmt: skip
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


def load(door: PageAccessMiddleware, language: str) -> Any:
    """The application that serves the page in one language; gradio is imported (`loading`). Takes a second."""
    gradio = require("gradio", "ui")
    fastapi = require("fastapi", "ui")
    from dimts.web import page

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gradio.mount_gradio_app(
        app,
        page.build(language, door.home, door.streams, door.speakers, door.settings),
        f"/{language}",
        server_name=door.settings.host,
        server_port=door.settings.port,
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=door.settings.max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        blocked_paths=_private(door.home),
        **page.mounting(language),
    )
    return app


def _private(home: Workspace) -> list[str]:
    """What gradio must not hand out even if it would: everything here but its own cache."""
    if not home.root.is_dir():
        return []
    return [str(path.resolve()) for path in home.root.iterdir() if path.resolve() != home.cache.resolve()]


def open_home(folder: Path) -> Workspace:
    """The home of a folder. ProjectError for one that is not there."""
    if not folder.is_dir():
        raise ProjectError("web.no_such_folder", folder=folder)
    return Workspace(folder.resolve())


def serve(folder: Path, settings: WebSettings, told: Callable[[str], None]) -> None:
    """Serve the page of `folder` until Ctrl-C; `told` gets a line when it can be opened.

    Raises ConfigError for a port that is taken or a password file that is wrong, MissingExtra without gradio.
    """
    home = open_home(folder)
    passwords = read_passwords(settings.auth) if settings.auth else {}
    for library in ("gradio", "fastapi"):
        _installed(library)
    uvicorn = require("uvicorn", "ui")
    door = PageAccessMiddleware(home, settings, passwords, frozenset() if settings.open_to_others else frozenset(LOCAL))
    sock = _bound(settings)
    port = sock.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(door, log_level="warning", timeout_graceful_shutdown=2, server_header=False, access_log=False)
    )
    shown = "localhost" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 (asked for, with a password)
    told(f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/")
    asyncio.run(_run(server, door, sock, told))


async def _run(server: Any, door: PageAccessMiddleware, sock: Any, told: Callable[[str], None]) -> None:
    stack = contextlib.AsyncExitStack()

    async def open_door() -> None:
        try:
            # their own thread, so that the moment's page is served meanwhile
            await _beside(import_gradio, door.home)
            for _ in LANGUAGES:
                await _asked(door)
                missing = [one for one in LANGUAGES if one not in door.inner]
                language = door.asked if door.asked in missing else missing[0]
                app = await _beside(load, door, language)
                await stack.enter_async_context(app.router.lifespan_context(app))
                door.inner[language] = app
            if door.settings.share:
                told(await _beside(_tunnel, sock.getsockname()[1]))
        except Exception as error:  # noqa: BLE001 (told on the page and below; the server ends)
            door.failed = str(error) or type(error).__name__
            traceback.print_exception(error, file=sys.stderr)
            server.should_exit = True

    opening = asyncio.create_task(open_door())
    async with stack:
        await server.serve(sockets=[sock])
        opening.cancel()
    if door.failed:
        raise ConfigError("web.page_not_built", reason=door.failed)


async def _asked(door: PageAccessMiddleware) -> None:
    """Return when a language is asked for that is not there; the other waits until the first is opened in peace."""
    end = time.monotonic() + (_SECOND_LANGUAGE_SECONDS if door.inner else 0.0)
    while time.monotonic() < end and (not door.asked or door.asked in door.inner):
        await asyncio.sleep(_WAIT_SECONDS)


async def _beside(work: Callable[..., Any], *values: Any) -> Any:
    """`work(*values)` in a thread that does not keep the program alive: Ctrl-C need not wait for it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(settling: Callable[[Any], None], value: Any) -> None:
        if not answer.done():
            settling(value)

    def run() -> None:
        try:
            settling, value = answer.set_result, work(*values)
        except Exception as error:  # noqa: BLE001 (raised again where it is awaited)
            settling, value = answer.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, settling, value)

    threading.Thread(target=run, daemon=True).start()
    return await answer


def _tunnel(port: int) -> str:
    import secrets

    networking = require("gradio.networking", "ui")
    address: str = networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    return address


def _bound(settings: WebSettings) -> Any:
    import socket

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((settings.host, settings.port))
        sock.listen()  # who comes before the server is up waits instead of being refused
    except OSError as error:
        sock.close()
        raise ConfigError("web.cannot_listen", host=settings.host, port=settings.port, reason=error.strerror) from error
    return sock


def _installed(library: str) -> None:
    from dimts.base.errors import MissingExtra
    from dimts.base.plugins import has

    if not has(library):
        raise MissingExtra(library, "ui")


def _moment(say: Strings, failed: str) -> str:
    """The page that is there before the page: it asks five times a second, then opens it."""
    import html

    text = html.escape(failed) if failed else html.escape(say("door.moment"))
    return f"""<!doctype html><html lang="{say.language}"><meta charset="utf-8"><title>dimts</title>
<meta name="viewport" content="width=device-width">
<style>body{{font:1.2rem system-ui,"Noto Sans Ethiopic","Abyssinica SIL",Nyala,Kefa,Ebrima,sans-serif;color:#14795c;
display:grid;place-content:center;min-height:90vh;text-align:center}}b{{font-size:4rem}}</style>
<b>ድምፅ</b><p role="status">{text}</p>
<script>setInterval(()=>fetch("/ready/{say.language}").then(r=>r.ok&&location.reload()).catch(()=>0),200)</script></html>"""


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
    """Stops reading a body that is longer than it may be, whatever its header said."""
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
    """The language that was chosen by hand; "" if none was."""
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
