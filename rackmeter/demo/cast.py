"""Before the first act: price list, customers, and a fleet that is registered and rented."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from pipeline.catalog import Catalog
from pipeline.periods import closed, month
from rackmeter.cli.keys import new_key
from rackmeter.cli.prices import DEMO, shipped
from rackmeter.demo.customers import CUSTOMERS, OWNER, TIMEZONE, enter, rent_fleet
from rackmeter.demo.receiver import Receiver
from rackmeter.fleet.life import live
from rackmeter.fleet.mishaps import Schedule, schedules
from rackmeter.fleet.plan import FleetPlan, Machine, machines
from rackmeter.fleet.truth import Truth, truth_of, write
from schemas.billing import Span
from schemas.envelope import Key
from sinks.catalogs import apply
from sinks.database import Connection
from sinks.keys import register
from sinks.vault import Vault


@dataclass(frozen=True, slots=True)
class Script:
    """What is to be played."""

    seed: int
    servers: int
    days: int
    kills: int
    month: str
    """Such as 2026-10."""
    data_dir: Path


@dataclass(frozen=True, slots=True)
class Cast:
    """The fleet, registered and rented, before it has sent anything."""

    period: Span
    schedules: list[Schedule]
    truth: Truth
    keys: dict[str, Key]

    @property
    def machines(self) -> list[Machine]:
        return [schedule.life.machine for schedule in self.schedules]


def cast(
    script: Script, conn: Connection, vault: Vault, catalog: Catalog, receiver: Receiver
) -> Cast:
    """Price list, customers and the fleet of the seed; its truth is written before it sends."""
    apply(conn, catalog, shipped(DEMO), datetime.now(UTC))
    enter(conn, vault, receiver, [*CUSTOMERS, OWNER])
    period = month_span(script.month)
    until = period.start.astimezone(ZoneInfo(TIMEZONE)) + timedelta(days=script.days)
    end_ms = min(_ms(until), _ms(closed(period)))
    plan = FleetPlan(script.seed, script.servers, _ms(period.start), end_ms)
    made = schedules(plan, [live(plan, machine) for machine in machines(plan)])
    truth = truth_of(plan, made)
    write(truth, script.data_dir / "truth.jsonl")
    keys = {one.life.machine.id: new_key(one.life.machine.id, 0) for one in made}
    made_up = Cast(period, made, truth, keys)
    with conn.transaction():
        register(conn, vault, list(keys.values()))
        rent_fleet(conn, plan, made_up.machines, catalog, ends=end_ms < _ms(closed(period)))
    return made_up


def month_span(text: str) -> Span:
    """The month as the customers' time zone has it."""
    year, number = map(int, text.split("-"))
    return month(datetime(year, number, 15, tzinfo=UTC), TIMEZONE)


def previous_month(now: datetime) -> str:
    """The last whole month of the customers' time zone."""
    start = month(now, TIMEZONE).start
    return f"{(start - timedelta(days=1)).astimezone(ZoneInfo(TIMEZONE)):%Y-%m}"


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
