"""The rater's transaction: one crossing however many raters, one snapshot, nothing by halves."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from pipeline.rating.price import price
from schemas.billing import Inputs, Scope, Span
from schemas.errors import RefusedError
from sinks import accrual_work, accruals
from sinks.accrual_rows import Key
from sinks.accruals import Rated, due_scopes, load_accrual, open_periods, rate_open, rate_scope
from sinks.catalogs import apply
from sinks.database import Connection, connect
from sinks.deliver import deliver_due
from sinks.outbox import Alert, enqueue_all, latencies
from sinks.queries import usage_inputs_bulk
from sinks.scopes import load_scope
from sinks.timelines import add_account, end
from sinks.webhooks import set_webhook
from tests.fix_billing import (
    SECRET,
    START,
    TX,
    WAYS,
    WINDOW,
    Receiver,
    a_catalog,
    meter_late,
    meter_windows,
    rent_small,
)
from tests.vault import VAULT

HOUR = timedelta(hours=1)
NOW = START + 2 * HOUR + timedelta(minutes=5)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
AFTER_THREE = START + 3 * HOUR + timedelta(microseconds=1)
"""The fourth hour has begun."""
MB = 1_000_000


@pytest.fixture
def rented(customer: Connection) -> Connection:
    """acme rents i-1, served by s-1, 100 MB included; alerts at 50, 80 and 100 %."""
    rent_small(customer)
    return customer


def rate(conn: Connection, now: datetime = NOW, period: Span | None = None) -> Rated:
    rated = rate_scope(conn, "i-1", now, now - timedelta(seconds=2), period=period)
    assert rated is not None
    return rated


def told(conn: Connection) -> list[tuple[str, str]]:
    rows = conn.execute("SELECT threshold, kind FROM alert_outbox ORDER BY created_at, body")
    return [(threshold.rpartition("/")[2], kind) for threshold, kind in rows]


def percents(alerts: tuple[Alert, ...]) -> list[str]:
    return [alert.threshold.rpartition("/")[2] for alert in alerts]


def test_an_accrual_holds_inputs_and_when_to_look_again(rented: Connection) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [MB, MB]})
    rated = rate(rented)
    assert (rated.revision, rated.as_of, rated.entered) == (1, NOW, ())
    assert rated.next_eval_at == AFTER_THREE
    assert load_accrual(rented, "i-1", START) == (rated.inputs, NOW)
    assert load_accrual(rented, "i-1", APRIL) is None
    lines = price(rated.scope, rated.inputs, rated.as_of)
    nets = [(line.charge, str(line.net)) for line in lines]
    assert nets == [("rent", "0.30"), ("traffic", "0.00")]


def test_beside_the_inputs_stands_what_they_come_to_as_of_the_same_instant(
    rented: Connection,
) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [60 * MB, 45 * MB]})
    rated = rate(rented)
    rows = rented.execute(
        "SELECT item_id, charge, as_of, unit, unit_size, used, included, net, currency"
        " FROM account_charge WHERE account_id = 'acme' ORDER BY charge"
    ).fetchall()
    used_ms = (NOW - START) // timedelta(milliseconds=1)
    assert rows == [
        ("i-1", "rent", NOW, "hour", 3_600_000, used_ms, 0, Decimal("0.30"), "EUR"),
        ("i-1", "traffic", NOW, "MB", MB, 105 * MB, 100 * MB, Decimal("5.00"), "EUR"),
    ]
    lines = price(rated.scope, rated.inputs, rated.as_of)
    assert sum(row[7] for row in rows) == sum(line.net for line in lines)


def test_a_crossing_is_entered_once_and_says_what_a_person_needs(rented: Connection) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [49 * MB, 999_999, 1]})
    assert percents(rate(rented).entered) == ["50%"]
    assert rate(rented, NOW + HOUR).entered == ()
    meter_late(rented, "s-1", TX, "eth0", START, 50 * MB)
    assert percents(rate(rented, NOW + 2 * HOUR).entered) == ["80%", "100%"]
    assert told(rented) == [("50%", "crossed"), ("100%", "crossed"), ("80%", "crossed")]
    row = rented.execute("SELECT body FROM alert_outbox WHERE threshold LIKE '%/50_'").fetchone()
    assert row is not None
    assert row[0].pop("data") == {
        "account": "acme",
        "scope": "i-1",
        "item": "i-1",
        "charge": "traffic",
        "threshold": "i-1/traffic/50%",
        "percent": 50,
        "used": "50.000",
        "allowance": "100.000",
        "unit": "MB",
        "money": False,
        "used_base": "50000000",
        "allowance_base": "100000000",
        "period_start": "2026-03-01T00:00:00Z",
        "period_end": "2026-04-01T00:00:00Z",
        "sampled_at": "2026-03-01T02:04:58Z",
        "text": "Server i-1 (i-1) has used 50.000 of the 100.000 MB traffic included"
        " from 2026-03-01 to 2026-03-31: 50 % is reached.",
    }
    assert row[0] == {"type": "usage.threshold.crossed", "timestamp": "2026-03-01T02:04:58Z"}


def test_racing_raters_enter_one_crossing_and_lose_no_usage(
    rented: Connection, billing_url: str
) -> None:
    raters, rounds = 6, 5
    gate = threading.Barrier(raters)
    rated: list[Rated] = []

    def work(number: int) -> None:
        with connect(billing_url, autocommit=True) as conn:
            for turn in range(rounds):
                gate.wait(30)
                meter_late(conn, "s-1", TX, f"eth{number}", START, 2 * MB)
                found = rate_scope(conn, "i-1", NOW, NOW)
                assert found is not None
                rated.append(found)
                assert found.inputs.usage, turn

    meter_windows(rented, "s-1", {(TX, "eth0"): [MB]})
    threads = [threading.Thread(target=work, args=(number,)) for number in range(raters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found.revision for found in rated) == list(range(1, raters * rounds + 1))
    last = max(rated, key=lambda found: found.revision)
    assert load_accrual(rented, "i-1", START) == (last.inputs, NOW)
    assert sum(usage.quantity for usage in last.inputs.usage) == 61 * MB
    assert [percents(found.entered) for found in rated if found.entered] == [["50%"]]
    assert told(rented) == [("50%", "crossed")]


def test_a_rater_overtaken_between_reading_and_writing_reads_again(
    rented: Connection, billing_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [MB]})
    overtaken: list[int] = []

    def slow(
        conn: Connection, wanted: Sequence[tuple[Scope, Span]], as_of: datetime
    ) -> list[Inputs]:
        inputs = usage_inputs_bulk(conn, wanted, as_of)
        if not overtaken:
            overtaken.append(1)
            with connect(billing_url, autocommit=True) as other:
                meter_late(other, "s-1", TX, "eth0", START, 50 * MB)
                assert percents(rate(other).entered) == ["50%"]
        return inputs

    monkeypatch.setattr(accrual_work, "usage_inputs_bulk", slow)
    rated = rate(rented)
    assert (rated.revision, rated.entered) == (2, ())
    assert sum(usage.quantity for usage in rated.inputs.usage) == 51 * MB
    assert told(rented) == [("50%", "crossed")]


def test_whoever_always_loses_gives_up_in_words(
    rented: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> dict[Key, int]:
        raise psycopg.errors.SerializationFailure

    monkeypatch.setattr(accruals, "write", lose)
    with pytest.raises(RefusedError, match="by others all the time"):
        rate(rented)


def test_a_crash_before_the_commit_leaves_neither_accrual_nor_event(
    rented: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [90 * MB]})

    def crash(conn: Connection, alerts: Sequence[Alert], now: datetime) -> set[str]:
        enqueue_all(conn, alerts, now)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(accruals, "enqueue_all", crash)
        with pytest.raises(KeyboardInterrupt):
            rate(rented)
    assert (load_accrual(rented, "i-1", START), told(rented)) == (None, [])
    assert percents(rate(rented).entered) == ["50%", "80%"]


def test_a_clock_behind_does_not_take_an_accrual_back(rented: Connection) -> None:
    rate(rented, NOW)
    assert rate(rented, NOW - HOUR).as_of == NOW


def test_a_correction_below_the_line_is_told_once(rented: Connection) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [60 * MB]})
    rate(rented)
    meter_late(rented, "s-1", TX, "eth0", START, -20 * MB)
    (alert,) = rate(rented, NOW + HOUR).entered
    assert alert.kind == "cleared"
    assert alert.body["type"] == "usage.threshold.cleared"
    data = alert.body["data"]
    assert (data["because"], data["used"], data["allowance"]) == ("amount", "40.000", "100.000")
    assert data["text"] == ("i-1 has come to 40.000 of 100.000 MB of traffic: below 50 % again.")
    assert rate(rented, NOW + 2 * HOUR).entered == ()
    assert told(rented) == [("50%", "crossed"), ("50%", "cleared")]


def test_a_crossing_after_one_that_was_taken_back_is_told_once_too(rented: Connection) -> None:
    """60 MB, 40, 50 and so on: each real fall and rise once, however often it is rated."""
    meter_windows(rented, "s-1", {(TX, "eth0"): [60 * MB]})
    kinds = [[alert.kind for alert in rate(rented).entered]]
    for hours, more in enumerate((-20, 10, 0, -1, 1, -10, 20), 1):
        meter_late(rented, "s-1", TX, "eth0", START, more * MB)
        kinds += [[alert.kind for alert in rate(rented, NOW + hours * HOUR).entered]]
        assert rate(rented, NOW + hours * HOUR).entered == ()
    assert kinds == [
        ["crossed"], ["cleared"], ["crossed"], [], [], [], ["cleared"], ["crossed"],
    ]  # fmt: skip
    ids = rented.execute("SELECT count(DISTINCT alert_id), count(*) FROM alert_outbox").fetchone()
    assert ids == (5, 5)


def test_a_crash_after_it_was_taken_back_tells_the_next_crossing_once(
    rented: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [60 * MB]})
    rate(rented)
    meter_late(rented, "s-1", TX, "eth0", START, -20 * MB)
    rate(rented)
    meter_late(rented, "s-1", TX, "eth0", START, 20 * MB)

    def crash(conn: Connection, alerts: Sequence[Alert], now: datetime) -> set[str]:
        enqueue_all(conn, alerts, now)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(accruals, "enqueue_all", crash)
        with pytest.raises(KeyboardInterrupt):
            rate(rented)
    assert percents(rate(rented).entered) == ["50%"]
    assert rate(rented, NOW + HOUR).entered == ()
    assert sorted(kind for _, kind in told(rented)) == ["cleared", "crossed", "crossed"]


@pytest.mark.parametrize(
    ("changes", "because", "text"),
    [
        (
            {"100 MB": "200 MB"}, "limit",
            "i-1 has another limit now: 60.000 of 200.000 MB of traffic, below 50 %.",
        ),
        (
            {'"50 %", ': ""}, "dropped",
            "50 % of 100.000 MB of traffic is no limit of i-1 any more.",
        ),
    ],
)  # fmt: skip
def test_what_is_taken_back_says_why(
    rented: Connection, changes: dict[str, str], because: str, text: str
) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [60 * MB]})
    rate(rented)
    new = {'"v1"': '"v2"', '"keep"': "2026-03-01", **changes}
    apply(rented, *a_catalog(**new), NOW)
    (alert,) = rate(rented).entered
    assert (alert.kind, alert.body["data"]["because"]) == ("cleared", because)
    assert alert.body["data"]["text"] == text


def test_a_changed_limit_tells_again_and_clears_nothing(rented: Connection) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [60 * MB]})
    rate(rented)
    changes = {'"v1"': '"v2"', '"keep"': "2026-03-01", "100 MB": "110 MB"}
    apply(rented, *a_catalog(**changes), NOW)
    assert percents(rate(rented).entered) == ["50%"]
    assert told(rented) == [("50%", "crossed")] * 2


def test_a_new_period_begins_at_zero(rented: Connection) -> None:
    meter_windows(rented, "s-1", {(TX, "eth0"): [60 * MB]}, APRIL - WINDOW)
    meter_windows(rented, "s-1", {(TX, "eth0"): [10 * MB]}, APRIL)
    march, april = rate_open(rented, "i-1", APRIL + HOUR, APRIL + HOUR)
    assert (march.as_of, march.next_eval_at, percents(march.entered)) == (APRIL, None, ["50%"])
    assert (april.inputs.period.start, april.entered) == (APRIL, ())
    assert told(rented) == [("50%", "crossed")]


def test_a_sealed_period_is_left_alone(rented: Connection) -> None:
    rate(rented)
    rented.execute(
        "INSERT INTO scope_seal VALUES ('i-1', %s, %s, now(), 'd', NULL)", (START, APRIL)
    )
    meter_windows(rented, "s-1", {(TX, "eth0"): [90 * MB]})
    assert rate_scope(rented, "i-1", NOW, NOW) is None
    (only,) = rate_open(rented, "i-1", APRIL + HOUR, APRIL)
    assert only.inputs.period.start == APRIL
    assert told(rented) == []


def test_periods_are_the_accounts_own_months(rented: Connection) -> None:
    add_account(
        rented,
        account="kiwi",
        name="Kiwi",
        country="NZ",
        currency="EUR",
        timezone="Pacific/Auckland",
    )
    rent_small(rented, "i-2", "s-2", account="kiwi")
    march, april = open_periods(rented, "i-2", datetime(2026, 3, 31, 12, tzinfo=UTC))
    assert march.end == april.start == datetime(2026, 3, 31, 11, tzinfo=UTC)
    end(rented, "i-2", april.start)
    assert open_periods(rented, "i-2", april.start) == [march]


def test_the_sweep_finds_what_no_hint_announces(rented: Connection) -> None:
    rent_small(rented, "i-2", "s-2", START + HOUR)
    assert due_scopes(rented, NOW, 10) == ["i-1", "i-2"]
    assert due_scopes(rented, NOW, 1) == ["i-1"]
    for scope in ("i-1", "i-2"):
        rate_open(rented, scope, NOW, NOW)
    assert due_scopes(rented, NOW, 10) == []
    assert due_scopes(rented, AFTER_THREE, 10) == ["i-1", "i-2"]
    rate_open(rented, "i-1", AFTER_THREE, NOW)
    assert due_scopes(rented, AFTER_THREE, 10) == ["i-2"]


def test_a_silent_server_gets_its_new_month(rented: Connection) -> None:
    rate_open(rented, "i-1", NOW, NOW)
    assert due_scopes(rented, APRIL, 10) == ["i-1"]
    rate_open(rented, "i-1", APRIL, APRIL)
    assert due_scopes(rented, APRIL, 10) == []
    assert load_accrual(rented, "i-1", APRIL) is not None


def test_months_that_nobody_closes_do_not_keep_the_sweep_busy(rented: Connection) -> None:
    rate_open(rented, "i-1", NOW, NOW)
    june = datetime(2026, 6, 1, tzinfo=UTC)
    assert due_scopes(rented, june, 10) == ["i-1"]
    rate_open(rented, "i-1", june, june)
    assert due_scopes(rented, june, 10) == []


def test_from_usage_to_the_customers_server(rented: Connection, receiver: Receiver) -> None:
    set_webhook(rented, VAULT, "acme", receiver.url, SECRET, allow_private=True)
    meter_windows(rented, "s-1", {(TX, "eth0"): [60 * MB]})
    sampled_at = datetime.now(UTC) - timedelta(milliseconds=40)
    rate_scope(rented, "i-1", datetime.now(UTC), sampled_at, period=Span(START, APRIL))
    deliver_due(rented, WAYS, lambda: datetime.now(UTC))
    (body,) = receiver.bodies.values()
    assert body["data"]["percent"] == 50
    (latency_ms,) = latencies(rented)
    assert 40 <= latency_ms < 5_000
    assert load_scope(rented, "i-1").account == body["data"]["account"]
