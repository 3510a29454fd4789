"""What corrections take back: promotional credit goes home first, no invoice is below zero, and the
taxes of many credit notes are the invoice's.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from invoicing.close import Progress
from invoicing.digest import text
from invoicing.document import CREDIT_NOTE, INVOICE, Document
from invoicing.documents.einvoice import einvoice
from invoicing.export import load
from invoicing.proof import verify_json
from invoicing.report import Outcome, Status
from invoicing.verify import verify
from pipeline.catalog import load as load_catalog
from schemas.billing import LineKind, Taken
from schemas.terms import CreditKind
from sinks import timelines, wallet
from sinks.catalogs import apply
from sinks.database import Connection, connect
from sinks.journal import balance, trial_balance
from sinks.wallet import Grant
from tests.invoicing import ledger
from tests.invoicing.en16931 import broken
from tests.invoicing.ledger import reported
from tests.invoicing.scenario import CATALOG, CLOSED, ENTERED, TB, TEXT, close_month
from tests.invoicing.worlds import DAY, END, START, account, month_of, rented

APRIL = END + timedelta(days=31)
FIRST = "RM-2026-000001"
OTHER = replace(CATALOG.seller, entity="other")
HOUR = timedelta(hours=1)
ZERO = Decimal(0)


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        yield conn


def promo(conn: Connection, name: str, amount: str, expires: datetime | None = None) -> None:
    wanted = Grant("acme-0", name, CreditKind.PROMOTIONAL, Decimal(amount), ENTERED, expires)
    assert wallet.grant(conn, wanted, "test", ENTERED, "bank")


def paper(conn: Connection, outcome: Outcome) -> Document:
    assert outcome.invoice_id is not None, outcome
    return load(conn, outcome.invoice_id)[0]


def left(conn: Connection) -> dict[str, Decimal]:
    return {one.grant.credit: one.left for one in wallet.history(conn)}


def sums(document: Document) -> tuple[Decimal, Decimal, Decimal]:
    return document.totals.net, document.totals.tax, document.totals.gross


def kinds(document: Document, kind: LineKind) -> list[Decimal]:
    return [row.line.net for row in document.lines if row.line.kind is kind]


def free(conn: Connection, item: str, start: datetime = START, end: datetime = END) -> None:
    """In that time nothing is charged for the item after all."""
    conn.execute(
        "INSERT INTO item_interval VALUES (%s, 'exclusion', tstzrange(%s, %s), '', %s)",
        (item, start, end, CLOSED),
    )
    conn.execute(
        "INSERT INTO adjust_due (scope_id, period_start, why) VALUES (%s, %s, 'asked')",
        (item, START),
    )


def nobody_is_below_zero(conn: Connection) -> None:
    rows = conn.execute(
        "SELECT number, net, gross FROM invoice WHERE kind = 'invoice' AND (net < 0 OR gross < 0)"
    ).fetchall()
    assert rows == []
    assert all(one.left >= 0 for one in wallet.history(conn))
    assert sum(one.amount for one in trial_balance(conn)) == 0


def says_it_in_the_standards_words(document: Document) -> None:
    xml = einvoice(document)
    assert xml is not None
    assert broken(xml) == []


def test_promotional_credit_that_a_correction_takes_back_goes_home(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """February was paid by credit alone; then the rental turns out to have ended after an hour."""
    month_of(conn, 1)
    promo(conn, "welcome", "500.00")
    assert close_month(billing_url, folder=tmp_path).exit_code == 0
    assert left(conn) == {"welcome": Decimal("449.71")}
    timelines.end(conn, "item-0", START + HOUR, CLOSED)
    reported(conn, APRIL)
    report = close_month(billing_url, "2026-03", folder=tmp_path)
    (outcome,) = report.outcomes
    note = paper(conn, outcome)
    assert (note.kind, note.corrects, sums(note)) == (CREDIT_NOTE, FIRST, (ZERO, ZERO, ZERO))
    # an hour of rent, and of 21 TB in a day all that was used in it, above the hour's allowance
    back = -sum(kinds(note, LineKind.ADJUSTMENT))
    assert kinds(note, LineKind.CREDIT) == [back]
    assert left(conn) == {"welcome": Decimal("449.71") + back}
    nobody_is_below_zero(conn)
    assert {one.ledger: one.amount for one in balance(conn, "acme-0")} == {
        "promotion": Decimal("50.29") - back, "revenue": back - Decimal("50.29"),
    }  # fmt: skip
    assert [verify(Path(file)) for file in outcome.files] == [[], []]
    says_it_in_the_standards_words(note)
    again = close_month(billing_url, "2026-03")
    assert [one.status for one in again.outcomes] == [Status.EXISTS]


def test_first_credit_then_money(conn: Connection, billing_url: str, tmp_path: Path) -> None:
    """20.00 of 50.29 were paid by two credits: the one that was drawn last goes home first."""
    month_of(conn, 1)
    promo(conn, "early", "12.00", CLOSED + DAY)
    promo(conn, "late", "8.00")
    close_month(billing_url)
    timelines.end(conn, "item-0", START + 10 * DAY, CLOSED)
    note = paper(conn, close_month(billing_url, folder=tmp_path).outcomes[0])
    # 19.99 less 49.00, and 17.88 less 1.29: 12.42 less, all of it credit
    assert kinds(note, LineKind.CREDIT) == [Decimal("4.42"), Decimal("8.00")]
    assert sums(note) == (ZERO, ZERO, ZERO)
    assert left(conn) == {"early": Decimal("4.42"), "late": Decimal("8.00")}
    free(conn, "item-0", START, START + 10 * DAY)
    again = close_month(billing_url, folder=tmp_path)
    second = paper(conn, again.credit_notes[1])
    assert kinds(second, LineKind.CREDIT) == [Decimal("7.58")]
    assert sums(second) == (Decimal("-30.29"), Decimal("-5.76"), Decimal("-36.05"))
    assert left(conn) == {"early": Decimal("12.00"), "late": Decimal("8.00")}
    assert [verify(file) for file in tmp_path.glob("*C0*")] == [[]] * 4
    nobody_is_below_zero(conn)
    assert {one.ledger: one.amount for one in balance(conn, "acme-0")} == {
        "promotion": ZERO, "receivable": ZERO, "revenue": ZERO, "tax": ZERO,
    }  # fmt: skip


def test_credit_that_had_expired_goes_home_and_expires_again(
    conn: Connection, billing_url: str
) -> None:
    month_of(conn, 1)
    promo(conn, "welcome", "60.00", CLOSED + DAY)
    close_month(billing_url)
    later = CLOSED + 2 * DAY
    assert [one.left for one in wallet.expire(conn, later, "test")] == [Decimal("9.71")]
    free(conn, "item-0")
    close_month(billing_url, issued_at=later)
    assert left(conn) == {"welcome": Decimal("50.29")}
    assert [one.left for one in wallet.expire(conn, later, "test")] == [Decimal("50.29")]
    assert left(conn) == {"welcome": ZERO}


def test_small_corrections_on_the_next_invoice_give_credit_back_too(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    month_of(conn, 1)
    promo(conn, "welcome", "50.29")
    close_month(billing_url)
    ledger.late(conn, "srv-0", -TB // 2, START)
    reported(conn, APRIL)
    (outcome,) = close_month(billing_url, "2026-03", folder=tmp_path).outcomes
    invoice = paper(conn, outcome)
    # what comes back has not expired: the invoice draws it again
    assert (invoice.kind, invoice.totals.net) == (INVOICE, Decimal("48.36"))
    assert kinds(invoice, LineKind.CREDIT) == [Decimal("0.64"), Decimal("-0.64")]
    assert left(conn) == {"welcome": ZERO}
    assert [verify(Path(file)) for file in outcome.files] == [[], []]
    says_it_in_the_standards_words(invoice)


AHEAD = (
    TEXT
    + """
[plan.ahead]
name = "Ahead"
rent = { price = "60.00 / month", bill = "advance", tax = "hosting" }
"""
)


@pytest.mark.parametrize("credit", [None, "70.00"])
def test_a_last_invoice_below_zero_is_a_credit_note(
    conn: Connection, billing_url: str, tmp_path: Path, credit: str | None
) -> None:
    """March was billed in advance, the rental ended on the 10th of March."""
    catalog = load_catalog(AHEAD, "ahead.toml")
    apply(conn, catalog, AHEAD, ENTERED)
    ledger.topic(conn, CLOSED)
    account(conn, "acme-0")
    timelines.rent(
        conn, item="it", title="It", plan="ahead", account="acme-0", server="srv", at=START,
        catalog=catalog, entered_at=ENTERED,
    )  # fmt: skip
    if credit:
        promo(conn, "welcome", credit)
    assert close_month(billing_url).exit_code == 0
    timelines.end(conn, "it", END + 10 * DAY, ENTERED + DAY)
    report = close_month(billing_url, "2026-03", folder=tmp_path)
    assert report.exit_code == 0, report
    (outcome,) = report.outcomes
    note = paper(conn, outcome)
    assert (note.kind, note.corrects) == (CREDIT_NOTE, FIRST)
    less = Decimal("19.35") - Decimal("60.00")
    assert note.totals.net == (ZERO if credit else less)
    assert left(conn) == ({"welcome": -less} if credit else {})
    assert [verify(Path(file)) for file in outcome.files] == [[], []]
    says_it_in_the_standards_words(note)
    nobody_is_below_zero(conn)
    again = close_month(billing_url, "2026-03")
    assert [(one.kind, one.corrects, one.status) for one in again.outcomes] == [
        (CREDIT_NOTE, FIRST, Status.EXISTS)
    ]


def test_what_another_close_took_meanwhile_is_seen(conn: Connection, billing_url: str) -> None:
    """Of one invoice, for different rentals: the second note says what the first one took."""
    catalog = load_catalog(AHEAD, "ahead.toml")
    apply(conn, catalog, AHEAD, ENTERED)
    ledger.topic(conn, CLOSED)
    account(conn, "acme-0")
    for item in ("it", "other"):
        timelines.rent(
            conn, item=item, title=item, plan="ahead", account="acme-0", server=f"srv-{item}",
            at=START, catalog=catalog, entered_at=ENTERED,
        )  # fmt: skip
    timelines.end(conn, "other", END, ENTERED)
    close_month(billing_url)
    timelines.end(conn, "it", END + 10 * DAY, ENTERED + DAY)
    done: list[str] = []

    def meanwhile(progress: Progress) -> None:
        if progress.step == "reconciled" and not done:
            done.append("now")
            free(conn, "other")
            (note, _) = close_month(billing_url).outcomes
            assert note.net == Decimal("-60.00")

    report = close_month(billing_url, "2026-03", progress=meanwhile)
    assert report.exit_code == 0, report
    (last,) = [paper(conn, one) for one in report.credit_notes if one.period.start == END]
    assert [(one.before, one.before_tax) for one in last.taken] == [
        (Decimal("60.00"), Decimal("11.40"))
    ]
    nobody_is_below_zero(conn)


def test_what_no_invoice_has_charged_so_is_parked(conn: Connection, billing_url: str) -> None:
    """March was billed in advance by another company than the one that closes it."""
    catalog = load_catalog(AHEAD, "ahead.toml")
    apply(conn, catalog, AHEAD, ENTERED)
    ledger.topic(conn, CLOSED)
    account(conn, "acme-0")
    timelines.rent(
        conn, item="it", title="It", plan="ahead", account="acme-0", server="srv", at=START,
        catalog=catalog, entered_at=ENTERED,
    )  # fmt: skip
    close_month(billing_url)
    timelines.end(conn, "it", END + 10 * DAY, ENTERED + DAY)
    (outcome,) = close_month(billing_url, "2026-03", seller=OTHER).outcomes
    assert outcome.status is Status.PARKED
    assert "would come to -48.37 EUR, less than nothing" in outcome.reasons[0]
    nobody_is_below_zero(conn)


def test_what_was_billed_on_a_later_invoice_is_taken_back_of_that(
    conn: Connection, billing_url: str, tmp_path: Path
) -> None:
    """0.65 of February stand on March's invoice; then February was for nothing."""
    month_of(conn, 1)
    close_month(billing_url)
    ledger.late(conn, "srv-0", TB // 2, START)
    reported(conn, APRIL)
    close_month(billing_url, "2026-03")
    free(conn, "item-0")
    report = close_month(billing_url, "2026-03", folder=tmp_path)
    assert report.exit_code == 0, report
    rows = conn.execute(
        "SELECT number, status, balance FROM invoice_status ORDER BY number"
    ).fetchall()
    rent = Decimal("58.31")  # of March, with tax
    assert rows == [(FIRST, "paid", ZERO), ("RM-2026-000002", "partly paid", rent)]
    (note,) = [paper(conn, one) for one in report.credit_notes]
    assert [(one.invoice, one.back) for one in note.taken] == [
        (FIRST, Decimal("50.29")), ("RM-2026-000002", Decimal("0.65")),
    ]  # fmt: skip
    assert [verify(file) for file in sorted(tmp_path.iterdir())] == [[]] * 4
    books = {one.ledger: one.amount for one in balance(conn, "acme-0")}
    assert books == {"receivable": rent, "revenue": Decimal("-49.00"), "tax": Decimal("-9.31")}


def test_two_rentals_of_one_account(conn: Connection, billing_url: str) -> None:
    month_of(conn, 1)
    rented(conn, "acme-0", "item-b", "srv-b", TB)
    promo(conn, "welcome", "60.00")
    close_month(billing_url)
    free(conn, "item-b")
    timelines.end(conn, "item-0", START + HOUR, CLOSED)
    reported(conn, APRIL)
    report = close_month(billing_url, "2026-03")
    (note,) = [paper(conn, one) for one in report.credit_notes]
    # all of it went home, and March of the rental that goes on drew 49.00 of it
    assert left(conn) == {"welcome": Decimal("11.00")}
    # an hour of rent and 0.845 TB above the hour's allowance remain of 99.29
    remains = Decimal("0.08") + Decimal("1.09")
    assert note.totals.net == remains - (Decimal("99.29") - Decimal("60.00"))
    nobody_is_below_zero(conn)


@pytest.mark.parametrize(
    ("where", "forge"),
    [
        ("taken[0].back_tax", lambda one: replace(one, back_tax=one.back_tax + 1)),
        ("taken[0].back", lambda one: replace(one, back=one.back - 1)),
        ("taxes[0].tax", lambda one: replace(one, before_tax=one.before_tax + 1)),
        ("totals.net", lambda one: replace(one, used=(replace(one.used[0], left=ZERO),))),
    ],
)
def test_a_file_that_says_otherwise_what_it_takes_back_does_not_verify(
    conn: Connection, billing_url: str, where: str, forge: Callable[[Taken], Taken]
) -> None:
    """The forger has written every digest anew."""
    month_of(conn, 1)
    promo(conn, "welcome", "10.00")
    close_month(billing_url)
    timelines.end(conn, "item-0", START + 10 * DAY, CLOSED)
    note = paper(conn, close_month(billing_url).outcomes[0])
    assert verify_json(text(note)) == []
    (one,) = note.taken
    forged = replace(note, taken=(forge(one),))
    assert where in [finding.where for finding in verify_json(text(forged))]
