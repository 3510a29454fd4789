"""Scopes rated together: as if each were alone, whoever fails, is overtaken or races."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from schemas.billing import Inputs, Scope, Span
from schemas.prices import Charge, Percentile, PerUnit, Unit
from schemas.serial import to_json
from sinks import accrual_work
from sinks.accruals import load_accrual, rate_many, rate_scope
from sinks.database import Connection, connect
from sinks.queries import usage_inputs, usage_inputs_bulk
from sinks.scopes import load_scope
from sinks.timelines import end
from tests.fix_billing import START, TX, WINDOW, meter_late, meter_windows, rent_small

NOW = START + timedelta(hours=9)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MARCH = Span(START, APRIL)
MB = 1_000_000
SCOPES = tuple(f"i-{number}" for number in range(1, 9))
ALL = dict.fromkeys(SCOPES, NOW)
MBPS = Unit("Mbps", "net.bytes", 37_500_000, Decimal("0.001"))


@pytest.fixture
def rented(customer: Connection) -> Connection:
    """Eight scopes; the n-th has used n × 12 of its 100 MB."""
    for number, scope in enumerate(SCOPES, 1):
        rent_small(customer, scope, f"s-{number}")
        meter_windows(customer, f"s-{number}", {(TX, "eth0"): [number * 12 * MB]})
    return customer


def told(conn: Connection) -> dict[str, list[int]]:
    rows = conn.execute(
        "SELECT scope_id, array_agg((body->'data'->>'percent')::int ORDER BY number)"
        " FROM alert_outbox GROUP BY 1"
    )
    found: dict[str, list[int]] = dict(rows.fetchall())
    return found


def test_each_gets_the_accrual_and_the_alerts_that_it_gets_alone(rented: Connection) -> None:
    found = rate_many(rented, ALL, NOW)
    assert found.failed == {}
    assert [one.scope.scope for one in found.rated] == list(SCOPES)
    for one in found.rated:
        alone = usage_inputs(rented, load_scope(rented, one.scope.scope), MARCH, NOW)
        assert load_accrual(rented, one.scope.scope, START) == (alone, NOW) == (one.inputs, NOW)
    assert told(rented) == {"i-5": [50], "i-6": [50], "i-7": [50, 80], "i-8": [50, 80]}
    again = rate_many(rented, ALL, NOW)
    assert {one.revision for one in again.rated} == {2}
    assert [one.entered for one in again.rated] == [()] * 8


def test_scopes_that_there_are_not_are_left_out(rented: Connection) -> None:
    found = rate_many(rented, {"i-1": NOW, "nobody's": NOW}, NOW)
    assert [one.scope.scope for one in found.rated] == ["i-1"]
    assert (rate_many(rented, {"nobody's": NOW}, NOW).rated, found.failed) == ((), {})


@pytest.mark.parametrize("scope", ["i-1", "i-5", "i-8"])
def test_one_that_cannot_be_read_stops_no_other(rented: Connection, scope: str) -> None:
    rented.execute(
        "UPDATE item_price SET price = %s WHERE item_id = %s AND charge = 'traffic'",
        (Jsonb({"quantity": "damaged"}), scope),
    )
    found = rate_many(rented, ALL, NOW)
    assert list(found.failed) == [scope]
    assert [one.scope.scope for one in found.rated] == [name for name in SCOPES if name != scope]
    assert load_accrual(rented, scope, START) is None


def test_a_database_that_is_away_is_nobodys_fault(rented: Connection) -> None:
    rented.close()
    with pytest.raises(Exception, match="closed"):
        rate_many(rented, ALL, NOW)


def test_only_the_one_that_was_overtaken_is_read_again(
    rented: Connection, billing_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def slow(conn: Connection, wanted: list[tuple[Scope, Span]], as_of: datetime) -> list[Inputs]:
        inputs = usage_inputs_bulk(conn, wanted, as_of)
        asked.append([scope.scope for scope, _ in wanted])
        if len(asked) == 1:
            with connect(billing_url, autocommit=True) as other:
                meter_late(other, "s-3", TX, "eth0", START, 20 * MB)
                rate_scope(other, "i-3", NOW, NOW)
        return inputs

    rate_many(rented, ALL, NOW)
    monkeypatch.setattr(accrual_work, "usage_inputs_bulk", slow)
    found = rate_many(rented, ALL, NOW)
    # The other rater asks through the same name, for its one scope.
    assert asked == [list(SCOPES), ["i-3"], ["i-3"]]
    revisions = {one.scope.scope: one.revision for one in found.rated}
    assert revisions == {**dict.fromkeys(SCOPES, 2), "i-3": 3}
    assert told(rented)["i-3"] == [50]


def test_batches_that_race_enter_each_crossing_once_and_lose_no_usage(
    rented: Connection, billing_url: str
) -> None:
    """Each in another order, as raters that have just exchanged partitions."""
    raters, rounds = 4, 4
    gate = threading.Barrier(raters)
    entered: list[tuple[str, str]] = []
    failed: list[str] = []

    def work(number: int) -> None:
        turned = SCOPES[number:] + SCOPES[:number]
        with connect(billing_url, autocommit=True) as conn:
            for _ in range(rounds):
                gate.wait(30)
                for scope in SCOPES:
                    meter_late(conn, f"s-{scope[2:]}", TX, f"eth{number}", START, 2 * MB)
                found = rate_many(conn, dict.fromkeys(turned, NOW), NOW)
                failed.extend(found.failed)
                entered.extend(
                    (one.scope.scope, alert.threshold) for one in found.rated
                    for alert in one.entered
                )  # fmt: skip

    threads = [threading.Thread(target=work, args=(number,)) for number in range(raters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(entered) == len(set(entered)) == sum(map(len, told(rented).values()))
    for number, scope in enumerate(SCOPES, 1):
        stored = load_accrual(rented, scope, START)
        assert stored is not None
        used = sum(usage.quantity for usage in stored[0].usage)
        assert used == (number * 12 + raters * rounds * 2) * MB
        assert told(rented).get(scope, []) == [p for p in (50, 80, 100) if used >= p * MB]


# -- percentiles -----------------------------------------------------------------------------------


def test_a_rate_that_is_certain_is_told_once_and_never_falls(customer: Connection) -> None:
    """Of 100 windows the five highest are discarded: with the sixth the rate is certain."""
    rent_small(customer)
    end(customer, "i-1", START + 100 * WINDOW)
    price = Charge(
        Percentile((TX,), MBPS), PerUnit(Decimal("0.90")), "hosting",
        alert_quantities=(100 * MBPS.is_,),
    )  # fmt: skip
    customer.execute(
        "UPDATE item_price SET price = %s WHERE charge = 'traffic'", (Jsonb(to_json(price)),)
    )
    busy = [100 * MBPS.is_] * 6
    sure: list[int] = []
    alerts: list[str] = []
    for at, used in enumerate([*busy, *([0] * 30)]):
        meter_windows(customer, "s-1", {(TX, "eth0"): [used]}, START + at * WINDOW)
        (rated,) = rate_many(customer, {"i-1": NOW}, START + (at + 1) * WINDOW).rated
        assert len(rated.inputs.samples[0].windows) == at + 1
        alerts += [f"{at}: {alert.kind}" for alert in rated.entered]
        row = customer.execute(
            "SELECT (f->>'certain')::bigint FROM accrual, jsonb_array_elements(figures) f"
            " WHERE f->>'charge' = 'traffic'"
        ).fetchone()
        sure.append(row[0] if row else -1)
    assert alerts == ["5: crossed"]
    assert sure == [0] * 5 + [100 * MBPS.is_] * 31
