"""An explanation says what the invoice says, from the ledger; and tells when the ledger moved."""

import json

import pytest

from invoicing.explain import explain
from invoicing.export import load
from schemas.errors import RefusedError
from sinks.database import Connection, connect
from tests.fix_billing import meter_late
from tests.invoicing.scenario import FOLDER, close_month, play
from tests.invoicing.worlds import START, month_of


def test_it_walks_from_the_readings_to_the_net(billing_url: str) -> None:
    play(billing_url, (FOLDER / "full_month_over_allowance.txt").read_text())
    with connect(billing_url, autocommit=True) as conn:
        found = explain(conn, "RM-2026-000001/2")
    assert found.differences == ()
    text = found.to_text()
    for said in (
        "RM-2026-000001/2 AX server ax-1: traffic: 1.91 EUR net",
        "every figure was computed again from the ledger and agrees",
        "highest readings of all origins 21482000000000 = 21482000000000 in all windows",
        "├─ opening reading 2026-01-31T23:00:00Z: 0",
        "origin boot-1, report 1, partition 0, offset 1",
        "21482000000000 in 8064 windows from 2026-01-31T23:00:00Z to 2026-02-28T22:55:00Z",
        "day from 2026-02-27T23:00:00Z: 767214285715",
        "srv-1 served ax-1",
        "21482000000000 used − 20000000000000 included = 1482000000000 over",
        "÷ 1000000000000 base units a TB = 1.482 TB",
        "price: 1.29 EUR a TB",
        "catalogue 2026-01, valid from 2026-01-31T23:00:00Z on",
        "rounding of quantity: 1.482 → 1.482",
        "rounding of net: 1.91178 → 1.91",
        "└─ net: 1.482 × 1.29 = 1.91 EUR",
    ):
        assert said in text


def test_every_line_of_every_scenario_explains_itself(billing_url: str) -> None:
    play(billing_url, (FOLDER / "swap_inside_a_window.txt").read_text())
    with connect(billing_url, autocommit=True) as conn:
        keys = conn.execute("SELECT line_key, net FROM invoice_line").fetchall()
        assert len(keys) == 4
        for key, net in keys:
            found = explain(conn, key)
            assert found.differences == ()
            assert found.line is not None
            assert (found.line.key, found.line.net) == (key, net)


def test_rent_tells_its_hours_and_its_cap(billing: Connection, billing_url: str) -> None:
    month_of(billing, 1)
    close_month(billing_url)
    text = explain(billing, "RM-2026-000001/1").to_text()
    assert "672 hours started (2419200000 ms rented)" in text
    assert "at most 49.00 EUR a month" in text
    assert "rounding of net: 49 → 49.00" in text


def test_what_came_later_is_told_and_not_counted(billing: Connection, billing_url: str) -> None:
    month_of(billing, 1)
    close_month(billing_url)
    meter_late(billing, "srv-0", "net.tx_bytes", "eth0", START, 412)
    billing.execute("UPDATE usage_late SET ckpt_offset = 5000")
    found = explain(billing, "RM-2026-000001/2")
    assert found.differences == ()
    assert "later: 412 base units arrived after the invoice" in found.to_text()


def test_a_ledger_that_was_altered_is_told(billing: Connection, billing_url: str) -> None:
    month_of(billing, 1)
    close_month(billing_url)
    billing.execute("UPDATE usage_window SET qty = ARRAY[0] WHERE window_start = %s", (START,))
    found = explain(billing, "RM-2026-000001/2")
    assert found.differences[0].endswith("the invoice says 21000000000000")
    assert "≠" in found.to_text()


def test_json_says_the_same(billing: Connection, billing_url: str) -> None:
    month_of(billing, 1)
    report = close_month(billing_url)
    body = json.loads(json.dumps(explain(billing, "RM-2026-000001/2").to_json()))
    document, _ = load(billing, str(report.outcomes[0].invoice_id))
    assert body["line"]["net"] == str(document.lines[1].line.net)
    assert body["tree"]["children"][0]["name"] == "readings"
    assert body["differences"] == []


@pytest.mark.parametrize("reference", ["RM-2026-000001/9", "nothing", "RM-2026-000001/0", ""])
def test_a_line_that_is_not_there(billing: Connection, billing_url: str, reference: str) -> None:
    month_of(billing, 1)
    close_month(billing_url)
    with pytest.raises(RefusedError, match="write its key, or NUMBER/POSITION"):
        explain(billing, reference)
