"""Moves accounts that are late with their bills, and those that have paid: a transaction each.

The change, its notice to the customer and its command to provisioning are committed together, and
each is once for its account, state and time of being late: provisioning that hears a command twice
does it once. Nobody but a person terminates.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from invoicing.collecting.dunning import ForAPerson, Notice, Policy, Stand, Standing, Step, move
from schemas.errors import RefusedError
from sinks import dunning as rows
from sinks.audit import Act, record
from sinks.database import Connection
from sinks.outbox import Channel, Recipient, enqueue
from sinks.payment_alerts import changed, command, notice
from sinks.payments_due import Unpaid, unpaid

BY: Final = "rackmeter"
_PROVISIONING: Final = (Recipient(Channel.COMMAND),)
_ORDERED: Final = (Stand.RESTRICTED, Stand.SUSPENDED, Stand.TERMINATED)
"""Where provisioning has been told something that paying takes back."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What happened to an account, or has to be done by a person."""

    account: str
    what: str
    because: str


def see_accounts(conn: Connection, policy: Policy, now: datetime) -> Iterator[Moved]:
    """One move of each account that has one."""
    known = _oldest(unpaid(conn), policy)
    late = {row.account for row in rows.standings(conn)}
    for account in sorted(known.keys() | late):
        with conn.transaction():
            moved = _see(conn, account, known, policy, now)
        if moved is not None:
            yield moved


def _oldest(found: Iterable[Unpaid], policy: Policy) -> dict[str, tuple[datetime, str]]:
    """Account → due date and number of the oldest invoice that it is asked for in earnest."""
    oldest: dict[str, tuple[datetime, str]] = {}
    for one in found:
        if one.owed >= policy.least(one.currency):
            oldest.setdefault(one.account, (one.due_at, one.number))
    return oldest


def terminate(conn: Connection, account: str, policy: Policy, by: str, now: datetime) -> None:
    """A person ends what an account has. Raises RefusedError unless it is time for that."""
    with conn.transaction():
        row = rows.standing_of(conn, account)
        due_at, invoice = _oldest(unpaid(conn, account), policy).get(account) or (None, "")
        standing = Standing(Stand(row.state), row.noticed_at) if row else Standing(Stand.CURRENT)
        if not isinstance(move(standing, due_at, now, policy), ForAPerson):
            raise RefusedError(
                f"{account} is {standing.stand}, and it is not time to terminate it: that takes a"
                " bill long unpaid, a notice and its days (`rackmeter payment standing`)."
            )
        because = f"{invoice} is unpaid"
        _go(conn, account, standing.stand, Stand.TERMINATED, because, by, now)
        said = {"state": "terminated", "because": because}
        record(conn, Act("account.terminate", f"account/{account}", account, now,
                         actor=by, after=said))  # fmt: skip


def _see(
    conn: Connection,
    account: str,
    known: Mapping[str, tuple[datetime, str]],
    policy: Policy,
    now: datetime,
) -> Moved | None:
    """``known`` may be old by now: what is unpaid is read again before anything is done."""
    row = rows.standing_of(conn, account)
    stand = Stand(row.state) if row else Stand.CURRENT
    standing = Standing(stand, row.noticed_at if row else None)
    if move(standing, known.get(account, (None, ""))[0], now, policy) is None:
        return None
    due_at, invoice = _oldest(unpaid(conn, account), policy).get(account) or (None, "")
    found = move(standing, due_at, now, policy)
    because = f"{invoice} is unpaid" if invoice else "everything is paid"
    match found:
        case Step(stand=to):
            _go(conn, account, stand, to, because, BY, now)
            return Moved(account, f"{stand} → {to}", because)
        case Notice(stand=to, at=at):
            assert row is not None, "who is current is not announced anything"
            rows.announce(conn, account, to, now)
            enqueue(conn, notice(row, to, at, invoice, now), now)
            return Moved(account, f"told: {to} from {at:%Y-%m-%d}", because)
        case ForAPerson():
            return Moved(account, f"waits for `payment terminate {account}`", because)
        case None:
            return None


def _go(
    conn: Connection, account: str, before: str, to: Stand, because: str, by: str, now: datetime
) -> None:
    rows.change(conn, account, before, to, now, because, by)
    row = rows.standing_of(conn, account)
    assert row is not None, "it was written above"
    enqueue(conn, changed(row, before, because, now), now)
    if to not in _ORDERED and before not in _ORDERED:
        return
    items = rows.items_of(conn, account, now)
    if to is Stand.CURRENT:
        capped = rows.items_capped(conn, account, items)
        items = [item for item in items if item not in capped]
    enqueue(conn, command(row, items, because, now), now, _PROVISIONING)
