"""Every panel that asks the ledger, on a seeded one: it answers, and what it says is so."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg import errors

from docs.draw_dashboards import FOLDER, drawings, fleet
from pipeline.rating.price import price
from sinks.accruals import load_accrual
from sinks.database import Connection, connect
from sinks.scopes import load_scope
from tests.deploy.boards import (
    BOARDS,
    Answer,
    View,
    answer,
    asked,
    opened,
    panel_of,
    sql_panels,
)
from tests.deploy.rented_fleet import END
from tests.fix_stack import MakeDatabase

PAGE = FOLDER.parent / "dashboards.md"


@pytest.fixture(scope="module")
def ledger(make_database: MakeDatabase, billing_template: str) -> Iterator[Connection]:
    """The rented fleet, rated and closed, in a database of this module."""
    url = make_database(billing_template)
    with connect(url, autocommit=True) as conn:
        fleet(conn, url)
        yield conn


@pytest.fixture(scope="module")
def views(ledger: Connection) -> dict[str, View]:
    return {board: opened(ledger, board, END) for board in BOARDS}


def said(conn: Connection, board: str, title: str, *, now: datetime = END, **chosen: str) -> Answer:
    return answer(conn, panel_of(board, title), opened(conn, board, now, **chosen))


def names(panels: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [f"{board}: {panel['title']}" for board, panel in panels]


@pytest.mark.parametrize(("board", "panel"), sql_panels(), ids=names(sql_panels()))
def test_a_panel_answers_with_rows(
    ledger: Connection, views: dict[str, View], board: str, panel: dict[str, Any]
) -> None:
    found = answer(ledger, panel, views[board])
    assert found.rows
    if panel["targets"][0]["format"] == "time_series":
        assert found.columns[0] == "time"
        assert all(isinstance(row[0], datetime) for row in found.rows)
        assert [row[0] for row in found.rows] == sorted(row[0] for row in found.rows)
    shown = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    series = {row[1] for row in found.rows} if found.columns[1:2] == ("metric",) else set()
    assert shown <= {*found.columns, *series}


@pytest.mark.parametrize("board", ["fleet", "gpu"])
def test_hours_and_days_say_the_same(ledger: Connection, board: str) -> None:
    """Whole days, once from stored hours and once from days: the tables hold the same figures."""
    noon = datetime(2026, 3, 15, tzinfo=UTC)
    title = {"fleet": "Top servers", "gpu": "Idle GPUs"}[board]
    by_hour = said(ledger, board, title, now=noon, grain="usage_hour_row")
    assert by_hour.rows == said(ledger, board, title, now=noon, grain="usage_day_row").rows


@pytest.mark.parametrize(
    ("hours", "grain"),
    [
        (24, "usage_hour_row"),
        (73, "usage_hour_row"),
        (74, "usage_day_row"),
        (720, "usage_day_row"),
    ],
)
def test_more_than_three_days_are_read_from_days(
    ledger: Connection, monkeypatch: pytest.MonkeyPatch, hours: int, grain: str
) -> None:
    monkeypatch.setitem(BOARDS["fleet"], "time", {"from": f"now-{hours}h", "to": "now"})
    assert opened(ledger, "fleet", END).chosen["grain"] == grain


def test_they_are_asked_as_the_reader_who_may_nothing_else(ledger: Connection) -> None:
    nothing = View(END, END, {})
    assert asked(ledger, "SELECT current_user", nothing).rows == [("rackmeter_reader",)]
    with pytest.raises(errors.InsufficientPrivilege):
        asked(ledger, "SELECT secret FROM agent_key", nothing)


def test_servers_are_counted(ledger: Connection) -> None:
    assert said(ledger, "fleet", "Servers").rows == [(10, 2, 0)]
    silent = said(ledger, "fleet", "Silent servers").dicts()
    assert [(row["server"], row["account"]) for row in silent] == [
        ("srv-0011", "acct-002"),
        ("srv-0007", "acct-001"),
    ]
    assert silent[0]["last reading"] is None
    assert silent[1]["silent for"] == 95 * 60 + 300 - 302


def test_traffic_is_what_the_windows_say(ledger: Connection) -> None:
    shown = said(ledger, "fleet", "Traffic").dicts()
    row = ledger.execute(
        "SELECT sum(quantity) FROM usage WHERE meter = 'net.tx_bytes' AND window_start >= %s",
        (END - timedelta(days=1),),
    ).fetchone()
    assert row is not None
    assert sum(one["value"] for one in shown if one["metric"] == "sent") * 3600 / 8 == row[0]


def test_the_coverage_map_shows_the_holes_and_who_never_reported(ledger: Connection) -> None:
    shown = said(ledger, "fleet", "Coverage map").dicts()
    cells = {(one["metric"], one["time"]): one["value"] for one in shown}
    assert len(cells) == 12 * 23
    never = {value for (server, _), value in cells.items() if server == "srv-0011"}
    seen = {at.hour: value for (server, at), value in cells.items() if server == "srv-0005"}
    holes = {hour for hour, value in seen.items() if value < 99}
    full = {value for (server, _), value in cells.items() if server == "srv-0000"}
    assert (never, holes, full) == ({0}, {2, 3}, {100})
    assert said(ledger, "fleet", "Coverage").rows[0][0] < 92


def test_cost_so_far_is_what_the_price_function_says(ledger: Connection) -> None:
    period = datetime(2026, 3, 1, tzinfo=UTC)
    total = Decimal(0)
    for scope_id in ("item-0000", "item-0003", "item-0006", "item-0009"):
        stored = load_accrual(ledger, scope_id, period)
        assert stored is not None
        inputs, as_of = stored
        total += sum(line.net for line in price(load_scope(ledger, scope_id), inputs, as_of))
    shown = said(ledger, "customer", "Cost so far", account="acct-000")
    assert shown.rows == [(f"{total:.2f} EUR",)]
    charges = said(ledger, "customer", "Charges so far", account="acct-000").dicts()
    assert sum(row["net"] for row in charges) == total


def test_the_curve_of_a_period_ends_at_its_charges_and_goes_on(ledger: Connection) -> None:
    shown = said(ledger, "customer", "Period to date against the allowance").dicts()
    series = {name: [one for one in shown if one["metric"] == name] for name in
              ("traffic, TB", "traffic, TB included", "traffic, TB forecast")}  # fmt: skip
    used = [one["value"] for one in series["traffic, TB"]]
    assert used == sorted(used)
    charged = ledger.execute(
        "SELECT sum(used / unit_size) FROM account_charge"
        " WHERE account_id = 'acct-000' AND charge = 'traffic' AND period_start = '2026-03-01Z'"
    ).fetchone()
    assert charged is not None
    assert series["traffic, TB"][-1]["value"] == charged[0]
    assert [one["value"] for one in series["traffic, TB included"]] == [80, 80]
    now, end = series["traffic, TB forecast"]
    assert (now["time"], now["value"]) == (END, charged[0])
    past, length = Decimal(19 * 24 + 12), Decimal(31 * 24)
    assert end["time"] == datetime(2026, 4, 1, tzinfo=UTC)
    assert abs(end["value"] - charged[0] * length / past) < Decimal("0.000001")


def test_the_95th_percentile_leaves_the_highest_five_in_a_hundred(ledger: Connection) -> None:
    rows = said(ledger, "customer", "95th percentile", server="srv-0003").dicts()
    sent = sorted((row["sent"] for row in rows), reverse=True)
    line = sent[5 * len(sent) // 100]
    assert {row["95th percentile"] for row in rows} == {line}
    bursts = [row["burst samples"] for row in rows if row["burst samples"] is not None]
    assert sorted(bursts, reverse=True) == [one for one in sent if one > line]
    assert len(bursts) == 5 * len(sent) // 100


def test_idle_is_a_gpu_that_is_held_and_does_nothing(ledger: Connection) -> None:
    rows = said(ledger, "gpu", "Idle GPUs").dicts()
    assert [(row["server"], row["held"], row["share"]) for row in rows] == [
        ("srv-0001", 24, 3),
        ("srv-0009", 24, 3),
    ]
    mig = said(ledger, "gpu", "MIG instances").dicts()
    assert [(row["server"], row["instances"], row["held"]) for row in mig] == [
        ("srv-0002", 7, 96),
        ("srv-0010", 7, 96),
    ]


def test_the_month_is_half_closed_and_says_why(ledger: Connection) -> None:
    assert said(ledger, "billing", "Close").rows[0][:3] == (12, 4, 8)
    outcomes = said(ledger, "billing", "What the last close said").dicts()
    assert [(row["account"], row["status"], row["differences"]) for row in outcomes] == [
        ("acct-001", "parked", 1),
        ("acct-002", "waiting", 0),
        ("acct-000", "issued", 0),
    ]
    assert "srv-0011 never reported" in outcomes[1]["why"]
    found = said(ledger, "billing", "Reconciliation differences").dicts()
    assert found[0]["comparison"] == "readings = windows"
    late = said(ledger, "billing", "Usage after the seal").dicts()
    assert [(row["account"], row["quantity"]) for row in late] == [("acct-000", 7_000_000_000)]


def test_revenue_is_the_invoices(ledger: Connection) -> None:
    row = ledger.execute("SELECT sum(net) FROM invoice").fetchone()
    charges = said(ledger, "billing", "Net revenue by charge").dicts()
    assert {one["charge"] for one in charges} == {"rent, EUR", "traffic, EUR"}
    assert row is not None
    assert sum(one["net"] for one in charges) == row[0]
    months = said(ledger, "billing", "Net revenue by month").dicts()
    assert [(one["month"], one["metric"]) for one in months] == [
        ("2026-02", "EUR"),
        ("2026-02", "EUR, open"),
        ("2026-03", "EUR, open"),
    ]


def test_the_pictures_are_what_the_panels_say_today(ledger: Connection) -> None:
    """After a change that is meant: python -m docs.draw_dashboards, and look at them."""
    drawn = drawings(ledger)
    assert {path: path.read_text(encoding="utf-8") for path in drawn} == drawn
    page = PAGE.read_text(encoding="utf-8")
    images = re.findall(r"!\[([^]]*)]\(pictures/(dashboard-[^)]+)\)", page)
    assert {path for _, path in images} == {path.name for path in drawn}
    assert all(len(words) > 40 for words, _ in images)


def test_a_quote_in_a_name_is_a_name(ledger: Connection) -> None:
    """Variables are put in as text; what a customer is called cannot end it."""
    nobody = opened(ledger, "customer", END, account="x' OR 'a' = 'a")
    for board, panel in sql_panels():
        if board == "customer":
            assert answer(ledger, panel, nobody).rows in ([], [(None, None)])
