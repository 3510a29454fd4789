"""Every panel of every board is asked on each kind of store, from stored hours and from windows."""

from datetime import timedelta

import pytest

from sinks.accruals import rate_open
from sinks.database import Connection
from tests.deploy.boards import BOARDS, answer, opened, sql_panels
from tests.deploy.rented_fleet import END, Size, seed, store

CLOSED = {"What the last close said", "Reconciliation differences", "Usage after the seal"}
INVOICED = {"Invoices", "Net revenue by charge"}
"""Panels of what a close leaves; tests/deploy/test_dashboards_sql.py has closed a month."""


@pytest.mark.parametrize("stored", [False, True], ids=["windows", "stored"])
def test_every_panel_answers(ledger: Connection, stored: bool) -> None:
    seed(ledger, Size(days=5))
    if stored:
        store(ledger)
    for (scope,) in ledger.execute("SELECT scope_id FROM rating_scope").fetchall():
        rate_open(ledger, scope, END, END - timedelta(seconds=3))
    views = {board: opened(ledger, board, END) for board in BOARDS}
    empty = {
        panel["title"]
        for board, panel in sql_panels()
        if not answer(ledger, panel, views[board]).rows
    }
    assert empty <= CLOSED | INVOICED
