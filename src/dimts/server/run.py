"""Run the server as a process, with a graceful shutdown at SIGTERM.

SIGTERM or Ctrl-C   no new request; running ones have grace_seconds, then end after their sentence; exit code
0 a second one        everything is aborted
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dimts.base.errors import ConfigError
from dimts.base.http import MEGABYTE, bind, deadlines, handshakes, refusal_of, url_of
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.server.keys import Keys
from dimts.server.memory import limit_heaps
from dimts.server.settings import ServeSettings

if TYPE_CHECKING:
    from dimts.server.middleware import AccessMiddleware
    from dimts.server.models import ModelSource

_LIBRARIES = ("fastapi", "uvicorn", "websockets", "prometheus_client", "python_multipart")
_KEEP_ALIVE_SECONDS = 75
"""Seconds that an idle connection stays open; longer than proxies keep theirs (nginx: 60), so that no request
is sent into one that is closing."""
_AFTER_GRACE_SECONDS = 120.0
"""How long a last sentence may take, in seconds."""
_SWITCH_SECONDS = 0.001
"""Switch interval of Python's threads in seconds: text processing must not delay synthesis."""


def serve(sources: Sequence[ModelSource], settings: ServeSettings, on_ready: Callable[[str], None]) -> None:
    """Load the models and serve them until a signal; `on_ready` gets the address once requests are answered.

    Raises ConfigError for a port that is taken, a wrong key file or settings that contradict each other,
    CheckpointError for a model that does not fit, MissingExtra.
    """
    for library in _LIBRARIES:
        require(library, "serve")
    from dimts.server import log

    log.set_up()
    keys = Keys.read(settings.keys) if settings.keys else Keys()
    with contextlib.ExitStack() as sockets:
        sock = sockets.enter_context(bind(settings.host, settings.port))
        wyoming = None
        if settings.wyoming_port:
            require("wyoming", "wyoming")
            wyoming = sockets.enter_context(bind(settings.wyoming_host, settings.wyoming_port))
        app = load_app(sources, settings, keys, wyoming)
        _server(app, settings, url_of(settings.host, sock.getsockname()[1]), on_ready).run(sockets=[sock])
    log.note("stopped")


def load_app(
    sources: Sequence[ModelSource], settings: ServeSettings, keys: Keys, wyoming: socket.socket | None = None
) -> AccessMiddleware:
    """Load the models into this process and build the application. Raises as `serve` does."""
    from dimts.server.app import build
    from dimts.server.models import LoadedModel, ModelRegistry

    if settings.voices_folder and Path(settings.voices_folder).is_file():
        raise ConfigError("server.voices_folder_is_file", path=settings.voices_folder)
    sys.setswitchinterval(_SWITCH_SECONDS)
    limit_heaps()
    if any(source.name != "formant" for source in sources):
        torch = require("torch", "speak")
        torch.set_num_threads(settings.torch_threads or max(1, (os.cpu_count() or 1) // 2))
    models = [LoadedModel.load(source, settings.slots) for source in sources]
    return build(ModelRegistry(models, settings), settings, keys, wyoming)


def _server(
    app: AccessMiddleware, settings: ServeSettings, address: str, on_ready: Callable[[str], None]
) -> Any:
    """Make a uvicorn server with this module's shutdown."""
    uvicorn = require("uvicorn", "serve")
    from dimts.server import log
    from dimts.server.errors import ApiError

    refusal = refusal_of(*ApiError(400, Message("server.unreadable_request")).encoded())

    class Server(uvicorn.Server):  # type: ignore[misc,name-defined]
        async def startup(self, sockets: Any = None) -> None:
            self._running = asyncio.get_running_loop()
            await super().startup(sockets)
            repeatable = {name: one.repeatable for name, one in app.registry.schedulers().items()}
            models = list(app.registry.models)
            log.note("ready", address=address, models=models, slots=settings.slots, repeatable=repeatable)
            on_ready(address)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # uvicorn's own raises the signal once more when all is done, and the exit code would be the
            # signal's
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for one, handler in before.items():
                    signal.signal(one, handler)

        def handle_exit(self, sig: int, frame: Any) -> None:
            self.force_exit = bool(self.should_exit) and sig == signal.SIGINT
            self.should_exit: bool = True
            self._running.call_soon_threadsafe(self._stop)

        def _stop(self) -> None:
            if self.force_exit:
                app.pool.close(wait=False)
                return
            log.note("stopping", requests=len(app.pool), grace_seconds=settings.grace_seconds)
            app.pool.stop()
            self._running.call_later(settings.grace_seconds, app.pool.finish)

    return Server(
        uvicorn.Config(
            app,
            http=deadlines(settings.head_seconds, settings.body_seconds, settings.stall_seconds, refusal),
            ws=handshakes(refusal),
            ws_max_size=int(settings.max_body_megabytes * MEGABYTE),
            log_config=None,
            server_header=False,
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(settings.grace_seconds + _AFTER_GRACE_SECONDS),
        )
    )
