"""What is open in a customer's favour pays his other invoices: once, oldest first, to the cent."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicing.collecting.applying import moves
from invoicing.collecting.balances import Applied, apply_balances
from sinks.audit import Wanted, newest
from sinks.balances import Open
from sinks.database import connect
from sinks.journal import entries
from sinks.payment_events import order_refund
from sinks.receipts import aged
from tests.payments.world import DUE, NOW, SEEN, World

D = Decimal
DAY = timedelta(days=1)


def said(found: list[Applied]) -> list[tuple[str, str, str]]:
    return [(one.move.source, one.move.target, str(one.move.amount)) for one in found]


def test_what_was_paid_too_much_pays_the_next_invoice(world: World) -> None:
    world.account()
    first, second = world.bill("acme", "119.00", "RM-1"), world.bill("acme", "100.00", "RM-2")
    world.receive(first, "138.00")
    before = world.balances()["receivable"]
    report = world.collect()
    assert said(report.applied) == [("RM-1", "RM-2", "19.00")]
    assert [one["amount"] for one in world.paid_at_stripe(second)] == [8100]
    assert (world.status(first), world.status(second)) == ("paid", "paid")
    assert before == D("81.00")
    assert "receivable" not in world.balances()
    (entry,) = entries(world.conn, kind="apply")
    assert (entry.reference, entry.account) == ("RM-1/RM-2/1", "acme")
    (row,) = newest(world.conn, Wanted(action="journal.apply"), 1)
    assert row.act is not None
    assert row.act.subject == "invoice/RM-2"


def test_credit_notes_pay_what_is_due_first_the_oldest_first(world: World) -> None:
    """Also what is not due yet: then nothing has to be collected when it is."""
    world.account(card=None)
    for number, gross in (("RM-1", "50.00"), ("RM-2", "70.00")):
        world.bill("acme", gross, number, due_at=DUE - 40 * DAY)
        world.settle(number)
    world.bill("acme", "60.00", "RM-3", due_at=NOW + 10 * DAY)
    world.bill("acme", "40.00", "RM-4", due_at=DUE)
    world.credit("RM-2", "30.00")
    world.credit("RM-1", "50.00")
    assert said(world.collect().applied) == [
        ("RM-2", "RM-4", "30.00"), ("RM-1", "RM-4", "10.00"), ("RM-1", "RM-3", "40.00"),
    ]  # fmt: skip
    shown = {n: (world.status(n), str(world.open(n))) for n in ("RM-1", "RM-2", "RM-3", "RM-4")}
    assert shown == {
        "RM-1": ("paid", "0.00"), "RM-2": ("paid", "0.00"),
        "RM-3": ("partly paid", "20.00"), "RM-4": ("paid", "0.00"),
    }  # fmt: skip
    assert world.collect().applied == []
    # The same two again are another move.
    world.credit("RM-1", "5.00")
    assert said(world.collect().applied) == [("RM-1", "RM-3", "5.00")]


def test_another_currency_or_seller_is_not_paid(world: World) -> None:
    world.account(card=None)
    world.bill("acme", "10.00", "RM-1")
    world.receive("RM-1", "20.00")
    world.bill("acme", "10.00", "RM-2", currency="USD")
    world.bill("acme", "10.00", "RM-3", entity="other")
    world.bill(world.account("bolt", card=None), "10.00", "RM-4")
    assert world.collect().applied == []
    world.bill("acme", "4.00", "RM-5")
    assert said(world.collect().applied) == [("RM-1", "RM-5", "4.00")]


def test_what_is_to_be_sent_back_pays_nothing(world: World) -> None:
    world.account()
    first = world.bill("acme", "100.00", "RM-1")
    world.collect()
    world.credit(first, "40.00")
    order_refund(world.conn, world.attempt(first).attempt, D("30.00"), "asked", "ann", world.now)
    second = world.bill("acme", "50.00", "RM-2", due_at=NOW + 10 * DAY)
    found = list(apply_balances(world.conn, world.now))
    assert said(found) == [("RM-1", "RM-2", "10.00")]
    assert world.collect().exit_code == 0  # the refund is sent
    assert (str(world.open(first)), str(world.open(second))) == ("0.00", "40.00")


def test_what_waits_for_the_customer_is_asked_for_less(world: World) -> None:
    """And a card that is being charged is left alone: what is too much then pays the next."""
    world.account(card=SEEN)
    first = world.bill("acme", "10.00", "RM-1", due_at=DUE - DAY)
    world.settle(first)
    second = world.bill("acme", "30.00", "RM-2")
    world.collect()
    assert world.attempt(second).state == "action"
    world.credit(first, "4.00")
    world.collect()
    world.collect()
    assert [str(world.attempt(second).amount), world.attempt(second).state] == ["26.00", "action"]
    world.conn.execute("UPDATE payment_attempt SET state = 'processing' WHERE ended_at IS NULL")
    world.credit(first, "1.00")
    assert list(apply_balances(world.conn, world.now)) == []


def test_a_dry_run_says_what_would_be_applied_and_leaves_it(world: World) -> None:
    world.account()
    world.bill("acme", "10.00", "RM-1")
    world.receive("RM-1", "15.00")
    world.bill("acme", "12.00", "RM-2")
    report = world.collect(dry_run=True)
    assert said(report.applied) == [("RM-1", "RM-2", "5.00")]
    assert [(one.invoice, one.amount) for one in report.collected] == [("RM-2", "7.00")]
    assert entries(world.conn, kind="apply") == []


def test_the_customer_sees_what_paid_what(world: World) -> None:
    """As a portal asks in his name."""
    world.account(card=SEEN)
    world.bill("acme", "10.00", "RM-1", due_at=DUE - DAY)
    world.receive("RM-1", "15.00")
    world.bill("acme", "12.00", "RM-2")
    world.collect()
    world.conn.execute(
        "SELECT set_config('rackmeter.account', customer.ticket('acme'), false)"
    ).fetchone()
    stands = world.conn.execute(
        "SELECT number, received, applied, open, status, payment, link <> ''"
        " FROM customer.invoice_status ORDER BY number"
    ).fetchall()
    assert stands == [
        ("RM-1", D(15), D(-5), D(0), "paid", None, None),
        ("RM-2", D(0), D(5), D(7), "partly paid", "action", True),
    ]
    rows = world.conn.execute(
        "SELECT kind, invoice, amount, balance FROM customer.statement ORDER BY number, amount DESC"
    ).fetchall()
    assert rows == [
        ("invoice", "RM-1", D(10), D(10)), ("payment", "RM-1", D(-15), D(-5)),
        ("invoice", "RM-2", D(12), D(7)),
        ("apply", "RM-1", D(5), D(12)), ("apply", "RM-2", D(-5), D(7)),
    ]  # fmt: skip


def test_who_has_credit_is_not_dunned(world: World) -> None:
    world.account(card=None)
    world.bill("acme", "10.00", "RM-1", due_at=NOW - 60 * DAY)
    world.receive("RM-1", "110.00")
    world.bill("acme", "99.80", "RM-2", due_at=NOW - 30 * DAY)
    assert world.collect().moved == []
    world.bill("acme", "0.25", "RM-3", due_at=NOW - 30 * DAY)
    assert world.collect().moved == [], "0.05 EUR are open"
    (one,) = aged(world.conn, NOW)
    assert str(one.total) == "0.05"
    world.bill("acme", "0.45", "RM-4", due_at=NOW - 30 * DAY)
    assert [moved.what for moved in world.collect().moved] == ["current → overdue"]


def test_five_at_once_use_each_credit_once(world: World) -> None:
    for n in range(6):
        world.account(f"a-{n}", card=None)
        world.bill(f"a-{n}", "10.00", f"RM-{n}1", due_at=DUE - DAY)
        world.receive(f"RM-{n}1", "22.00")
        world.bill(f"a-{n}", "5.00", f"RM-{n}2")
        world.bill(f"a-{n}", "9.00", f"RM-{n}3", due_at=DUE + timedelta(seconds=1))

    def run(_: int) -> list[Applied]:
        with connect(world.url, autocommit=True) as conn:
            return list(apply_balances(conn, world.now))

    with ThreadPoolExecutor(5) as pool:
        made = [one for found in pool.map(run, range(5)) for one in found]
    assert sorted(said(made)) == sorted(
        move for n in range(6)
        for move in ((f"RM-{n}1", f"RM-{n}2", "5.00"), (f"RM-{n}1", f"RM-{n}3", "7.00"))
    )  # fmt: skip
    assert len(entries(world.conn, kind="apply")) == 12
    assert world.balances()["receivable"] == D("12.00")


# -- laws ------------------------------------------------------------------------------------------

SIDES = st.lists(
    st.builds(
        Open, number=st.uuids().map(str), entity=st.sampled_from(["de", "at"]),
        currency=st.sampled_from(["EUR", "USD"]),
        due_at=st.integers(0, 99).map(lambda day: NOW + day * DAY),
        balance=st.integers(-9999, 9999).filter(bool).map(lambda cents: D(cents) / 100),
        credited=st.integers(1, 99),
    ), max_size=12,
)  # fmt: skip


@given(SIDES)
def test_no_credit_is_used_twice_and_no_invoice_paid_beyond_what_it_owes(found: list[Open]) -> None:
    made = list(moves(found))
    assert all(move.amount > 0 for move in made)
    left = {one.number: one.balance for one in found}
    group = {one.number: (one.currency, one.entity) for one in found}
    for move in made:
        assert group[move.source] == group[move.target]
        left[move.source] += move.amount
        left[move.target] -= move.amount
    for one in found:
        assert min(one.balance, D(0)) <= left[one.number] <= max(one.balance, D(0))
    for each in set(group.values()):
        signs = {left[n] > 0 for n, its in group.items() if its == each and left[n]}
        assert len(signs) <= 1, "nothing is left to move"
    # Order: what was paid in part is followed by nobody who was paid.
    for each in set(group.values()):
        debts = sorted(
            (o for o in found if o.balance > 0 and group[o.number] == each),
            key=lambda o: (o.due_at, o.number),
        )
        rest = [left[o.number] for o in debts]
        touched = [o.balance != left[o.number] for o in debts]
        assert touched == sorted(touched, reverse=True)
        assert all(one == 0 for one, then in zip(rest, touched[1:], strict=False) if then)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_sum_stays(world: World, seed: int) -> None:
    """Payments, credit notes, losses and applications in any order: compared with plain sums."""
    rng = random.Random(seed)
    world.account(card=None)
    numbers: list[str] = []
    expected = D(0)
    for step in range(30):
        amount = D(rng.randint(1, 9000)) / 100
        what = rng.choice(["bill", "pay", "pay", "credit", "apply", "apply"])
        number = rng.choice(numbers) if numbers else ""
        if what == "bill" or not numbers:
            numbers.append(world.bill("acme", str(amount), due_at=DUE + step * DAY))
            expected += amount
        elif what == "pay":
            world.receive(number, str(amount))
            expected -= amount
        elif what == "credit":
            world.credit(number, str(amount))
            expected -= amount
        else:
            before = {n: world.open(n) for n in numbers}
            list(apply_balances(world.conn, world.now))
            after = {n: world.open(n) for n in numbers}
            for n in numbers:
                assert min(before[n], D(0)) <= after[n] <= max(before[n], D(0))
            assert len({after[n] > 0 for n in numbers if after[n]}) <= 1
        assert sum((world.open(n) for n in numbers), D(0)) == expected
        assert world.balances().get("receivable", D(0)) == expected
