"""Every metric that rackmeter exposes: type, unit, meaning; named by Prometheus' rules."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Metric:
    """``kind`` is counter, gauge or histogram; ``labels`` have few values by construction."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


REPORTS: Final = Metric(
    "rackmeter_reports_total", "counter", "Reports by verdict, once committed.", ("verdict",)
)
LAG: Final = Metric(
    "rackmeter_partition_lag_messages", "gauge", "Messages not metered yet.", ("partition",)
)
COMPLETE: Final = Metric(
    "rackmeter_partition_complete_timestamp_seconds",
    "gauge",
    "Everything appended before this time is in the ledger.",
    ("partition",),
)
SERVERS_LOST: Final = Metric(
    "rackmeter_servers_lost",
    "gauge",
    "Servers of which every report was refused in the last window.",
    ("partition",),
)
QUARANTINED: Final = Metric(
    "rackmeter_quarantines_total",
    "counter",
    "Servers whose reports were set aside because the database refused their rows.",
)
CHECKPOINT: Final = Metric(
    "rackmeter_checkpoint_seconds", "histogram", "Time of one checkpoint transaction."
)
LANES_DROPPED: Final = Metric(
    "rackmeter_lanes_dropped_total", "counter", "Claims thrown away after a failed checkpoint."
)
RATINGS: Final = Metric("rackmeter_ratings_total", "counter", "Periods of scopes rated.")
WEBHOOKS: Final = Metric(
    "rackmeter_webhooks_total", "counter", "Tries to deliver a webhook, by outcome.", ("outcome",)
)
