"""Metrics of a running server, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dimts.base.plugins import require

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_STEPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
Gauges = Callable[[], Iterator[tuple[str, str, str, float]]]
"""Function that yields (name, description, model, value) when the metrics are read."""


class Metrics:
    """One registry for each app, so that several may exist in one process."""

    def __init__(self, gauges: Gauges) -> None:
        prometheus: Any = require("prometheus_client", "serve")
        self._write = prometheus.generate_latest
        self.media_type: str = prometheus.CONTENT_TYPE_LATEST
        self.registry: CollectorRegistry = prometheus.CollectorRegistry()

        def made(kind: str, name: str, description: str, labels: tuple[str, ...] = (), **more: Any) -> Any:
            return getattr(prometheus, kind)(
                f"dimts_{name}", description, labels, registry=self.registry, **more
            )

        self.requests = made("Counter", "requests", "Requests answered", ("path", "status"))
        self.seconds = made("Histogram", "request_seconds", "From the request to its last byte", ("path",),
                            buckets=_SECONDS)  # fmt: skip
        self.first_sound = made(
            "Histogram",
            "first_sound_seconds",
            "From the request to its first sound",
            ("model",),
            buckets=_SECONDS,
        )
        self.spoken = made("Counter", "spoken_seconds", "Seconds of speech sent", ("model",))
        self.letters = made("Counter", "letters", "Letters of the texts of speech requests", ("model",))
        self.ended = made("Counter", "speeches", "How requests for speech ended", ("model", "how"))
        self.phrase_faults = made(
            "Counter", "phrases_wrong", "Phrases that went wrong: spoken again, cut or kept", ("model",)
        )
        self.steps = made("Histogram", "step_seconds", "One step of decoding", ("model",), buckets=_STEPS)
        self.batched = made("Counter", "codes", "Codes decoded; over the count of steps: sentences in a step",
                            ("model",))  # fmt: skip
        self.registry.register(_LiveGauges(gauges))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        written: bytes = self._write(self.registry)
        return written


class _LiveGauges:
    """Gauges whose values are looked up when they are read."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Any]:
        core = require("prometheus_client.core", "serve")
        families: dict[str, Any] = {}
        for name, description, model, value in self._gauges():
            labels = ["model"] if model else []
            family = families.setdefault(
                name, core.GaugeMetricFamily(f"dimts_{name}", description, labels=labels)
            )
            family.add_metric([model] if model else [], value)
        yield from families.values()
