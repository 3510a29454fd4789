"""Each comparison finds its own kind of error, and names the place."""

from dataclasses import replace
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from invoicing import reconcile as reconciling
from invoicing.document import Document
from invoicing.export import load
from invoicing.reconcile import Reconciliation
from schemas.billing import Line
from schemas.serial import to_json
from sinks.database import Connection
from tests.invoicing.scenario import close_month
from tests.invoicing.worlds import END, START, month_of


@pytest.fixture
def document(billing: Connection, billing_url: str) -> Document:
    """A sound invoice."""
    month_of(billing, 1)
    report = close_month(billing_url)
    return load(billing, str(report.outcomes[0].invoice_id))[0]


def reconcile(conn: Connection, document: Document) -> Reconciliation:
    [found] = reconciling.reconcile(conn, [document])
    return found


def said(found: Reconciliation) -> list[str]:
    return [str(difference) for difference in found.differences]


def with_line(document: Document, **change: object) -> Document:
    row = document.lines[1]
    line: Line = replace(row.line, **change)  # type: ignore[arg-type]
    return replace(document, lines=(document.lines[0], replace(row, line=line)))


def test_a_sound_invoice(billing: Connection, document: Document) -> None:
    found = reconcile(billing, document)
    assert found.differences == ()
    assert found.checked == 14  # 1 chain, 1 quantity, 2 × (quantity, net), 8 of the whole


def test_windows_that_are_not_the_readings(billing: Connection, document: Document) -> None:
    billing.execute("DELETE FROM usage_window WHERE window_start = %s", (START,))
    (difference,) = said(reconcile(billing, document))
    assert difference.startswith("readings = windows, srv-0 net.tx_bytes eth0: 21000000000000 and")


def test_the_view_and_the_query_agree_about_conservation(
    billing: Connection, document: Document
) -> None:
    billing.execute("UPDATE server_state SET last = ARRAY[7]")
    rows = billing.execute(
        "SELECT server_id, meter, resource, readings, windows FROM conservation_violation"
    ).fetchall()
    assert [f"readings = windows, {s} {m} {r}: {a} and {b} differ." for s, m, r, a, b in rows] == (
        said(reconcile(billing, document))
    )


def test_a_quantity_that_is_not_the_windows(billing: Connection, document: Document) -> None:
    found = said(reconcile(billing, with_line(document, base_quantity=20_999_999_999_999)))
    key = document.lines[1].line.key
    assert found[0] == (
        f"windows = line quantity, {key}: 20999999999999 and 21000000000000 differ."
    )


def test_a_net_that_is_not_quantity_times_price(billing: Connection, document: Document) -> None:
    found = said(reconcile(billing, with_line(document, net=Decimal("1.30"))))
    assert found[0].endswith("net: 1.30 and 1.29 differ.")
    assert found[1].startswith("lines = totals, base of hosting")


def test_a_quantity_that_was_rounded_wrongly(billing: Connection, document: Document) -> None:
    found = said(reconcile(billing, with_line(document, quantity=Decimal("1.001"))))
    assert found[0].endswith("quantity: 1.001 and 1.000 differ.")


def test_totals_that_do_not_add_up(billing: Connection, document: Document) -> None:
    wrong = replace(document.totals, gross=Decimal("1.00"))
    (difference,) = said(reconcile(billing, replace(document, totals=wrong)))
    assert difference.startswith("lines = totals, gross: 1.00 and ")


def test_an_accrual_that_says_something_else(billing: Connection, document: Document) -> None:
    inputs = document.priced[0].inputs
    usage = replace(inputs.usage[0], quantity=5)
    accrue(billing, replace(inputs, usage=(usage, *inputs.usage[1:])), END)
    found = reconcile(billing, document)
    assert found.stale == ("item-0",)
    assert said(found)[0].endswith(" 21000000000000 and 5 differ.")


def test_an_accrual_of_half_the_month_says_nothing(billing: Connection, document: Document) -> None:
    accrue(billing, replace(document.priced[0].inputs, usage=()), START)
    assert reconcile(billing, document).differences == ()


def accrue(conn: Connection, inputs: object, as_of: object) -> None:
    conn.execute(
        "INSERT INTO accrual (scope_id, period_start, period_end, as_of, inputs)"
        " VALUES ('item-0', %s, %s, %s, %s)",
        (START, END, as_of, Jsonb(to_json(inputs))),
    )
