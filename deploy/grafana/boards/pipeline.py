"""The pipeline: is it keeping up, what is refused, what comes late."""

from typing import Final

from deploy.grafana.boards.common import NONE_IS_GOOD, TIME
from deploy.grafana.panels import Board, Column, Panel

_P99 = "histogram_quantile({q}, sum by (le) (rate({name}_bucket[$__rate_interval])))"


def _quantile(q: float, name: str) -> str:
    return _P99.format(q=q, name=name)


PIPELINE: Final = Board(
    name="pipeline",
    title="Pipeline",
    why="Lag, throughput, checkpoints, rating, dead letters and late usage.",
    span=("now-6h", "now"),
    metrics=True,
    panels=(
        Panel(
            "Behind", "stat",
            "How long ago everything that was appended is in the ledger, of the slowest partition.",
            5, 5, unit="s", decimals=1, steps=((None, "green"), (60.0, "orange"), (900.0, "red")),
            promql=(
                ("time() - min(rackmeter_partition_complete_timestamp_seconds)", "slowest"),
            ),
        ),
        Panel(
            "Trouble", "stat",
            "Since the workers started. Each has a section in the runbook.",
            19, 5, steps=NONE_IS_GOOD,
            promql=(
                ("sum(rackmeter_conservation_violations_total)", "conservation violated"),
                ("sum(rackmeter_quarantines_total)", "servers quarantined"),
                ("sum(rackmeter_partition_servers_lost)", "servers lost"),
                ("sum(rackmeter_lanes_dropped_total)", "claims dropped"),
            ),
        ),
        Panel(
            "Lag", "timeseries",
            "Messages appended and not in the ledger yet. It grows for minutes: too few workers,"
            " or the"
            " database is slow.",
            12, 9, unit="short", bounds=(0, None),
            promql=(
                ("sum by (partition) (rackmeter_partition_lag_messages)", "{{partition}}"),
            ),
        ),
        Panel(
            "Throughput", "timeseries",
            "Reports by verdict, once committed; all but accepted, duplicate and late are dead"
            " letters.",
            12, 9, unit="reqps", bounds=(0, None), stack=True,
            promql=(
                (
                    "sum by (verdict) (rate(rackmeter_reports_total[$__rate_interval]))",
                    "{{verdict}}",
                ),
            ),
        ),
        Panel(
            "Checkpoint", "timeseries",
            "Time of one checkpoint. Past a second at the 99th percentile: look at the database.",
            12, 9, unit="s", bounds=(0, None),
            promql=tuple(
                (_quantile(q, "rackmeter_checkpoint_duration_seconds"), f"{q:.0%}")
                for q in (0.5, 0.95, 0.99)
            ),
        ),
        Panel(
            "Rating", "timeseries",
            "From a report's arrival until its scope was rated, and the time of rating itself.",
            12, 9, unit="s", bounds=(0, None),
            promql=(
                (_quantile(0.95, "rackmeter_rating_delay_seconds"), "delay, 95%"),
                (_quantile(0.95, "rackmeter_rating_duration_seconds"), "rating, 95%"),
            ),
        ),
        Panel(
            "Work of the metering threads", "timeseries",
            "Share of the time they worked; at 100 % a worker is at its limit.",
            12, 8, unit="percentunit", bounds=(0, 1),
            promql=(
                ("rate(rackmeter_metering_busy_seconds_total[$__rate_interval])", "{{instance}}"),
            ),
        ),
        Panel(
            "Alerts on their way", "timeseries",
            "Neither delivered nor given up, and dead letters that are not on their topic yet.",
            12, 8, unit="short", bounds=(0, None),
            promql=(
                ("max(rackmeter_outbox_alerts)", "alerts"),
                ("max(rackmeter_dead_letters_unrelayed)", "dead letters"),
            ),
        ),
        Panel(
            "Dead letters", "timeseries",
            "Refused reports by reason. A server's next good report makes up for every one of"
            " its that was refused: look at why, not at each.",
            12, 9, sql="pipeline/dead_letters", unit="short", stack=True, bounds=(0, None),
            interval="5m",
        ),
        Panel(
            "Late usage", "timeseries",
            "Windows that got usage after they were finished, by the day they are of.",
            12, 9, sql="pipeline/late", unit="short", stack=True, bounds=(0, None),
        ),
        Panel(
            "Positions in the ledger", "table",
            "Behind: seconds since everything appended was counted.",
            24, 7, sql="pipeline/positions",
            columns={"complete": TIME, "behind": Column(unit="s", decimals=0)},
        ),
        Panel(
            "Newest dead letters", "table",
            "`rackmeter dlq show LETTER` says what to do about one.",
            24, 9, sql="pipeline/last_letters", columns={"appended": TIME, "retried": TIME},
        ),
    ),
)  # fmt: skip
