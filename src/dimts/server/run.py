"""The server as a process: it listens, serves, and at SIGTERM ends with the sentences that are being said.

SIGTERM or Ctrl-C   nobody new; requests go on for grace_seconds, then end with the sentence at work; exit code 0
a second one        everything is broken off
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
from dimts.base.plugins import require
from dimts.server.keys import Keys
from dimts.server.memory import stay_small
from dimts.server.settings import ServeSettings

if TYPE_CHECKING:
    from dimts.server.middleware import AccessMiddleware
    from dimts.server.models import ModelSource

_LIBRARIES = ("fastapi", "uvicorn", "prometheus_client", "python_multipart")
_AFTER_GRACE_SECONDS = 120.0
"""How long a last sentence may take."""
_SWITCH_SECONDS = 0.001
"""How long one thread of Python may keep the others waiting: reading texts must not hold up the sound."""


def serve(sources: Sequence[ModelSource], settings: ServeSettings, told: Callable[[str], None]) -> None:
    """Load the models and serve them until a signal comes; `told` gets the address once requests are answered.

    Raises ConfigError for a port that is taken, a wrong key file or settings that contradict each other,
    CheckpointError for a model that does not fit, MissingExtra.
    """
    uvicorn = _libraries()
    from dimts.server import log

    log.set_up()
    door = make(sources, settings, Keys.read(settings.keys) if settings.keys else Keys())
    sock = bound(settings.host, settings.port)
    config = uvicorn.Config(
        door,
        log_config=None,
        server_header=False,
        access_log=False,
        timeout_graceful_shutdown=int(settings.grace_seconds + _AFTER_GRACE_SECONDS),
    )
    host, port = settings.host, sock.getsockname()[1]
    shown = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104 (asked for, with a key)
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"

    class Server(uvicorn.Server):  # type: ignore[misc,name-defined]
        async def startup(self, sockets: Any = None) -> None:
            self._running = asyncio.get_running_loop()
            await super().startup(sockets)
            repeatable = {name: loop.repeatable for name, loop in door.house.loops().items()}
            models = list(door.house.models)
            log.note("ready", address=address, models=models, slots=settings.slots, repeatable=repeatable)
            told(address)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # uvicorn's own raises the signal once more when all is done, and the exit code would be the signal's
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
            self._running.call_soon_threadsafe(self._going)

        def _going(self) -> None:
            if self.force_exit:
                door.desk.close(wait=False)
                return
            log.note("stopping", requests=len(door.desk), grace_seconds=settings.grace_seconds)
            door.desk.stop()
            self._running.call_later(settings.grace_seconds, door.desk.finish)

    Server(config).run(sockets=[sock])
    log.note("stopped")


def _libraries() -> Any:
    for library in _LIBRARIES:
        require(library, "serve")
    return require("uvicorn", "serve")


def make(sources: Sequence[ModelSource], settings: ServeSettings, keys: Keys) -> AccessMiddleware:
    """The application with its models loaded, in this process. Raises as `serve` does."""
    from dimts.server.app import build
    from dimts.server.models import LoadedModel, ModelRegistry

    if settings.voices_folder and Path(settings.voices_folder).is_file():
        raise ConfigError("server.voices_folder_is_file", path=settings.voices_folder)
    sys.setswitchinterval(_SWITCH_SECONDS)
    stay_small()
    if any(source.name != "formant" for source in sources):
        torch = require("torch", "speak")
        torch.set_num_threads(settings.torch_threads or max(1, (os.cpu_count() or 1) // 2))
    return build(
        ModelRegistry([LoadedModel.load(source, settings.slots) for source in sources], settings), settings, keys
    )


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. ConfigError if it cannot."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise ConfigError("server.cannot_listen", host=host, port=port, error=error.strerror or error) from error
    return sock
