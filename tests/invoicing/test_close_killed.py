"""Closes that are killed anywhere, several times, one by one and five at once: every invoice once,
every number once, nothing lost. RACKMETER_SEEDS=200 asks for more than a build does.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from invoicing.close import BATCH_SCOPES, Progress
from invoicing.number_log import NumberLog
from invoicing.outside import number_log
from invoicing.report import Status
from sinks.database import Connection, connect
from sinks.journal import trial_balance
from tests.fix_stack import MakeDatabase
from tests.invoicing.scenario import close_month, numbers_of
from tests.invoicing.test_close import wait_for_the_server_to_notice
from tests.invoicing.worlds import month_of, rented

SEEDS = int(os.environ.get("RACKMETER_SEEDS", "10"))
ACCOUNTS = 7
MANY = 24
STEPS_MOST = 90
"""A close of these accounts takes so many."""
SECONDS_MOST = 1.0
CLOSERS = 5

Bill = dict[str, tuple[tuple[str, ...], Decimal]]
"""Account → its lines and gross."""


@pytest.fixture(scope="module")
def template(make_database: MakeDatabase, billing_template: str) -> str:
    """A month of accounts with one to three servers, and one that pays in another currency."""
    return made(make_database(billing_template), ACCOUNTS)


def made(url: str, accounts: int) -> str:
    with connect(url, autocommit=True) as conn:
        for number, account in enumerate(month_of(conn, accounts)):
            for more in range(number % 3):
                name = f"{number}-{more}"
                rented(conn, account, f"item-{name}", f"srv-{name}", 10**12 * more)
        conn.execute("UPDATE account SET currency = 'USD' WHERE account_id = 'acme-3'")
    return str(conninfo_to_dict(url)["dbname"])


@pytest.fixture(scope="module")
def expected(make_database: MakeDatabase, template: str) -> Bill:
    """What a close that nobody disturbs bills."""
    url = make_database(template)
    close_month(url, batch=1)
    with connect(url, autocommit=True) as conn:
        return billed(conn)


def billed(conn: Connection) -> Bill:
    rows = conn.execute(
        "SELECT account_id, array_agg(line_key ORDER BY position), gross"
        " FROM invoice JOIN invoice_line USING (invoice_id) GROUP BY invoice_id ORDER BY 1"
    ).fetchall()
    assert len({row[0] for row in rows}) == len(rows)
    return {account: (tuple(keys), gross) for account, keys, gross in rows}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_anywhere_every_invoice_once(
    make_database: MakeDatabase, template: str, expected: Bill, seed: int
) -> None:
    rng = random.Random(seed)
    url = make_database(template)
    for _ in range(rng.randint(1, 3)):
        killed(url, rng)
        with connect(url, autocommit=True) as conn:
            wait_for_the_server_to_notice(conn)
    report = close_month(url, batch=rng.choice([1, 4, BATCH_SCOPES]))
    assert {one.status for one in report.outcomes} <= {*FINE, Status.PARKED}
    nothing_is_lost(url, expected)


FINE = (Status.ISSUED, Status.EXISTS)


def killed(url: str, rng: random.Random) -> None:
    """A close in a process of its own, killed before a step or at any time."""
    batch, at_step = rng.choice([1, 2, 5, BATCH_SCOPES]), rng.randint(1, STEPS_MOST)
    by_time, seconds = rng.random() < 0.5, rng.uniform(0, SECONDS_MOST)
    taken = 0

    def step(_: Progress) -> None:
        nonlocal taken
        taken += 1
        if taken == at_step and not by_time:
            os.kill(os.getpid(), signal.SIGKILL)

    child = forked(lambda: close_month(url, batch=batch, progress=step))
    if by_time:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def forked(act: Callable[[], Any]) -> int:
    """A process that does it and ends; how it went says its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    return child


def nothing_is_lost(url: str, expected: Bill) -> None:
    """Invoices as expected, in database, number log, books and audit trail: each once."""
    with connect(url, autocommit=True) as conn:
        assert billed(conn) == expected
        rows = conn.execute("SELECT number, digest FROM invoice ORDER BY number").fetchall()
        numbers = [number for number, _ in rows]
        assert numbers == [f"RM-2026-{n:06d}" for n in range(1, len(expected) + 1)]
        assert known(number_log(conn, numbers_of(url))) == dict(rows)
        entries = conn.execute(
            "SELECT reference FROM journal_entry WHERE kind = 'invoice' ORDER BY 1"
        ).fetchall()
        assert [reference for (reference,) in entries] == numbers
        assert sum(one.amount for one in trial_balance(conn)) == 0
        acts = conn.execute(
            "SELECT subject FROM audit_act WHERE action = 'invoice.issue' ORDER BY 1"
        ).fetchall()
        assert [subject for (subject,) in acts] == [f"invoice/{number}" for number in numbers]
        assert (
            conn.execute("SELECT count(*) FROM audit_link").fetchone()
            == conn.execute("SELECT count(*) FROM audit_act").fetchone()
        )


def known(log: NumberLog) -> dict[str, str]:
    """Number → digest, of those that are issued; the last close says so of all."""
    return {number: one.entry.digest for number, one in log.numbers().items() if one.issued}


def test_five_at_once_with_batches_of_their_own(
    make_database: MakeDatabase, billing_template: str
) -> None:
    """The same invoices as one after the other; two of the five do two batches at a time."""
    template = made(make_database(billing_template), MANY)
    alone, url = make_database(template), make_database(template)
    close_month(alone, batch=1)
    with connect(alone, autocommit=True) as conn:
        expected = billed(conn)
    sizes = (1, 3, 8, 20, BATCH_SCOPES)
    children = [
        forked(lambda size=size: close_month(url, batch=size, processes=1 + size % 2))  # type: ignore[misc]
        for size in sizes
    ]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * CLOSERS
    nothing_is_lost(url, expected)


def test_what_cannot_be_read_parks_its_own_invoice(
    make_database: MakeDatabase, template: str, expected: Bill
) -> None:
    url = make_database(template)
    with connect(url, autocommit=True) as conn:
        conn.execute("UPDATE item_price SET price = '{}' WHERE item_id = 'item-4'")
    report = close_month(url)
    parked = [one for one in report.outcomes if one.status is Status.PARKED]
    assert [one.account for one in parked] == ["acme-3", "acme-4"]
    assert parked[1].reasons[0].startswith("SerialError: Charge.quantity: missing")
    nothing_is_lost(url, {name: bill for name, bill in expected.items() if name != "acme-4"})
