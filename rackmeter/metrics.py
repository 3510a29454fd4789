"""The worker's metrics, and which of them an event moves. Called from one thread at a time each."""

from itertools import product

import psycopg

from pipeline.agent_losses import lost
from pipeline.heads import ConservationError
from pipeline.lanes import Lane, Sealed
from rackmeter.exposition import counter, gauge, histogram
from schemas import metrics
from schemas.errors import (
    ConfigError,
    DependencyError,
    DifferenceError,
    RefusedError,
)
from schemas.verdict import Verdict
from sinks.budget_alerts import FORECAST, RESUME, SUSPEND
from sinks.checkpoint import FencedError
from sinks.deliver import Outcome
from sinks.outbox import CLEARED, Alert, Channel

TOPIC_PARTITIONS = gauge(metrics.TOPIC_PARTITIONS)
LAG = gauge(metrics.LAG)
COMPLETE = gauge(metrics.COMPLETE)
SERVERS = gauge(metrics.SERVERS)
SERVERS_LOST = gauge(metrics.SERVERS_LOST)
PENDING = gauge(metrics.PENDING)
REPORTS = counter(metrics.REPORTS)
SAMPLES = counter(metrics.SAMPLES)
LATE_WINDOWS = counter(metrics.LATE_WINDOWS)
SPOOL_DROPPED = counter(metrics.SPOOL_DROPPED)
SPOOL_LOST = counter(metrics.SPOOL_LOST)
CLOCKS_CORRECTED = counter(metrics.CLOCKS_CORRECTED)
METERING = counter(metrics.METERING)
CHECKPOINT = histogram(metrics.CHECKPOINT)
CLAIMS = counter(metrics.CLAIMS)
REBALANCES = counter(metrics.REBALANCES)
LANES_DROPPED = counter(metrics.LANES_DROPPED)
QUARANTINED = counter(metrics.QUARANTINED)
VIOLATIONS = counter(metrics.VIOLATIONS)
DATABASE_ERRORS = counter(metrics.DATABASE_ERRORS)
STOPS = counter(metrics.STOPS)
LOOP = gauge(metrics.LOOP)
RATING = histogram(metrics.RATING)
RATING_DELAY = histogram(metrics.RATING_DELAY)
RATING_WAITING = gauge(metrics.RATING_WAITING)
RATINGS = counter(metrics.RATINGS)
ALERTS = counter(metrics.ALERTS)
WEBHOOKS = counter(metrics.WEBHOOKS)
OUTBOX = gauge(metrics.OUTBOX)
OUTBOX_DUE = gauge(metrics.OUTBOX_DUE)
LETTERS = gauge(metrics.LETTERS)

_OF_PARTITION = (LAG, COMPLETE, SERVERS, SERVERS_LOST, PENDING)
_shown: set[int] = set()
_KINDS = {"08": "connection", "57": "connection", "40": "conflict", "55": "conflict"} | {
    "53": "resources",
    "22": "data",
    "23": "data",
}
"""SQLSTATE class → kind. https://www.postgresql.org/docs/current/errcodes-appendix.html"""
_REASONS = {
    ConservationError: "conservation",
    ConfigError: "configuration",
    DifferenceError: "difference",
    DependencyError: "dependency",
    RefusedError: "refused",
}


def start(partitions: int) -> None:
    """Say 0 of everything that may be counted: a first count is a rise only from there."""
    TOPIC_PARTITIONS.set(partitions)
    for verdict in Verdict:
        REPORTS.labels(verdict.value)
    for channel, outcome in product(Channel, Outcome):
        WEBHOOKS.labels(channel.value, outcome.value)
    for kind in ("crossed", FORECAST, CLEARED, SUSPEND, RESUME):
        ALERTS.labels(kind)
    for during in ("checkpoint", "claim", "rating", "delivery"):
        for kind in (*dict.fromkeys(_KINDS.values()), "fenced", "other"):
            DATABASE_ERRORS.labels(during, kind)
    for reason in (*_REASONS.values(), "failed"):
        STOPS.labels(reason)
    for loop in ("metering", "rating", "delivery"):
        LOOP.labels(loop).set_to_current_time()


def position(lane: Lane, log_end: int, servers_lost: int) -> None:
    """Where a claimed partition stands; ``log_end`` is the offset after its last message."""
    part = lane.part
    _shown.add(part)
    LAG.labels(part).set(max(0, log_end - lane.base))
    COMPLETE.labels(part).set(lane.append_ms / 1000)
    SERVERS.labels(part).set(len(lane.heads))
    SERVERS_LOST.labels(part).set(servers_lost)
    PENDING.labels(part).set(lane.pending_bytes)


def assigned(parts: set[int]) -> None:
    """The partitions of this worker from now on; for all others somebody else speaks."""
    REBALANCES.inc()
    for part in _shown - parts:
        for metric in _OF_PARTITION:
            metric.remove(part)
    _shown.intersection_update(parts)


def committed(sealed: Sealed) -> None:
    """A checkpoint is in the ledger."""
    for verdict, count in sealed.out.counts.items():
        REPORTS.labels(verdict).inc(count)
    SAMPLES.inc(sealed.out.samples)
    LATE_WINDOWS.inc(len(sealed.out.late))
    CLOCKS_CORRECTED.inc(sealed.out.corrected)
    losses = lost(sealed.out.finished)
    SPOOL_DROPPED.inc(losses["agent.spool_dropped_reports"])
    SPOOL_LOST.inc(losses["agent.spool_lost_bytes"])


def entered(alerts: tuple[Alert, ...]) -> None:
    """Alerts that were found first by this rating."""
    for alert in alerts:
        ALERTS.labels(alert.kind).inc()


def failed(during: str, error: BaseException) -> None:
    """Count a failure of the database; any other is counted by what follows it."""
    kind = database_kind(error)
    if kind is not None:
        DATABASE_ERRORS.labels(during, kind).inc()


def stopped(error: BaseException) -> None:
    """The worker stops because of this."""
    if isinstance(error, ConservationError):
        VIOLATIONS.inc()
    reason = next((r for kind, r in _REASONS.items() if isinstance(error, kind)), "failed")
    STOPS.labels(reason).inc()


def database_kind(error: BaseException) -> str | None:
    """Connection, conflict, resources, data, fenced, other; None: not the database's."""
    if isinstance(error, FencedError):
        return "fenced"
    if isinstance(error, DependencyError):
        return "connection"
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is None:
        return "connection" if isinstance(error, psycopg.OperationalError) else "other"
    return _KINDS.get(error.sqlstate[:2], "other")
