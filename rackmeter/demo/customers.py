"""Who rents what in the demonstration: five customers in Berlin's time zone, and this machine's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pipeline.catalog import Catalog
from pipeline.windows import window_ms
from rackmeter.demo.receiver import Receiver
from rackmeter.fleet.plan import FleetPlan, Machine
from sinks.database import Connection
from sinks.timelines import add_account, end, rent
from sinks.vault import Vault
from sinks.webhooks import set_webhook

TIMEZONE: Final = "Europe/Berlin"


@dataclass(frozen=True, slots=True)
class Customer:
    """An account; every one of them is made up."""

    account: str
    name: str
    address: tuple[str, ...]
    vat_id: str


def _customer(account: str, name: str, street: str, town: str, vat_id: str) -> Customer:
    return Customer(account, name, (street, town, "Germany"), vat_id)


CUSTOMERS: Final = (
    _customer("aurora", "Aurora Rendering GmbH", "Musterweg 4", "20095 Hamburg", "DE000000011"),
    _customer("birke", "Birke & Sohn Webdienst OHG", "Am Beispiel 17", "50667 Köln", "DE000000029"),
    _customer("cirrus", "Cirrus Backup AG", "Probeallee 88", "80331 München", "DE000000037"),
    _customer("delta", "Delta Streaming GmbH & Co.", "Testufer 3", "28195 Bremen", "DE000000045"),
    _customer("eiche", "Eiche Forschungsverbund e. V.", "Platz 9", "01067 Dresden", "DE000000053"),
)
OWNER: Final = _customer(
    "demo-owner", "The owner of this machine", "Localhost 1", "12700 Loopback", ""
)


def enter(
    conn: Connection, vault: Vault, receiver: Receiver, customers: Sequence[Customer]
) -> None:
    """Make the accounts; all of them are told of alerts at the same webhook."""
    for customer in customers:
        add_account(
            conn,
            account=customer.account,
            name=customer.name,
            country="DE",
            currency="EUR",
            timezone=TIMEZONE,
            address=customer.address,
            vat_id=customer.vat_id,
        )
        set_webhook(
            conn, vault, customer.account, receiver.url, receiver.secret, allow_private=True
        )


def rent_fleet(
    conn: Connection,
    plan: FleetPlan,
    machines: Sequence[Machine],
    catalog: Catalog,
    *,
    ends: bool,
) -> None:
    """The fleet's servers, dealt out to the customers, for the period of the plan."""
    start, entered = _instant(plan.start_ms), datetime.now(UTC)
    for machine in machines:
        customer = CUSTOMERS[machine.index % len(CUSTOMERS)]
        rent(
            conn,
            item=machine.id,
            title=f"{'AX server, large' if machine.large else 'AX server'} {machine.id}",
            plan="ax-large-hourly" if machine.large else "ax-hourly",
            account=customer.account,
            server=machine.id,
            at=start,
            catalog=catalog,
            entered_at=entered,
        )
        if ends:
            end(conn, machine.id, _instant(plan.end_ms))


def rent_here(conn: Connection, server: str, catalog: Catalog, now: datetime) -> None:
    """This machine, from the start of the running window: a window cut in two would be split."""
    rent(
        conn,
        item=server,
        title="This machine",
        plan="demo-hourly",
        account=OWNER.account,
        server=server,
        at=_instant(window_ms(int(now.timestamp() * 1000))),
        catalog=catalog,
        entered_at=now,
    )


def fleet_accounts(machines: Sequence[Machine]) -> list[str]:
    """The accounts that rent something of the fleet."""
    used = {machine.index % len(CUSTOMERS) for machine in machines}
    return [customer.account for index, customer in enumerate(CUSTOMERS) if index in used]


def _instant(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
