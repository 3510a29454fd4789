"""What is decided without a database or a gateway: dunning, retries, amounts, Stripe's objects."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.draw_payments import drawings
from invoicing.collecting.dunning import (
    ForAPerson,
    Move,
    Notice,
    Policy,
    Stand,
    Standing,
    Step,
    move,
)
from invoicing.collecting.plan import Chosen, Past, next_try, payable
from invoicing.gateways import stripe_read as read
from invoicing.gateways.protocol import (
    About,
    Dispute,
    DisputeState,
    Method,
    Payout,
    RefundState,
    State,
)
from invoicing.gateways.stripe_amounts import from_wire, least, to_wire, wire
from invoicing.gateways.transfer_gateway import creditor_reference, is_creditor_reference
from pipeline.money import MINOR_UNITS

DUE = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = Policy()


def on(day: float) -> datetime:
    return DUE + timedelta(days=day)


# -- dunning ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stand", "noticed", "day", "expected"),
    [
        ("current", None, 0.9, None),
        ("current", None, 1, Step(Stand.OVERDUE)),
        ("current", None, 99, Step(Stand.OVERDUE)),  # nothing is skipped
        ("overdue", None, 6.9, None),
        ("overdue", None, 7, Notice(Stand.RESTRICTED, on(14))),
        ("overdue", 7, 13.9, None),
        ("overdue", 7, 14, Step(Stand.RESTRICTED)),
        ("overdue", None, 30, Notice(Stand.RESTRICTED, on(37))),  # looked at late: told in time
        ("overdue", 30, 36.9, None),
        ("overdue", 30, 37, Step(Stand.RESTRICTED)),
        ("restricted", None, 14, Notice(Stand.SUSPENDED, on(21))),
        ("restricted", 14, 21, Step(Stand.SUSPENDED)),
        ("suspended", None, 37.9, None),
        ("suspended", None, 38, Notice(Stand.TERMINATED, on(45))),
        ("suspended", 38, 45, ForAPerson()),
        ("suspended", 38, 400, ForAPerson()),
        ("terminated", None, 400, None),
    ],
)
def test_one_move_at_a_time(stand: str, noticed: float | None, day: float, expected: Move) -> None:
    standing = Standing(Stand(stand), None if noticed is None else on(noticed))
    assert move(standing, DUE, on(day), POLICY) == expected


@pytest.mark.parametrize("stand", ["overdue", "restricted", "suspended"])
def test_who_has_paid_is_current_at_once(stand: str) -> None:
    assert move(Standing(Stand(stand), on(7)), None, on(8), POLICY) == Step(Stand.CURRENT)
    assert move(Standing(Stand.CURRENT), None, on(8), POLICY) is None


# -- when an invoice is tried ----------------------------------------------------------------------


def past(*tries: tuple[str, str, float]) -> list[Past]:
    """(token, reason, day of its end)."""
    return [Past(token, reason, reason == "lost_card", on(day)) for token, reason, day in tries]


@pytest.mark.parametrize(
    ("tries", "token", "added", "expected"),
    [
        ([], "a", -30, 0),
        ([], "a", 5, 0),
        ([("a", "card_declined", 0)], "a", -30, 3),
        ([("a", "card_declined", 0), ("a", "card_declined", 3)], "a", -30, 8),
        ([("a", "x", 0), ("a", "x", 3), ("a", "x", 8)], "a", -30, 15),
        ([("a", "x", 0), ("a", "x", 3), ("a", "x", 8), ("a", "x", 15)], "a", -30, None),
        ([("a", "x", 0), ("a", "x", 3), ("a", "x", 8), ("a", "x", 15)], "b", 20, 20),
        ([("a", "lost_card", 0)], "a", -30, None),
        ([("a", "lost_card", 0)], "b", 1, 1),
        ([("a", "lost_card", 0), ("b", "x", 1)], "b", 1, 4),
        ([("a", "abandoned", 3)], "a", -30, 6),
        ([("a", "gateway_failed", 0)], "a", -30, 0),
        ([("a", "x", 0), ("a", "amount_changed", 3)], "a", -30, 3),
    ],
)
def test_when_a_charge_is_tried_again(
    tries: list[tuple[str, str, float]], token: str, added: float, expected: float | None
) -> None:
    found = next_try(DUE, past(*tries), Chosen(token, on(added)), POLICY.retry_days)
    assert found == (None if expected is None else on(expected))


@given(st.integers(1, 10**9), st.integers(-99, 99))
def test_what_is_asked_for_is_within_half_a_step(units: int, rest: int) -> None:
    step, balance, carried = Decimal("0.01"), Decimal(units) / 1000, Decimal(rest) / 10_000
    asked = payable(balance, carried, step)
    assert asked % step == 0
    assert abs(asked - balance - carried) <= step / 2


# -- Stripe's objects ------------------------------------------------------------------------------


def intent(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "pi_1", "status": status, "currency": "eur", **more}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("requires_confirmation", State.OPEN), ("requires_action", State.ACTION),
        ("processing", State.PROCESSING), ("requires_capture", State.PROCESSING),
        ("requires_payment_method", State.DECLINED), ("succeeded", State.PAID),
        ("canceled", State.CANCELED), ("a_state_of_tomorrow", State.PROCESSING),
    ],
)  # fmt: skip
def test_every_status_is_a_state_and_none_is_paid_by_mistake(status: str, state: State) -> None:
    assert read.payment(intent(status)).state is state


def test_a_payment_is_read_whole() -> None:
    booked = {"fee": 203, "currency": "eur"}
    found = read.payment(intent(
        "succeeded", amount_received=11900, metadata={read.ATTEMPT: "a"},
        latest_charge={"balance_transaction": booked},
    ))  # fmt: skip
    assert (found.received, found.fee, found.attempt) == (Decimal("119.00"), Decimal("2.03"), "a")
    other = {"balance_transaction": {**booked, "currency": "usd"}}
    assert read.payment(intent("succeeded", latest_charge=other)).fee is None
    assert read.payment(intent("succeeded", latest_charge="ch_1")).fee is None


@pytest.mark.parametrize(
    ("error", "reason", "final"),
    [
        ({"code": "card_declined", "decline_code": "lost_card"}, "lost_card", True),
        (
            {"code": "card_declined", "decline_code": "insufficient_funds"},
            "insufficient_funds",
            False,
        ),
        ({"code": "card_declined", "advice_code": "do_not_try_again"}, "card_declined", True),
        ({"code": "authentication_required"}, read.AUTHENTICATE, False),
        (None, "", False),
    ],
)
def test_a_decline_says_why_and_whether_for_good(
    error: dict[str, str] | None, reason: str, final: bool
) -> None:
    found = read.payment(intent("requires_payment_method", last_payment_error=error))
    assert (found.reason, found.final) == (reason, final)


def test_a_link_is_the_customers_only_where_he_has_to_act() -> None:
    action = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank"}}
    assert read.payment(intent("requires_action", next_action=action)).link == "https://bank"
    assert read.payment(intent("requires_action", next_action={"type": "sdk"})).link == ""
    assert read.payment(intent("succeeded", next_action=action)).link == ""
    assert read.payment(intent("canceled", cancellation_reason="abandoned")).reason == "abandoned"


def test_methods_refunds_disputes_and_payouts_are_read() -> None:
    card = {"brand": "visa", "last4": "4242", "exp_month": 3, "exp_year": 2034}
    assert read.method({"id": "pm_1", "type": "card", "card": card}) == Method(
        "pm_1", "card", "visa •••• 4242, 03/2034"
    )
    debit = {"id": "pm_2", "type": "sepa_debit", "sepa_debit": {"last4": "3000"}}
    assert read.method(debit).label == "sepa_debit •••• 3000"
    for status, state in (("succeeded", RefundState.DONE), ("pending", RefundState.PENDING),
                          ("failed", RefundState.FAILED)):  # fmt: skip
        back = {"id": "re_1", "currency": "jpy", "amount": 5, "status": status}
        assert read.refund(back).state is state
    booked = [{"amount": -500, "fee": 2000, "currency": "eur"}, {"amount": 500, "fee": 0,
              "currency": "eur"}, {"amount": -5, "fee": 9, "currency": "usd"}]  # fmt: skip
    taken = {"id": "dp_1", "payment_intent": "pi_1", "amount": 500, "currency": "eur",
             "balance_transactions": booked}  # fmt: skip
    for status, what in (("needs_response", DisputeState.TAKEN), ("lost", DisputeState.TAKEN),
                         ("won", DisputeState.WON), ("prevented", DisputeState.INQUIRY),
                         ("warning_closed", DisputeState.INQUIRY)):  # fmt: skip
        assert read.dispute({**taken, "status": status}) == Dispute(
            "dp_1", "pi_1", Decimal("5.00"), Decimal("20.00"), "EUR", what
        )
    for status, arrived in (("paid", True), ("failed", False), ("in_transit", None)):
        sent = {"id": "po_1", "amount": 500, "currency": "eur", "status": status}
        assert read.payout(sent) == Payout("po_1", Decimal("5.00"), "EUR", arrived)


@pytest.mark.parametrize(
    ("kind", "thing", "about", "reference"),
    [
        ("payment_intent.succeeded", {"id": "pi_1"}, About.PAYMENT, "pi_1"),
        ("charge.updated", {"id": "ch_1", "payment_intent": "pi_1"}, About.PAYMENT, "pi_1"),
        ("charge.updated", {"id": "ch_1", "payment_intent": None}, About.NOTHING, "ch_1"),
        ("charge.dispute.created", {"id": "dp_1"}, About.DISPUTE, "dp_1"),
        ("charge.refund.updated", {"id": "re_1"}, About.REFUND, "re_1"),
        ("refund.failed", {"id": "re_1"}, About.REFUND, "re_1"),
        ("payout.paid", {"id": "po_1"}, About.PAYOUT, "po_1"),
        ("payment_method.attached", {"id": "pm", "customer": "cus_1"}, About.METHOD, "cus_1"),
        ("invoice.paid", {"id": "in_1"}, About.NOTHING, "in_1"),
    ],
)
def test_an_event_says_what_it_is_about(
    kind: str, thing: dict[str, Any], about: About, reference: str
) -> None:
    found = read.event({"id": "evt_1", "type": kind, "data": {"object": thing}})
    assert (found.about, found.reference) == (about, reference)


# -- amounts and references ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("119.00", "EUR", 11900), ("5", "JPY", 5), ("5", "UGX", 500), ("7", "ISK", 700),
        ("5.120", "KWD", 5120), ("1000", "MGA", 1000), ("175", "HUF", 17500),
    ],
)  # fmt: skip
def test_amounts_are_written_as_stripe_documents_them(
    amount: str, currency: str, units: int
) -> None:
    assert to_wire(Decimal(amount), currency) == units
    assert from_wire(units, currency) == Decimal(amount)


@pytest.mark.parametrize(("amount", "currency"), [("5.125", "KWD"), ("5.5", "UGX"), ("0.1", "MGA")])
def test_an_amount_that_cannot_be_moved_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match="no multiple"):
        to_wire(Decimal(amount), currency)


@given(st.sampled_from(sorted(MINOR_UNITS)), st.integers(1, 10**9))
def test_there_and_back(currency: str, steps: int) -> None:
    amount = wire(currency).step * steps
    assert from_wire(to_wire(amount, currency), currency) == amount
    assert least(currency) % wire(currency).step == 0


@given(st.text(min_size=1, max_size=40), st.uuids(), st.integers(min_value=2), st.data())
def test_a_mistyped_reference_is_noticed(
    number: str, attempt: UUID, place: int, data: st.DataObject
) -> None:
    """One digit for another, one letter for another, anywhere after RF."""
    made = creditor_reference(number, str(attempt))
    assert is_creditor_reference(made)
    assert len(made) <= 25
    place = 2 + place % (len(made) - 2)
    like = "0123456789" if made[place].isdigit() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    wrong = data.draw(st.sampled_from(like.replace(made[place], "")))
    assert not is_creditor_reference(made[:place] + wrong + made[place + 1 :])


# -- pictures --------------------------------------------------------------------------------------


def test_every_picture_is_what_is_drawn_today() -> None:
    """After a change that is meant: python -m docs.draw_payments, and look at them."""
    for path, drawn in drawings().items():
        assert path.read_text(encoding="utf-8") == drawn
