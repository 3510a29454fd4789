"""The books stay straight, whatever is entered, and say how each invoice stands."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from schemas.errors import ConfigError, DifferenceError, RefusedError
from sinks.database import Connection
from sinks.journal import Entry, Kind, Posting, balance, entries, post, trial_balance
from sinks.receipts import aged, receive, standing, write_off

AT = datetime(2026, 4, 2, tzinfo=UTC)
NUMBER = "RM-2026-000001"


def entry(*postings: Posting, kind: str = Kind.INVOICE, reference: str = "1") -> Entry:
    return Entry(kind, reference, AT, "acme", "EUR", postings)


def plain(*amounts: str) -> tuple[Posting, ...]:
    return tuple(Posting("bank", Decimal(amount)) for amount in amounts)


def test_an_entry_is_entered_once(customer: Connection) -> None:
    one = entry(
        Posting("receivable", Decimal("119.00"), invoice=NUMBER),
        Posting("revenue", Decimal("-100.00"), date(2026, 3, 1)),
        Posting("tax", Decimal("-19.00")),
        Posting("wallet", Decimal("0.00")),
    )
    assert post(customer, one)
    assert not post(customer, one)
    assert not post(customer, replace(one, at=AT.replace(day=9))), "the first time stands"
    (stored,) = entries(customer, invoice=NUMBER)
    assert stored == replace(one, postings=one.postings[:3]), "nothing of nothing"
    said = [(one.ledger, str(one.amount)) for one in balance(customer, "acme")]
    assert said == [("receivable", "119.00"), ("revenue", "-100.00"), ("tax", "-19.00")]
    assert balance(customer, "bolt") == []


def test_the_same_event_with_another_amount_is_a_difference(customer: Connection) -> None:
    post(customer, entry(*plain("10.00", "-10.00")))
    with pytest.raises(DifferenceError, match=r"invoice 1 with other content: .* bank 10.00"):
        post(customer, entry(*plain("11.00", "-11.00")))


def test_what_does_not_sum_to_zero_is_refused_by_the_database(customer: Connection) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="invoice 1 refused: its postings"):
        post(customer, entry(*plain("10.00", "-9.99")))
    assert post(customer, entry(*plain("10.00", "-10.00")))


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE journal_entry SET kind = 'x'", "UPDATE of journal_entry refused"),
        ("DELETE FROM journal_entry", "DELETE of journal_entry refused"),
        ("UPDATE journal_posting SET amount = 1", "UPDATE of journal_posting refused"),
        ("DELETE FROM journal_posting", "DELETE of journal_posting refused"),
        ("TRUNCATE journal_posting", "TRUNCATE of journal_posting refused"),
        ("TRUNCATE journal_entry CASCADE", "refused"),
        (
            """INSERT INTO journal_posting SELECT entry_id, 8 + n, 'tax', n * 2 - 1
               FROM journal_entry, generate_series(0, 1) n""",
            "its postings come whole",
        ),
        ("INSERT INTO journal_posting SELECT entry_id, 8, 'tax', 0 FROM journal_entry", "check"),
    ],
)
def test_what_is_entered_stays(customer: Connection, statement: str, says: str) -> None:
    post(customer, entry(*plain("10.00", "-10.00")))
    with pytest.raises(psycopg.Error, match=says):
        customer.execute(statement.encode())
    (stored,) = entries(customer)
    assert stored.postings == plain("10.00", "-10.00")


def invoice(conn: Connection, number: str = NUMBER, gross: str = "119.00") -> None:
    """An invoice and its entry, without a close."""
    conn.execute(
        """
        INSERT INTO invoice (invoice_id, number, entity, account_id, period_start, period_end,
                             currency, net, tax, gross, issued_at, document, digest, due, due_at)
        VALUES (gen_random_uuid(), %s, 'rm', 'acme', %s, %s, 'EUR', %s, 0, %s, %s, '{}', '', %s, %s)
        """,
        (number, AT, AT, gross, gross, AT, gross, AT),
    )
    amount = Decimal(gross)
    post(
        conn,
        entry(
            Posting("receivable", amount, invoice=number),
            Posting("revenue", -amount, date(2026, 3, 1)),
            reference=number,
        ),
    )


def status(conn: Connection, number: str = NUMBER) -> tuple[str, str]:
    row = conn.execute(
        "SELECT status, balance FROM invoice_status WHERE number = %s", (number,)
    ).fetchone()
    assert row is not None
    return row[0], str(row[1])


def credit_note(amount: str) -> Entry:
    net = Decimal(amount)
    sides = Posting("revenue", net, date(2026, 3, 1)), Posting("receivable", -net, invoice=NUMBER)
    return Entry(Kind.CREDIT_NOTE, "C", AT, "acme", "EUR", sides)


def paid(amount: str, reference: str = "p", number: str = NUMBER) -> Entry:
    more = Decimal(amount)
    sides = Posting("bank", more), Posting("receivable", -more, invoice=number)
    return Entry(Kind.PAYMENT, reference, AT, "acme", "EUR", sides)


def lost(amount: str) -> Entry:
    more = Decimal(amount)
    sides = Posting("bad_debt", more), Posting("receivable", -more, invoice=NUMBER)
    return Entry(Kind.WRITE_OFF, NUMBER, AT, "acme", "EUR", sides)


def moved(kind: Kind, reference: str, amount: str) -> Entry:
    """Money that goes back to the customer; below zero it comes again."""
    more = Decimal(amount)
    sides = Posting("receivable", more, invoice=NUMBER), Posting("bank", -more)
    return Entry(kind, reference, AT, "acme", "EUR", sides)


def back(amount: str) -> Entry:
    return moved(Kind.REFUND, "r", amount)


def disputed(amount: str, reference: str = "d") -> Entry:
    return moved(Kind.CHARGE_BACK, reference, amount)


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ([], ("open", "119.00")),
        ([paid("19.00")], ("partly paid", "100.00")),
        ([paid("100.00"), paid("19.00", "q")], ("paid", "0.00")),
        ([paid("120.00")], ("over-paid", "-1.00")),
        ([paid("120.00"), back("1.00")], ("paid", "0.00")),
        ([paid("119.00"), back("119.00")], ("refunded", "119.00")),
        ([paid("119.00"), credit_note("119.00")], ("over-paid", "-119.00")),
        ([paid("119.00"), credit_note("119.00"), back("119.00")], ("refunded", "0.00")),
        ([credit_note("19.00")], ("partly paid", "100.00")),
        ([credit_note("119.00")], ("paid", "0.00")),
        ([paid("119.00"), disputed("119.00")], ("charged back", "119.00")),
        ([paid("119.00"), disputed("119.00"), disputed("-119.00", "won")], ("paid", "0.00")),
        ([paid("119.00"), disputed("119.00"), paid("119.00", "q")], ("paid", "0.00")),
        ([lost("119.00")], ("written off", "0.00")),
    ],
)
def test_how_an_invoice_stands(
    customer: Connection, happened: list[Entry], expected: tuple[str, str]
) -> None:
    invoice(customer)
    for one in happened:
        post(customer, one)
    assert status(customer) == expected
    assert sum(one.amount for one in trial_balance(customer)) == 0


def test_a_rest_is_carried_to_the_account(customer: Connection) -> None:
    """A gateway that moves whole tens: 110 of 119, then all with the next invoice."""
    invoice(customer)
    invoice(customer, "RM-2026-000002", "21.00")
    post(customer, paid("110.00"))
    rest = (
        Posting("receivable", Decimal("9.00")),
        Posting("receivable", Decimal("-9.00"), None, NUMBER),
    )
    post(customer, Entry(Kind.CARRY, NUMBER, AT, "acme", "EUR", rest))
    assert status(customer) == ("paid", "0.00")
    (one,) = aged(customer, AT)
    assert (str(one.not_due), str(one.unassigned), str(one.total)) == ("21.00", "9.00", "30.00")
    post(customer, paid("21.00", "q", "RM-2026-000002"))
    post(customer, paid("9.00", "r", ""))
    assert aged(customer, AT) == []
    assert status(customer, "RM-2026-000002") == ("paid", "0.00")


@pytest.mark.parametrize(
    ("days", "column"),
    [(-1, "not_due"), (0, "not_due"), (1, "days_30"), (30, "days_30"), (31, "days_60"),
     (60, "days_60"), (61, "days_90"), (90, "days_90"), (91, "older")],
)  # fmt: skip
def test_what_is_owed_by_age(customer: Connection, days: int, column: str) -> None:
    invoice(customer)
    (one,) = aged(customer, AT + timedelta(days=days), "acme")
    assert getattr(one, column) == one.total == Decimal("119.00")
    assert aged(customer, AT, "bolt") == []


def test_what_a_person_enters(customer: Connection) -> None:
    invoice(customer)
    now = standing(customer, NUMBER)
    assert receive(customer, "17/4", AT, Decimal("100.00"), now, "ann")
    assert not receive(customer, "17/4", AT + timedelta(days=1), Decimal("100.00"), now, "ann")
    with pytest.raises(RefusedError, match=r"with 19.00 EUR open: 20.00 cannot be written off"):
        write_off(customer, AT, Decimal("20.00"), NUMBER, "ann")
    with pytest.raises(ConfigError, match=r"0.001 EUR is no amount"):
        receive(customer, "18/4", AT, Decimal("0.001"), now, "ann")
    write_off(customer, AT, Decimal("19.00"), NUMBER, "ann")
    assert standing(customer, NUMBER).status == "written off"
    with pytest.raises(RefusedError, match="There is no invoice X"):
        standing(customer, "X")


def test_two_who_tell_the_same_enter_it_once(customer: Connection, billing_url: str) -> None:
    def tell(_: int) -> bool:
        with psycopg.connect(billing_url) as conn:
            return post(conn, paid("10.00"))

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(tell, range(2))) == [False, True]
    assert len(entries(customer)) == 1
