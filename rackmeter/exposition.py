"""Metrics made from ``schemas.metrics``, and the page on which a process shows them."""

import threading
import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from rackmeter import installed_version
from schemas import metrics
from schemas.errors import ConfigError

LAST_SCRAPE_S: Final = 30.0
"""A process that stops by itself waits this long to be scraped once more: two usual intervals."""
_ANSWER_S: Final = 0.5
"""From collecting a page to having sent it."""

disable_created_metrics()  # type: ignore[no-untyped-call]


def counter(metric: metrics.Metric) -> Counter:
    return Counter(metric.name, metric.help, metric.labels)


def gauge(metric: metrics.Metric, registry: CollectorRegistry = REGISTRY) -> Gauge:
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def histogram(metric: metrics.Metric) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, buckets=metric.buckets)


gauge(metrics.BUILD).labels(installed_version()).set(1)


class _Scrapes(Collector):
    """Shows nothing; notices that somebody looks."""

    def __init__(self) -> None:
        self.seen = threading.Event()

    def collect(self) -> Iterable[Family]:
        self.seen.set()
        return ()


_scrapes: _Scrapes | None = None


def serve(port: int | None, host: str) -> None:
    """Serve /metrics from a thread; nothing when no port is set."""
    global _scrapes  # noqa: PLW0603 - one page a process
    if port is None:
        return
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        raise ConfigError(
            f"RACKMETER_METRICS_HOST and _PORT are {host} and {port}, which are in use or not"
            f" allowed: {error.strerror}."
        ) from error
    _scrapes = _Scrapes()
    REGISTRY.register(_scrapes)


def await_last_scrape(seconds: float = LAST_SCRAPE_S) -> None:
    """Let what was just counted be read once; returns at once where nothing is served."""
    if _scrapes is None:
        return
    _scrapes.seen.clear()
    if _scrapes.seen.wait(seconds):
        time.sleep(_ANSWER_S)
