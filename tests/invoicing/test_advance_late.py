"""Fees in advance, and what is said of their time only after they were billed: the months come to
what they would have come to.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from invoicing.export import load
from pipeline.catalog import load as load_catalog
from schemas.billing import Span
from sinks import timelines
from sinks.alterations import resize
from sinks.catalogs import apply, apply_contract
from sinks.database import Connection, connect
from sinks.queries import usage_inputs
from sinks.scopes import load_scope
from sinks.versions import read_contract
from tests.invoicing import ledger
from tests.invoicing.scenario import ENTERED, close_month
from tests.invoicing.test_taken_back import AHEAD
from tests.invoicing.worlds import DAY, END, START, account

TEXT = AHEAD + (
    """
[plan.behind]
name = "Behind"
rent = { price = "100.00 / month", tax = "hosting" }
"""
)
CATALOG = load_catalog(TEXT, "late.toml")
MONTHS = ("2026-02", "2026-03", "2026-04")
TWENTIETH = END + 19 * DAY
MAY = Span(datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
ISSUED = datetime(2026, 5, 31, tzinfo=UTC)
Say = Callable[[Connection], None]


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    """An item at 60.00 a month, billed in advance, since February."""
    with connect(billing_url, autocommit=True) as conn:
        apply(conn, CATALOG, TEXT, ENTERED)
        ledger.topic(conn, ISSUED)
        account(conn, "acme-0")
        timelines.rent(
            conn, item="web", title="web", plan="ahead", account="acme-0", server="srv", at=START,
            catalog=CATALOG, entered_at=ENTERED,
        )  # fmt: skip
        yield conn


def billed(conn: Connection, whose: str = "acme-0") -> dict[str, Decimal]:
    """Net by month of service, of all documents; what comes to nothing is left out."""
    found: dict[str, Decimal] = {}
    for (name,) in conn.execute(
        "SELECT invoice_id::text FROM invoice WHERE account_id = %s", (whose,)
    ).fetchall():
        for row in load(conn, name)[0].lines:
            month = f"{row.line.service.start:%Y-%m}"
            found[month] = found.get(month, Decimal(0)) + row.line.net
    return {month: net for month, net in found.items() if net}


def contract(conn: Connection, start: str, terms: str) -> None:
    head = f'contract = "late"\nbase = "{CATALOG.version}"\nscope = "web"\n'
    text = f"{head}effective = {start}\n{terms}"
    with conn.transaction():
        apply_contract(conn, read_contract(conn, text, "late.toml"), text, ISSUED)


def told(conn: Connection, url: str, *said: Say | None) -> None:
    """February to April, closed; ``said`` before each."""
    for month, say in zip(MONTHS, said, strict=True):
        if say is not None:
            say(conn)
        assert close_month(url, month, issued_at=ISSUED).exit_code == 0


def resized(days: int) -> Say:
    def say(conn: Connection) -> None:
        at = START + days * DAY
        resize(conn, "web", plan="behind", at=at, catalog=CATALOG, entered_at=ISSUED)

    return say


def other_bill(conn: Connection) -> None:
    contract(conn, "2026-02-01", '[plan.ahead]\nrent.bill = "arrears"\n')


@pytest.mark.parametrize("sealed", [1, 2])
@pytest.mark.parametrize(
    ("rule", "say", "months"),
    [
        ("no time in advance is left", resized(0), ["100.00", "100.00", "100.00"]),
        # a day of 28 at 60.00, 27 at 100.00
        ("a day of it is left", resized(1), ["98.57", "100.00", "100.00"]),
        ("a contract bills it in arrears", other_bill, ["60.00", "60.00", "60.00"]),
    ],
)
def test_what_was_billed_in_advance_is_taken_back_where_nothing_is_any_more(
    conn: Connection, billing_url: str, rule: str, say: Say, months: list[str], sealed: int
) -> None:
    before = [None] * sealed
    told(conn, billing_url, *before, say, *before[: 2 - sealed])
    assert billed(conn) == dict(zip(MONTHS, map(Decimal, months), strict=True)), rule


@pytest.mark.parametrize("sealed", [0, 1, 2])
@pytest.mark.parametrize("handed", [False, True])
def test_a_rental_that_ends_with_a_month_pays_for_no_other(
    conn: Connection, billing_url: str, sealed: int, handed: bool
) -> None:
    """With March; told before March is billed ahead, before it is closed, and when both are."""
    account(conn, "bolt")

    def returned(conn: Connection) -> None:
        if handed:
            timelines.hand_over(
                conn, "web", to="next", account="bolt", at=END + 31 * DAY, catalog=CATALOG,
                entered_at=ISSUED,
            )  # fmt: skip
        else:
            timelines.end(conn, "web", END + 31 * DAY, ISSUED)

    before = [None] * sealed
    told(conn, billing_url, *before, returned, *[None] * (2 - sealed))
    assert billed(conn) == {"2026-02": 60, "2026-03": 60}
    assert billed(conn, "bolt") == ({"2026-04": 60, "2026-05": 60} if handed else {})


def a_year(conn: Connection) -> None:
    contract(
        conn, "2026-03-16", 'until = 2027-03-16\n[commitment.year]\namount = "720.00 / year"\n'
        'tax = "hosting"\n',
    )  # fmt: skip


def ended(conn: Connection) -> None:
    timelines.end(conn, "web", TWENTIETH, ISSUED)


def both(conn: Connection) -> None:
    a_year(conn)
    ended(conn)


@pytest.mark.parametrize(
    ("rule", "said", "march", "year"),
    [
        # 16 days of 31
        ("known when March was billed ahead", (a_year, None, None), "60.00", "90.97"),
        ("known when March was closed", (None, a_year, None), "60.00", "90.97"),
        ("known when it had been", (None, None, a_year), "60.00", "90.97"),
        # four days
        ("March ended early, which was known", (a_year, ended, None), "36.77", "7.74"),
        ("with the year", (None, both, None), "36.77", "7.74"),
        ("when March had been closed", (a_year, None, ended), "36.77", "7.74"),
        ("both", (None, None, both), "36.77", "7.74"),
    ],
)
def test_a_year_counts_its_part_of_the_month_in_which_it_begins(
    conn: Connection, billing_url: str, rule: str, said: tuple[Say | None, ...], march: str,
    year: str,
) -> None:  # fmt: skip
    told(conn, billing_url, *said)
    (spent,) = usage_inputs(conn, load_scope(conn, "web"), MAY, MAY.start).spent
    assert spent.net == Decimal(year), rule
    assert billed(conn)["2026-03"] == Decimal(march)
