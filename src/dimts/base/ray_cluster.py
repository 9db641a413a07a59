"""Connect to a Ray cluster, or start one on this machine, for work that several processes share."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback

_LOOPBACK = "127.0.0.1"
_PATIENCE_SECONDS = 10.0
"""For the address of a cluster to answer."""
_REASON_LETTERS = 200

THIS_PROGRAM = "the cluster this program was connected to"
THIS_MACHINE = "this machine"


def be_quiet() -> None:
    """Send no usage statistics, and let the workers have the priority of this program; before `ray` is
    imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # workers are the work itself: Ray's 15 lets everything else go first
    os.environ.setdefault("RAY_worker_niceness", "0")


@contextlib.contextmanager
def connected(ray: Any, address: str, cores: int, on_progress: ProgressCallback) -> Iterator[str]:
    """Connect to the cluster at `address`, or to a new one of this machine on loopback; yields its name.

    A connection that is there already is used and stays. `cores` is the least that a new cluster has.
    ConfigError where there is no cluster.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield THIS_PROGRAM
        return
    own = not address
    on_progress(Progress("cluster", 0, 1, "clusters", Message("base.ray_starts_here") if own else None))
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if own:
            room = {"num_cpus": max(cores, os.cpu_count() or 1)}
            ray.init(address="local", include_dashboard=False, _node_ip_address=_LOOPBACK, **room, **quiet)
        else:
            _answers(address)
            ray.init(address=address, **quiet)
    except Exception as error:
        raise ConfigError(
            "base.no_ray_cluster", address=address or THIS_MACHINE, reason=first_line(error)
        ) from error
    on_progress(Progress("cluster", 1, 1, "clusters"))
    try:
        yield THIS_MACHINE if own else address
    finally:
        ray.shutdown()


def _answers(address: str) -> None:
    """Raise OSError where nobody listens at an address: Ray would try again for ten minutes and more."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():  # not "auto"
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_SECONDS).close()


def first_line(error: BaseException | None) -> str:
    """The first line of what an error says, else its class."""
    lines = (line for line in str(error).splitlines() if line.strip())
    return next(lines, type(error).__name__).strip()[:_REASON_LETTERS]
