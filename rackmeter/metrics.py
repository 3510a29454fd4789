"""The worker's Prometheus metrics, made from ``schemas.metrics`` and served when a port is set."""

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from schemas import metrics
from schemas.errors import ConfigError

REPORTS = Counter(metrics.REPORTS.name, metrics.REPORTS.help, metrics.REPORTS.labels)
LAG = Gauge(metrics.LAG.name, metrics.LAG.help, metrics.LAG.labels)
COMPLETE = Gauge(metrics.COMPLETE.name, metrics.COMPLETE.help, metrics.COMPLETE.labels)
SERVERS_LOST = Gauge(
    metrics.SERVERS_LOST.name, metrics.SERVERS_LOST.help, metrics.SERVERS_LOST.labels
)
QUARANTINED = Counter(metrics.QUARANTINED.name, metrics.QUARANTINED.help)
CHECKPOINT = Histogram(metrics.CHECKPOINT.name, metrics.CHECKPOINT.help)
LANES_DROPPED = Counter(metrics.LANES_DROPPED.name, metrics.LANES_DROPPED.help)
RATINGS = Counter(metrics.RATINGS.name, metrics.RATINGS.help)
WEBHOOKS = Counter(metrics.WEBHOOKS.name, metrics.WEBHOOKS.help, metrics.WEBHOOKS.labels)


def serve(port: int | None) -> None:
    """Serve /metrics on the loopback interface; nothing when no port is set."""
    if port is None:
        return
    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise ConfigError(
            f"RACKMETER_METRICS_PORT is {port}, which is in use or not allowed: {error.strerror}."
        ) from error
