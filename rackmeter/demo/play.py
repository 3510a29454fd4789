"""The demonstration from start to end: servers, this machine, the fleet's month, the invoices.

Whatever happens in between, everything that was started is stopped again.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from pipeline.catalog import Catalog, load
from pipeline.periods import closed, month
from rackmeter.cli.keys import new_key, register
from rackmeter.cli.prices import DEMO, shipped
from rackmeter.cli.processes import Worker
from rackmeter.demo import closing
from rackmeter.demo.customers import CUSTOMERS, OWNER, TIMEZONE, enter, fleet_accounts, rent_fleet
from rackmeter.demo.machine import meter_here
from rackmeter.demo.month import Sender, compared, meter_month
from rackmeter.demo.receiver import Receiver
from rackmeter.demo.result import Result
from rackmeter.demo.screen import Screen, Stage
from rackmeter.fleet.life import live
from rackmeter.fleet.mishaps import Schedule, schedules
from rackmeter.fleet.plan import FleetPlan, Machine, machines
from rackmeter.fleet.publish import Destination
from rackmeter.fleet.truth import Truth, truth_of, write
from rackmeter.settings import Settings, load_settings
from rackmeter.stack import Stack
from rackmeter.topics import create_topics
from schemas.billing import Span
from schemas.envelope import Key
from sinks.catalogs import apply
from sinks.database import Connection, connect, migrate

FLUSH_MS: Final = "200"
"""Checkpoints of the worker: a person is waiting for the alert."""
POSTGRES: Final = {"synchronous_commit": "off"}
"""Safe for checkpoints: what a crash takes back is read again. Invoices switch it on."""


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


@dataclass(frozen=True, slots=True)
class Props:
    """What all acts use."""

    script: Script
    settings: Settings
    catalog: Catalog
    stack: Stack
    conn: Connection
    receiver: Receiver
    worker: Worker


def play(script: Script, screen: Screen) -> Result:
    """All three acts; returns what was measured."""
    settings = load_settings(data_dir=script.data_dir)
    catalog = load(shipped(DEMO), DEMO)
    with ExitStack() as running:
        with screen.stage("servers", "PostgreSQL and broker") as stage:
            stack = running.enter_context(Stack.start(script.data_dir, postgres_settings=POSTGRES))
            migrate(stack.database_url)
            topics = (settings.topic_reports, settings.topic_changed, settings.topic_dead)
            create_topics(stack.bootstrap, dict.fromkeys(topics, settings.partitions))
            stage.note(f"in {script.data_dir}")
        receiver = running.enter_context(Receiver())
        conn = running.enter_context(connect(stack.database_url, autocommit=True))
        worker = Worker(
            stack, script.data_dir, flush_interval_ms=FLUSH_MS, allow_private_webhooks="true"
        )
        running.enter_context(worker)
        return _acts(Props(script, settings, catalog, stack, conn, receiver, worker), screen)


def _acts(props: Props, screen: Screen) -> Result:
    script, conn = props.script, props.conn
    with screen.stage("customers", f"Price list, customers, {script.servers} servers") as stage:
        cast = _cast(props)
        truth = cast.truth
        stage.note(f"{truth.reports:,} reports of {script.month} to be sent")
    with screen.stage("this_machine", "This machine, live") as stage:
        machine, alert = meter_here(
            conn, props.settings, props.stack.bootstrap, props.catalog, props.receiver, stage
        )
        stage.note(f"{machine.kernel_bytes:,} bytes on {machine.nic}, {alert.count} alerts")
    with screen.stage("month", f"The fleet's month, {_kills(script.kills)}") as stage:
        place = Destination(
            props.stack.bootstrap, props.settings.topic_reports, props.settings.environment
        )
        sender = Sender(cast.schedules, cast.keys, place)
        seconds, verdicts = meter_month(
            conn, sender, props.worker, truth, script.kills, stage.progress
        )
        stage.note(f"{truth.reports / seconds:,.0f} reports/s, the kill included")
    with screen.stage("audit", "Ledger against truth") as stage:
        fleet, kill, conservation = compared(conn, truth, seconds, verdicts, script.kills)
        stage.note(f"{kill.figures:,} totals, {kill.lost} lost, {kill.doubled} doubled")
    with screen.stage("invoices", "Reconciling and closing") as stage:
        closed_books = _close(props, cast, stage)
        invoices = closed_books.invoices
        stage.note(
            f"{invoices.count} invoices, {closed_books.reconciliation.checked:,} figures compared"
        )
    line = closing.dearest_line(conn, cast.period.start)
    return Result(
        seed=script.seed,
        data_dir=str(script.data_dir),
        this_machine=closing.with_invoice(machine, closed_books.own),
        alert=alert,
        fleet=fleet,
        kill=kill,
        conservation=conservation,
        invoices=invoices,
        reconciliation=closed_books.reconciliation,
        seconds=screen.seconds,
        next=_next(script.data_dir, invoices.pdf, line),
    )


def _close(props: Props, cast: Cast, stage: Stage) -> closing.Books:
    """Act three."""
    accounts = fleet_accounts(cast.machines)
    return closing.close_books(
        props.stack.database_url,
        props.catalog.seller,
        props.script.month,
        accounts,
        props.script.data_dir / "invoices",
        stage.progress,
    )


def _cast(props: Props) -> Cast:
    """Price list, customers and the fleet of the seed; its truth is written before it sends."""
    script, conn = props.script, props.conn
    apply(conn, props.catalog, shipped(DEMO), datetime.now(UTC))
    enter(conn, props.receiver, [*CUSTOMERS, OWNER])
    period = month_span(script.month)
    until = period.start.astimezone(ZoneInfo(TIMEZONE)) + timedelta(days=script.days)
    end_ms = min(_ms(until), _ms(closed(period)))
    plan = FleetPlan(script.seed, script.servers, _ms(period.start), end_ms)
    made = schedules(plan, [live(plan, machine) for machine in machines(plan)])
    truth = truth_of(plan, made)
    write(truth, script.data_dir / "truth.jsonl")
    keys = {one.life.machine.id: new_key(one.life.machine.id, 0) for one in made}
    cast = Cast(period, made, truth, keys)
    with conn.transaction():
        register(conn, list(keys.values()))
        rent_fleet(conn, plan, cast.machines, props.catalog, ends=end_ms < _ms(closed(period)))
    return cast


def month_span(text: str) -> Span:
    """The month as the customers' time zone has it."""
    year, number = map(int, text.split("-"))
    return month(datetime(year, number, 15, tzinfo=UTC), TIMEZONE)


def previous_month(now: datetime) -> str:
    """The last whole month of the customers' time zone."""
    start = month(now, TIMEZONE).start
    return f"{(start - timedelta(days=1)).astimezone(ZoneInfo(TIMEZONE)):%Y-%m}"


def _kills(count: int) -> str:
    return f"kill -9 in the middle{f', {count} times' if count > 1 else ''}" if count else "no kill"


def _next(data_dir: Path, pdf: str, line: str | None) -> tuple[str, ...]:
    commands = [f"xdg-open {pdf}"] if pdf else []
    if line is not None:
        commands.append(f"rackmeter invoice explain {line} --data-dir {data_dir}")
    if pdf:
        commands.append(f"rackmeter invoice verify {pdf.removesuffix('.pdf')}.json")
    return tuple(commands)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
