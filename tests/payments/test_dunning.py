"""How an account that does not pay comes down, step by step, and up again at once."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from invoicing.collecting.refund import refund
from pipeline.budgets import Action
from sinks.budget_alerts import SUSPEND
from sinks.catalogs import apply
from sinks.dunning import change
from sinks.mail_words import letter
from sinks.outbox import Alert, Channel, Recipient, enqueue
from sinks.payment_words import KINDS
from tests.fix_billing import START, a_catalog, rent_small
from tests.payments.world import DECLINED, GOOD, NOW, SEEN, World
from tests.sinks.test_budgets import MB, a_budget, use


@pytest.fixture
def late(world: World) -> str:
    """Acme rents two servers, and pays nothing. Returns its invoice."""
    catalog, text = a_catalog()
    apply(world.conn, catalog, text, START)
    world.account(card=None)
    rent_small(world.conn, "i-1", "s-1")
    rent_small(world.conn, "i-2", "s-2")
    return world.bill("acme", "119.00", due_at=NOW)


def commands(world: World) -> list[tuple[str, list[str]]]:
    rows: list[tuple[dict[str, Any]]] = world.conn.execute(
        "SELECT body FROM alert_outbox WHERE channel = 'command' ORDER BY number"
    ).fetchall()
    return [(body["type"], body["data"]["items"]) for (body,) in rows]


def live(world: World, days: float) -> None:
    """A run every twelve hours, until so many days after the invoice was due."""
    while world.now < NOW + timedelta(days=days):
        world.now += timedelta(hours=12)
        world.collect()


def test_provisioning_is_told_once_and_resumes_what_was_paid(world: World, late: str) -> None:
    live(world, 50)
    both = ["i-1", "i-2"]
    assert commands(world) == [("provisioning.restrict", both), ("provisioning.suspend", both)]
    assert world.told() == [
        ("webhook", "dunning.changed"),
        ("webhook", "dunning.notice"),
        ("webhook", "dunning.changed"), ("command", "provisioning.restrict"),
        ("webhook", "dunning.notice"),
        ("webhook", "dunning.changed"), ("command", "provisioning.suspend"),
        ("webhook", "dunning.notice"),
    ]  # fmt: skip
    world.settle(late)
    world.now += timedelta(hours=6)
    (moved,) = world.collect().moved
    assert moved.what == "suspended → current"
    assert commands(world)[2:] == [("provisioning.resume", both)]
    # The next time it is late everything is told anew.
    world.bill("acme", "5.00", due_at=world.now)
    before = len(world.told())
    live(world, 50 + 16)
    assert [kind for _, kind in world.told()[before:]][:3] == [
        "dunning.changed", "dunning.notice", "dunning.changed",
    ]  # fmt: skip


def test_what_a_budget_holds_stays_suspended(world: World, late: str) -> None:
    live(world, 22)
    cap(world, "i-2")
    world.settle(late)
    world.now += timedelta(hours=6)
    world.collect()
    assert commands(world)[-1] == ("provisioning.resume", ["i-1"])


def test_a_cap_that_is_lifted_resumes_nobody_who_owes(world: World, late: str) -> None:
    a_budget(world.conn, "50.00", action=Action.CAP)
    use(world.conn, 160 * MB)
    assert [kind for kind, _ in commands(world)] == ["provisioning.suspend"]
    change(world.conn, "acme", "restricted", "suspended", world.now, late, "rackmeter")
    assert use(world.conn, -60 * MB) == ["cleared /net/100%"]
    assert [kind for kind, _ in commands(world)] == ["provisioning.suspend"]


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_word_to_a_customer_is_a_mail(world: World, late: str, language: str) -> None:
    """In his language, with no hole in a sentence."""
    live(world, 50)
    world.settle(late)
    world.collect()
    for card in (GOOD, DECLINED, SEEN):
        number = world.bill(world.account(f"with-{card[-4:]}", card), "1234.50")
        world.collect()
        if card == GOOD:
            refund(world.till(), world.attempt(number), Decimal("10.00"), "goodwill", "operator")
    bodies = world.conn.execute(
        "SELECT DISTINCT ON (body ->> 'type', body #>> '{data,state}', body #>> '{data,next}') body"
        " FROM alert_outbox WHERE channel <> 'command'"
    ).fetchall()
    ours = {kind for kind in KINDS if kind.startswith(("payment.", "dunning."))}
    assert {body["type"] for (body,) in bodies} == ours
    for (body,) in bodies:
        mail = letter(body, language, "Europe/Berlin")
        assert not set("{}") & set(mail.subject + mail.text)
        assert "  ." not in mail.text
        assert mail.subject.strip() == mail.subject
    shown = [letter(body, language, "UTC").text for (body,) in bodies]
    assert any({"en": "€1,234.50", "de": "1.234,50\xa0€"}[language] in text for text in shown)


def test_a_paid_bill_is_never_dunned_and_one_under_way_is_not_yet(world: World) -> None:
    world.account()
    world.bill("acme", "10.00", due_at=NOW)
    live(world, 3)
    assert [kind for _, kind in world.told()] == ["payment.received"]


def cap(world: World, item: str) -> None:
    """As sinks.watch tells a cap of 100 % that is reached."""
    data = {"item": item, "account": "acme", "suspends": True}
    body = {"type": SUSPEND, "timestamp": "", "data": data}
    alert = Alert(
        "acme", "", world.now, "budget/cap/7/100%", "7", "crossed", body, world.now
    )  # fmt: skip
    assert enqueue(world.conn, alert, world.now, [Recipient(Channel.WEBHOOK)])
