"""Forgetting a customer: what goes, what stays, and that the audit trail still verifies."""

from datetime import timedelta

import psycopg
import pytest

from schemas.errors import RefusedError
from sinks.audit import Wanted, everything, ledger_id, newest, tip
from sinks.audit_chain import verify
from sinks.database import Connection
from sinks.erase import Erased, erase
from sinks.timelines import end
from sinks.webhooks import set_mail
from tests.fix_billing import START, rent_small

LATER = START + timedelta(days=40)


def findings(conn: Connection) -> list[str]:
    with conn.transaction():
        found = verify(everything(conn), ledger_id(conn), tip=tip(conn))
    return [finding.what for finding in found.findings]


def texts(conn: Connection, what: str) -> list[str]:
    """Tables that have the text anywhere."""
    names = conn.execute(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind IN ('r', 'p')"
        " AND relnamespace = 'public'::regnamespace"
    ).fetchall()
    return [
        name
        for (name,) in names
        if conn.execute(
            f"SELECT 1 FROM {name} t WHERE t::text ILIKE %s LIMIT 1", (f"%{what}%",)
        ).fetchone()
    ]


def test_nothing_personal_is_left_and_the_chain_holds(customer: Connection) -> None:
    set_mail(customer, "acme", ["jane@acme.example"], "de")
    customer.execute(
        "INSERT INTO alert_outbox (alert_id, account_id, period_start, threshold, limit_version,"
        " kind, body, sampled_at, created_at, next_try_at, channel, recipient) VALUES ('m', 'acme',"
        " now(), 't', 'v', 'k', '{\"to\": \"Acme GmbH\"}', now(), now(), now(), 'mail',"
        " 'jane@acme.example')"
    )
    assert {"account", "alert_outbox", "audit_said"} <= {*texts(customer, "jane@acme")}
    before = newest(customer, Wanted(), 100)
    done = erase(customer, "acme", "asked for", LATER)
    assert done == Erased(account=1, alerts=1, acts=3)
    assert texts(customer, "jane@acme") == []
    assert texts(customer, "acme gmbh") == []
    assert texts(customer, "acme.example") == []
    assert findings(customer) == []
    after = newest(customer, Wanted(), 100)
    assert [row.act for row in after[1:]] == [row.act for row in before]
    assert after[0].act is not None
    assert (after[0].act.action, after[0].said and after[0].said.reason) == (
        "account.erase", "asked for",
    )  # fmt: skip
    kept = [row.act.action for row in after if row.act and row.said]
    assert kept == ["account.erase", "catalog.apply"]


def test_again_changes_nothing(customer: Connection) -> None:
    erase(customer, "acme", "asked for", LATER)
    last = tip(customer)
    assert erase(customer, "acme", "asked for", LATER) == Erased(0, 0, 0)
    assert tip(customer) == last


def test_what_is_open_is_refused(customer: Connection) -> None:
    rent_small(customer)
    with pytest.raises(RefusedError, match="item i-1 is rented"):
        erase(customer, "acme", "asked for", LATER)
    end(customer, "i-1", START + timedelta(days=10), LATER)
    with pytest.raises(RefusedError, match="i-1 is not invoiced to its end"):
        erase(customer, "acme", "asked for", LATER)
    customer.execute(
        "INSERT INTO scope_seal (scope_id, period_start, period_end, entered_before, input_digest)"
        " VALUES ('i-1', %s, %s, %s, '')",
        (START, START + timedelta(days=31), LATER),
    )
    assert erase(customer, "acme", "asked for", LATER).account == 1
    with pytest.raises(RefusedError, match="no account beta"):
        erase(customer, "beta", "asked for", LATER)


def test_money_that_is_owed_is_refused(customer: Connection) -> None:
    with customer.transaction():
        customer.execute(
            "WITH e AS (INSERT INTO journal_entry (kind, reference, at, account_id, currency)"
            " VALUES ('invoice', 'R-1', now(), 'acme', 'EUR') RETURNING entry_id)"
            " INSERT INTO journal_posting (entry_id, position, ledger, amount, month)"
            " SELECT entry_id, n, l, a, m::date FROM e, (VALUES (1, 'receivable', 12.00, NULL),"
            " (2, 'revenue', -12.00, '2026-03-01')) v (n, l, a, m)"
        )
    with pytest.raises(RefusedError, match=r"12\.00 EUR is open with this customer"):
        erase(customer, "acme", "asked for", LATER)


def test_whoever_deletes_without_erasing_is_refused(customer: Connection) -> None:
    for statement in (
        "DELETE FROM audit_said WHERE personal",
        "SET LOCAL rackmeter.erasing = 'beta'; DELETE FROM audit_said WHERE account_id = 'acme'",
        "SET LOCAL rackmeter.erasing = ''; DELETE FROM audit_said WHERE NOT personal",
    ):
        with pytest.raises(psycopg.errors.RaiseException), customer.transaction():
            customer.execute(statement.encode())


def test_an_erasure_that_nobody_recorded_is_found(customer: Connection) -> None:
    """With the database's own means, as its owner could."""
    with customer.transaction():
        customer.execute("SET LOCAL rackmeter.erasing = 'acme'")
        customer.execute("DELETE FROM audit_said WHERE account_id = 'acme' AND personal")
    assert findings(customer) == [
        f"what act {n} says is gone, and no erasure of acme took it" for n in (2, 3)
    ]
