"""The nightly checks on real ledgers: content with what is right, and naming what was tampered."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from invoicing.nightly import money
from invoicing.nightly.base import Found, Night, Pair, Port, Unit
from invoicing.nightly.checks import CHECKS, nightly
from invoicing.nightly.inventory import items, provisioning, servers
from invoicing.nightly.metering import conservation
from invoicing.nightly.money import accruals, books, law
from invoicing.nightly.sources import sources
from rackmeter.cli.main import run
from schemas.errors import ConfigError
from sinks import timelines
from sinks.accruals import rate_open
from sinks.database import Connection, connect, migrate
from tests.fix_billing import START as MARCH
from tests.fix_billing import TX, meter_windows, rent_small
from tests.invoicing import ledger
from tests.invoicing.scenario import CLOSED, close_month
from tests.invoicing.worlds import END, START, month_of
from tests.sinks.roles import login_of

LAST = date(2026, 2, 28)
DAY = timedelta(days=1)


def night(conn: Connection, day: date = LAST, **more: Any) -> Night:
    return Night(conn, day, Path("/nowhere"), **more)


def said(found: Found) -> list[tuple[str, str, str]]:
    return [(one.where, one.left, one.right) for one in found.differences]


# -- servers, items, inventory ---------------------------------------------------------------------


@pytest.fixture
def rented(billing: Connection) -> Connection:
    """Two accounts, each an item on a server that reports until after the month's end."""
    month_of(billing, 2)
    return billing


def test_what_is_rented_reports_and_what_reports_is_rented(rented: Connection) -> None:
    assert servers(night(rented)) == Found(2)
    assert items(night(rented)) == Found(2)


def test_a_cancelled_server_that_still_sends_is_named_with_its_last_rental(
    rented: Connection,
) -> None:
    timelines.end(rented, "item-1", END - 5 * DAY)
    assert said(servers(night(rented))) == [
        ("srv-1", "reported at 2026-03-01 00:01", "cancelled: item-1 until 2026-02-24 00:00")
    ]
    silent = Found(0, notes=("1 rented and silent: srv-0",))
    assert servers(night(rented, date(2026, 3, 5))) == silent, "both have been since"


def test_a_server_that_nobody_ever_rented_is_named_unless_it_is_spare(rented: Connection) -> None:
    ledger.meter(rented, "srv-9", TX, "eth0", 9, START, START + DAY)
    ledger.settle(rented, "srv-9", END + timedelta(hours=1))
    assert said(servers(night(rented))) == [
        ("srv-9", "reported at 2026-03-01 01:00", "never rented")
    ]
    assert servers(night(rented, inventory=[Unit("srv-9", "spare")])) == Found(3)


def test_an_item_without_a_server_is_named(rented: Connection) -> None:
    rented.execute("DELETE FROM assignment WHERE item_id = 'item-0'")
    assert said(items(night(rented))) == [("item-0", "rented", "no server")]


UNITS = [Unit("srv-0", "rented", "item-0"), Unit("srv-1", "rented")]
INVENTORIES: dict[str, tuple[list[Unit], list[tuple[str, str, str]]]] = {
    "equal": (UNITS, []),
    "rented and not billed": (
        [*UNITS, Unit("srv-5", "rented")], [("srv-5", "rented", "not assigned")],
    ),
    "billed and off": (
        [UNITS[0], Unit("srv-1", "off")], [("srv-1", "off", "item-1")],
    ),
    "billed and unknown": (UNITS[:1], [("srv-1", "not in the inventory", "item-1")]),
    "another item": (
        [Unit("srv-0", "rented", "item-1"), UNITS[1]], [("srv-0", "item-1", "item-0")],
    ),
    "spare is nothing": ([*UNITS, Unit("srv-5", "spare")], []),
}  # fmt: skip


@pytest.mark.parametrize(("units", "differences"), INVENTORIES.values(), ids=INVENTORIES)
def test_the_inventory_is_compared_server_by_server(
    rented: Connection, units: Sequence[Unit], differences: list[tuple[str, str, str]]
) -> None:
    found = provisioning(night(rented, inventory=units))
    assert said(found) == differences
    assert found.compared == len({unit.server for unit in units} | {"srv-0", "srv-1"})


def test_what_is_off_by_the_inventory_and_sends_is_named(rented: Connection) -> None:
    timelines.end(rented, "item-1", END - 5 * DAY)
    off = [UNITS[0], Unit("srv-1", "off")]
    assert said(provisioning(night(rented, inventory=off))) == [
        ("srv-1", "off", "reported at 2026-03-01 00:01")
    ]


def test_without_an_inventory_nothing_is_said_to_be_right(rented: Connection) -> None:
    found = provisioning(night(rented))
    assert found.compared == 0
    assert "no inventory" in found.notes[0]


# -- agent and switch ------------------------------------------------------------------------------

PAIR = Pair(TX, "port.rx_bytes", 20)
GB = 10**9
SAID: dict[str, tuple[list[int], list[tuple[str, str, str]]]] = {
    "equal": ([60 * GB, 40 * GB], []),
    "within two per cent": ([60 * GB, 42 * GB - 1], []),
    "more on the switch": (
        [60 * GB, 43 * GB],
        [("s-1 net.tx_bytes and port.rx_bytes", str(100 * GB), str(103 * GB))],
    ),
    "less on the switch": (
        [60 * GB, 30 * GB],
        [("s-1 net.tx_bytes and port.rx_bytes", str(100 * GB), str(90 * GB))],
    ),
    "a port that is silent": (
        [60 * GB],
        [("s-1 net.tx_bytes and port.rx_bytes", str(100 * GB), "no readings of 1 ports")],
    ),
}


@pytest.mark.parametrize(("ports", "differences"), SAID.values(), ids=SAID)
def test_the_server_is_compared_with_its_ports(
    billing: Connection, ports: list[int], differences: list[tuple[str, str, str]]
) -> None:
    """Two cards, two ports of two switches; another day and another port do not count."""
    meter_windows(billing, "s-1", {(TX, "eth0"): [70 * GB, 0], (TX, "eth1"): [10 * GB, 20 * GB]})
    meter_windows(billing, "s-1", {(TX, "eth0"): [GB]}, MARCH + DAY)
    for number, quantity in enumerate(ports):
        series = {("port.rx_bytes", "7"): [quantity], ("port.rx_bytes", "8"): [GB]}
        meter_windows(billing, f"switch-{number}", series)
    plugged = [Port("switch-0", "7", "s-1"), Port("switch-1", "7", "s-1")]
    found = sources(night(billing, MARCH.date(), ports=plugged, pairs=[PAIR]))
    assert (found.compared, said(found)) == (1, differences)


def test_an_idle_server_is_no_dispute(billing: Connection) -> None:
    meter_windows(billing, "s-1", {(TX, "eth0"): [10]})
    meter_windows(billing, "switch", {("port.rx_bytes", "7"): [99_000_000]})
    ports = [Port("switch", "7", "s-1")]
    assert sources(night(billing, MARCH.date(), ports=ports, pairs=[PAIR])) == Found(1)


# -- money -----------------------------------------------------------------------------------------


@pytest.fixture
def closed(billing: Connection, billing_url: str) -> Connection:
    """Two invoices of February."""
    month_of(billing, 2)
    assert close_month(billing_url).exit_code == 0
    return billing


def tamper(conn: Connection, statement: str, *values: object) -> None:
    """What no role may, and triggers refuse."""
    conn.execute("SET session_replication_role = replica")
    conn.execute(statement, values)
    conn.execute("SET session_replication_role = origin")


def test_invoices_are_what_pricing_says_and_what_is_booked(closed: Connection) -> None:
    issued = CLOSED.date()
    assert law(night(closed, issued)) == Found(2)
    found = books(night(closed, issued))
    assert found.differences == ()
    assert found.compared >= 2


def test_an_invoice_of_other_content_is_named(closed: Connection) -> None:
    row = closed.execute("SELECT number, document FROM invoice ORDER BY number").fetchone()
    assert row is not None
    number, document = row
    document["lines"][0]["line"]["net"] = "0.01"
    tamper(closed, "UPDATE invoice SET document = %s WHERE number = %s", Jsonb(document), number)
    found = law(night(closed, CLOSED.date()))
    assert found.differences
    assert all(one.where.startswith(number) for one in found.differences)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoice_line SET net = net + 0.01 WHERE position = 1",
        "DELETE FROM invoice_line WHERE position = 1",
        "UPDATE invoice SET gross = gross + 1, net = net + 1",
    ],
)
def test_rows_that_are_not_the_document_are_named(closed: Connection, statement: str) -> None:
    tamper(closed, statement)
    found = law(night(closed, CLOSED.date()))
    assert [one.what for one in found.differences] == [money.LINES] * 2


def test_a_crooked_entry_and_an_invoice_that_is_not_booked_are_named(closed: Connection) -> None:
    tamper(closed, "UPDATE journal_posting SET amount = amount + 1 WHERE ledger = 'tax'")
    found = books(night(closed, CLOSED.date()))
    assert {one.what for one in found.differences} == {money.BOOKS}
    tamper(closed, "DELETE FROM journal_posting")
    tamper(closed, "DELETE FROM journal_entry")
    found = books(night(closed, CLOSED.date()))
    assert [one.what for one in found.differences] == [money.RECEIVABLE] * 2


def test_accruals_are_what_the_ledger_holds_and_one_that_lags_is_looked_at_again(
    customer: Connection,
) -> None:
    rent_small(customer)
    meter_windows(customer, "s-1", {(TX, "eth0"): [100, 200]})
    at = MARCH + timedelta(hours=1)
    rate_open(customer, "i-1", at, at)
    looked = night(customer, MARCH.date())
    assert accruals(looked) == Found(1)

    meter_windows(customer, "s-1", {(TX, "eth0"): [5]}, MARCH + timedelta(minutes=10))
    pauses: list[float] = []
    found = accruals(looked, pauses.append)
    assert said(found) == [("i-1 s-1 net.tx_bytes eth0", "300", "305")]
    assert len(pauses) == money.LOOKS - 1

    def rated(_seconds: float) -> None:
        rate_open(customer, "i-1", at, at)

    assert accruals(looked, rated) == Found(1)


# -- metering --------------------------------------------------------------------------------------


def test_a_window_that_was_changed_breaks_conservation_and_a_dropped_one_does_not(
    rented: Connection,
) -> None:
    assert conservation(night(rented)) == Found(2)
    rented.execute(
        "INSERT INTO usage_dropped SELECT server_id, %s, 'eth0', sum(qty[1]) FROM usage_window"
        " WHERE server_id = 'srv-0' AND window_start < %s GROUP BY 1",
        (TX, START + timedelta(hours=6)),
    )
    rented.execute(
        "DELETE FROM usage_window WHERE server_id = 'srv-0' AND window_start < %s",
        (START + timedelta(hours=6),),
    )
    assert conservation(night(rented)) == Found(2)
    rented.execute(
        "UPDATE usage_window SET qty[1] = qty[1] + 1 WHERE server_id = 'srv-1'"
        " AND window_start = (SELECT max(window_start) FROM usage_window)"
    )
    found = conservation(night(rented))
    assert [one.where for one in found.differences] == ["srv-1 net.tx_bytes eth0"]


# -- all of them -----------------------------------------------------------------------------------


def test_a_check_that_fails_is_a_difference_and_the_others_go_on(rented: Connection) -> None:
    rented.execute("ALTER TABLE archive_span RENAME TO gone")
    found = {one.name: one for one in nightly(night(rented))}
    assert list(found) == list(CHECKS)
    assert "UndefinedTable" in found["archive"].differences[0].right
    assert found["servers"].compared == 2
    assert found["items"].differences == ()


def test_the_invoicer_may_look_at_everything(billing_url: str, billing: Connection) -> None:
    migrate(billing_url)
    month_of(billing, 2)
    close_month(billing_url)
    with connect(login_of(billing_url, "invoicer"), autocommit=True) as conn:
        found = list(
            nightly(night(conn, CLOSED.date(), inventory=UNITS, ports=[Port("a", "b", "c")]))
        )
    assert [one.name for one in found] == list(CHECKS)
    assert [one for one in found if one.differences and one.name != "sources"] == []


@pytest.fixture
def commands(
    rented: Connection, billing_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Connection:
    monkeypatch.setenv("RACKMETER_DATABASE_URL", billing_url)
    monkeypatch.setenv("RACKMETER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RACKMETER_METRICS_DIR", str(tmp_path))
    return rented


def test_the_command_tells_people_machines_and_prometheus(
    commands: Connection, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["reconcile", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    yesterday = datetime.now(UTC).date() - DAY
    assert told["date"] == yesterday.isoformat()
    assert [one["name"] for one in told["checks"]] == list(CHECKS)
    lines = (tmp_path / "reconcile.prom").read_text()
    assert 'rackmeter_reconcile_differences{check="servers"} 0.0' in lines
    assert "rackmeter_reconcile_last_run_timestamp_seconds" in lines

    commands.execute("DELETE FROM assignment WHERE item_id = 'item-0'")
    (tmp_path / "reconcile.prom").unlink()
    assert run(["reconcile", "--date", str(LAST), "--check", "items", "--seed", "7"]) == 3
    shown = capsys.readouterr()
    assert "items: rented items = items on a server, item-0: rented and no server differ." in (
        shown.out
    )
    assert "--seed 7" in shown.err
    assert not (tmp_path / "reconcile.prom").exists(), "a part would hide what the night has found"


def test_the_same_seed_draws_the_same(rented: Connection) -> None:
    of = list(range(1_000))
    one, other = night(rented, seed=1), night(rented, seed=2)
    assert one.drawn(of, 20) == one.drawn(of, 20) != other.drawn(of, 20)
    assert one.drawn(of[:20], 20) == of[:20]


FILES = {
    "no column": ("inventory", "server,item\na,b\n", "has no column state"),
    "a state": ("inventory", "server,state\na,broken\n", "line 2: state is broken; write rented"),
    "twice": ("inventory", "server,state\na,off\na,off\n", "line 3: a stands there twice"),
    "a port twice": (
        "ports", "collector,port,server\ns,1,a\ns,1,b\n", "line 3: port 1 of s stands there twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("what", "text", "sentence"), FILES.values(), ids=FILES)
@pytest.mark.usefixtures("commands")
def test_a_mistake_in_a_file_is_one_sentence(
    what: str, text: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / f"{what}.csv"
    path.write_text(text)
    monkeypatch.setenv(f"RACKMETER_{what.upper()}_FILE", str(path))
    assert run(["reconcile", "--check", "items"]) == ConfigError.exit_code
    assert sentence in capsys.readouterr().err


@pytest.mark.usefixtures("commands")
def test_an_inventory_is_read_from_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "servers.csv"
    path.write_text("server,rack,state,item\nsrv-0,A7,rented,item-0\nsrv-1,A8,off,\n")
    command = ["reconcile", "--date", str(LAST), "--check", "provisioning", "--inventory"]
    assert run([*command, str(path)]) == 3
    assert "srv-1: off and item-1 differ" in capsys.readouterr().out
