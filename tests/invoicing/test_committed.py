"""A minimum is settled when its month or year ends, also where nothing is rented any more."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from invoicing.explain import explain_document
from invoicing.export import load
from invoicing.report import Status
from invoicing.verify import verify
from schemas.billing import LineKind
from sinks import timelines
from sinks.database import Connection, connect
from tests.invoicing import ledger
from tests.invoicing.committed import (
    agreed,
    at,
    billed,
    closed,
    customer,
    monthly,
    prices,
    rented,
)

TRUE_UP = LineKind.TRUE_UP
OVER = at("2030-01-01")


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    """One item from February to the middle of March; nobody has used anything."""
    with connect(billing_url, autocommit=True) as conn:
        prices(conn)
        ledger.topic(conn, OVER)
        customer(conn, "acme")
        rented(conn, "acme", "i", at("2026-02-01"), scope="s")
        timelines.end(conn, "i", at("2026-03-16T12:00"), at("2026-03-10"))
        yield conn


def of(*nets: str) -> list[Decimal]:
    return [Decimal(net) for net in nets]


@pytest.mark.parametrize(
    ("rule", "amount", "terms", "lacks"),
    [
        ("each month, until the contract ends", "120.00 / month", {"until": "2026-06-01"},
         [("2026-02-01", "20.00"), ("2026-03-01", "69.93"), ("2026-04-01", "120.00"),
          ("2026-05-01", "120.00")]),
        ("the part of a month that is committed", "120.00 / month", {"until": "2026-05-16"},
         [("2026-02-01", "20.00"), ("2026-03-01", "69.93"), ("2026-04-01", "120.00"),
          ("2026-05-01", "58.06")]),
        ("what the year lacks, once", "1200.00 / year", {}, [("2026-02-01", "1049.93")]),
        ("a year that ends with its contract, by time", "1200.00 / year", {"until": "2026-06-01"},
         [("2026-02-01", "244.31")]),
    ],
)  # fmt: skip
def test_what_is_charged(
    conn: Connection, billing_url: str, rule: str, amount: str, terms: dict[str, str],
    lacks: list[tuple[str, str]],
) -> None:  # fmt: skip
    agreed(conn, amount, **terms)
    monthly(billing_url, "2026-02", 13)
    assert billed(conn, TRUE_UP) == [(day, Decimal(net)) for day, net in lacks], rule


def test_a_month_before_anything_is_rented(billing: Connection, billing_url: str) -> None:
    prices(billing)
    customer(billing, "acme")
    rented(billing, "acme", "i", at("2026-04-01"), entered=at("2026-01-10"), scope="s")
    agreed(billing, "120.00 / month")
    monthly(billing_url, "2026-02", 3)
    lacks = [("2026-02-01", "120.00"), ("2026-03-01", "120.00"), ("2026-04-01", "20.00")]
    assert billed(billing, TRUE_UP) == [(day, Decimal(net)) for day, net in lacks]


def test_a_close_of_every_night_settles_it_once_when_it_has_ended(
    conn: Connection, billing_url: str
) -> None:
    """The final invoice of March has that month's; April's is not due before it has ended."""
    agreed(conn, "120.00 / month", until="2026-05-01")
    for day, known in [("03-03", 1), ("03-20", 2), ("04-03", 2), ("04-20", 2), ("05-03", 3),
                       ("05-04", 3), ("06-03", 3)]:  # fmt: skip
        assert closed(billing_url, None, f"2026-{day}").exit_code == 0
        assert len(billed(conn, TRUE_UP)) == known, day
    assert [net for _, net in billed(conn, TRUE_UP)] == of("20.00", "69.93", "120.00")


def test_a_month_that_has_not_ended_waits(conn: Connection, billing_url: str) -> None:
    agreed(conn, "120.00 / month")
    report = closed(billing_url, "2026-04", "2026-04-30T23:00")
    (outcome,) = report.outcomes
    assert outcome.status is Status.WAITING
    assert outcome.reasons[0].startswith("Service runs until 2026-04-30 22:15:00 UTC with grace")


def test_its_papers_are_proved_and_explained(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    agreed(conn, "120.00 / month")
    (outcome,) = closed(billing_url, "2026-04", "2026-05-03", folder=tmp_path).outcomes
    assert [verify(Path(file)) for file in outcome.files] == [[], []]
    assert outcome.invoice_id is not None
    assert explain_document(load(conn, outcome.invoice_id)[0]).differences == ()


def test_months_of_a_year_that_settle_nothing_are_not_closed(
    conn: Connection, billing_url: str
) -> None:
    agreed(conn, "1200.00 / year")
    monthly(billing_url, "2026-02", 2)
    assert closed(billing_url, "2026-04", "2026-05-03").outcomes == ()


def test_only_the_accounts_asked_for(conn: Connection, billing_url: str) -> None:
    agreed(conn, "120.00 / month")
    assert closed(billing_url, "2026-04", "2026-05-03", accounts=["other"]).outcomes == ()
    (outcome,) = closed(billing_url, "2026-04", "2026-05-03", accounts=["acme"]).outcomes
    assert (outcome.net, outcome.scopes) == (Decimal("120.00"), ("s",))


def test_a_later_contract_that_ends_it_gives_back_what_was_charged_since(
    conn: Connection, billing_url: str
) -> None:
    agreed(conn, "120.00 / month")
    monthly(billing_url, "2026-02", 4)
    agreed(conn, "", name="D", since="2026-05-01", entered="2026-06-10")
    report = closed(billing_url, "2026-06", "2026-07-03")
    assert [(one.kind, one.net) for one in report.invoices + report.credit_notes] == [
        ("credit-note", Decimal("-120.00"))
    ]
    assert closed(billing_url, "2026-07", "2026-08-03").outcomes == ()


def test_a_rental_entered_late_lowers_the_year(conn: Connection, billing_url: str) -> None:
    """Two months of 100.00 are billed late, and the lack of the year gives them back."""
    agreed(conn, "1200.00 / year")
    monthly(billing_url, "2026-02", 12)
    assert billed(conn, TRUE_UP) == [("2026-02-01", Decimal("1049.93"))]
    rented(conn, "acme", "j", at("2026-04-01"), entered=at("2027-02-10"), scope="s")
    timelines.end(conn, "j", at("2026-06-01"), at("2027-02-11"))
    assert closed(billing_url, "2027-02", "2027-03-03").exit_code == 0
    assert closed(billing_url, "2027-02", "2027-03-04").exit_code == 0
    assert sum(net for _, net in billed(conn, LineKind.ADJUSTMENT)) == Decimal("-200.00")
    assert sum(net for _, net in billed(conn, LineKind.CHARGE)) == Decimal("350.07")
    assert closed(billing_url, "2027-02", "2027-03-05").unbilled == ()


def test_a_contract_entered_after_the_month_that_it_asks_for(
    conn: Connection, billing_url: str
) -> None:
    """April and May were closed, for others; February and March, in which it rented, as well."""
    customer(conn, "other")
    rented(conn, "other", "o", at("2026-02-01"))
    monthly(billing_url, "2026-02", 4)
    agreed(conn, "120.00 / month", until="2026-06-01", entered="2026-06-10")
    assert closed(billing_url, "2026-06", "2026-07-03").exit_code == 0
    lacks = [("2026-04-01", Decimal("120.00")), ("2026-05-01", Decimal("120.00"))]
    assert sorted(billed(conn, TRUE_UP)) == lacks
    assert sum(net for _, net in billed(conn, LineKind.ADJUSTMENT)) == Decimal("89.93")
