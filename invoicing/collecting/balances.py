"""Has what is open in a customer's favour pay other invoices of the account, a transaction each.

Under the account's lock, from the journal as it is then: whoever comes second, or after a crash,
finds nothing left to move. The documents stay as they were sealed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from invoicing.collecting.applying import Move, moves
from invoicing.collecting.entries import applied
from sinks.audit import Act, record
from sinks.balances import open_of, unsettled
from sinks.database import Connection
from sinks.journal import Kind, hold_account, numbered, post
from sinks.receipts import recover


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a balance in this run."""

    account: str
    move: Move


def apply_balances(conn: Connection, at: datetime) -> Iterator[Applied]:
    """Each move that was made, once its account's transaction is over."""
    for account in unsettled(conn):
        yield from _account(conn, account, at)


def _account(conn: Connection, account: str, at: datetime) -> list[Applied]:
    with conn.transaction():
        hold_account(conn, account)
        recover(conn, [one.number for one in open_of(conn, account) if one.balance < 0], at)
        return [
            Applied(account, move)
            for move in list(moves(open_of(conn, account)))
            if _enter(conn, account, move, at)
        ]


def _enter(conn: Connection, account: str, move: Move, at: datetime) -> bool:
    number = numbered(conn, Kind.APPLY, move.source)
    entry = applied(account, move, number, at)
    said = {"amount": move.amount, "currency": move.currency, "from": move.source,
            "reference": entry.reference}  # fmt: skip
    new = post(conn, entry)
    if new:
        record(conn, Act("journal.apply", f"invoice/{move.target}", account, at, after=said))
    return new
