"""A scope may close only when everything is in; otherwise the gate says what is missing."""

from datetime import timedelta

import pytest

from invoicing.gate import gates
from invoicing.report import Status
from pipeline.periods import month
from sinks import timelines
from sinks.database import Connection, connect
from sinks.positions import mark_drained
from sinks.scopes import load_scope
from tests.invoicing.ledger import ORIGIN
from tests.invoicing.scenario import CLOSED, ENTERED, GRACE_MS, close_month
from tests.invoicing.worlds import END, START, month_of, rented

GRACE = timedelta(milliseconds=GRACE_MS)


def reasons(conn: Connection, scope: str = "item-0") -> tuple[str, ...]:
    found = load_scope(conn, scope)
    period = month(START, found.timezone)
    [answer] = gates(conn, [found], period, grace_ms=GRACE_MS, issued_at=CLOSED)
    return answer.reasons


def test_everything_is_in(billing: Connection) -> None:
    month_of(billing, 1)
    assert reasons(billing) == ()


def test_a_partition_is_behind(billing: Connection) -> None:
    month_of(billing, 1, appended=END + GRACE - timedelta(milliseconds=1))
    assert len(reasons(billing)) == 2
    assert reasons(billing)[1] == (
        "Partition 1 of usage.reports is metered up to 2026-03-01 00:14:59 UTC,"
        " not yet to 2026-03-01 00:15:00 UTC."
    )


def test_exactly_at_the_end_of_grace_is_enough(billing: Connection) -> None:
    month_of(billing, 1, appended=END + GRACE)
    assert reasons(billing) == ()


def test_a_partition_was_never_metered(billing: Connection) -> None:
    month_of(billing, 1)
    billing.execute("DELETE FROM ingest_offset WHERE part = 1")
    assert reasons(billing) == (
        "Partition 1 of usage.reports has not been metered yet: start a worker.",
    )


def test_a_topic_that_was_made_anew_is_not_waited_for(billing: Connection) -> None:
    month_of(billing, 1)
    billing.execute(
        "INSERT INTO ingest_topic VALUES (gen_random_uuid(), 'c', 'usage.reports', 2, '', %s)",
        (START - timedelta(days=300),),
    )
    assert reasons(billing) == ()


def test_a_topic_that_is_drained_is_waited_for_no_more(billing: Connection) -> None:
    month_of(billing, 1)
    billing.execute(
        "INSERT INTO ingest_topic VALUES (gen_random_uuid(), 'c', 'usage.older', 2, '', %s)",
        (START - timedelta(days=300),),
    )
    assert len(reasons(billing)) == 2
    mark_drained(billing, "usage.older", "op@host")
    assert reasons(billing) == ()


def test_nothing_was_ever_metered(billing: Connection) -> None:
    month_of(billing, 1)
    billing.execute("TRUNCATE ingest_topic CASCADE")
    assert reasons(billing) == ("No topic has been metered yet: start a worker.",)


def test_a_server_fell_silent_before_the_end(billing: Connection) -> None:
    month_of(billing, 1)
    silent(billing, "srv-0")
    (reason,) = reasons(billing)
    assert reason == (
        "Server srv-0 last reported at 2026-02-28 12:00:00 UTC, before 2026-03-01 00:00:00 UTC:"
        " wait for its next report, or declare an interval of item item-0 that covers the gap."
    )


def test_a_server_never_reported(billing: Connection) -> None:
    month_of(billing, 1)
    billing.execute("DELETE FROM server_state")
    assert reasons(billing)[0].startswith("Server srv-0 never reported, before 2026-03-01")


@pytest.mark.parametrize(
    ("start", "ready"), [("2026-02-28 11:00+00", True), ("2026-02-28 13:00+00", False)]
)
def test_a_declared_interval_explains_the_silence(
    billing: Connection, start: str, ready: bool
) -> None:
    month_of(billing, 1)
    silent(billing, "srv-0")
    billing.execute(
        "INSERT INTO item_interval VALUES ('item-0', 'maintenance', tstzrange(%s, NULL), '', %s)",
        (start, ENTERED),
    )
    assert (reasons(billing) == ()) is ready


def test_intervals_that_follow_each_other_explain_it_together(billing: Connection) -> None:
    month_of(billing, 1)
    silent(billing, "srv-0")
    for kind, start, end in (
        ("suspension", "2026-02-28 11:00+00", "2026-02-28 18:00+00"),
        ("maintenance", "2026-02-28 18:00+00", None),
    ):
        assert reasons(billing)
        billing.execute(
            "INSERT INTO item_interval VALUES ('item-0', %s, tstzrange(%s, %s), '', %s)",
            (kind, start, end, ENTERED),
        )
    assert reasons(billing) == ()


def test_a_server_handed_back_early_need_not_report_on(billing: Connection) -> None:
    month_of(billing, 1)
    silent(billing, "srv-0")
    timelines.assign(billing, "item-0", "srv-1", END - timedelta(days=2), ENTERED)
    assert [reason[:26] for reason in reasons(billing)] == ["Server srv-1 never reporte"]


def test_a_final_invoice_closes_in_the_middle_of_the_month(billing_url: str) -> None:
    ended = START + timedelta(days=10)
    with connect(billing_url, autocommit=True) as conn:
        month_of(conn, 1, appended=ended + GRACE)
        rented(conn, "acme-0", "item-x", "srv-x", 10**12)
        timelines.end(conn, "item-0", ended)
    report = close_month(billing_url, None, as_of=ended + timedelta(hours=1))
    assert [(one.status, one.scopes) for one in report.outcomes] == [(Status.ISSUED, ("item-0",))]
    later = close_month(billing_url, None, as_of=ended + timedelta(days=1))
    assert [one.status for one in later.outcomes] == [Status.EXISTS]


def test_a_clock_before_the_end_of_service_refuses(billing: Connection) -> None:
    month_of(billing, 1)
    found = load_scope(billing, "item-0")
    early = END - timedelta(days=1)
    [answer] = gates(billing, [found], month(START, "UTC"), grace_ms=GRACE_MS, issued_at=early)
    assert not answer.ready
    assert answer.reasons[0].startswith("Service runs until 2026-03-01 00:15:00 UTC with grace")


def test_an_open_period_waits_and_leaves_with_five(billing_url: str) -> None:
    with connect(billing_url, autocommit=True) as conn:
        month_of(conn, 1, appended=END)
    report = close_month(billing_url)
    assert [one.status for one in report.outcomes] == [Status.WAITING]
    assert len(report.outcomes[0].reasons) == 2
    assert report.exit_code == 5


def silent(conn: Connection, server: str) -> None:
    """Its last report was twelve hours before the end."""
    at_ms = int((END - timedelta(hours=12)).timestamp() * 1000)
    conn.execute(
        "UPDATE server_state SET at_ms = %s WHERE server_id = %s AND origin = %s",
        (at_ms, server, ORIGIN),
    )
