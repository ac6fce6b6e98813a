"""Prometheus metrics of one app, each app with a registry of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

Samples = Callable[[], Iterable[tuple[tuple[str, ...], float]]]


class Metrics:
    """What the app counts; gauges are read when somebody scrapes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "embedloop_request_seconds",
            "Time from the request's arrival to the end of its answer.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.stages = Histogram(
            "embedloop_search_stage_seconds",
            "Time that a search spent in each stage.",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "embedloop_search_batch_queries",
            "Queries encoded together.",
            buckets=_BATCHES,
            registry=self.registry,
        )
        self.reranked = Counter(
            "embedloop_reranked_answers",
            "Answers by what was re-ranked: the whole depth, a part, none for want of time, or failed.",
            ("outcome",),
            registry=self.registry,
        )
        self.feedback = Counter(
            "embedloop_feedback",
            "Feedback taken, by signal.",
            ("signal",),
            registry=self.registry,
        )

    def gauge(self, name: str, text: str, labels: tuple[str, ...], samples: Samples) -> None:
        """A gauge whose values (label values, value) are asked for at each scrape."""
        self.registry.register(_Gauge(name, text, labels, samples))

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Gauge(Collector):
    def __init__(self, name: str, text: str, labels: tuple[str, ...], samples: Samples):
        self._name, self._text, self._labels, self._samples = name, text, labels, samples

    def describe(self) -> Iterable[Metric]:
        # Told here, or registering would collect once, before the catalog is there.
        return [GaugeMetricFamily(self._name, self._text, labels=self._labels)]

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for values, value in self._samples():
            family.add_metric(values, value)
        yield family


class MeasuredRequests:
    """ASGI middleware that times requests by route template, never by raw path."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(scope["method"], route, str(status)).observe(
                time.perf_counter() - begin
            )
