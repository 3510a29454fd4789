"""What caps hold and let go: commands to provisioning, and what the customer is told of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.budgets import Lifted
from sinks.budget_alerts import RESUME, SUSPEND, Freed, Looked, command, taken_back
from sinks.commands import PROVISIONING, count_because, suspended
from sinks.database import Connection
from sinks.dunning import is_held, items_of
from sinks.outbox import Alert, enqueue


@dataclass(frozen=True, slots=True)
class Caps:
    """What an account rents, and what of it is to be suspended."""

    items: Sequence[str]
    reached: Sequence[Alert]
    """Crossings in force that suspend."""
    held: frozenset[str]
    """By them, or for what the account owes."""


def holding(conn: Connection, looked: Looked, standing: Sequence[Alert]) -> Caps:
    """``standing`` are crossings of this period that hold."""
    items = items_of(conn, looked.account, looked.now)
    reached = [alert for alert in standing if alert.body["data"]["suspends"]]
    held = {item for alert in reached for item in _of(alert, items)}
    if is_held(conn, looked.account):
        held |= set(items)
    return Caps(items, reached, frozenset(held))


def suspend(conn: Connection, looked: Looked, caps: Caps) -> Iterator[Alert]:
    """What caps hold and provisioning has not been told of, items rented since too."""
    known = suspended(conn, looked.account) if caps.reached else set()
    for alert in caps.reached:
        missing = [item for item in _of(alert, caps.items) if item not in known]
        if missing:
            known |= set(missing)
            order = command(alert, SUSPEND, missing, looked.now, count_because(conn, alert))
            enqueue(conn, order, looked.now, PROVISIONING)
            yield order


def lift(
    conn: Connection, looked: Looked, one: Lifted, alert: Alert, caps: Caps
) -> Iterator[Alert]:
    """Takes a crossing back, and resumes what nothing else holds."""
    freed = Freed()
    if alert.body["data"]["suspends"]:
        known = suspended(conn, looked.account)
        mine = [item for item in _of(alert, caps.items) if item in known]
        freed = Freed([i for i in mine if i not in caps.held], [i for i in mine if i in caps.held])
    back = taken_back(alert, one, freed, looked)
    if not enqueue(conn, back, looked.now):
        return
    yield back
    if freed.resumes:
        order = command(back, RESUME, freed.resumes, looked.now)
        enqueue(conn, order, looked.now, PROVISIONING)
        yield order


def _of(alert: Alert, items: Sequence[str]) -> Sequence[str]:
    """What is rented of a cap's: its item, or all of the account's."""
    item = alert.body["data"]["item"]
    return [i for i in items if i == item] if item else items
