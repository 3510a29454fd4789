"""Laws of the books: every document balances, and whatever is paid, sent back, disputed or lost,
each invoice stands as an independent count of the same events says.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invoicing.booking import draws, earned, entries
from invoicing.document import CREDIT_NOTE, INVOICE, Document, DocumentLine
from invoicing.lines import Header, draft
from invoicing.resettle import resettled
from pipeline.money import MINOR_UNITS, exact_sum
from schemas.billing import Line, Seller, Span
from schemas.terms import Credit, CreditKind, TaxMode, TaxProfile, TaxRounding
from sinks.database import Connection
from sinks.journal import Entry, Kind, Posting, post, trial_balance
from sinks.receipts import aged, standing
from tests.invoicing.papers import BUYER
from tests.sinks.test_journal import NUMBER, invoice

PERIOD: Final = Span(datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC))
MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)
ISSUED: Final = datetime(2026, 4, 2, tzinfo=UTC)
SELLER: Final = Seller(
    "rm", "R", (), "", "Europe/Berlin", "EUR", {"std": Decimal(19), "low": Decimal(7)}
)
UNITS = st.integers(-50_000, 50_000)
LINES = st.lists(
    st.tuples(UNITS, st.sampled_from(["std", "low"]), st.booleans()), min_size=1, max_size=6
)
"""Minor units, tax category, whether it is the next month's."""
PURSE = st.lists(st.tuples(st.sampled_from(CreditKind), st.integers(1, 40_000)), max_size=4)
PROFILES = st.builds(TaxProfile, st.sampled_from(TaxMode), st.sampled_from(TaxRounding))


def money(units: int, currency: str) -> Decimal:
    return Decimal(units).scaleb(-MINOR_UNITS[currency])


def paper(
    lines: list[tuple[int, str, bool]], purse: list[tuple[CreditKind, int]], profile: TaxProfile,
    currency: str, kind: str = INVOICE,
) -> Document:  # fmt: skip
    rows = []
    for number, (units, tax, ahead) in enumerate(lines):
        net = money(units, currency)
        service = Span(PERIOD.end or ISSUED) if ahead else PERIOD
        line = Line(f"k{number}", "s", "i", "c", "t", service, Decimal(1), "h", net, net, tax, "v")
        rows.append(DocumentLine(line, Decimal(0), (), None))
    credits_ = [
        Credit(f"c{n}", held, money(left, currency), ISSUED) for n, (held, left) in enumerate(purse)
    ]
    header = Header(
        kind, ISSUED, "Europe/Berlin", currency, PERIOD, SELLER, BUYER, profile,
        "RM-1" if kind == CREDIT_NOTE else "",
    )  # fmt: skip
    return draft(header, (), rows, (), credits_)


@settings(max_examples=200, deadline=None)
@given(LINES, PURSE, PROFILES, st.sampled_from(["EUR", "JPY", "KWD"]))
def test_every_document_balances(
    lines: list[tuple[int, str, bool]], purse: list[tuple[CreditKind, int]], profile: TaxProfile,
    currency: str,
) -> None:  # fmt: skip
    """What is earned is the net, to the minor unit, whatever tax says; every entry sums to zero."""
    document = paper(lines, purse, profile, currency)
    found = list(entries(document))
    for entry in found:
        assert exact_sum(one.amount for one in entry.postings) == 0
    places = dict(earned(document))
    assert exact_sum(places.values()) == document.totals.net
    assert places.keys() <= {("revenue", MARCH), ("deferred", APRIL), ("promotion", None)}
    assert all(money(0, currency).same_quantum(amount) for amount in places.values())
    owed = [p.amount for one in found for p in one.postings if p.ledger == "receivable"]
    assert exact_sum(owed) == document.totals.due
    taken = {one.credit: one.amount for one in draws(document)}
    assert all(0 < taken[one.credit] <= one.left for one in document.credits if one.credit in taken)
    if profile.mode is not TaxMode.INCLUSIVE:
        net = exact_sum(money(units, currency) for units, _, ahead in lines if ahead)
        assert places.get(("deferred", APRIL), Decimal(0)) == net


@settings(max_examples=50, deadline=None)
@given(LINES, PROFILES)
def test_a_credit_note_takes_back_what_its_invoice_booked(
    lines: list[tuple[int, str, bool]], profile: TaxProfile
) -> None:
    mirrored = [(-units, tax, ahead) for units, tax, ahead in lines]
    (one,) = entries(paper(lines, [], profile, "EUR"))
    (back,) = entries(paper(mirrored, [], profile, "EUR", CREDIT_NOTE))
    assert (one.kind, back.kind) == (Kind.INVOICE, Kind.CREDIT_NOTE)
    taken = {(p.ledger, p.month): -p.amount for p in back.postings if p.amount}
    assert taken == {(p.ledger, p.month): p.amount for p in one.postings if p.amount}


MOVES: Final = {
    Kind.PAYMENT: ("bank", -1),
    Kind.REFUND: ("bank", 1),
    Kind.CHARGE_BACK: ("clearing:stripe", 1),
    Kind.WRITE_OFF: ("bad_debt", -1),
    Kind.CREDIT_NOTE: ("revenue", -1),
    Kind.DRAW: ("wallet", -1),
}
"""Kind → the other side, and what it does to the receivable."""
GROSS: Final = 11_900
HAPPENED = st.lists(
    st.tuples(
        st.sampled_from(list(MOVES)),
        st.one_of(st.sampled_from([GROSS, GROSS // 2]), st.integers(1, 2 * GROSS)),
    ),
    max_size=7,
)


def counted(happened: list[tuple[Kind, int]]) -> tuple[str, int]:
    """How the invoice stands, by counting: an account of its own, without any ledger."""
    sums = {kind: sum(amount for one, amount in happened if one is kind) for kind in MOVES}
    kept = sums[Kind.PAYMENT] - sums[Kind.REFUND] - sums[Kind.CHARGE_BACK]
    settled = kept + sums[Kind.WRITE_OFF] + sums[Kind.CREDIT_NOTE] + sums[Kind.DRAW]
    left = GROSS - settled
    if left < 0:
        return "over-paid", left
    if left > 0 and sums[Kind.CHARGE_BACK]:
        return "charged back", left
    if sums[Kind.REFUND] and kept <= 0:
        return "refunded", left
    if left == 0:
        return ("written off" if sums[Kind.WRITE_OFF] else "paid"), 0
    return ("partly paid" if settled > 0 else "open"), left


@pytest.fixture
def books(customer: Connection) -> Connection:
    invoice(customer, gross=str(money(GROSS, "EUR")))
    return customer


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(happened=HAPPENED)
def test_whatever_happens_the_books_balance_and_the_invoice_stands_as_counted(
    books: Connection, happened: list[tuple[Kind, int]]
) -> None:
    with books.transaction(force_rollback=True):
        for number, (kind, units) in enumerate(happened):
            other, sign = MOVES[kind]
            amount = sign * money(units, "EUR")
            sides = (
                Posting("receivable", amount, invoice=NUMBER),
                Posting(other, -amount, MARCH if other == "revenue" else None),
            )
            entry = Entry(kind, f"{kind}/{number}", ISSUED, "acme", "EUR", sides)
            assert post(books, entry)
            assert not post(books, entry)
        stands = standing(books, NUMBER)
        assert (stands.status, stands.balance) == (
            counted(happened)[0], money(counted(happened)[1], "EUR"),
        )  # fmt: skip
        sums = {one.ledger: one.amount for one in trial_balance(books)}
        assert exact_sum(sums.values()) == 0
        owed = exact_sum(one.total for one in aged(books, ISSUED))
        assert owed == sums["receivable"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(LINES, PURSE, PROFILES, st.sampled_from(["EUR", "JPY", "KWD"]))
def test_the_database_settles_every_document_alike(
    billing: Connection, lines: list[tuple[int, str, bool]], purse: list[tuple[CreditKind, int]],
    profile: TaxProfile, currency: str,
) -> None:  # fmt: skip
    """Credit, taxes and totals by SQL in numeric are those of Python in fractions."""
    [pairs] = resettled(billing, [paper(lines, purse, profile, currency)])
    for what, stated, computed in pairs:
        assert stated == computed, what


@pytest.mark.parametrize(
    ("what", "forge"),
    [
        ("due", lambda d: replace(d, totals=replace(d.totals, due=Decimal("0.01")))),
        ("net", lambda d: replace(d, totals=replace(d.totals, net=Decimal("0.01")))),
        ("paid credit", lambda d: replace(d, paid=())),
        ("promotional credit", lambda d: replace(d, credits=d.credits[:1])),
        ("tax of std 19 %", lambda d: replace(d, taxes=(replace(d.taxes[0], tax=Decimal(1)),))),
    ],
)
def test_a_figure_that_is_not_so_is_a_difference(
    billing: Connection, what: str, forge: Callable[[Document], Document]
) -> None:
    purse = [(CreditKind.PAID, 100), (CreditKind.PROMOTIONAL, 200)]
    document = paper([(10_000, "std", False)], purse, TaxProfile(), "EUR")
    sound, forged = resettled(billing, [document, forge(document)])
    assert [one for one, said, ours in sound if said != ours] == []
    assert what in [one for one, said, ours in forged if said != ours]
