"""Spread recordings over a Ray cluster: the rows and clips that one machine would make, made by many.

Every machine needs this version of dimts, and sees the project and the recordings under the same paths (a
shared disk). The program that was started hands out recordings and keeps the journal; a machine may join or
be lost at any time, its recordings go to the others. Nothing is kept in Ray: what was done is in the journal,
and the next run goes on with it, on a cluster or without.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dimts.base.errors import DataError, DimtsError
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.base.progress import Progress, ProgressCallback
from dimts.base.ray_cluster import be_quiet, connected, first_line
from dimts.base.version import __version__
from dimts.data import pool
from dimts.data.context import Context, RayPrepareSettings, digest
from dimts.data.manifest import Utterance
from dimts.data.recording import Recording

_CORES = 1
"""Of a recording: the numerical libraries of a worker use as many threads."""
_Shared = tuple[str, Path, Context, frozenset[str]]
"""Version, working folder, context and keys of known rows: what a worker is given once."""
_started = ""
"""Digest of what this worker was given."""


def map_on_ray(
    recordings: Sequence[Recording],
    done: Mapping[str, list[Utterance]],
    context: Context,
    note: pool.Note,
    on_progress: ProgressCallback,
) -> Iterator[tuple[str, list[Utterance]]]:
    """What `pool.map_ordered` gives, worked on by the cluster of `data.ray`.

    Raises MissingExtra without Ray, ConfigError where no cluster answers, and DataError for a machine that
    does not see the project, has another version, or a recording whose worker is lost too often.
    """
    be_quiet()
    ray = require("ray", "ray")
    with connected(ray, context.settings.ray.address, _CORES, on_progress) as where:
        workers = _RayWorkers(ray, context, frozenset(done))
        machines = sum(node["Alive"] for node in ray.nodes())
        size = Message("data.cluster", where=where, machines=machines, cores=workers.capacity())
        on_progress(Progress("cluster", 1, 1, "clusters", size))
        try:
            yield from pool.in_order(recordings, done, workers, note)
        finally:
            workers.cancel()


def cluster_cores(settings: RayPrepareSettings, on_progress: ProgressCallback) -> int:
    """Cores of the cluster. MissingExtra, ConfigError where none answers."""
    be_quiet()
    ray = require("ray", "ray")
    with connected(ray, settings.address, _CORES, on_progress):
        return int(ray.cluster_resources().get("CPU", 0))


class _RayWorkers:
    """Workers of a cluster, as many as it has cores at the moment."""

    def __init__(self, ray: Any, context: Context, keys: frozenset[str]) -> None:
        self._ray = ray
        settings = replace(context.settings, jobs=os.cpu_count() or 1)  # a recogniser has one core
        shared: _Shared = (__version__, Path.cwd(), replace(context, settings=settings), keys)
        self._shared = ray.put(shared)
        self._digest = digest([context.fingerprint, str(context.root), sorted(keys), id(self)])
        self._work = ray.remote(num_cpus=_CORES, max_retries=context.settings.ray.retries)(_in_worker)
        self._jobs: set[Any] = set()
        if not self.capacity():
            raise DataError("data.cluster_without_cores")

    def capacity(self) -> int:
        """Cores of the cluster at this moment."""
        return int(self._ray.cluster_resources().get("CPU", 0)) // _CORES

    def submit(self, recording: Recording) -> Any:
        """Hand out a recording."""
        # in a list, so that what is shared is fetched once a worker and not for each recording
        job = self._work.remote([self._shared], self._digest, recording)
        self._jobs.add(job)
        return job

    def ready(self, jobs: set[Any]) -> Iterable[Any]:
        """Wait until one is done; a lost worker is replaced by Ray meanwhile."""
        found, _ = self._ray.wait(list(jobs), num_returns=1)
        return list(found)

    def result(self, job: Any) -> pool.Result:
        """The work key and rows; the error of a worker is raised as it was."""
        self._jobs.discard(job)
        try:
            result: pool.Result = self._ray.get(job)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, DimtsError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            raise DataError("data.cluster_worker_lost", reason=first_line(error)) from error
        return result

    def cancel(self) -> None:
        """Take back what is not done.

        The workers that are at it end: interrupted in the middle of an import, say, they could not be used
        for another recording, or would give other rows.
        """
        for job in self._jobs:
            self._ray.cancel(job, force=True)


def _in_worker(shared: list[Any], key: str, recording: Recording) -> pool.Result:
    """In a worker: process a recording, after getting ready for the first one."""
    global _started
    if _started != key:
        import ray

        _start(ray.get(shared[0]))
        _started = key
    return pool.work(recording)


def _start(shared: _Shared) -> None:
    """Get a worker ready. DataError where this machine cannot give what the others give."""
    version, folder, context, keys = shared
    machine = os.uname().nodename
    if version != __version__:
        raise DataError("data.other_version", machine=machine, version=__version__, wanted=version)
    if folder.is_dir():
        os.chdir(folder)  # which relative paths are meant from
    if not context.root.is_dir():
        raise DataError("base.project_not_on_machine", project=context.root, nodename=machine)
    pool.start(context, keys)
