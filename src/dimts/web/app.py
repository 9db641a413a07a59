"""`dimts web`: serve the page's middleware at once, and import gradio and build the pages meanwhile.

The requested language is built first.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dimts.base.errors import ConfigError, ProjectError
from dimts.base.plugins import require
from dimts.web.access import PageAccessMiddleware
from dimts.web.page_cache import PageCache
from dimts.web.settings import WebSettings, read_passwords
from dimts.web.strings import LANGUAGES
from dimts.web.workspace import Workspace

_WAIT_SECONDS = 0.05
_SECOND_LANGUAGE_SECONDS = 6.0
"""Delay of the second language, as building a page slows a browser that is loading the other one."""


def open_workspace(folder: Path) -> Workspace:
    """Open the workspace of a folder. ProjectError for one that does not exist."""
    if not folder.is_dir():
        raise ProjectError("web.no_such_folder", folder=folder)
    return Workspace(folder.resolve())


def serve(folder: Path, settings: WebSettings, on_address: Callable[[str], None]) -> None:
    """Serve the page of `folder` until Ctrl-C; `on_address` gets the address when it can be opened.

    Raises ConfigError for a port that is taken or a password file that is wrong, MissingExtra without gradio.
    """
    workspace = open_workspace(folder)
    passwords = read_passwords(settings.auth) if settings.auth else {}
    for library in ("gradio", "fastapi"):
        _installed(library)
    uvicorn = require("uvicorn", "ui")
    access = PageAccessMiddleware(workspace, settings, passwords, settings.allowed_hosts)
    sock = _bound(settings)
    port = sock.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            access, log_level="warning", timeout_graceful_shutdown=2, server_header=False, access_log=False,
            proxy_headers=False,
        )
    )  # fmt: skip
    every = settings.host in ("0.0.0.0", "::")  # noqa: S104 (asked for, with a password)
    shown = "localhost" if every else settings.host
    on_address(f"http://{f'[{shown}]' if ':' in shown else shown}:{port}{settings.root_path}/")
    asyncio.run(_run(server, access, sock, on_address))


async def _run(
    server: Any, access: PageAccessMiddleware, sock: Any, on_address: Callable[[str], None]
) -> None:
    stack = contextlib.AsyncExitStack()

    async def build_pages() -> None:
        try:
            # in a thread of its own, so that requests are answered meanwhile
            await _in_thread(import_gradio, access.workspace)
            for _ in LANGUAGES:
                await _asked(access)
                missing = [one for one in LANGUAGES if one not in access.inner]
                language = access.asked if access.asked in missing else missing[0]
                app = await _in_thread(build_app, access, language)
                await stack.enter_async_context(app.router.lifespan_context(app))
                paths = frozenset({f"/{language}/", f"/{language}/config"})
                access.inner[language] = PageCache(app, paths)
            if access.settings.share:
                on_address(await _in_thread(_tunnel, sock.getsockname()[1]))
        except Exception as error:  # noqa: BLE001 (shown on the page and below; the server ends)
            access.failed = str(error) or type(error).__name__
            traceback.print_exception(error, file=sys.stderr)
            server.should_exit = True

    building = asyncio.create_task(build_pages())
    async with stack:
        await server.serve(sockets=[sock])
        building.cancel()
    if access.failed:
        raise ConfigError("web.page_not_built", reason=access.failed)


def prepare_environment(workspace: Workspace) -> None:
    """Set gradio's environment before it is imported: the folder of its files, no telemetry, no
    statistics."""
    workspace.cache.mkdir(parents=True, exist_ok=True)
    workspace.cache.chmod(0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(workspace.cache.resolve())
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # else a table of all events is made anew at every event, 0.1 s each, for a monitor that is not shown
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def import_gradio(workspace: Workspace) -> None:
    """Import gradio and the page's own code. MissingExtra without gradio."""
    prepare_environment(workspace)
    gc.disable()  # imports create no garbage
    try:
        require("gradio", "ui")
        require("fastapi", "ui")
    finally:
        gc.enable()
    from dimts.web import page

    del page


def build_app(access: PageAccessMiddleware, language: str) -> Any:
    """Build the application that serves the page in one language. Takes a second."""
    gradio = require("gradio", "ui")
    fastapi = require("fastapi", "ui")
    from dimts.web import page

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    blocks = page.build(language, access.workspace, access.streams, access.speakers, access.settings)
    _keep_configurations(blocks.blocks.values())
    gradio.mount_gradio_app(
        app,
        blocks,
        f"/{language}",
        server_name=access.settings.host,
        server_port=access.settings.port,
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=access.settings.max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        blocked_paths=_private(access.workspace),
        **page.mounting(language),
    )
    return app


def _keep_configurations(components: Iterable[Any]) -> None:
    """Have gradio work out the configuration of each component once.

    It does so for all 416 of them whenever somebody opens the page, 0.06 s during which nobody else is
    answered; a session changes its own copies of those it was given.
    """
    for one in components:
        one.get_config = functools.partial(dict, one.get_config())


def _private(workspace: Workspace) -> list[str]:
    """Return the paths that gradio must never serve: everything here but its own cache."""
    if not workspace.root.is_dir():
        return []
    return [
        str(path.resolve())
        for path in workspace.root.iterdir()
        if path.resolve() != workspace.cache.resolve()
    ]


async def _asked(access: PageAccessMiddleware) -> None:
    """Wait for a request of a language that is not built; the other one is built after a quiet moment."""
    end = time.monotonic() + (_SECOND_LANGUAGE_SECONDS if access.inner else 0.0)
    while time.monotonic() < end and (not access.asked or access.asked in access.inner):
        await asyncio.sleep(_WAIT_SECONDS)


async def _in_thread(work: Callable[..., Any], *values: Any) -> Any:
    """Run `work(*values)` in a daemon thread, so that Ctrl-C need not wait for it."""
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
        with contextlib.suppress(RuntimeError):  # the loop is closed: no result is needed
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
        sock.listen()  # early requests wait instead of being refused
    except OSError as error:
        sock.close()
        raise ConfigError(
            "web.cannot_listen", host=settings.host, port=settings.port, reason=error.strerror
        ) from error
    return sock


def _installed(library: str) -> None:
    from dimts.base.errors import MissingExtra
    from dimts.base.plugins import has

    if not has(library):
        raise MissingExtra(library, "ui")
