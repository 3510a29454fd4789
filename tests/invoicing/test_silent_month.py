"""A month that draws nothing uses nothing of packs and rollovers: later ones find what it found."""

from decimal import Decimal

import pytest

from invoicing.report import Status
from pipeline.catalog import load
from schemas.prices import IntervalKind
from sinks.alterations import add_addon
from sinks.database import Connection
from sinks.intervals import resume, suspend
from tests.invoicing import ledger
from tests.invoicing.ledger import reported
from tests.invoicing.scenario import ENTERED, TB, close_month
from tests.invoicing.test_adjust import APRIL, MAY
from tests.invoicing.test_lots_corrected import TEXT_OF, charged, conn, months
from tests.invoicing.worlds import DAY, END, START

__all__ = ["conn"]


def faulty_in_march(conn: Connection) -> None:
    """Nothing of March counts."""
    suspend(conn, "it", at=END, until=APRIL, entered_at=MAY, kind=IntervalKind.EXCLUSION)


def more(conn: Connection) -> None:
    """10 TB from February on, until the end of April."""
    catalog = load(TEXT_OF, "rolls.toml")
    add_addon(conn, "it", addon="more", at=START, catalog=catalog, entered_at=ENTERED)


def may(conn: Connection, url: str) -> None:
    """May is closed, and nothing is due any more."""
    reported(conn, MAY + 31 * DAY)
    assert close_month(url, "2026-05", issued_at=MAY + 40 * DAY).exit_code == 0
    assert close_month(url, "2026-05", issued_at=MAY + 41 * DAY).unbilled == ()


def test_known_from_the_start(conn: Connection, billing_url: str) -> None:
    """February's 8 are all April's: 30 - 20 - 8."""
    faulty_in_march(conn)
    months(conn, billing_url, "02", "03", "04")
    assert charged(conn) == {"2026-02": Decimal("0.00"), "2026-04": Decimal("2.00")}


def test_said_before_april_is_closed(conn: Connection, billing_url: str) -> None:
    months(conn, billing_url, "02", "03")
    faulty_in_march(conn)
    reported(conn, MAY + 31 * DAY)
    months(conn, billing_url, "04")
    assert charged(conn)["2026-04"] == Decimal("2.00")


def test_said_after_april_is_closed(conn: Connection, billing_url: str) -> None:
    months(conn, billing_url, "02", "03", "04")
    faulty_in_march(conn)
    may(conn, billing_url)
    assert charged(conn)["2026-04"] == Decimal("2.00")


def test_no_longer_faulty(conn: Connection, billing_url: str) -> None:
    """March draws 5 of February's 8 after all, April the 3 others: 30 - 20 - 3."""
    exclusion = IntervalKind.EXCLUSION
    suspend(conn, "it", at=END, entered_at=MAY, kind=exclusion)
    months(conn, billing_url, "02", "03")
    resume(conn, "it", at=END + 2 * DAY, entered_at=MAY, kind=exclusion)
    ledger.late(conn, "srv", 25 * TB, END + 9 * DAY)
    months(conn, billing_url, "04")
    assert charged(conn)["2026-04"] == Decimal("7.00")


def test_late_usage_before_it(conn: Connection, billing_url: str) -> None:
    """5 TB of February come late: it leaves 3, April lacks 7."""
    faulty_in_march(conn)
    months(conn, billing_url, "02", "03", "04")
    ledger.late(conn, "srv", 5 * TB, START)
    may(conn, billing_url)
    assert charged(conn)["2026-04"] == Decimal("7.00")


@pytest.mark.parametrize(
    ("late", "february", "april"),
    [(5, "0.00", "7.00"), (10, "2.00", "10.00")],
    ids=["nothing of it is charged", "2 of it are charged with April"],
)
def test_late_usage_before_it_while_april_is_open(
    conn: Connection, billing_url: str, late: int, february: str, april: str
) -> None:
    faulty_in_march(conn)
    months(conn, billing_url, "02", "03")
    ledger.late(conn, "srv", late * TB, START)
    months(conn, billing_url, "04")
    assert charged(conn) == {"2026-02": Decimal(february), "2026-04": Decimal(april)}


def test_a_dry_run_says_the_same(conn: Connection, billing_url: str) -> None:
    months(conn, billing_url, "02")
    ledger.late(conn, "srv", 5 * TB, START)
    (outcome,) = close_month(billing_url, "2026-03", issued_at=MAY, dry_run=True).outcomes
    assert (outcome.status, outcome.net) == (Status.DRAFT, Decimal("2.00"))


def test_the_credit_rides_on_the_open_month(conn: Connection, billing_url: str) -> None:
    """March used 5 more, 8 of February's and 2 paid: the 2 are given back with April."""
    ledger.late(conn, "srv", 5 * TB, END)
    months(conn, billing_url, "02", "03")
    assert charged(conn)["2026-03"] == Decimal("2.00")
    faulty_in_march(conn)
    reported(conn, MAY + 31 * DAY)
    months(conn, billing_url, "04")
    assert (charged(conn)["2026-03"], charged(conn)["2026-04"]) == (Decimal(0), Decimal("2.00"))


@pytest.mark.parametrize("open_", [True, False], ids=["april is open", "april is sealed"])
def test_a_pack_is_as_full_as_before_it(conn: Connection, billing_url: str, open_: bool) -> None:
    """March used 5 of the pack. Without it April has 10, and February's 8: 42 - 20 - 18."""
    more(conn)
    ledger.late(conn, "srv", 12 * TB, APRIL)
    months(conn, billing_url, *["02", "03", "04"][: 2 if open_ else 3])
    faulty_in_march(conn)
    reported(conn, MAY + 31 * DAY)
    if open_:
        months(conn, billing_url, "04")
    may(conn, billing_url)
    assert charged(conn)["2026-02"] == Decimal("9.00")
    assert charged(conn)["2026-04"] == Decimal("4.00")
