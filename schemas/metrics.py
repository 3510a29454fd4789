"""Every metric that rackmeter exposes: name, type, unit, labels, meaning. Standard library only.

Named by Prometheus' rules: ``rackmeter_`` first, base units (seconds, bytes) last, ``_total`` for
what only grows. What was when is a ``…_timestamp_seconds``, never an age: an age stands still with
the process that tells it. A label takes few values, ``LABELS`` says which; no server, customer or
address is one. ``where`` is the process that exposes it; jobs do not run long enough
to be scraped and leave a file for node_exporter (``rackmeter.textfile``).
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Where = Literal[
    "worker", "api", "close", "backup", "archive", "reconcile", "audit", "collect", "all"
]

LABELS: Final = {
    "verdict": "schemas.verdict.Verdict, 15 values",
    "partition": "partitions of the topic of reports: RACKMETER_PARTITIONS",
    "during": "checkpoint, claim, rating, delivery",
    "kind": "DATABASE_ERRORS.help, for errors; ALERTS.help, for alerts",
    "channel": "sinks.outbox.Channel, 3 values",
    "loop": "metering, rating, delivery",
    "outcome": "sinks.deliver.Outcome, 3 values",
    "reason": "STOPS.help",
    "route": "templates of the API's routes; `unmatched` for every other path",
    "method": "methods of HTTP that the API knows; `other` for the rest",
    "status": "2xx, 3xx, 4xx, 5xx",
    "version": "releases that run at the same time",
    "result": "invoicing.report.Status, 6 values",
    "check": "invoicing.nightly.checks.CHECKS",
}
"""Every label with what bounds its values."""

_FAST: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds of a transaction or a request."""
_SLOW: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0)
"""Seconds something waits: half a second while all is well, a day after an outage."""


@dataclass(frozen=True, slots=True)
class Metric:
    """``unit`` is seconds, bytes, or what is counted; ``buckets`` are a histogram's, in it."""

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    where: Where = "worker"
    buckets: tuple[float, ...] = ()


BUILD: Final = Metric(
    "rackmeter_build_info", "gauge", "", "Always 1; the version that runs.", ("version",), "all"
)

# -- metering: one series for each partition that this worker has claimed -------------------------

TOPIC_PARTITIONS: Final = Metric(
    "rackmeter_topic_partitions", "gauge", "partitions",
    "Partitions that the topic of reports has, whoever works on them.",
)  # fmt: skip
LAG: Final = Metric(
    "rackmeter_partition_lag_messages", "gauge", "messages",
    "Messages appended to the partition and not in the ledger yet.", ("partition",),
)  # fmt: skip
COMPLETE: Final = Metric(
    "rackmeter_partition_complete_timestamp_seconds", "gauge", "seconds",
    "Everything appended before this time is in the ledger; a period closes when it has passed.",
    ("partition",),
)  # fmt: skip
SERVERS: Final = Metric(
    "rackmeter_partition_servers", "gauge", "servers",
    "Servers that have ever been metered in the partition.", ("partition",),
)  # fmt: skip
SERVERS_LOST: Final = Metric(
    "rackmeter_partition_servers_lost", "gauge", "servers",
    "Servers of which every report was refused in the last window; half of them stop the worker.",
    ("partition",),
)  # fmt: skip
PENDING: Final = Metric(
    "rackmeter_partition_pending_bytes", "gauge", "bytes",
    "Reports metered and not in a checkpoint yet; RACKMETER_FLUSH_BYTES makes one due.",
    ("partition",),
)  # fmt: skip
REPORTS: Final = Metric(
    "rackmeter_reports_total", "counter", "reports",
    "Reports by verdict, once committed; all but accepted, duplicate and late are dead letters.",
    ("verdict",),
)  # fmt: skip
SAMPLES: Final = Metric(
    "rackmeter_samples_total", "counter", "samples",
    "Counter readings in signed reports, once committed.",
)  # fmt: skip
LATE_WINDOWS: Final = Metric(
    "rackmeter_late_windows_total", "counter", "windows",
    "Windows that got usage after they were finished; it is entered beside them.",
)  # fmt: skip
SPOOL_DROPPED: Final = Metric(
    "rackmeter_agent_spool_dropped_reports_total", "counter", "reports",
    "Reports that agents' full spools gave up, once committed: time resolution, no quantity.",
)  # fmt: skip
SPOOL_LOST: Final = Metric(
    "rackmeter_agent_spool_lost_bytes_total", "counter", "bytes",
    "Bytes of agents' spools that could not be read, once committed.",
)  # fmt: skip
CLOCKS_CORRECTED: Final = Metric(
    "rackmeter_clocks_corrected_total", "counter", "reports",
    "Accepted reports whose server's clock was overruled by the broker's.",
)  # fmt: skip
METERING: Final = Metric(
    "rackmeter_metering_busy_seconds_total", "counter", "seconds",
    "Time the metering thread worked; at one second a second the worker is at its limit.",
)  # fmt: skip
CHECKPOINT: Final = Metric(
    "rackmeter_checkpoint_duration_seconds", "histogram", "seconds",
    "Time of one checkpoint: rows laid out, written, committed; failed ones too.",
    buckets=_FAST,
)  # fmt: skip
CLAIMS: Final = Metric(
    "rackmeter_claims_total", "counter", "claims",
    "Partitions claimed in the ledger: after a rebalance, or anew after a failure.",
)  # fmt: skip
REBALANCES: Final = Metric(
    "rackmeter_rebalances_total", "counter", "rebalances",
    "Assignments of partitions that this worker got from the consumer group.",
)  # fmt: skip
LANES_DROPPED: Final = Metric(
    "rackmeter_lanes_dropped_total", "counter", "claims",
    "Claims thrown away after a failed checkpoint; what was not committed is metered again.",
)  # fmt: skip
QUARANTINED: Final = Metric(
    "rackmeter_quarantines_total", "counter", "servers",
    "Servers whose reports were set aside because the database refused their rows.",
)  # fmt: skip
VIOLATIONS: Final = Metric(
    "rackmeter_conservation_violations_total", "counter", "servers",
    "Servers whose windows did not sum to their readings; the worker stops before it commits.",
)  # fmt: skip
DATABASE_ERRORS: Final = Metric(
    "rackmeter_database_errors_total", "counter", "errors",
    "Failed statements by kind: connection, conflict, resources, data, fenced, other.",
    ("during", "kind"),
)  # fmt: skip
STOPS: Final = Metric(
    "rackmeter_worker_stops_total", "counter", "stops",
    "1 when the worker stops by itself, until it is scraped: conservation, configuration,"
    " difference, dependency, refused, failed.",
    ("reason",),
)  # fmt: skip
LOOP: Final = Metric(
    "rackmeter_loop_last_timestamp_seconds", "gauge", "seconds",
    "When a loop of the worker last went round without an error.", ("loop",),
)  # fmt: skip

# -- rating and telling ----------------------------------------------------------------------------

RATING: Final = Metric(
    "rackmeter_rating_duration_seconds", "histogram", "seconds",
    "Time to rate the open periods of the scopes that waited, together.", buckets=_FAST,
)  # fmt: skip
RATING_DELAY: Final = Metric(
    "rackmeter_rating_delay_seconds", "histogram", "seconds",
    "From a report's arrival at the broker until its scope was rated.", buckets=_SLOW,
)  # fmt: skip
RATING_WAITING: Final = Metric(
    "rackmeter_rating_waiting_scopes", "gauge", "scopes",
    "Scopes whose usage changed and that this worker has not rated since.",
)  # fmt: skip
RATINGS: Final = Metric("rackmeter_ratings_total", "counter", "periods", "Periods of scopes rated.")
ALERTS: Final = Metric(
    "rackmeter_alerts_total", "counter", "alerts",
    "Alerts that are to be told: crossed, forecast, cleared; and commands: suspend, resume.",
    ("kind",),
)  # fmt: skip
WEBHOOKS: Final = Metric(
    "rackmeter_webhooks_total", "counter", "tries",
    "Tries to deliver an alert by webhook, mail or command: delivered, retry, given_up.",
    ("channel", "outcome"),
)  # fmt: skip
OUTBOX: Final = Metric(
    "rackmeter_outbox_alerts", "gauge", "alerts",
    "Alerts of the whole installation that are neither delivered nor given up.",
)  # fmt: skip
OUTBOX_DUE: Final = Metric(
    "rackmeter_outbox_due_timestamp_seconds", "gauge", "seconds",
    "When the alert that waits longest was due for its next try; now when none is overdue.",
)  # fmt: skip
LETTERS: Final = Metric(
    "rackmeter_dead_letters_unrelayed", "gauge", "messages",
    "Dead letters of the whole installation that are not on their topic yet.",
)  # fmt: skip

# -- the API ---------------------------------------------------------------------------------------

HTTP: Final = Metric(
    "rackmeter_http_request_duration_seconds", "histogram", "seconds",
    "Time to answer a request, by route and class of status; its count is the requests.",
    ("method", "route", "status"), "api", _FAST,
)  # fmt: skip

# -- jobs that end: a file each, for node_exporter's textfile collector ----------------------------

CLOSE_RUN: Final = Metric(
    "rackmeter_close_last_run_timestamp_seconds", "gauge", "seconds",
    "When the close last ended, however it ended.", where="close",
)  # fmt: skip
CLOSE_SUCCESS: Final = Metric(
    "rackmeter_close_last_success_timestamp_seconds", "gauge", "seconds",
    "When the close last ended with nothing waiting, parked or different.", where="close",
)  # fmt: skip
CLOSE_EXIT: Final = Metric(
    "rackmeter_close_exit_code", "gauge", "",
    "Exit code of the last close: 0 done, 3 a difference, 4 try again, 5 a period still open.",
    where="close",
)  # fmt: skip
CLOSE_SECONDS: Final = Metric(
    "rackmeter_close_duration_seconds", "gauge", "seconds",
    "How long the last close took.", where="close",
)  # fmt: skip
CLOSE_INVOICES: Final = Metric(
    "rackmeter_close_invoices", "gauge", "invoices",
    "Invoices of the last close: issued, exists, empty, draft, waiting, parked.", ("result",),
    "close",
)  # fmt: skip
CLOSE_CHECKS: Final = Metric(
    "rackmeter_close_checks", "gauge", "comparisons",
    "Comparisons that reconciliation made in the last close.", where="close",
)  # fmt: skip
CLOSE_DIFFERENCES: Final = Metric(
    "rackmeter_close_differences", "gauge", "differences",
    "Figures that differed in the last close; each parks its invoice.", where="close",
)  # fmt: skip
BACKUP_SUCCESS: Final = Metric(
    "rackmeter_backup_last_success_timestamp_seconds", "gauge", "seconds",
    "When the newest backup that is whole was taken.", where="backup",
)  # fmt: skip
BACKUP_SECONDS: Final = Metric(
    "rackmeter_backup_duration_seconds", "gauge", "seconds",
    "How long the newest backup took.", where="backup",
)  # fmt: skip
BACKUP_SIZE: Final = Metric(
    "rackmeter_backup_size_bytes", "gauge", "bytes",
    "Size of the newest backup, all of its files.", where="backup",
)  # fmt: skip
ARCHIVE_SUCCESS: Final = Metric(
    "rackmeter_archive_last_success_timestamp_seconds", "gauge", "seconds",
    "When the archive last reached the ends of all partitions.", where="archive",
)  # fmt: skip
ARCHIVE_SIZE: Final = Metric(
    "rackmeter_archive_size_bytes", "gauge", "bytes",
    "Size of all files of the archive that are kept.", where="archive",
)  # fmt: skip
RECONCILE_RUN: Final = Metric(
    "rackmeter_reconcile_last_run_timestamp_seconds", "gauge", "seconds",
    "When the nightly checks last ended, all of them.", where="reconcile",
)  # fmt: skip
RECONCILE_COMPARED: Final = Metric(
    "rackmeter_reconcile_compared", "gauge", "comparisons",
    "Comparisons that a nightly check made; 0: it had nothing to compare.", ("check",),
    "reconcile",
)  # fmt: skip
RECONCILE_DIFFERENCES: Final = Metric(
    "rackmeter_reconcile_differences", "gauge", "differences",
    "Differences that a nightly check found.", ("check",), "reconcile",
)  # fmt: skip
RECONCILE_SECONDS: Final = Metric(
    "rackmeter_reconcile_duration_seconds", "gauge", "seconds",
    "How long a nightly check took.", ("check",), "reconcile",
)  # fmt: skip
AUDIT_ACTS: Final = Metric(
    "rackmeter_audit_acts", "gauge", "acts",
    "Acts in the audit trail when it was last verified.", where="audit",
)  # fmt: skip
AUDIT_FINDINGS: Final = Metric(
    "rackmeter_audit_findings", "gauge", "findings",
    "What was not as it was entered when the audit trail was last verified.", where="audit",
)  # fmt: skip
AUDIT_HEADS: Final = Metric(
    "rackmeter_audit_heads", "gauge", "heads",
    "Signed heads that the last verification rested on.", where="audit",
)  # fmt: skip
AUDIT_SUCCESS: Final = Metric(
    "rackmeter_audit_last_success_timestamp_seconds", "gauge", "seconds",
    "When the audit trail was last verified whole, against signed heads.", where="audit",
)  # fmt: skip
COLLECT_SUCCESS: Final = Metric(
    "rackmeter_collect_last_success_timestamp_seconds", "gauge", "seconds",
    "When due invoices were last collected with an answer to every call.", where="collect",
)  # fmt: skip
COLLECT_UNANSWERED: Final = Metric(
    "rackmeter_collect_unanswered", "gauge", "calls",
    "Calls of the last collection that a gateway did not answer; the next one asks first.",
    where="collect",
)  # fmt: skip

METRICS: Final = tuple(value for value in globals().copy().values() if isinstance(value, Metric))
"""All of the above, in this order."""
