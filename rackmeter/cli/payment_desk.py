"""What the commands on payments share: a connection that commits each answer, and a gateway."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from rackmeter.errors import ConfigError

if TYPE_CHECKING:
    from invoicing.collecting.attempt import Till
    from rackmeter.settings import Settings
    from sinks.database import Connection


@contextmanager
def desk(data_dir: Path | None) -> "Iterator[tuple[Settings, Connection]]":
    """Settings in force, and the ledger in autocommit."""
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import connect, require_schema  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    with (
        database(settings) as url,
        connect(url, autocommit=True, application_name="rackmeter payment") as conn,
    ):
        require_schema(conn)
        yield settings, conn


def till(settings: "Settings", conn: "Connection", name: str) -> "Till":
    """The gateway of that name; ConfigError where it is not set up."""
    from invoicing.collecting.attempt import till_of  # noqa: PLC0415 - starts slowly
    from rackmeter.gateways import gateways  # noqa: PLC0415

    for gateway in gateways(settings)(conn):
        if gateway.name == name:
            return till_of(conn, gateway)
    wanted = "RACKMETER_STRIPE_SECRET_FILE"
    if name == "stripe-invoice":
        wanted += " and RACKMETER_STRIPE_INVOICING=true"
    raise ConfigError(f"The gateway {name} is not set up: {wanted}.")


def money(text: str) -> Decimal:
    """An amount as people write it, more than 0."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal(0)
    if not (found.is_finite() and found > 0):
        raise ConfigError(f"{text} is no amount; write 19.00.")
    return found
