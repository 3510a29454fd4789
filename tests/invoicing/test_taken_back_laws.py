"""Random months with credit, late ends, late usage and faults that are told late: whatever happens,
the documents come to what it costs by now less the credit that was used, and none is below zero.

RACKMETER_SEEDS=50 for a longer run.
"""

import os
import random
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from invoicing.charged import charged
from invoicing.digest import text
from invoicing.due import seals
from invoicing.export import load
from invoicing.proof import verify_json
from pipeline.catalog import load as load_catalog
from pipeline.periods import closed
from pipeline.rating.price import price
from schemas.errors import RefusedError
from schemas.terms import CreditKind, TaxMode, TaxProfile, TaxRounding
from sinks import timelines, wallet
from sinks.catalogs import apply
from sinks.database import Connection, connect
from sinks.journal import trial_balance
from sinks.queries import usage_inputs
from sinks.scopes import load_scope
from sinks.tax_profiles import set_profile
from sinks.wallet import Grant
from tests.invoicing import ledger
from tests.invoicing.ledger import reported
from tests.invoicing.scenario import CLOSED, ENTERED, TB, close_month
from tests.invoicing.test_taken_back import AHEAD
from tests.invoicing.worlds import DAY, END, START, month_of, rented

SEEDS = range(int(os.environ.get("RACKMETER_SEEDS", "6")))
ITEMS = 3
APRIL = END + timedelta(days=31)
MAY = APRIL + timedelta(days=30)
ISSUED = MAY + 5 * DAY
ACCOUNT = "acme-0"


def grants(conn: Connection, rng: random.Random, at: datetime, name: str) -> None:
    for number in range(rng.randrange(3)):
        kind = rng.choice([CreditKind.PROMOTIONAL, CreditKind.PROMOTIONAL, CreditKind.PAID])
        amount = Decimal(rng.choice([1, 999, 4_900, 5_029, rng.randrange(1, 30_000)])).scaleb(-2)
        ends = rng.choice([None, None, ISSUED + rng.randrange(1, 40) * DAY])
        wanted = Grant(ACCOUNT, f"{name}-{number}", kind, amount, at, ends, rng.randrange(2))
        wallet.grant(conn, wanted, "test", at, "bank")


def ahead(conn: Connection, number: int) -> None:
    """An item at 60.00 a month, billed in advance."""
    text = AHEAD.replace('version = "', 'version = "ahead-', 1)
    catalog = load_catalog(text, "ahead.toml")
    apply(conn, catalog, text, ENTERED)
    timelines.rent(
        conn, item=f"item-{number}", title="ahead", plan="ahead", account=ACCOUNT,
        server=f"srv-{number}", at=START, catalog=catalog, entered_at=ENTERED,
    )  # fmt: skip
    ledger.settle(conn, f"srv-{number}", END + timedelta(minutes=1))


def happens(conn: Connection, rng: random.Random, until: datetime) -> None:
    """Something is told late, of a time that may be invoiced."""
    number = rng.randrange(ITEMS + 1)
    item, server = f"item-{number}", f"srv-{min(number, ITEMS - 1)}"  # the last is not metered
    at = START + rng.random() * (until - START)
    at -= timedelta(microseconds=at.microsecond, seconds=at.second)
    match rng.randrange(4):
        case 0:
            try:
                timelines.end(conn, item, rng.choice([at, START + timedelta(hours=1)]), ISSUED)
            except RefusedError:
                return  # it has ended
        case 1:
            ledger.late(conn, server, rng.choice([1, 5, 10, 30]) * TB // 10, START)
        case 2:
            ledger.late(conn, server, -rng.choice([1, 5, 10]) * TB // 10, START)
        case _:
            end = min(until, at + rng.randrange(1, 40) * DAY)
            conn.execute(
                "INSERT INTO item_interval SELECT %(item)s, 'exclusion', r, '', %(now)s"
                " FROM (SELECT tstzrange(%(at)s, %(end)s) AS r) x WHERE NOT EXISTS"
                " (SELECT FROM item_interval i WHERE i.item_id = %(item)s AND i.valid && r)",
                {"item": item, "at": at, "end": end, "now": ISSUED},
            )
            conn.execute(
                "INSERT INTO adjust_due (scope_id, period_start, why)"
                " SELECT scope_id, period_start, 'asked' FROM scope_seal WHERE scope_id = %s",
                (item,),
            )


def costs(conn: Connection) -> Decimal:
    """What all that is sealed comes to as known now, priced one by one: fees in advance in the
    month that they are for, and what the last month says of the one to come.
    """
    rows = conn.execute("SELECT scope_id, period_start FROM scope_seal").fetchall()
    total = Decimal(0)
    for _, _, _, name, period in seals(conn, rows, None):
        scope = load_scope(conn, name)
        inputs = replace(usage_inputs(conn, scope, period, closed(period)), billed=())
        for line in price(scope, inputs, closed(period)):
            if line.service.start < closed(period) or closed(period) == MAY:
                total += line.net
    return total


@pytest.mark.parametrize("seed", SEEDS)
def test_documents_are_what_it_costs_less_the_credit_used(billing_url: str, seed: int) -> None:
    rng = random.Random(seed)
    with connect(billing_url, autocommit=True) as conn:
        month_of(conn, 1, appended=ISSUED)
        for number in range(1, ITEMS):
            rented(conn, ACCOUNT, f"item-{number}", f"srv-{number}", (20 + number) * TB)
        ahead(conn, ITEMS)
        profile = TaxProfile(
            rng.choice([TaxMode.EXCLUSIVE, TaxMode.INCLUSIVE]), rng.choice(list(TaxRounding)), "DE"
        )
        set_profile(conn, ACCOUNT, profile, ENTERED, "test", ENTERED)
        grants(conn, rng, ENTERED, "first")
        issued = CLOSED
        for month, until in (("2026-02", END), ("2026-03", APRIL), ("2026-04", MAY)):
            reported(conn, until)
            issued = max(issued + DAY, until + DAY)
            report = close_month(billing_url, month, issued_at=issued)
            assert report.exit_code == 0, (seed, month, report)
            grants(conn, rng, issued, month)
            if month != "2026-04":
                for _ in range(rng.randrange(4)):
                    happens(conn, rng, until)
        agrees(conn, profile.mode)


def agrees(conn: Connection, mode: TaxMode) -> None:
    below = conn.execute(
        "SELECT number, net, gross FROM invoice WHERE kind = 'invoice' AND (net < 0 OR gross < 0)"
    ).fetchall()
    assert below == []
    held = wallet.history(conn)
    assert all(0 <= one.left <= one.grant.amount for one in held)
    used = sum(
        (one.grant.amount - one.left for one in held if one.grant.kind is CreditKind.PROMOTIONAL),
        Decimal(0),
    )
    billed = conn.execute("SELECT coalesce(sum(net), 0), coalesce(sum(gross), 0) FROM invoice")
    net, gross = billed.fetchall()[0]
    assert (gross if mode is TaxMode.INCLUSIVE else net) == costs(conn) - used
    assert sum(one.amount for one in trial_balance(conn)) == 0
    for one in charged(conn, [ACCOUNT])[ACCOUNT]:
        for group in one.groups:
            assert 0 <= group.before <= max(Decimal(0), group.charged)
            assert 0 <= group.before_tax <= max(Decimal(0), group.tax)
            if group.before == group.charged:
                assert group.before_tax == group.tax
    for (invoice_id,) in conn.execute("SELECT invoice_id::text FROM invoice").fetchall():
        assert verify_json(text(load(conn, invoice_id)[0])) == []
