"""Serve the app on a Ray cluster: autoscaled replicas of a Ray Serve deployment.

Each replica has its own models, schedulers and places; Ray's proxy distributes the requests. Common data is
sent with the deployment (hashes of keys, settings); folders of models and of uploaded voices must be
reachable from every machine.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

from dimts.base.errors import ConfigError
from dimts.base.plugins import require
from dimts.server import log
from dimts.server.keys import Keys
from dimts.server.models import ModelSource
from dimts.server.settings import ServeSettings

NAME = "dimts"
PROXY_TIMEOUTS = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}
"""Ray gives its proxy five seconds to start; a busy machine needs more, and Ray would restart it
repeatedly."""

_TRIES = 5
"""How often a minute is given to Ray's proxy."""


def deployment(sources: Sequence[ModelSource], settings: ServeSettings, keys: Keys) -> Any:
    """Return a Ray Serve application, for `ray.serve.run`. Raises MissingExtra."""
    serve: Any = require("ray.serve", "ray")
    ray = settings.ray

    class Replica:
        """One replica of the server."""

        def __init__(self, sources: Sequence[ModelSource], settings: ServeSettings, keys: Keys) -> None:
            from dimts.server.run import load_app

            log.set_up()
            # `app` is a property of the class that Ray derives from this one
            self.served_app = load_app(sources, settings, keys)

        def __serve_build_asgi_app__(self) -> Any:
            return self.served_app

        async def check_health(self) -> None:
            """Raise if a decoding scheduler has ended; Ray then replaces the replica."""
            for name, scheduler in self.served_app.registry.schedulers().items():
                if not scheduler.alive:
                    raise RuntimeError(f"the decoding scheduler of {name} has ended")

    options: dict[str, Any] = {
        "name": NAME,
        "max_ongoing_requests": settings.places,
        "ray_actor_options": {"num_cpus": ray.cpus, "num_gpus": ray.gpus},
        "graceful_shutdown_timeout_s": settings.grace_seconds,
        "health_check_period_s": 10,
    }
    if ray.max_replicas > ray.min_replicas:
        options["autoscaling_config"] = {
            "min_replicas": ray.min_replicas,
            "max_replicas": ray.max_replicas,
            "target_ongoing_requests": ray.target_ongoing_requests,
            "upscale_delay_s": ray.upscale_delay_seconds,
            "downscale_delay_s": ray.downscale_delay_seconds,
        }
    else:
        options["num_replicas"] = ray.min_replicas

    return serve.deployment(**options)(serve.ingress()(Replica)).bind(list(sources), settings, keys)


def start(sources: Sequence[ModelSource], settings: ServeSettings) -> str:
    """Deploy on the connected Ray, or on one of this machine; returns the address once every replica answers.

    Raises ConfigError for a wrong key file or a cluster that cannot hold the replicas, MissingExtra.
    """
    ray: Any = require("ray", "ray")
    serve: Any = require("ray.serve", "ray")
    keys = Keys.read(settings.keys) if settings.keys else Keys()
    for name, seconds in PROXY_TIMEOUTS.items():
        os.environ.setdefault(name, seconds)
    if not ray.is_initialized():
        ray.init(address="auto" if _cluster_runs() else None, log_to_driver=True, include_dashboard=False)
    has = ray.cluster_resources().get("CPU", 0.0)
    wants = settings.ray.cpus * settings.ray.min_replicas
    if wants > has:
        raise ConfigError(
            "server.cluster_too_small", replicas=settings.ray.min_replicas, needed=wants, available=has
        )
    options = {"host": settings.host, "port": settings.port,
               "request_timeout_s": math.ceil(settings.request_seconds)}  # fmt: skip
    application = deployment(sources, settings, keys)
    _patiently(lambda: serve.start(proxy_location="HeadOnly", http_options=options))
    _patiently(lambda: serve.run(application, name=NAME, route_prefix="/"))
    return f"http://{settings.host}:{settings.port}"


def _patiently(call: Callable[[], object]) -> None:
    """Call again while Ray's proxy is not ready: Ray gives up after a fixed minute, a busy machine needs
    more. What the first call started is found by the next."""
    for _ in range(_TRIES - 1):
        try:
            call()
            return
        except TimeoutError:
            log.note("proxy_not_ready")
    call()


def serve(sources: Sequence[ModelSource], settings: ServeSettings, on_ready: Callable[[str], None]) -> None:
    """Deploy and wait for a signal; then remove the deployment, after its running requests."""
    if settings.port == 0:
        raise ConfigError("server.ray_needs_port")
    if settings.wyoming_port:
        raise ConfigError("server.wyoming_on_ray")
    on_ready(start(sources, settings))
    over = threading.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, lambda *_: over.set())
    over.wait()
    log.note("stopping")
    serving: Any = require("ray.serve", "ray")
    serving.shutdown()


def _cluster_runs() -> bool:
    """Whether a Ray cluster is running that this machine belongs to."""
    if os.environ.get("RAY_ADDRESS"):
        return True
    services: Any = require("ray._private.services", "ray")
    return bool(services.find_gcs_addresses())
