"""A tax profile that is entered for an invoiced period: nothing changes, and everybody is told."""

from collections.abc import Iterator

import pytest

from invoicing.rerate import rerate
from invoicing.retaxed import retaxed
from schemas.terms import TaxMode, TaxProfile
from sinks.database import Connection, connect
from sinks.tax_profiles import set_profile
from tests.invoicing.scenario import CLOSED, ENTERED, close_month
from tests.invoicing.worlds import END, month_of

FRENCH = TaxProfile(
    TaxMode.REVERSE_CHARGE, country="FR", vat_id="FR40303265045", evidence="VIES 1",
    checked_at=ENTERED,
)  # fmt: skip


@pytest.fixture
def conn(billing_url: str) -> Iterator[Connection]:
    with connect(billing_url, autocommit=True) as conn:
        month_of(conn, 2)
        assert close_month(billing_url).exit_code == 0
        yield conn


def test_it_is_said_which_invoices_it_comes_too_late_for(
    conn: Connection, billing_url: str
) -> None:
    assert (retaxed(conn), rerate(conn, "2026-02").taxed) == ([], ())
    set_profile(conn, "acme-0", FRENCH, ENTERED, "test", CLOSED)
    (found,) = retaxed(conn)
    assert (found.account, found.invoice) == ("acme-0", "RM-2026-000001")
    assert str(found) == (
        "RM-2026-000001 of acme-0 was taxed exclusive, rounded half up, DE; by what was entered"
        " since it would be reverse charge, rounded half up, FR FR40303265045: no close corrects"
        " that."
    )
    assert rerate(conn, "2026-02").taxed == (found,)
    assert (rerate(conn, "2026-03").taxed, retaxed(conn, ["acme-1"])) == ((), [])
    row = conn.execute(
        "SELECT s.after->'too_late_for' FROM audit_act a JOIN audit_said s USING (act_id)"
        " WHERE a.action = 'account.tax'"
    ).fetchone()
    assert row == (["RM-2026-000001"],)
    before = conn.execute("SELECT count(*), sum(gross) FROM invoice").fetchall()
    close_month(billing_url)
    assert conn.execute("SELECT count(*), sum(gross) FROM invoice").fetchall() == before


def test_one_that_begins_later_concerns_no_invoice(conn: Connection) -> None:
    set_profile(conn, "acme-0", FRENCH, END, "test", CLOSED)
    assert retaxed(conn) == []
