"""A dry run says what the close would do, also of an account that is closed for several months."""

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from invoicing.close import Progress
from invoicing.document import CREDIT_NOTE
from invoicing.plan import Group, batches
from invoicing.report import CloseReport, Status
from schemas.billing import Span
from schemas.terms import CreditKind
from sinks import timelines
from sinks.accruals import rate_scope
from sinks.database import Connection, connect
from sinks.wallet import Grant, grant
from tests.invoicing import ledger
from tests.invoicing.committed import agreed, at, closed, customer, monthly, prices, rented
from tests.invoicing.scenario import CATALOG, CLOSED, TB, close_month
from tests.invoicing.worlds import DAY, END, START, month_of

OVER = at("2030-01-01")
Say = Callable[[Connection], None]


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    """Acme rents from February on, billed in arrears; February to April are closed."""
    with connect(billing_url, autocommit=True) as conn:
        prices(conn)
        ledger.topic(conn, OVER)
        customer(conn, "acme")
        rented(conn, "acme", "i", at("2026-02-01"))
        monthly(billing_url, "2026-02", 3)
        yield conn


def late(conn: Connection, **rest: str) -> None:
    """Entered on 10 May: three months are late."""
    customer(conn, "late")
    rented(conn, "late", "x", at("2026-02-15"), entered=at("2026-05-10"), **rest)


def ahead(conn: Connection) -> None:
    late(conn, plan="ahead")


def with_credit(conn: Connection) -> None:
    late(conn)
    for name, kind, amount in (("gift", "promotional", "60.00"), ("paid", "paid", "150.00")):
        wanted = Grant("late", name, CreditKind(kind), Decimal(amount), at("2026-02-01"))
        grant(conn, wanted, "test", at("2026-05-10"), "bank")


def with_a_year(conn: Connection) -> None:
    """350.00 of 500.00 are charged until the year ends with the contract, in May."""
    late(conn, scope="s")
    agreed(conn, "500.00 / year", since="2026-02-15", until="2026-05-16", entered="2026-05-10")


def freed(conn: Connection) -> None:
    """Acme's April comes to less: a credit note of its own; and another item is late."""
    timelines.end(conn, "i", at("2026-04-16"), at("2026-05-10"))
    rented(conn, "acme", "x", at("2026-03-15"), entered=at("2026-05-10"))


def over(conn: Connection) -> None:
    """In advance, and over on 20 April: March bills more of it than it comes to."""
    late(conn)
    rented(conn, "late", "y", at("2026-03-15"), entered=at("2026-05-10"), plan="ahead")
    timelines.end(conn, "y", at("2026-04-20"), at("2026-05-11"))


def said(report: CloseReport) -> list[tuple[object, ...]]:
    """What a close says of each document and correction but how it is called."""
    outcomes = [
        (one.account, one.period, one.scopes, one.kind, one.net, one.tax, one.gross, one.lines,
         bool(one.corrects), one.about, one.checked)
        for one in report.outcomes
    ]  # fmt: skip
    unbilled = [(one.scope, one.period, one.net, one.lines, one.goes) for one in report.unbilled]
    return [*outcomes, *unbilled]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("rule", "say", "documents"),
    [
        ("a fee in advance is billed by the month before", ahead, 5),
        ("credit is drawn once", with_credit, 5),
        ("a year's minimum counts what months before came to", with_a_year, 5),
        ("what is given back is given back once", freed, 4),
        ("what was billed in advance is taken off once", over, 5),
    ],
)
def test_it_says_what_the_close_does(
    conn: Connection, billing_url: str, rule: str, say: Say, documents: int, processes: int
) -> None:
    say(conn)
    before = everything(conn)
    dry = closed(billing_url, "2026-05", "2026-06-03", dry_run=True, processes=processes)
    assert everything(conn) == before, rule
    real = closed(billing_url, "2026-05", "2026-06-03", processes=processes)
    assert (real.exit_code, len(real.outcomes)) == (0, documents)
    assert said(dry) == said(real), rule
    assert dry.totals() == real.totals()
    assert {one.status for one in dry.outcomes} == {Status.DRAFT}
    assert [one.number for one in dry.outcomes] == [None] * documents


def test_a_credit_note_of_the_close_is_known_to_the_invoice(
    conn: Connection, billing_url: str
) -> None:
    """One month, and one item ended in an earlier one: credit that goes home is drawn again."""
    customer(conn, "other")
    rented(conn, "other", "o", at("2026-02-01"))
    rented(conn, "other", "p", at("2026-02-01"))
    wanted = Grant("other", "gift", CreditKind.PROMOTIONAL, Decimal("200.00"), at("2026-02-01"))
    grant(conn, wanted, "test", at("2026-02-01"), "bank")
    monthly(billing_url, "2026-02", 3)
    timelines.end(conn, "o", at("2026-02-16"), at("2026-05-10"))
    before = everything(conn)
    dry = closed(billing_url, "2026-05", "2026-06-03", dry_run=True)
    assert everything(conn) == before
    real = closed(billing_url, "2026-05", "2026-06-03")
    assert said(dry) == said(real)
    assert {one.kind for one in real.outcomes if one.account == "other"} == {CREDIT_NOTE, "invoice"}


def test_the_next_numbers_are_there(conn: Connection, billing_url: str) -> None:
    """Nothing is taken: the close gives the first of them."""
    freed(conn)
    closed(billing_url, "2026-05", "2026-06-03", dry_run=True)
    real = closed(billing_url, "2026-05", "2026-06-03")
    numbers = sorted(one.number for one in real.invoices if one.number)
    assert numbers == [f"RM-2026-{count:06}" for count in range(4, 4 + len(numbers))]
    assert [one.number for one in real.credit_notes] == ["RM-2026-C000001"]
    assert {one.kind for one in real.credit_notes} == {CREDIT_NOTE}


def everything(conn: Connection) -> list[tuple[object, ...]]:
    """All rows that a close may write."""
    tables = (
        "accrual", "adjust_due", "adjust_mark", "adjustment", "adjustment_line", "audit_act",
        "close_outcome", "close_run", "invoice", "invoice_line", "invoice_number",
        "journal_entry", "journal_posting", "scope_seal", "seal_open", "wallet_credit",
        "wallet_draw",
    )  # fmt: skip
    return [
        (table, *conn.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall())
        for table in tables
    ]


def test_nobody_else_waits_for_it(conn: Connection, billing_url: str) -> None:
    """While an account's months are rehearsed, invoices of others are issued."""
    ahead(conn)
    impatient = f"{billing_url}&options=-c%20lock_timeout%3D2s"
    issued: list[str | None] = []

    def meanwhile(progress: Progress) -> None:
        if (progress.account, progress.step) == ("late", "reconciled") and not issued:
            [one] = closed(impatient, "2026-05", "2026-06-03", accounts=["acme"]).outcomes
            issued.append(one.number)

    dry = closed(billing_url, "2026-05", "2026-06-03", dry_run=True, progress=meanwhile)
    assert issued == ["RM-2026-000004"]
    assert {one.status for one in dry.outcomes if one.account == "late"} == {Status.DRAFT}


@pytest.mark.parametrize("accounts", [1, 2])
def test_a_rater_that_is_behind_is_no_difference(billing_url: str, accounts: int) -> None:
    """The close brings it up to date."""
    with connect(billing_url, autocommit=True) as conn:
        month_of(conn, accounts)
        with connect(billing_url) as rater:
            for number in range(accounts):
                rate_scope(rater, f"item-{number}", CLOSED, CLOSED, period=Span(START, END))
        more = 10**12
        ledger.meter(conn, "srv-0", "net.tx_bytes", "eth0", more, END - 2 * DAY, END - DAY)
        conn.execute(
            "UPDATE server_state SET last = ARRAY[last[1] + %s] WHERE server_id = 'srv-0'", (more,)
        )
        ledger.reported(conn, END + 31 * DAY)
        before = everything(conn)
        dry = close_month(billing_url, dry_run=True)
        assert everything(conn) == before
        assert said(dry) == said(close_month(billing_url))


def test_usage_that_came_late_is_billed_once(billing_url: str) -> None:
    """Nobody has noted it yet; and February turns out to have had another item."""
    with connect(billing_url, autocommit=True) as conn:
        month_of(conn, 1)
        assert close_month(billing_url).exit_code == 0
        ledger.late(conn, "srv-0", TB // 2, START)
        timelines.rent(
            conn, item="more", title="more", plan="ax-hourly", account="acme-0", server="srv-1",
            at=START, catalog=CATALOG, entered_at=END + 10 * DAY,
        )  # fmt: skip
        ledger.meter(conn, "srv-1", "net.tx_bytes", "eth0", TB, START, START + DAY)
        ledger.settle(conn, "srv-1", END)
        ledger.reported(conn, END + 31 * DAY)
        before = everything(conn)
        dry = close_month(billing_url, "2026-03", dry_run=True)
        assert everything(conn) == before
        real = close_month(billing_url, "2026-03")
        assert said(dry) == said(real)
        assert [one.net for one in real.unbilled] == [Decimal("0.65")]


def test_only_accounts_with_several_periods_are_apart() -> None:
    """Of thousands with one month each nobody waits for a dry run."""
    months = [Span(START, END), Span(END, END + 31 * DAY)]
    groups = [
        Group(name, "EUR", "UTC", period, (name,))
        for name in "abcde"
        for period in months[name in "ac" :]
    ]

    def made(scopes: int, *, dry: bool) -> list[str]:
        return [
            " ".join(f"{one.account}{one.period.start.month}" for one in each)
            for each in batches(groups, scopes, dry=dry)
        ]

    assert made(9, dry=False) == ["b2 d2 e2", "a3 b3 c3 d3 e3"]
    assert made(9, dry=True) == ["b2 d2 e2 b3 d3 e3", "a3 c3"]
    assert made(4, dry=True) == ["b2 d2 b3 d3", "e2 e3", "a3 c3"]
    assert made(1, dry=True) == ["b2 b3", "d2 d3", "e2 e3", "a3", "c3"]
