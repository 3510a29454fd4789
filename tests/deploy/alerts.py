"""What makes each alert fire, and what nearly does: input series in promtool's notation.

Series start at time 0 with a value each ``step``; ``1+2x3`` is 1 3 5 7, ``_`` is no value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Series = Mapping[str, str]
WORKER = 'job="rackmeter-worker", instance="w:9464"'
CHECKPOINTS = "rackmeter_checkpoint_duration_seconds_bucket"
DELAYS = "rackmeter_rating_delay_seconds_bucket"
REQUESTS = "rackmeter_http_request_duration_seconds_count"


@dataclass(frozen=True)
class Case:
    """``quiet`` are series with which the alert must not fire at the same time."""

    alert: str
    at: str
    fires: Series
    summary: str
    quiet: tuple[Series, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    step: str = "1m"


def partitions(count: int) -> dict[str, str]:
    lag = {f'rackmeter_partition_lag_messages{{partition="{n}"}}': "0x9" for n in range(count)}
    return {f"rackmeter_topic_partitions{{{WORKER}}}": "4x9", **lag}


CASES = (
    Case(
        "RackmeterNoWorker", "5m", {f"up{{{WORKER}}}": "0x9"}, "No worker answers.",
        ({f"up{{{WORKER}}}": "1x9"}, {f"up{{{WORKER}}}": "0x3 1x6"}),
    ),
    Case(
        "RackmeterWorkerDown", "6m", {f"up{{{WORKER}}}": "0x9"},
        "The worker at w:9464 does not answer.", ({f"up{{{WORKER}}}": "1x3 0x6"},),
        {"job": "rackmeter-worker", "instance": "w:9464"},
    ),
    Case(
        "RackmeterWorkerRestarting", "6m",
        {f"process_start_time_seconds{{{WORKER}}}": "1 60 120 180 240 240 240"},
        "The worker at w:9464 was started 4 times in 30 minutes.",
        ({f"process_start_time_seconds{{{WORKER}}}": "1 60 120 180 180 180 180"},),
        {"job": "rackmeter-worker", "instance": "w:9464"},
    ),
    Case(
        "RackmeterWorkerStopped", "6m",
        {f'rackmeter_worker_stops_total{{{WORKER}, reason="refused"}}': "0 0 1 _ _ 0 0"},
        "The worker at w:9464 stopped by itself (refused).",
        (
            {f'rackmeter_worker_stops_total{{{WORKER}, reason="refused"}}': "0x9"},
            {f'rackmeter_worker_stops_total{{{WORKER}, reason="dependency"}}': "0 0 1 _ _ 0 0"},
        ),
        {"instance": "w:9464", "reason": "refused"},
    ),
    Case(
        "RackmeterConservationViolated", "6m",
        {f"rackmeter_conservation_violations_total{{{WORKER}}}": "0 0 1 _ _ 0 0"},
        "Windows did not sum to their readings; a worker stopped before it committed that.",
        ({f"rackmeter_conservation_violations_total{{{WORKER}}}": "0x9"},),
    ),
    Case(
        "RackmeterLoopStalled", "10m",
        {f'rackmeter_loop_last_timestamp_seconds{{{WORKER}, loop="rating"}}': "60x20"},
        "rating at w:9464 has not gone round for 9m 0s.",
        ({f'rackmeter_loop_last_timestamp_seconds{{{WORKER}, loop="rating"}}': "0+60x20"},),
        {"instance": "w:9464", "loop": "rating"},
    ),
    Case(
        "RackmeterRebalancing", "15m",
        {f"rackmeter_rebalances_total{{{WORKER}}}": "1+1x20"},
        "The worker at w:9464 was assigned partitions 15 times in 15 minutes.",
        ({f"rackmeter_rebalances_total{{{WORKER}}}": "1x9 2x11"},), {"instance": "w:9464"},
    ),
    Case(
        "RackmeterVersionsDiffer", "62m",
        {f'rackmeter_build_info{{instance="{n}", version="{n}"}}': "1x70" for n in (1, 2)},
        "2 versions of rackmeter run at the same time.",
        ({f'rackmeter_build_info{{instance="{n}", version="1"}}': "1x70" for n in (1, 2)},),
    ),
    Case(
        "RackmeterPartitionUnclaimed", "6m", partitions(3), "Partitions that nobody meters: 1.",
        (partitions(4),),
    ),
    Case(
        "RackmeterPartitionStalled", "20m",
        {
            'rackmeter_partition_lag_messages{partition="1"}': "25x30",
            'rackmeter_partition_complete_timestamp_seconds{partition="1"}': "100x30",
        },
        "Partition 1 stands still with 25 messages waiting.",
        (
            {
                'rackmeter_partition_lag_messages{partition="1"}': "5+1x30",
                'rackmeter_partition_complete_timestamp_seconds{partition="1"}': "100+1x30",
            },
            {
                'rackmeter_partition_lag_messages{partition="1"}': "0x30",
                'rackmeter_partition_complete_timestamp_seconds{partition="1"}': "100x30",
            },
        ),
        {"partition": "1"},
    ),
    Case(
        "RackmeterPartitionBehind", "23m",
        {'rackmeter_partition_complete_timestamp_seconds{partition="1"}': "60x30"},
        "Partition 1 is 22m 0s behind.",
        (
            {'rackmeter_partition_complete_timestamp_seconds{partition="1"}': "0+60x30"},
            {'rackmeter_partition_complete_timestamp_seconds{partition="1"}': "0x30"},
        ),
        {"partition": "1"},
    ),
    Case(
        "RackmeterMeteringSaturated", "21m",
        {f"rackmeter_metering_busy_seconds_total{{{WORKER}}}": "0+57x30"},
        "The worker at w:9464 meters 95% of its time.",
        ({f"rackmeter_metering_busy_seconds_total{{{WORKER}}}": "0+48x30"},),
        {"instance": "w:9464"},
    ),
    Case(
        "RackmeterCheckpointSlow", "21m",
        {f'{CHECKPOINTS}{{le="5"}}': "0x30", f'{CHECKPOINTS}{{le="10"}}': "0+60x30",
         f'{CHECKPOINTS}{{le="+Inf"}}': "0+60x30"},
        "One checkpoint in a hundred takes 9.95s.",
        ({f'{CHECKPOINTS}{{le="5"}}': "0+60x30", f'{CHECKPOINTS}{{le="+Inf"}}': "0+60x30"},),
    ),
    Case(
        "RackmeterCheckpointFailing", "15m",
        {f'rackmeter_database_errors_total{{{WORKER}, during="claim", kind="connection"}}':
         "0+1x20"},
        "Checkpoints or claims that failed at w:9464 in 10 minutes: 10.",
        (
            {f'rackmeter_database_errors_total{{{WORKER}, during="claim", kind="fenced"}}':
             "0+1x20"},
            {f'rackmeter_database_errors_total{{{WORKER}, during="rating", kind="other"}}':
             "0+1x20"},
        ),
        {"instance": "w:9464"},
    ),
    Case(
        "RackmeterDeadLetters", "31m",
        {'rackmeter_reports_total{verdict="accepted"}': "0+90x40",
         'rackmeter_reports_total{verdict="unknown_key"}': "0+10x40"},
        "10% of the reports are refused.",
        (
            {'rackmeter_reports_total{verdict="accepted"}': "0+90x40",
             'rackmeter_reports_total{verdict="duplicate"}': "0+10x40",
             'rackmeter_reports_total{verdict="forged"}': "0+1x40"},
        ),
    ),
    Case(
        "RackmeterServersLost", "6m",
        {'rackmeter_partition_servers_lost{partition="0"}': "6x9"},
        "Of 6 servers of partition 0 every report is refused.",
        ({'rackmeter_partition_servers_lost{partition="0"}': "4x9"},), {"partition": "0"},
    ),
    Case(
        "RackmeterSuspiciousReports", "5m",
        {'rackmeter_reports_total{verdict="forged"}': "0 0 1 1 1 1"},
        "Reports refused as forged within an hour: 1.",
        (
            {'rackmeter_reports_total{verdict="forged"}': "3x9"},
            {'rackmeter_reports_total{verdict="late"}': "0 0 1 1 1 1"},
        ),
        {"verdict": "forged"},
    ),
    *(
        Case(
            "RackmeterAgentLosses", "5m", {name: "0 0 480 480 480 480"},
            "Agents lost reports or bytes of their spools within an hour: 480.",
            ({name: "480x9"},),
        )
        for name in (
            "rackmeter_agent_spool_dropped_reports_total", "rackmeter_agent_spool_lost_bytes_total"
        )
    ),
    Case(
        "RackmeterQuarantine", "5m", {"rackmeter_quarantines_total": "0 0 2 2 2 2"},
        "Servers whose rows the database refused within an hour: 2.",
        ({"rackmeter_quarantines_total": "2x9"},),
    ),
    Case(
        "RackmeterRatingBehind", "21m",
        {f'{DELAYS}{{le="60"}}': "0x30", f'{DELAYS}{{le="300"}}': "0+10x30",
         f'{DELAYS}{{le="+Inf"}}': "0+10x30"},
        "Usage is priced 4m 48s after it was reported.",
        ({f'{DELAYS}{{le="60"}}': "0+10x30", f'{DELAYS}{{le="+Inf"}}': "0+10x30"},),
    ),
    Case(
        "RackmeterDeliveryBehind", "13m",
        {"rackmeter_outbox_due_timestamp_seconds": "60x20"},
        "An alert to a customer was due 12m 0s ago and nobody tries.",
        ({"rackmeter_outbox_due_timestamp_seconds": "0+60x20"},),
    ),
    Case(
        "RackmeterWebhooksFailing", "50m",
        {'rackmeter_webhooks_total{outcome="retry"}': "0+3x60",
         'rackmeter_webhooks_total{outcome="delivered"}': "0+1x60"},
        "75% of the tries to deliver an alert fail.",
        (
            {'rackmeter_webhooks_total{outcome="retry"}': "0+1x60",
             'rackmeter_webhooks_total{outcome="delivered"}': "0+3x60"},
            {'rackmeter_webhooks_total{outcome="retry"}': "0x40 5x20"},
        ),
    ),
    Case(
        "RackmeterWebhooksGivenUp", "5m",
        {'rackmeter_webhooks_total{outcome="given_up"}': "0 0 1 1 1 1"},
        "Alerts given up within an hour, their customers not told: 1.",
        ({'rackmeter_webhooks_total{outcome="retry"}': "0 0 1 1 1 1"},),
    ),
    Case(
        "RackmeterLettersUnrelayed", "31m", {"rackmeter_dead_letters_unrelayed": "2000x40"},
        "2000 dead letters are not on their topic yet.",
        ({"rackmeter_dead_letters_unrelayed": "2000x20 0x20"},),
    ),
    Case(
        "RackmeterCloseNotRun", "28h",
        {'rackmeter_close_last_run_timestamp_seconds{instance="n"}': "1x60"},
        "The nightly close has not run for more than a day.",
        ({'rackmeter_close_last_run_timestamp_seconds{instance="n"}': "90000x60"},), step="30m",
    ),
    Case(
        "RackmeterCloseNotRun", "62m", {}, "The nightly close has not run for more than a day.",
        ({'rackmeter_close_last_run_timestamp_seconds{instance="n"}': "1x70"},),
    ),
    Case(
        "RackmeterCloseFailed", "5m", {'rackmeter_close_exit_code{instance="n"}': "4x9"},
        "The last close ended with exit code 4.",
        (
            {'rackmeter_close_exit_code{instance="n"}': "0x9"},
            {'rackmeter_close_exit_code{instance="n"}': "5x9"},
            {'rackmeter_close_exit_code{instance="n"}': "1x9",
             'rackmeter_close_invoices{instance="n", result="parked"}': "1x9"},
        ),
        {"instance": "n"},
    ),
    Case(
        "RackmeterCloseUnfinished", "75h",
        {'rackmeter_close_last_success_timestamp_seconds{instance="n"}': "3600x160"},
        "For 3d 2h 0m 0s no close has found everything in.",
        ({'rackmeter_close_last_success_timestamp_seconds{instance="n"}': "200000x160"},),
        step="30m",
    ),
    Case(
        "RackmeterCloseDifferences", "5m", {'rackmeter_close_differences{instance="n"}': "2x9"},
        "Figures that differ between the two ways they are computed: 2.",
        ({'rackmeter_close_differences{instance="n"}': "0x9"},), {"instance": "n"},
    ),
    Case(
        "RackmeterCloseParked", "5m",
        {'rackmeter_close_invoices{instance="n", result="parked"}': "1x9"},
        "Invoices that are parked: 1.",
        (
            {'rackmeter_close_invoices{instance="n", result="parked"}': "0x9",
             'rackmeter_close_invoices{instance="n", result="issued"}': "7x9"},
        ),
        {"instance": "n", "result": "parked"},
    ),
    Case(
        "RackmeterBackupOld", "28h",
        {'rackmeter_backup_last_success_timestamp_seconds{instance="n"}': "1x60"},
        "There is no whole backup of the last day.",
        ({'rackmeter_backup_last_success_timestamp_seconds{instance="n"}': "90000x60"},),
        step="30m",
    ),
    Case(
        "RackmeterBackupOld", "62m", {}, "There is no whole backup of the last day.",
        ({'rackmeter_backup_last_success_timestamp_seconds{instance="n"}': "1x70"},),
    ),
    Case(
        "RackmeterAuditTampered", "1m", {'rackmeter_audit_findings{instance="n"}': "2x3"},
        "The audit trail is not what was entered: 2 findings.",
        ({'rackmeter_audit_findings{instance="n"}': "0x3"},),
        {"instance": "n"},
    ),
    Case(
        "RackmeterAuditUnsigned", "28h",
        {'rackmeter_audit_last_success_timestamp_seconds{instance="n"}': "1x60"},
        "The audit trail was not verified and signed for more than a day.",
        ({'rackmeter_audit_last_success_timestamp_seconds{instance="n"}': "90000x60"},),
        step="30m",
    ),
    Case(
        "RackmeterAuditUnsigned", "62m", {},
        "The audit trail was not verified and signed for more than a day.",
        ({'rackmeter_audit_last_success_timestamp_seconds{instance="n"}': "1x70"},),
    ),
    Case(
        "RackmeterCollectFails", "6h",
        {'rackmeter_collect_last_success_timestamp_seconds{instance="n"}': "1x60"},
        "Due invoices were not collected whole for more than four hours.",
        ({'rackmeter_collect_last_success_timestamp_seconds{instance="n"}': "20000x60"}, {}),
        step="30m",
    ),
    Case(
        "RackmeterArchiveOld", "8h",
        {'rackmeter_archive_last_success_timestamp_seconds{instance="n"}': "1x60"},
        "Raw reports were not archived for more than six hours.",
        ({'rackmeter_archive_last_success_timestamp_seconds{instance="n"}': "20000x60"},),
        step="30m",
    ),
    Case(
        "RackmeterReconcileNotRun", "28h",
        {'rackmeter_reconcile_last_run_timestamp_seconds{instance="n"}': "1x60"},
        "The nightly checks have not run for more than a day.",
        ({'rackmeter_reconcile_last_run_timestamp_seconds{instance="n"}': "90000x60"},),
        step="30m",
    ),
    Case(
        "RackmeterReconcileDifferences", "5m",
        {'rackmeter_reconcile_differences{instance="n", check="servers"}': "2x9"},
        "Nightly check servers found differences: 2.",
        ({'rackmeter_reconcile_differences{instance="n", check="servers"}': "0x9"},),
        {"instance": "n", "check": "servers"},
    ),
    Case(
        "RackmeterApiDown", "6m", {'up{job="rackmeter-api", instance="a:9464"}': "0x9"},
        "The API at a:9464 does not answer.",
        ({'up{job="rackmeter-api", instance="a:9464"}': "1x9"},),
        {"job": "rackmeter-api", "instance": "a:9464"},
    ),
    Case(
        "RackmeterApiErrors", "16m",
        {f'{REQUESTS}{{route="/readyz", status="5xx"}}': "0+6x20",
         f'{REQUESTS}{{route="/readyz", status="2xx"}}': "0+54x20"},
        "10% of the requests fail.",
        (
            {f'{REQUESTS}{{route="/readyz", status="4xx"}}': "0+6x20",
             f'{REQUESTS}{{route="/readyz", status="2xx"}}': "0+54x20"},
        ),
    ),
)  # fmt: skip
